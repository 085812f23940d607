package notify

import (
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"basisdienste/platform/authn"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/login"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
	"basisdienste/platform/web/browsertest"
	"basisdienste/platform/web/webtest"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

// mailboxServer serves the pages to whom the cookie "who" names, at the tenant of the path.
func mailboxServer(t *testing.T, r *rig) *httptest.Server {
	t.Helper()
	sub, err := fs.Sub(pageFiles, "templates")
	if err != nil {
		t.Fatal(err)
	}
	site, err := web.New(web.Config{
		Service: "service", Templates: sub, Texts: texts(), Key: []byte("0123456789abcdef0123456789abcdef"), Clock: r.clock.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &pages{s: r.Service, site: site}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", web.Static())
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, req *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "who", Value: req.FormValue("who"), Path: "/", HttpOnly: true})
		http.Redirect(w, req, "/t/erfurt/mailbox/", http.StatusSeeOther)
	})
	for pattern, h := range map[string]http.HandlerFunc{"GET /t/{tenant}/mailbox/{$}": p.list, "GET /t/{tenant}/mailbox/{id}": p.read} {
		mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			e, err := r.Dir.BySlug(req.Context(), req.PathValue("tenant"))
			if err != nil {
				site.ErrorPage(w, req, err)
				return
			}
			who, err := req.Cookie("who")
			if err != nil {
				t.Error("request without a citizen")
				return
			}
			s := login.Session{Person: login.Person{GivenName: "Erika", FamilyName: "Musterfrau"}, Principal: authn.Principal{Kind: authn.Citizen, Subject: who.Value, TenantID: e.ID}}
			h(w, req.WithContext(login.With(tenantdir.With(req.Context(), e), s)))
		}))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func visit(t *testing.T, server *httptest.Server, who, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	req.AddCookie(&http.Cookie{Name: "who", Value: who})
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestPages_Mailbox(t *testing.T) {
	t.Parallel()
	r := newRig(t, dbtest.New(t, sets()...), nil)
	server := mailboxServer(t, r)
	if status, body := visit(t, server, "citizen-1", "/t/erfurt/mailbox/"); status != 200 || !strings.Contains(body, "Keine Nachrichten") {
		t.Errorf("empty mailbox = %d\n%s", status, body)
	}
	var mids []id.ID
	for range mailboxPage + 3 {
		mids = append(mids, r.post(t, r.ctx, Mailbox, "citizen-1"))
	}
	r.post(t, r.ctx, Mailbox, "citizen-2")
	r.sendAll(t)
	last := mids[len(mids)-1].String()
	status, body := visit(t, server, "citizen-1", "/t/erfurt/mailbox/")
	if n := strings.Count(body, "Testnachricht für Erika Musterfrau"); status != 200 || n != mailboxPage || strings.Count(body, ">neu<") != mailboxPage || !strings.Contains(body, last) {
		t.Errorf("mailbox = %d with %d messages, want %d, the newest among them", status, n, mailboxPage)
	}
	older := regexp.MustCompile(`href="([^"]*\?after=[^"]*)"`).FindStringSubmatch(body)
	if older == nil {
		t.Fatalf("no link to older messages:\n%s", body)
	}
	if status, body := visit(t, server, "citizen-1", older[1]); status != 200 || strings.Count(body, "Testnachricht für") != 3 || !strings.Contains(body, "Zu den neuesten") {
		t.Errorf("older messages = %d\n%s", status, body)
	}
	if status, _ := visit(t, server, "citizen-2", older[1]); status != 400 {
		t.Errorf("another citizen with that cursor = %d, want 400", status)
	}
	status, body = visit(t, server, "citizen-1", "/t/erfurt/mailbox/"+last)
	if status != 200 || !strings.Contains(body, "Guten Tag Erika Musterfrau,") || !strings.Contains(body, `<article lang="de">`) || !strings.Contains(body, "Von Landeshauptstadt Erfurt") {
		t.Errorf("message = %d\n%s", status, body)
	}
	if _, body := visit(t, server, "citizen-1", "/t/erfurt/mailbox/"); strings.Count(body, ">gelesen<") != 1 {
		t.Error("the message that was read is not marked so")
	}
	for name, c := range map[string][2]string{
		"another citizen": {"citizen-2", "/t/erfurt/mailbox/" + last},
		"another tenant":  {"citizen-1", "/t/jena/mailbox/" + last},
		"unknown":         {"citizen-1", "/t/erfurt/mailbox/" + id.New().String()},
		"no id":           {"citizen-1", "/t/erfurt/mailbox/x"},
	} {
		if status, body := visit(t, server, c[0], c[1]); status != 404 || !strings.Contains(body, "Diese Nachricht gibt es nicht") || strings.Contains(body, "Erika Musterfrau,") {
			t.Errorf("%s = %d, want 404 with a page that says so\n%s", name, status, body)
		}
	}
}

func TestBrowser_Mailbox(t *testing.T) {
	t.Parallel()
	r := newRig(t, dbtest.New(t, sets()...), nil)
	mid := r.post(t, r.ctx, Mailbox, "citizen-1")
	r.sendAll(t)
	server := mailboxServer(t, r)
	for name, c := range map[string]struct {
		path    string
		options browsertest.Options
	}{
		"mailbox-desktop":         {"/t/erfurt/mailbox/", browsertest.Options{}},
		"mailbox-phone-noscript":  {"/t/erfurt/mailbox/", browsertest.Options{Phone: true, NoScript: true}},
		"mailbox-en":              {"/t/erfurt/mailbox/", browsertest.Options{Lang: "en", Dark: true}},
		"mailbox-empty":           {"/t/jena/mailbox/", browsertest.Options{}},
		"message-desktop":         {"/t/erfurt/mailbox/" + mid.String(), browsertest.Options{}},
		"message-phone-noscript":  {"/t/erfurt/mailbox/" + mid.String(), browsertest.Options{Phone: true, NoScript: true}},
		"message-unknown-desktop": {"/t/erfurt/mailbox/x", browsertest.Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := browsertest.Open(t, c.options)
			browsertest.Visit(t, tab, server.URL+"/login?who=citizen-1")
			browsertest.Visit(t, tab, server.URL+c.path)
			browsertest.Axe(t, tab)
			browsertest.Fits(t, tab)
			browsertest.Screenshot(t, tab, name)
		})
	}
}

// TestBrowser_MailHTML: what a mail program shows is accessible too.
func TestBrowser_MailHTML(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for _, name := range []string{"appointment-confirmed.de", "payment-receipt.en", "application-rejected.de"} {
		b, err := os.ReadFile("testdata/catalogue/" + name + ".html")
		if err != nil {
			t.Fatal(err)
		}
		files["/"+name] = string(b)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, files[r.URL.Path]) // the test's own client
	}))
	t.Cleanup(server.Close)
	for path := range files {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel()
			for _, phone := range []bool{false, true} {
				tab := browsertest.Open(t, browsertest.Options{Phone: phone})
				browsertest.Visit(t, tab, server.URL+path)
				browsertest.Axe(t, tab)
				browsertest.Fits(t, tab)
				browsertest.Screenshot(t, tab, "mail-"+path[1:])
			}
		})
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	webtest.Texts(t, ".", texts())
}
