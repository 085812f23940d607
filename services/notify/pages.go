package notify

import (
	"context"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/login"
	"basisdienste/platform/page"
	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

//go:embed templates/*.html
var pageFiles embed.FS

// pages is the citizens' mailbox.
type pages struct {
	s     *Service
	site  *web.Site
	login *login.Login
}

// minLevel is the login that a mailbox takes: its messages hold no more than the mails do.
const minLevel = 1

const mailboxPage = 20

func newPages(s *Service, h *run.Host) (*pages, error) {
	sub, err := fs.Sub(pageFiles, "templates")
	if err != nil {
		return nil, err
	}
	site, err := h.Site(sub, texts())
	if err != nil {
		return nil, err
	}
	l, err := h.Login(site)
	return &pages{s, site, l}, err
}

func (p *pages) routes(m *kit.Mux) {
	citizen := p.login.Require(minLevel)
	m.Handle("GET /t/{tenant}/mailbox/{$}", citizen(http.HandlerFunc(p.list)))
	m.Handle("GET /t/{tenant}/mailbox/{id}", citizen(http.HandlerFunc(p.read)))
	p.login.Routes(m, "/t/{tenant}/notify")
	home := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, mailboxPath(r), http.StatusSeeOther)
	})
	m.Handle("GET /t/{tenant}/mailbox", home)
	m.Handle("GET /t/{tenant}/notify", home) // where a logout ends
}

func mailboxPath(r *http.Request) string { return "/t/" + r.PathValue("tenant") + "/mailbox/" }

func (p *pages) frame(r *http.Request, title string) web.Page {
	s, _ := login.From(r.Context())
	return web.Page{Title: title, User: s.DisplayName(), Logout: "/t/" + r.PathValue("tenant") + "/notify/logout"}
}

// list shows what is in the mailbox, the newest first.
func (p *pages) list(w http.ResponseWriter, r *http.Request) {
	s, _ := login.From(r.Context())
	signer := p.s.Cursors.For("mailbox", tenantOf(r.Context()).String(), s.Principal.Subject)
	var after id.ID
	if err := signer.Decode(r.URL.Query().Get("after"), &after); err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	rows, err := p.s.Inbox(r.Context(), s.Principal.Subject, after, mailboxPage+1)
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	found, err := page.Cut(signer, rows, mailboxPage, func(last Message) any { return last.ID })
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	t := web.Table{
		Caption: p.site.T(r, "mailbox.caption"),
		Head:    []string{p.site.T(r, "mailbox.subject"), p.site.T(r, "mailbox.received"), p.site.T(r, "mailbox.state")},
	}
	for _, m := range found.Items {
		state := web.Badge{Kind: "info", Text: p.site.T(r, "mailbox.new")}
		if m.ReadAt != nil {
			state = web.Badge{Kind: "success", Text: p.site.T(r, "mailbox.read")}
		}
		t.Rows = append(t.Rows, []any{web.Link{URL: mailboxPath(r) + m.ID.String(), Text: m.Title}, *m.CompletedAt, state})
	}
	next := ""
	if found.Next != "" {
		next = mailboxPath(r) + "?after=" + url.QueryEscape(found.Next)
	}
	p.site.Render(w, r, http.StatusOK, "mailbox", p.frame(r, p.site.T(r, "mailbox.title")), map[string]any{
		"Table": t, "Next": next, "Later": after != "", "First": mailboxPath(r), "Days": int(p.s.Config.MailboxRetention.Hours() / 24),
	})
}

// read shows one message and notes the first time that it was.
func (p *pages) read(w http.ResponseWriter, r *http.Request) {
	s, _ := login.From(r.Context())
	mid, err := id.Parse(r.PathValue("id"))
	if err != nil {
		p.site.ErrorPage(w, r, fault.NotFound("unknown_message", "there is no such message here"))
		return
	}
	m, err := p.s.ReadMail(r.Context(), s.Principal.Subject, mid)
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	body, err := p.s.render.page(m.Body)
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	frame := p.frame(r, m.Title)
	frame.Back = mailboxPath(r)
	p.site.Render(w, r, http.StatusOK, "message", frame, struct {
		Message Message
		From    string
		Body    template.HTML
	}{m, p.sender(r.Context()), body})
}

func (p *pages) sender(ctx context.Context) string {
	e, _ := tenantdir.From(ctx)
	settings, err := tenantdir.Settings(e, "notify", DefaultSettings())
	if err != nil { // must not keep a citizen from reading
		settings = DefaultSettings()
	}
	return senderName(e, settings)
}

// Inbox lists a citizen's messages at the tenant of ctx.
func (s *Service) Inbox(ctx context.Context, subject string, after id.ID, limit int) (out []Message, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		out, err = inbox(ctx, tx, subject, after, limit)
		return err
	})
	return out, err
}

// ReadMail returns a citizen's message and notes when it was first retrieved.
// Error: unknown_message, also for somebody else's.
func (s *Service) ReadMail(ctx context.Context, subject string, mid id.ID) (m Message, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		m, err = message(ctx, tx, mid)
		if err == nil && (m.Channel != Mailbox || m.Recipient != subject || m.Status != Delivered) {
			return fault.NotFound("unknown_message", "there is no such message here")
		}
		return err
	})
	if err != nil || m.ReadAt != nil {
		return m, err
	}
	return m, s.DB.Tx(ctx, func(tx *db.Tx) error { return markRead(ctx, tx, mid) })
}
