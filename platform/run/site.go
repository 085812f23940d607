package run

import (
	"context"
	"io/fs"
	"strings"

	"basisdienste/platform/login"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

// lookSection is the section of a tenant's settings that says how its pages look.
const lookSection = "look"

// Site makes the service's pages: its templates and texts in the frame, with the look of
// the tenant.
func (h *Host) Site(templates fs.FS, texts web.Texts) (*web.Site, error) {
	key, err := h.Secret("web-" + h.Name)
	if err != nil {
		return nil, err
	}
	return web.New(web.Config{
		Service: "service", Templates: templates, Texts: texts, Key: key, Clock: h.Clock, Log: h.Log,
		Secure: strings.HasPrefix(h.BaseURL, "https://"), Demo: h.Demo, Look: h.look,
	})
}

// look reads the tenant's look. Settings that cannot be read must not take its pages down.
func (h *Host) look(ctx context.Context) web.Look {
	e, ok := tenantdir.From(ctx)
	if !ok {
		return web.Look{}
	}
	look, err := tenantdir.Settings(e, lookSection, web.Look{})
	if err != nil {
		h.Log.WarnContext(ctx, "the tenant's look cannot be read", "tenant", e.Slug, "error", err)
		return web.Look{}
	}
	return look
}

// Login lets people log in to the service's pages.
func (h *Host) Login(site *web.Site) (*login.Login, error) {
	key, err := h.serviceKey()
	if err != nil {
		return nil, err
	}
	return login.New(login.Config{
		Service: h.Name, BaseURL: h.BaseURL, ServiceKey: key, Services: h.Services, Verifier: h.Verifier, Site: site, Clock: h.Clock,
	}), nil
}
