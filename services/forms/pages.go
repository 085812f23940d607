package forms

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"strings"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/login"
	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

//go:embed templates/*.html
var templateFiles embed.FS

// Login is the relying party of the pages: *login.Login, or a test's own.
type Login interface {
	Require(level int) func(http.Handler) http.Handler
	Current(r *http.Request) (login.Session, bool)
	Routes(m *kit.Mux, base string)
}

// pages are what citizens see.
type pages struct {
	s     *Service
	site  *web.Site
	login Login
}

func templates() (fs.FS, error) { return fs.Sub(templateFiles, "templates") }

const pageBase = "/t/{tenant}/forms"

func (p *pages) routes(m *kit.Mux) {
	p.login.Routes(m, pageBase)
	page := func(pattern string, h http.Handler) {
		method, path, _ := strings.Cut(pattern, " ")
		m.Handle(method+" "+pageBase+path, p.site.Protect(h))
	}
	page("GET ", p.public(p.list))
	page("GET /{$}", p.public(p.list))
	page("GET /{form}", p.public(p.start))
	page("GET /begin/{form}", p.ofForm(p.begin))
	page("POST /begin/{form}", p.ofForm(p.create))
	page("GET /applications", p.citizen(p.mine))
	page("GET /applications/{id}", p.own(p.application))
	page("POST /applications/{id}/pay", p.own(p.pay))
	page("POST /applications/{id}/withdraw", p.own(p.withdraw))
	page("POST /applications/{id}/discard", p.own(p.discard))
	page("GET /applications/{id}/files/{file}", p.own(p.file))
	page("GET /applications/{id}/pages/{page}", p.own(p.ask))
	page("POST /applications/{id}/pages/{page}", p.own(p.answer))
	page("GET /applications/{id}/check", p.own(p.check))
	page("POST /applications/{id}/check", p.own(p.submit))
}

// public is a page that needs no login.
func (p *pages) public(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			p.site.ErrorPage(w, r, err)
		}
	})
}

// citizen is a page that needs a login of any level.
func (p *pages) citizen(h func(http.ResponseWriter, *http.Request, login.Session) error) http.Handler {
	return p.login.Require(0)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok := login.From(r.Context())
		if !ok {
			p.site.ErrorPage(w, r, errors.New("forms: the login let in a request without a session"))
			return
		}
		if err := h(w, r, who); err != nil {
			p.site.ErrorPage(w, r, err)
		}
	}))
}

// ofForm is a page of one form, which needs a login of the form's level.
func (p *pages) ofForm(h func(http.ResponseWriter, *http.Request, login.Session, *Definition) error) http.Handler {
	return p.public(func(w http.ResponseWriter, r *http.Request) error {
		if err := open(r.Context()); err != nil {
			return err
		}
		def, err := p.s.form(r.Context(), r.PathValue("form"))
		if err != nil {
			return err
		}
		p.login.Require(def.Level)(p.citizen(func(w http.ResponseWriter, r *http.Request, who login.Session) error {
			return h(w, r, who, def)
		})).ServeHTTP(w, r)
		return nil
	})
}

// own is a page of the citizen's own draft or application. It needs a login of the form's
// level: what was filled in at a high level is not shown at a low one.
func (p *pages) own(h func(http.ResponseWriter, *http.Request, login.Session, *Matter) error) http.Handler {
	return p.citizen(func(w http.ResponseWriter, r *http.Request, who login.Session) error {
		appID, err := id.Parse(r.PathValue("id"))
		if err != nil {
			return notFound()
		}
		m, err := p.s.Own(r.Context(), who.Principal.Subject, appID)
		if err != nil {
			return err
		}
		if who.Principal.Level < m.Def.Level {
			p.login.Require(m.Def.Level)(p.public(func(http.ResponseWriter, *http.Request) error {
				return levelTooLow(m.Def.Level)
			})).ServeHTTP(w, r)
			return nil
		}
		return h(w, r, who, m)
	})
}

// frame fills what the frame shows on every page.
func (p *pages) frame(r *http.Request, title string) web.Page {
	page := web.Page{Title: title, Nav: []web.Link{
		{URL: p.path(r, ""), Text: p.site.T(r, "nav.forms")},
		{URL: p.path(r, "/applications"), Text: p.site.T(r, "nav.mine")},
	}}
	for i := range page.Nav {
		page.Nav[i].Current = strings.TrimSuffix(r.URL.Path, "/") == page.Nav[i].URL
	}
	if who, ok := p.who(r); ok {
		page.User, page.Logout = who.DisplayName(), p.path(r, "/logout")
	}
	return page
}

