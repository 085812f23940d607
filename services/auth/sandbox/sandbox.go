// Package sandbox is an identity provider without identities: everybody can log in as
// anybody, at any level of assurance. It stands where BundID will stand, on test and
// demonstration systems, and every page of it says so.
package sandbox

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"

	"basisdienste/platform/fault"
	"basisdienste/platform/web"
	"basisdienste/services/auth"
)

//go:embed templates/*.html
var templates embed.FS

// Open implements auth.OpenProvider.
func Open(d auth.ProviderDeps) (auth.Provider, error) {
	if !d.Sandbox {
		return nil, nil
	}
	own, err := fs.Sub(templates, "templates")
	if err != nil {
		return nil, err
	}
	site, err := d.Site(own, Texts())
	return &provider{broker: d.Broker, site: site}, err
}

type provider struct {
	broker *auth.Broker
	site   *web.Site
}

// Name implements auth.Provider.
func (*provider) Name() string { return "sandbox" }

// ServeHTTP shows the choice of persons (GET) and takes it (POST).
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := p.broker.Attempt(r)
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	if r.Method != http.MethodPost {
		p.show(w, r, http.StatusOK, a, p.form(r, a))
		return
	}
	if r.PostForm.Get("cancel") != "" {
		p.broker.Cancel(w, r, a.ID)
		return
	}
	form := p.form(r, a)
	form.Fill(r.PostForm)
	own := form.Value("person") == ownPerson
	for _, name := range []string{"given_name", "family_name"} {
		form.Field(name).Required = own
	}
	if !p.site.Check(r, form) {
		p.show(w, r, http.StatusUnprocessableEntity, a, form)
		return
	}
	who, ok := identity(form)
	if !ok {
		p.site.ErrorPage(w, r, fault.Invalid("unknown_sandbox_person", "choose one of the persons on the page"))
		return
	}
	p.broker.Done(w, r, p, a.ID, who)
}

func (p *provider) show(w http.ResponseWriter, r *http.Request, status int, a auth.Attempt, form web.Form) {
	self := r.URL.Path + "?request=" + a.ID // the id is base64url
	p.site.Render(w, r, status, "sandbox", web.Page{Title: p.site.T(r, "sandbox.title"), Self: self, FormAction: []string{a.RedirectURI}}, map[string]any{
		"Client": a.ClientName, "Persons": form[:2], "Own": form[2:6], "Level": form[6:], "All": form,
	})
}

// ownPerson is the choice to type a name.
const ownPerson = "own"

func (p *provider) form(r *http.Request, a auth.Attempt) web.Form {
	t := p.site.T
	people := []web.Option{}
	for _, who := range persons() {
		people = append(people, web.Option{
			Value: who.key, Label: who.GivenName + " " + who.FamilyName,
			Hint: who.Address.Street + ", " + who.Address.PostalCode + " " + who.Address.City,
		})
	}
	people = append(people, web.Option{Value: ownPerson, Label: t(r, "sandbox.own"), Hint: t(r, "sandbox.own_hint")})
	level := "1"
	switch a.Level {
	case 3:
		level = "3"
	case 4:
		level = "4"
	}
	return web.Form{
		{Name: "request", Kind: "hidden", Value: a.ID},
		{Name: "person", Kind: "radios", Label: t(r, "sandbox.person"), Required: true, Value: persons()[0].key, Options: people},
		{Name: "given_name", Label: t(r, "sandbox.given_name"), MaxLength: 100},
		{Name: "family_name", Label: t(r, "sandbox.family_name"), MaxLength: 100},
		{Name: "email", Kind: "email", Label: t(r, "sandbox.email"), MaxLength: 200},
		{Name: "birthdate", Kind: "date", Label: t(r, "sandbox.birthdate")},
		{Name: "level", Kind: "radios", Label: t(r, "sandbox.level"), Required: true, Value: level, Options: []web.Option{
			{Value: "1", Label: t(r, "sandbox.level.1")}, {Value: "3", Label: t(r, "sandbox.level.3")}, {Value: "4", Label: t(r, "sandbox.level.4")},
		}},
	}
}

// identity is the person that was chosen, or typed.
func identity(f web.Form) (auth.Identity, bool) {
	level := map[string]int{"1": 1, "3": 3, "4": 4}[f.Value("level")]
	if f.Value("person") == ownPerson {
		given, family := f.Value("given_name"), f.Value("family_name")
		return auth.Identity{
			Subject: "own:" + strings.ToLower(given+" "+family+" "+f.Value("birthdate")), Level: level,
			Profile: auth.Profile{GivenName: given, FamilyName: family, Email: f.Value("email"), Birthdate: f.Value("birthdate")},
		}, level > 0
	}
	for _, who := range persons() {
		if who.key == f.Value("person") {
			return auth.Identity{Subject: who.key, Level: level, Profile: who.Profile}, level > 0
		}
	}
	return auth.Identity{}, false
}
