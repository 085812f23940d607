package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"basisdienste/platform/tenant"
)

//go:embed templates/*.html
var frameFiles embed.FS

// Config is what a Site needs. Key is required; a zero rest gives a working site with the
// frame's own pages.
type Config struct {
	Service   string // text key of the service's name under the tenant's; "" for none
	Templates fs.FS  // the service's pages
	Texts     Texts
	Key       []byte                         // 32 random bytes that seal cookies
	Secure    bool                           // the site is reached by https
	Demo      bool                           // every page says that nothing on it is real
	Look      func(ctx context.Context) Look // of the tenant in ctx; nil: its name alone
	Clock     func() time.Time               // nil: time.Now
	Log       *slog.Logger                   // nil: slog.Default
}

// Look is how a tenant appears. It is read from the tenant's settings; every field may be
// empty.
type Look struct {
	Name     string   `json:"name,omitempty"`     // default: the tenant's name
	Color    string   `json:"color,omitempty"`    // "#1a5632"; decorative, so it needs no contrast
	Home     string   `json:"home,omitempty"`     // default: /t/SLUG/, without a tenant /
	Official bool     `json:"official,omitempty"` // entitled to the Kopfzeile of the federal brand
	Address  []string `json:"address,omitempty"`  // lines of the Impressum
	Email    string   `json:"email,omitempty"`
	Phone    string   `json:"phone,omitempty"`
	Website  string   `json:"website,omitempty"`  // https URL of the tenant's own site
	Operator string   `json:"operator,omitempty"` // who runs the installation for the tenant
}

// Page is what the frame shows around a template.
type Page struct {
	Title      string   // also the first heading's text, by custom; required
	Self       string   // where GET shows this page; default: this URL (the language switch leads there)
	Back       string   // URL of the page before; "" for none
	Nav        []Link   // staff and operator navigation, or the citizen's few links
	User       string   // who is logged in
	Logout     string   // URL that takes a POST
	Wide       bool     // tables and consoles; a citizen's page keeps a reading width
	FormAction []string // URLs of other origins that a form here may lead to, redirects included
}

// Link leads somewhere.
type Link struct {
	URL, Text string
	Current   bool // the page that is shown
}

// Site renders one service's pages. It is safe for concurrent use.
type Site struct {
	texts   Texts
	pages   [len(languages)]*template.Template
	kit     [len(languages)]*template.Template // frame and components
	service string
	key     []byte
	secure  bool
	demo    bool
	look    func(ctx context.Context) Look
	clock   func() time.Time
	zone    *time.Location
	log     *slog.Logger
	static  string // URL prefix of the current static files
}

