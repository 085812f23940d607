package console

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/login"
	"basisdienste/platform/page"
	"basisdienste/platform/web"
)

// operatorPage is the frame of the operator's pages.
func (c *console) operatorPage(r *http.Request, title string) web.Page {
	s, _ := login.From(r.Context())
	nav := []web.Link{
		{URL: "/operator", Text: c.site.T(r, "operator.tenants")},
		{URL: "/operator/mail", Text: c.site.T(r, "operator.mail")},
		{URL: "/operator/events", Text: c.site.T(r, "operator.events")},
	}
	for i := range nav {
		nav[i].Current = nav[i].URL == r.URL.Path
	}
	return web.Page{Title: title, Nav: nav, User: s.DisplayName(), Logout: "/operator/logout", Wide: true}
}

// tenantView is what the service tenants says of one.
type tenantView struct {
	ID      string    `json:"id"`
	Slug    string    `json:"slug"`
	Name    string    `json:"name"`
	Status  string    `json:"status"`
	Keys    []keyView `json:"keys"`
	Hosts   []string  `json:"hosts"`
	Version int64     `json:"version"`

	Municipalities int `json:"municipalities"` // in lists, instead of the keys
}

// keyView is a regional key and, where it is known, the municipality that has it.
type keyView struct {
	Key  string `json:"key"`
	Name string `json:"name"`
}

func (v tenantView) keys() string {
	var keys []string
	for _, k := range v.Keys {
		text := k.Key
		if k.Name != "" && k.Name != v.Name {
			text += " (" + k.Name + ")"
		}
		keys = append(keys, text)
	}
	return joined(keys)
}

func (c *console) tenants(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var list page.List[tenantView]
	ask := url.Values{"limit": {"50"}}
	for _, k := range []string{"q", "cursor", "status"} {
		if v := q.Get(k); v != "" {
			ask.Set(k, v)
		}
	}
	if err := c.api.get(r.Context(), "tenants", "/tenants/v1/tenants?"+ask.Encode(), &list); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	t := web.Table{Caption: c.site.T(r, "operator.tenants"), Empty: c.site.T(r, "operator.tenants.none"), Head: []string{
		c.site.T(r, "tenant.name"), c.site.T(r, "tenant.slug"), c.site.T(r, "tenant.status"), c.site.T(r, "tenant.municipalities"),
	}}
	for _, v := range list.Items {
		t.Rows = append(t.Rows, []any{web.Link{URL: "/operator/tenants/" + v.Slug, Text: v.Name}, v.Slug, c.statusBadge(r, v.Status), strconv.Itoa(v.Municipalities)})
	}
	next := ""
	if list.Next != "" {
		ask.Set("cursor", list.Next)
		next = "/operator?" + ask.Encode()
	}
	c.site.Render(w, r, http.StatusOK, "tenants", c.operatorPage(r, c.site.T(r, "operator.tenants")), map[string]any{
		"Table": t, "Next": next,
		"Form": web.Form{{Name: "q", Label: c.site.T(r, "operator.tenants.search"), Value: q.Get("q"), MaxLength: 100}},
	})
}

func (c *console) statusBadge(r *http.Request, status string) web.Badge {
	kinds := map[string]string{"active": "success", "trial": "info", "suspended": "warning"}
	kind, ok := kinds[status]
	if !ok {
		return web.Badge{Kind: "danger", Text: status}
	}
	return web.Badge{Kind: kind, Text: c.site.T(r, "tenant.status."+status)}
}

// usageView is a tenant's usage statement of one month.
type usageView struct {
	Month    string `json:"month"`
	Counters []struct {
		Counter string `json:"counter"`
		Count   int64  `json:"count"`
	} `json:"counters"`
}

