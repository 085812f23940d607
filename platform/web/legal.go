package web

import (
	"bytes"
	"context"
	"net/http"
	"path"
	"slices"

	"basisdienste/platform/fault"
	"basisdienste/platform/tenant"
)

// legalPages are linked from every footer: the last part of the path is the template.
var legalPages = []string{"impressum", "datenschutz", "barrierefreiheit"}

func (s *Site) legalLinks(ctx context.Context, lang int) []Link {
	prefix := base(tenant.From(ctx))
	links := make([]Link, len(legalPages))
	for i, name := range legalPages {
		links[i] = Link{URL: prefix + name, Text: s.text(lang, "web."+name)}
	}
	return links
}

// Legal serves the pages behind the footer's links, /t/{tenant}/impressum, …/datenschutz
// and …/barrierefreiheit, and the same without a tenant. They say what holds for every
// installation and add the tenant's particulars from its Look; where a tenant gave none,
// they say so. One service of an installation mounts it.
func (s *Site) Legal() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lang, name := language(r), path.Base(r.URL.Path)
		if !slices.Contains(legalPages, name) {
			s.ErrorPage(w, r, fault.NotFound("unknown_page", "there is no such page"))
			return
		}
		var body bytes.Buffer
		err := s.kit[lang].ExecuteTemplate(&body, name, s.lookOf(r.Context()))
		if err == nil {
			err = s.frame(w, r, http.StatusOK, Page{Title: s.text(lang, "web."+name)}, &body)
		}
		if err != nil {
			s.ErrorPage(w, r, err)
		}
	})
}