// New checks texts and templates. Its errors are mistakes in the service's files.
func New(cfg Config) (*Site, error) {
	if len(cfg.Key) < 32 {
		return nil, errors.New("web: Key needs 32 random bytes")
	}
	s := &Site{
		service: cfg.Service, key: cfg.Key, secure: cfg.Secure, demo: cfg.Demo,
		look: cfg.Look, clock: cfg.Clock, log: cfg.Log, static: files().prefix,
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	var err error
	if s.zone, err = time.LoadLocation("Europe/Berlin"); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if s.texts, err = merge(cfg.Texts); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if cfg.Service != "" && s.texts[cfg.Service] == [2]string{} {
		return nil, fmt.Errorf("web: text %q is missing", cfg.Service)
	}
	for lang := range languages {
		if s.kit[lang], err = s.parse(lang, frameFiles); err != nil {
			return nil, fmt.Errorf("web: frame: %w", err)
		}
		if cfg.Templates == nil {
			continue
		}
		if s.pages[lang], err = s.parse(lang, cfg.Templates); err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
	}
	return s, nil
}

// parse reads all pages below fsys for one language and checks the texts they ask for.
func (s *Site) parse(lang int, fsys fs.FS) (*template.Template, error) {
	names, err := pageFiles(fsys)
	if err != nil {
		return nil, err
	}
	set := template.New("").Funcs(s.funcs(lang))
	for _, name := range names {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		if _, err := set.New(pageName(name)).Parse(string(b)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, t := range set.Templates() {
		if t.Tree == nil {
			continue
		}
		literalKeys(t.Tree.Root, func(key string) {
			if _, ok := s.texts[key]; !ok && err == nil {
				err = fmt.Errorf("template %s: text %q is missing", t.Name(), key)
			}
		})
	}
	return set, err
}

// Render answers with the page name, filled with data, in the frame and the reader's
// language. A status of 400 or more puts "Fehler:" before the title. The page is not
// cached unless the caller set Cache-Control. A template that fails is logged and answered
// with an error page; half a page is never sent.
func (s *Site) Render(w http.ResponseWriter, r *http.Request, status int, name string, page Page, data any) {
	lang := language(r)
	set := s.pages[lang]
	if set == nil {
		s.ErrorPage(w, r, fmt.Errorf("web: page %s: the site has no templates", name))
		return
	}
	var body bytes.Buffer
	if err := set.ExecuteTemplate(&body, name, data); err != nil {
		s.ErrorPage(w, r, fmt.Errorf("web: %w", err))
		return
	}
	if err := s.frame(w, r, status, page, &body); err != nil {
		s.ErrorPage(w, r, fmt.Errorf("web: frame: %w", err))
	}
}

// frame answers with body in the frame. Nothing is written when it returns an error.
func (s *Site) frame(w http.ResponseWriter, r *http.Request, status int, page Page, body *bytes.Buffer) error {
	lang, look := language(r), s.lookOf(r.Context())
	title := page.Title + " – " + look.Name
	if status >= http.StatusBadRequest {
		title = s.text(lang, "web.error") + ": " + title
	}
	view := struct {
		Page
		Lang, Title, Service, Static, BrandCSS string
		Demo                                   bool
		Look                                   Look
		Languages                              []languageLink
		Legal                                  []Link
		Flash                                  *flash
		Body                                   template.HTML
	}{
		Page: page, Lang: languages[lang], Title: title, Static: s.static, BrandCSS: brandURL(look.Color),
		Demo: s.demo, Look: look, Languages: languageLinks(r, page.Self), Legal: s.legalLinks(r.Context(), lang),
		Body: template.HTML(body.String()), //nolint:gosec // made by html/template above
	}
	if s.service != "" {
		view.Service = s.text(lang, s.service)
	}
	if r.Method == http.MethodGet {
		view.Flash = s.takeFlash(w, r)
	}
	var out bytes.Buffer
	if err := s.kit[lang].ExecuteTemplate(&out, "frame", view); err != nil {
		return err
	}
	s.rememberLanguage(w, r)
	s.secureHeaders(w.Header(), page.FormAction)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", languages[lang])
	h.Add("Vary", "Accept-Language, Cookie")
	if h.Get("Cache-Control") == "" || view.Flash != nil {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	// The status is out; a reader who went away cannot be told more.
	_, _ = out.WriteTo(w)
	return nil
}

// lookOf fills the defaults of the tenant in ctx.
func (s *Site) lookOf(ctx context.Context) Look {
	var look Look
	if s.look != nil {
		look = s.look(ctx)
	}
	t, ok := tenant.From(ctx)
	if look.Name == "" {
		look.Name = t.Name
	}
	if look.Name == "" {
		look.Name = "Basisdienste"
	}
	if look.Home == "" {
		look.Home = base(t, ok)
	}
	return look
}

// base is where the pages of the tenant begin.
func base(t tenant.Tenant, ok bool) string {
	if !ok || t.Slug == "" || t.Slug == tenant.OperatorSlug {
		return "/"
	}
	return "/t/" + t.Slug + "/"
}

// WantsHTML reports whether the client asks for a page: it names text/html in Accept, as
// every browser does on navigation. Others are answered with problem+json.
func WantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}