func (c *console) tenant(w http.ResponseWriter, r *http.Request) {
	slug := url.PathEscape(r.PathValue("slug"))
	var v tenantView
	if err := c.api.get(r.Context(), "tenants", "/tenants/v1/tenants/"+slug, &v); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	var usage usageView
	if err := c.api.get(r.Context(), "tenants", "/tenants/v1/tenants/"+slug+"/usage", &usage); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	counted := web.Table{
		Caption: c.site.T(r, "tenant.usage", usage.Month), Empty: c.site.T(r, "tenant.usage.none"),
		Head: []string{c.site.T(r, "tenant.usage.what"), c.site.T(r, "tenant.usage.count")},
	}
	for _, u := range usage.Counters {
		counted.Rows = append(counted.Rows, []any{u.Counter, strconv.FormatInt(u.Count, 10)})
	}
	rows := []web.Row{
		{Key: c.site.T(r, "tenant.slug"), Value: v.Slug},
		{Key: c.site.T(r, "tenant.status"), Value: c.statusBadge(r, v.Status)},
		{Key: c.site.T(r, "tenant.keys"), Value: v.keys()},
		{Key: c.site.T(r, "tenant.hosts"), Value: joined(v.Hosts)},
	}
	p := c.operatorPage(r, v.Name)
	p.Back = "/operator"
	c.site.Render(w, r, http.StatusOK, "tenant", p, map[string]any{
		"Name": v.Name, "Rows": rows, "Usage": counted, "Slug": v.Slug, "Status": v.Status,
		"Form": web.Form{{Name: "reason", Label: c.site.T(r, "tenant.reason"), Hint: c.site.T(r, "tenant.reason.hint"), Required: true, MaxLength: 500}},
	})
}

func joined(list []string) string {
	out := ""
	for i, s := range list {
		if i > 0 {
			out += ", "
		}
		out += s
	}
	if out == "" {
		return "–"
	}
	return out
}

func (c *console) suspend(w http.ResponseWriter, r *http.Request) { c.change(w, r, "suspend") }
func (c *console) resume(w http.ResponseWriter, r *http.Request)  { c.change(w, r, "resume") }

func (c *console) change(w http.ResponseWriter, r *http.Request, action string) {
	slug := url.PathEscape(r.PathValue("slug"))
	if err := parseForm(w, r); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	body := map[string]string{"reason": r.PostForm.Get("reason")}
	if err := c.api.post(r.Context(), "tenants", "/tenants/v1/tenants/"+slug+"/"+action, body); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	c.site.Flash(w, r, "success", c.site.T(r, "tenant."+action+".done"))
	http.Redirect(w, r, "/operator/tenants/"+slug, http.StatusSeeOther)
}

const maxForm = 64 << 10

func parseForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return fault.Invalid("form_unreadable", "the form could not be read; go back and send it again").Because(err)
	}
	return nil
}

// mailView is one message of the local outbox.
type mailView struct {
	ID          string    `json:"id"`
	Tenant      string    `json:"tenant"`
	To          string    `json:"to"`
	Subject     string    `json:"subject"`
	Text        string    `json:"text"`
	At          time.Time `json:"at"`
	Attachments []struct {
		Filename string `json:"filename"`
		Size     int64  `json:"size"`
	} `json:"attachments"`
}

func (c *console) mails(w http.ResponseWriter, r *http.Request) {
	var list page.List[mailView]
	ask := url.Values{}
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		ask.Set("cursor", cursor)
	}
	if err := c.api.get(r.Context(), "notify", "/notify/v1/outbox?"+ask.Encode(), &list); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	t := web.Table{Caption: c.site.T(r, "operator.mail"), Empty: c.site.T(r, "operator.mail.none"), Head: []string{
		c.site.T(r, "mail.at"), c.site.T(r, "mail.tenant"), c.site.T(r, "mail.to"), c.site.T(r, "mail.subject"),
	}}
	for _, m := range list.Items {
		t.Rows = append(t.Rows, []any{m.At, m.Tenant, m.To, web.Link{URL: "/operator/mail/" + url.PathEscape(m.ID), Text: m.Subject}})
	}
	next := ""
	if list.Next != "" {
		next = "/operator/mail?cursor=" + url.QueryEscape(list.Next)
	}
	c.site.Render(w, r, http.StatusOK, "mails", c.operatorPage(r, c.site.T(r, "operator.mail")), map[string]any{"Table": t, "Next": next})
}

