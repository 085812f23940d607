package textbrowser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"basisdienste/platform/textbrowser"
)

// town is a small site: a start page with a link, a form in two pages with a file, an end.
func town(t *testing.T) string {
	t.Helper()
	page := func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<!DOCTYPE html><main>%s<form method=post action=/logout><button>Abmelden</button></form></main>`, body)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		page(w, `<h1>Start</h1><a class="kern-btn" href="one">Beginnen</a>`)
	})
	mux.HandleFunc("GET /one", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "one", Path: "/"})
		page(w, `<h1>Eins</h1><form method=post action=/one><input name="/a/plate"><input name=kept value=as-it-is>
			<input type=radio name=owner value=self><input type=radio name=owner value=other>
			<select name=years><option value="">–</option><option value=1>1</option></select>
			<button name=go value=back>Zurück</button><button name=go value=on>Weiter</button></form>`)
	})
	mux.HandleFunc("POST /one", func(w http.ResponseWriter, r *http.Request) {
		got := r.FormValue("/a/plate") + "|" + r.FormValue("kept") + "|" + r.FormValue("owner") + "|" + r.FormValue("years") + "|" + r.FormValue("go")
		if got != "EF-AB 1|as-it-is|other|1|on" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			page(w, `<h1>Eins</h1><div role=alert>`+got+`</div>`)
			return
		}
		http.Redirect(w, r, "/two", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /two", func(w http.ResponseWriter, _ *http.Request) {
		page(w, `<h1>Zwei</h1><form method=post action=/two enctype="multipart/form-data"><input type=file name=proof><button>Absenden</button></form>`)
	})
	mux.HandleFunc("POST /two", func(w http.ResponseWriter, r *http.Request) {
		_, h, err := r.FormFile("proof")
		c, cookieErr := r.Cookie("seen")
		if err != nil || cookieErr != nil {
			t.Errorf("POST /two: file %v, cookie %v", err, cookieErr)
			return
		}
		page(w, `<h1>Fertig</h1>`+h.Filename+" "+h.Header.Get("Content-Type")+" "+c.Value)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestWalk(t *testing.T) {
	t.Parallel()
	base := town(t)
	answers := textbrowser.Answers{
		Fields: map[string]string{"plate": "EF-AB 1", "owner": "other", "years": "1"},
		File:   &textbrowser.Upload{Name: "a.pdf", MediaType: "application/pdf", Content: []byte("%PDF-")},
	}
	for _, tt := range []struct {
		name    string
		change  func(map[string]string)
		wantErr string
		want    string
	}{
		{"all the way", func(map[string]string) {}, "", "Fertig a.pdf application/pdf one Abmelden"},
		{"a wrong answer", func(f map[string]string) { f["plate"] = "?" }, "status 422: Eins | ?|as-it-is|other|1|on", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			own := textbrowser.Answers{Fields: map[string]string{}, File: answers.File}
			for k, v := range answers.Fields {
				own.Fields[k] = v
			}
			tt.change(own.Fields)
			b := textbrowser.New()
			if err := b.Open(t.Context(), base+"/"); err != nil {
				t.Fatalf("Open: %v", err)
			}
			err := b.Walk(t.Context(), own, func(p *textbrowser.Page) bool { return p.Heading() == "Fertig" })
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("Walk = %v, want an error with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || b.Page.Text() != tt.want {
				t.Errorf("Walk = %v at %q, want %q", err, b.Page.Text(), tt.want)
			}
		})
	}
}

func TestWalk_NeverArrives(t *testing.T) {
	t.Parallel()
	b := textbrowser.New()
	if err := b.Open(t.Context(), town(t)+"/"); err != nil {
		t.Fatalf("Open: %v", err)
	}
	answers := textbrowser.Answers{
		Fields: map[string]string{"plate": "EF-AB 1", "owner": "other", "years": "1"},
		File:   &textbrowser.Upload{Name: "a.pdf", MediaType: "application/pdf", Content: []byte("%PDF-")},
	}
	err := b.Walk(t.Context(), answers, func(*textbrowser.Page) bool { return false })
	if err == nil || !strings.Contains(err.Error(), "leads nowhere: Fertig") {
		t.Errorf("Walk = %v, want to hear that the last page leads nowhere", err)
	}
}
