package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/login"
	"basisdienste/platform/money"
	"basisdienste/platform/page"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

// applicationView is what the service forms says of an application in a list.
type applicationView struct {
	ID          string       `json:"id"`
	Reference   string       `json:"reference"`
	FormTitle   string       `json:"form_title"`
	State       string       `json:"state"`
	SubmittedAt time.Time    `json:"submitted_at"`
	Amount      money.Amount `json:"amount"`
}

// states in which staff looks for applications.
var states = []string{"delivered", "awaiting_payment", "accepted", "rejected", "withdrawn"}

// staffPage is the frame of the staff's pages: its navigation has what the person's roles let
// through at the services, and no more.
func (c *console) staffPage(r *http.Request, title string) web.Page {
	s, _ := login.From(r.Context())
	base := staffBase(r)
	nav := []web.Link{
		{URL: base, Text: c.site.T(r, "staff.applications")},
		{URL: base + "/payments", Text: c.site.T(r, "staff.payments")},
		{URL: base + "/refunds", Text: c.site.T(r, "staff.refunds")},
	}
	if s.Principal.HasRole(authn.RoleTenantAdmin) {
		nav = append(nav, web.Link{URL: base + "/treasury", Text: c.site.T(r, "staff.treasury")}, web.Link{URL: base + "/webhooks", Text: c.site.T(r, "webhooks")})
	}
	for i := range nav {
		nav[i].Current = nav[i].URL == r.URL.Path
	}
	return web.Page{Title: title, User: s.DisplayName(), Logout: "/t/" + slugOf(r) + "/console/logout", Wide: true, Nav: nav}
}

func slugOf(r *http.Request) string {
	e, _ := tenantdir.From(r.Context())
	return e.Slug
}

func staffBase(r *http.Request) string { return "/t/" + slugOf(r) + "/staff" }
func formsBase(r *http.Request) string { return "/t/" + slugOf(r) + "/forms/v1/applications" }

func (c *console) applications(w http.ResponseWriter, r *http.Request) {
	state := r.URL.Query().Get("state")
	if state == "" {
		state = states[0]
	}
	ask := url.Values{"limit": {"50"}, "state": {state}, "lang": {c.site.Lang(r)}}
	goOn(r, ask)
	var list page.List[applicationView]
	if err := c.api.get(r.Context(), "forms", formsBase(r)+"?"+ask.Encode(), &list); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	t := web.Table{Caption: c.site.T(r, "staff.applications"), Empty: c.site.T(r, "staff.applications.none"), Head: []string{
		c.site.T(r, "application.reference"), c.site.T(r, "application.form"), c.site.T(r, "application.submitted"),
		c.site.T(r, "application.state"), c.site.T(r, "application.amount"),
	}}
	for _, a := range list.Items {
		t.Rows = append(t.Rows, []any{
			web.Link{URL: staffBase(r) + "/applications/" + url.PathEscape(a.ID), Text: a.Reference}, a.FormTitle, a.SubmittedAt, c.stateBadge(r, a.State), a.Amount,
		})
	}
	next := ""
	if list.Next != "" {
		ask.Set("cursor", list.Next)
		next = staffBase(r) + "?" + ask.Encode()
	}
	choose := web.Field{Name: "state", Kind: "select", Required: true, Label: c.site.T(r, "staff.state"), Value: state}
	for _, s := range states {
		choose.Options = append(choose.Options, web.Option{Value: s, Label: c.site.T(r, "state."+s)})
	}
	c.site.Render(w, r, http.StatusOK, "applications", c.staffPage(r, c.site.T(r, "staff.applications")), map[string]any{
		"Table": t, "Next": next, "Form": web.Form{choose},
	})
}

func (c *console) stateBadge(r *http.Request, state string) web.Badge {
	kinds := map[string]string{"accepted": "success", "rejected": "danger", "withdrawn": "warning", "awaiting_payment": "warning", "delivered": "info"}
	kind, ok := kinds[state]
	if !ok {
		return web.Badge{Kind: "info", Text: state}
	}
	return web.Badge{Kind: kind, Text: c.site.T(r, "state."+state)}
}

// happened says what an entry of the log means; a kind that is new to us stays as it is.
func (c *console) happened(r *http.Request, kind string) string {
	key := "log." + kind
	if _, known := texts[key]; !known {
		return kind
	}
	return c.site.T(r, key)
}