func (p *pages) who(r *http.Request) (login.Session, bool) {
	if who, ok := login.From(r.Context()); ok {
		return who, true
	}
	return p.login.Current(r)
}

// path is an address of this service at the tenant of the request.
func (p *pages) path(r *http.Request, rest string) string {
	e, _ := tenantdir.From(r.Context())
	return "/t/" + e.Slug + "/forms" + rest
}

func (p *pages) applicationPath(r *http.Request, m *Matter, rest string) string {
	return p.path(r, "/applications/"+m.ID.String()+rest)
}

// see leads to another page: one of ours, or the pay page that the payment service named.
func (p *pages) see(w http.ResponseWriter, r *http.Request, target string) error {
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target, http.StatusSeeOther) //nolint:gosec // no part of target is the client's: slug and ids were looked up
	return nil
}

// readForm reads a small posted form.
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBody)
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	return nil
}

func formError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return fault.TooLarge("body_too_large", "a form here has at most %d bytes", large.Limit)
	}
	return fault.Invalid("form_unreadable", "the form cannot be read; go back and send it again").Because(err)
}

const maxFormBody = 256 << 10

// formCard is a form in the list.
type formCard struct {
	Title, Summary, URL string
	Fee                 money.Amount
}

func (p *pages) list(w http.ResponseWriter, r *http.Request) error {
	defs, err := p.s.offered(r.Context())
	if err != nil {
		return err
	}
	e, settings, err := entry(r.Context())
	if err != nil {
		return err
	}
	var cards []formCard
	for _, d := range defs {
		cards = append(cards, formCard{
			Title: d.Title.In(p.site.Lang(r)), Summary: d.Summary.In(p.site.Lang(r)), URL: p.path(r, "/"+d.Form), Fee: settings.fee(d),
		})
	}
	p.site.Render(w, r, http.StatusOK, "forms", p.frame(r, p.site.T(r, "forms.title")), map[string]any{
		"Forms": cards, "Closed": e.Open() != nil, "Name": e.Name,
	})
	return nil
}

func (p *pages) start(w http.ResponseWriter, r *http.Request) error {
	def, err := p.s.form(r.Context(), r.PathValue("form"))
	if err != nil {
		return err
	}
	e, settings, err := entry(r.Context())
	if err != nil {
		return err
	}
	lang := p.site.Lang(r)
	page := p.frame(r, def.Title.In(lang))
	page.Back = p.path(r, "")
	p.site.Render(w, r, http.StatusOK, "start", page, map[string]any{
		"Def": def, "Lang": lang, "Fee": settings.fee(def), "Closed": e.Open() != nil, "Begin": p.path(r, "/begin/"+def.Form),
		"Level": p.site.T(r, "level."+string(rune('0'+def.Level))),
	})
	return nil
}

// begin tells the citizen what is taken over and kept, before anything is.
func (p *pages) begin(w http.ResponseWriter, r *http.Request, who login.Session, def *Definition) error {
	mine, err := p.s.Mine(r.Context(), who.Principal.Subject)
	if err != nil {
		return err
	}
	var drafts []web.Row
	for i := range mine {
		if a := &mine[i]; a.State == Draft && a.Form == def.Form {
			drafts = append(drafts, web.Row{
				Key: p.site.T(r, "begin.draft"), Value: a.EditedAt.Time, Change: p.path(r, "/applications/"+a.ID.String()),
			})
		}
	}
	page := p.frame(r, def.Title.In(p.site.Lang(r)))
	page.Back = p.path(r, "/"+def.Form)
	p.site.Render(w, r, http.StatusOK, "begin", page, map[string]any{
		"Who": who.DisplayName(), "Drafts": drafts, "Days": int(p.s.Config.DraftsKept.Hours() / 24),
	})
	return nil
}

func (p *pages) create(w http.ResponseWriter, r *http.Request, who login.Session, def *Definition) error {
	a, err := p.s.Start(r.Context(), who, def.Form, p.site.Lang(r))
	if err != nil {
		return err
	}
	return p.see(w, r, p.path(r, "/applications/"+a.ID.String()))
}

// detached lets work go on that must not end with the request.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), afterUpload)
}
