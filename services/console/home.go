package console

import (
	"net/http"
	"strings"

	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

// maxListed bounds the municipalities of the start page; a search finds the others.
const maxListed = 50

// home lets a visitor find the municipality.
func (c *console) home(w http.ResponseWriter, r *http.Request) {
	search := strings.TrimSpace(r.URL.Query().Get("q"))
	if len(search) > 100 {
		search = search[:100]
	}
	var found []web.Link
	err := c.dir.Each(r.Context(), func(e tenantdir.Entry) bool {
		if matches(e, search) {
			found = append(found, web.Link{URL: "/t/" + e.Slug + "/", Text: e.Name})
		}
		return len(found) < maxListed
	})
	if err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	c.site.Render(w, r, http.StatusOK, "home", web.Page{Title: c.site.T(r, "home.title")}, map[string]any{
		"Search": search, "Found": found, "More": len(found) == maxListed,
		"Form": web.Form{{Name: "q", Label: c.site.T(r, "home.search"), Hint: c.site.T(r, "home.search.hint"), Value: search, MaxLength: 100}},
	})
}

func matches(e tenantdir.Entry, search string) bool {
	if search == "" || strings.Contains(strings.ToLower(e.Name), strings.ToLower(search)) {
		return true
	}
	for _, k := range e.Keys {
		if k == search {
			return true
		}
	}
	return false
}

// municipality is the start page of one tenant.
func (c *console) municipality(w http.ResponseWriter, r *http.Request) {
	e, _ := tenantdir.From(r.Context())
	if e.Slug == "" || e.Slug == tenantdir.Operator().Slug {
		http.Redirect(w, r, "/operator", http.StatusSeeOther)
		return
	}
	base := "/t/" + e.Slug
	c.site.Render(w, r, http.StatusOK, "municipality", web.Page{Title: c.site.T(r, "municipality.title", e.Name)}, map[string]any{
		"Suspended": e.Open() != nil, "Name": e.Name,
		"Forms": base + "/forms/", "Booking": base + "/booking/", "Mailbox": base + "/mailbox/", "Staff": base + "/staff",
	})
}

// afterLogout is where the issuer sends staff back to.
func (c *console) afterLogout(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/t/"+slugOf(r)+"/", http.StatusSeeOther) //nolint:gosec // the slug is one that the directory knows
}