// applicationDetail is an application as its clerk reads it.
type applicationDetail struct {
	applicationView
	Answers []struct {
		Title string `json:"title"`
		Rows  []struct {
			Label string `json:"label"`
			Value string `json:"value"`
		} `json:"rows"`
	} `json:"sections"`
	Files []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"files"`
	Events []struct {
		At   time.Time `json:"at"`
		Kind string    `json:"kind"`
		Note string    `json:"note"`
	} `json:"events"`
}

// group is one group of answers on the page.
type group struct {
	Title string
	Rows  []web.Row
}

func (c *console) application(w http.ResponseWriter, r *http.Request) {
	c.showApplication(w, r, http.StatusOK, c.reasonForm(r))
}

func (c *console) reasonForm(r *http.Request) web.Form {
	return web.Form{{Name: "reason", Kind: "textarea", Label: c.site.T(r, "application.reason"), Hint: c.site.T(r, "application.reason.hint"), Required: true, MaxLength: 1000}}
}

func (c *console) showApplication(w http.ResponseWriter, r *http.Request, status int, form web.Form) {
	var a applicationDetail
	path := formsBase(r) + "/" + url.PathEscape(r.PathValue("id"))
	if err := c.api.get(r.Context(), "forms", path+"?lang="+c.site.Lang(r), &a); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	own := staffBase(r) + "/applications/" + url.PathEscape(a.ID)
	var groups []group
	for _, g := range a.Answers {
		rows := make([]web.Row, 0, len(g.Rows))
		for _, row := range g.Rows {
			rows = append(rows, web.Row{Key: row.Label, Value: row.Value})
		}
		groups = append(groups, group{g.Title, rows})
	}
	var files []web.Link
	for _, f := range a.Files {
		files = append(files, web.Link{URL: own + "/files/" + url.PathEscape(f.ID), Text: f.Name})
	}
	log := web.Table{
		Caption: c.site.T(r, "application.log"), Empty: c.site.T(r, "application.log.none"),
		Head: []string{c.site.T(r, "application.log.at"), c.site.T(r, "application.log.event"), c.site.T(r, "application.log.note")},
	}
	for _, e := range a.Events {
		log.Rows = append(log.Rows, []any{e.At, c.happened(r, e.Kind), e.Note})
	}
	p := c.staffPage(r, a.FormTitle+" "+a.Reference)
	p.Back, p.Self = staffBase(r), own
	c.site.Render(w, r, status, "application", p, map[string]any{
		"A": a, "Groups": groups, "Files": files, "Log": log, "Form": form, "Own": own, "Open": a.State == "delivered",
		"Rows": []web.Row{
			{Key: c.site.T(r, "application.reference"), Value: a.Reference},
			{Key: c.site.T(r, "application.submitted"), Value: a.SubmittedAt},
			{Key: c.site.T(r, "application.state"), Value: c.stateBadge(r, a.State)},
			{Key: c.site.T(r, "application.amount"), Value: a.Amount},
		},
	})
}

func (c *console) accept(w http.ResponseWriter, r *http.Request) {
	c.decide(w, r, "accept", map[string]string{})
}

func (c *console) reject(w http.ResponseWriter, r *http.Request) {
	if err := parseForm(w, r); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	form := c.reasonForm(r)
	form.Fill(r.PostForm)
	if !c.site.Check(r, form) {
		c.showApplication(w, r, http.StatusUnprocessableEntity, form)
		return
	}
	c.decide(w, r, "reject", map[string]string{"reason": strings.TrimSpace(form.Value("reason"))})
}

func (c *console) decide(w http.ResponseWriter, r *http.Request, decision string, body any) {
	applicationID := url.PathEscape(r.PathValue("id"))
	if err := c.api.post(r.Context(), "forms", formsBase(r)+"/"+applicationID+"/"+decision, body); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	c.site.Flash(w, r, "success", c.site.T(r, "application."+decision+".done"))
	http.Redirect(w, r, staffBase(r)+"/applications/"+applicationID, http.StatusSeeOther) //nolint:gosec // a path of our own, its parts looked up or escaped
}

// file passes an upload on, as a download.
func (c *console) file(w http.ResponseWriter, r *http.Request) {
	c.passOn(w, r, "forms", formsBase(r)+"/"+url.PathEscape(r.PathValue("id"))+"/files/"+url.PathEscape(r.PathValue("file")), "", "")
}