func (c *console) mail(w http.ResponseWriter, r *http.Request) {
	var m mailView
	if err := c.api.get(r.Context(), "notify", "/notify/v1/outbox/"+url.PathEscape(r.PathValue("id")), &m); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	rows := []web.Row{
		{Key: c.site.T(r, "mail.at"), Value: m.At}, {Key: c.site.T(r, "mail.tenant"), Value: m.Tenant}, {Key: c.site.T(r, "mail.to"), Value: m.To},
	}
	for _, a := range m.Attachments {
		rows = append(rows, web.Row{Key: c.site.T(r, "mail.attachment"), Value: a.Filename})
	}
	p := c.operatorPage(r, m.Subject)
	p.Back = "/operator/mail"
	c.site.Render(w, r, http.StatusOK, "mail", p, map[string]any{"Mail": m, "Rows": rows, "Raw": "/operator/mail/" + url.PathEscape(m.ID) + "/raw"})
}

// rawMail passes the source on as plain text, for a look or a download.
func (c *console) rawMail(w http.ResponseWriter, r *http.Request) {
	c.passOn(w, r, "notify", "/notify/v1/outbox/"+url.PathEscape(r.PathValue("id"))+"/raw", "text/plain; charset=utf-8", "")
}

// passOn streams a service's answer. The browser must not guess its type.
func (c *console) passOn(w http.ResponseWriter, r *http.Request, service, path, mediaType, disposition string) {
	resp, err := c.api.do(r.Context(), http.MethodGet, service, path, nil)
	if err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	send(w, resp, mediaType, disposition)
}

// send streams an answer; an empty media type or disposition is the service's.
func send(w http.ResponseWriter, resp *http.Response, mediaType, disposition string) {
	h := w.Header()
	if mediaType == "" {
		mediaType = resp.Header.Get("Content-Type")
	}
	if disposition == "" {
		disposition = resp.Header.Get("Content-Disposition")
	}
	h.Set("Content-Type", mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if disposition != "" {
		h.Set("Content-Disposition", disposition)
	}
	_, err := io.Copy(w, resp.Body)
	// Headers are out: a copy that breaks off can only cut the connection.
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// deadView is an event that a service gave up on.
type deadView struct {
	ID       string    `json:"id"`
	Consumer string    `json:"consumer"`
	Type     string    `json:"type"`
	Subject  string    `json:"subject"`
	Error    string    `json:"error"`
	At       time.Time `json:"at"`

	Service string `json:"-"`
	Replay  string `json:"-"`
}

// hearing are the services that handle events.
var hearing = []string{"tenants", "auth", "payment", "forms", "notify", "booking"}

func (c *console) events(w http.ResponseWriter, r *http.Request) {
	var dead []deadView
	var away []string
	for _, service := range hearing {
		var list page.List[deadView]
		if err := c.api.get(r.Context(), service, "/"+service+"/v1/events/dead?limit=50", &list); err != nil {
			away = append(away, service)
			continue
		}
		for _, d := range list.Items {
			d.Service = service
			d.Replay = "/operator/events/" + service + "/" + url.PathEscape(d.Consumer) + "/" + url.PathEscape(d.ID) + "/replay"
			dead = append(dead, d)
		}
	}
	c.site.Render(w, r, http.StatusOK, "events", c.operatorPage(r, c.site.T(r, "operator.events")), map[string]any{"Dead": dead, "Away": joinedOrEmpty(away)})
}

func joinedOrEmpty(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return joined(list)
}

func (c *console) replay(w http.ResponseWriter, r *http.Request) {
	service := r.PathValue("service")
	path := "/" + service + "/v1/events/dead/" + url.PathEscape(r.PathValue("consumer")) + "/" + url.PathEscape(r.PathValue("id")) + "/replay"
	if err := c.api.post(r.Context(), service, path, nil); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	c.site.Flash(w, r, "success", c.site.T(r, "events.replayed"))
	http.Redirect(w, r, "/operator/events", http.StatusSeeOther)
}
