package console

import (
	"context"
	"embed"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/kit"
	"basisdienste/platform/login"
	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

//go:embed templates/*.html
var templates embed.FS

// console is the opened service.
type console struct {
	site  *web.Site
	login *login.Login
	clock func() time.Time
	zone  *time.Location // in which a day begins and ends
	dir   *tenantdir.Dir
	api   api
	demo  bool
}

// New returns the console as an app.
func New() run.App {
	return run.App{Name: "console", Open: open}
}

func open(_ context.Context, h *run.Host) (run.Unit, error) {
	pages, err := fs.Sub(templates, "templates")
	if err != nil {
		return run.Unit{}, err
	}
	site, err := h.Site(pages, texts)
	if err != nil {
		return run.Unit{}, err
	}
	l, err := h.Login(site)
	if err != nil {
		return run.Unit{}, err
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return run.Unit{}, err
	}
	c := &console{site: site, login: l, clock: h.Clock, zone: zone, dir: h.Dir, api: api{h.Services}, demo: h.Demo}
	c.routes(h)
	return run.Unit{Seed: c.seed}, nil
}

func (c *console) routes(h *run.Host) {
	m := h.Mux
	page := func(f http.HandlerFunc) http.Handler { return c.site.Protect(f) }
	m.Handle("GET /{$}", page(c.home))
	m.Handle("GET /t/{tenant}/{$}", page(c.municipality))
	m.Handle("GET /t/{tenant}/console", http.HandlerFunc(c.afterLogout))
	legal := c.site.Legal()
	for _, name := range []string{"impressum", "datenschutz", "barrierefreiheit"} {
		m.Handle("GET /"+name, legal)
		m.Handle("GET /t/{tenant}/"+name, legal)
	}

	c.login.Routes(m, "/t/{tenant}/console")
	staff := func(f http.HandlerFunc) http.Handler {
		return c.site.Protect(c.login.Staff(authn.RoleClerk, authn.RoleTenantAdmin)(f))
	}
	m.Handle("GET /t/{tenant}/staff", staff(c.applications))
	m.Handle("GET /t/{tenant}/staff/{$}", http.HandlerFunc(withoutSlash))
	m.Handle("GET /t/{tenant}/staff/applications/{id}", staff(c.application))
	m.Handle("GET /t/{tenant}/staff/applications/{id}/files/{file}", staff(c.file))
	m.Handle("POST /t/{tenant}/staff/applications/{id}/accept", staff(c.accept))
	m.Handle("POST /t/{tenant}/staff/applications/{id}/reject", staff(c.reject))

	m.Handle("GET /t/{tenant}/staff/payments", staff(c.payments))
	m.Handle("GET /t/{tenant}/staff/payments/new", staff(c.askClaim))
	m.Handle("POST /t/{tenant}/staff/payments/new", staff(c.createClaim))
	m.Handle("GET /t/{tenant}/staff/payments/{id}", staff(c.payment))
	m.Handle("GET /t/{tenant}/staff/payments/{id}/qr", staff(c.linkCode))
	m.Handle("GET /t/{tenant}/staff/payments/{id}/receipt", staff(c.receipt))
	m.Handle("GET /t/{tenant}/staff/payments/{id}/request", staff(c.askMail))
	m.Handle("POST /t/{tenant}/staff/payments/{id}/request", staff(c.mailPayer))
	m.Handle("POST /t/{tenant}/staff/payments/{id}/request/stop", staff(c.stopMail))
	m.Handle("GET /t/{tenant}/staff/payments/{id}/withdraw", staff(c.askWithdraw))
	m.Handle("POST /t/{tenant}/staff/payments/{id}/withdraw", staff(c.withdraw))
	m.Handle("GET /t/{tenant}/staff/payments/{id}/capture", staff(c.askCapture))
	m.Handle("POST /t/{tenant}/staff/payments/{id}/capture", staff(c.capture))
	m.Handle("GET /t/{tenant}/staff/payments/{id}/refund", staff(c.askRefund))
	m.Handle("POST /t/{tenant}/staff/payments/{id}/refund", staff(c.requestRefund))
	m.Handle("POST /t/{tenant}/staff/payments/{id}/refunds/{refund}/approve", staff(c.approveRefund))
	m.Handle("POST /t/{tenant}/staff/payments/{id}/refunds/{refund}/reject", staff(c.rejectRefund))
	m.Handle("GET /t/{tenant}/staff/refunds", staff(c.waitingRefunds))

	c.adminRoutes(m)

	c.login.Routes(m, "/operator")
	operator := func(f http.HandlerFunc) http.Handler {
		return c.site.Protect(c.login.Staff(authn.RoleOperator)(f))
	}
	m.Handle("GET /operator", operator(c.tenants))
	m.Handle("GET /operator/{$}", http.HandlerFunc(withoutSlash))
	m.Handle("GET /operator/tenants/{slug}", operator(c.tenant))
	m.Handle("POST /operator/tenants/{slug}/suspend", operator(c.suspend))
	m.Handle("POST /operator/tenants/{slug}/resume", operator(c.resume))
	m.Handle("GET /operator/mail", operator(c.mails))
	m.Handle("GET /operator/mail/{id}", operator(c.mail))
	m.Handle("GET /operator/mail/{id}/raw", operator(c.rawMail))
	m.Handle("GET /operator/events", operator(c.events))
	m.Handle("POST /operator/events/{service}/{consumer}/{id}/replay", operator(c.replay))
}

// adminRoutes are for whom the service payment lets to its treasury and its webhooks.
func (c *console) adminRoutes(m *kit.Mux) {
	admin := func(f http.HandlerFunc) http.Handler {
		return c.site.Protect(c.login.Staff(authn.RoleTenantAdmin)(f))
	}
	const treasury = "/t/{tenant}/staff/treasury"
	m.Handle("GET "+treasury, admin(c.closing))
	m.Handle("GET "+treasury+"/exports", admin(c.exports))
	m.Handle("GET "+treasury+"/exports/download", admin(c.export))
	m.Handle("GET "+treasury+"/statements", admin(c.statements))
	m.Handle("POST "+treasury+"/statements", admin(c.upload))
	m.Handle("GET "+treasury+"/statements/{id}", admin(c.statement))

	m.Handle("GET "+treasury+"/settlements", admin(c.settlements))
	m.Handle("GET "+treasury+"/settlements/{provider}/{id}", admin(c.settlement))
	m.Handle("GET "+treasury+"/settlements/{provider}/{id}/download", admin(c.downloadSettlement))
	m.Handle("GET "+treasury+"/disputes", admin(c.disputes))

	const webhooks = "/t/{tenant}/staff/webhooks"
	m.Handle("GET "+webhooks, admin(c.webhooks))
	m.Handle("GET "+webhooks+"/new", admin(c.askWebhook))
	m.Handle("POST "+webhooks+"/new", admin(c.createWebhook))
	m.Handle("GET "+webhooks+"/{id}", admin(c.webhook))
	m.Handle("POST "+webhooks+"/{id}/enable", admin(c.enableWebhook))
	m.Handle("POST "+webhooks+"/{id}/disable", admin(c.disableWebhook))
	m.Handle("POST "+webhooks+"/{id}/rotate", admin(c.rotateWebhook))
	m.Handle("POST "+webhooks+"/{id}/test", admin(c.testWebhook))
	m.Handle("POST "+webhooks+"/{id}/deliveries/{delivery}/replay", admin(c.replayDelivery))
}

// seed tells where to click.
func (c *console) seed(_ context.Context, d run.Demo) error {
	base, _ := d["base_url"].(string)
	d["click"] = []string{
		"citizen:  " + base + "/t/erfurt/",
		"staff:    " + base + "/t/erfurt/staff",
		"operator: " + base + "/operator",
		"user names and passwords are in demo.json of the data folder",
	}
	return nil
}

// withoutSlash leads from an address that was typed with a slash at its end to the one without.
func withoutSlash(w http.ResponseWriter, r *http.Request) {
	target := strings.TrimRight(r.URL.EscapedPath(), "/")
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	http.Redirect(w, r, target, http.StatusPermanentRedirect) //nolint:gosec // the slug is one that the directory knows
}
