package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/fault"
	"basisdienste/platform/page"
	"basisdienste/platform/web"
)

// webhookView is what the service payment says of an address that it tells of payments.
type webhookView struct {
	ID             string     `json:"id"`
	URL            string     `json:"url"`
	Description    string     `json:"description"`
	Events         []string   `json:"events"`
	Enabled        bool       `json:"enabled"`
	DisabledReason string     `json:"disabled_reason"`
	FailingSince   *time.Time `json:"failing_since"`
	RotatingUntil  *time.Time `json:"rotating_until"`
	CreatedAt      time.Time  `json:"created_at"`
	Secret         string     `json:"secret"` // of a new one, this once
}

// deliveryView is a message in the log.
type deliveryView struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	Timestamp time.Time  `json:"timestamp"`
	State     string     `json:"state"`
	NextTryAt *time.Time `json:"next_try_at"`
	Tries     []struct {
		Status int    `json:"status"`
		Error  string `json:"error"`
	} `json:"tries"`
}

func webhooksBase(r *http.Request) string { return staffBase(r) + "/webhooks" }
func webhooksAPI(r *http.Request) string  { return paymentAPI(r) + "/webhooks" }

// ownWebhook is the page of the webhook that the path names, and webhookAPI its address in the API.
func ownWebhook(r *http.Request) string {
	return webhooksBase(r) + "/" + url.PathEscape(r.PathValue("id"))
}

func webhookAPI(r *http.Request) string {
	return webhooksAPI(r) + "/" + url.PathEscape(r.PathValue("id"))
}

// tellable lists the events that a webhook can be told.
func tellable() []string {
	return slices.DeleteFunc(events.Types(), func(t string) bool { return !strings.HasPrefix(t, "payment.") })
}

func (c *console) webhooks(w http.ResponseWriter, r *http.Request) {
	var list page.List[webhookView]
	if err := c.api.get(r.Context(), "payment", webhooksAPI(r), &list); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	t := c.table(r, "webhooks", "webhooks.none", "webhook.url", "webhook.state", "webhook.description", "webhook.created")
	for _, v := range list.Items {
		t.Rows = append(t.Rows, []any{web.Link{URL: webhooksBase(r) + "/" + url.PathEscape(v.ID), Text: v.URL}, c.webhookBadge(r, &v), dash(v.Description), v.CreatedAt})
	}
	c.site.Render(w, r, http.StatusOK, "webhooks", c.staffPage(r, c.site.T(r, "webhooks")), map[string]any{"Table": t, "New": webhooksBase(r) + "/new"})
}

func (c *console) webhookBadge(r *http.Request, v *webhookView) web.Badge {
	switch {
	case !v.Enabled && v.DisabledReason != "":
		return web.Badge{Kind: "warning", Text: c.word(r, "webhook.disabled.", v.DisabledReason)}
	case !v.Enabled:
		return web.Badge{Kind: "warning", Text: c.site.T(r, "webhook.disabled.by_hand")}
	case v.FailingSince != nil:
		return web.Badge{Kind: "danger", Text: c.site.T(r, "webhook.failing")}
	}
	return web.Badge{Kind: "success", Text: c.site.T(r, "webhook.enabled")}
}

func (c *console) webhookForm(r *http.Request) web.Form {
	choose := web.Field{Name: "events", Kind: "checkboxes", Label: c.site.T(r, "webhook.events"), Hint: c.site.T(r, "webhook.events.hint")}
	for _, t := range tellable() {
		choose.Options = append(choose.Options, web.Option{Value: t, Label: c.word(r, "event.", t), Hint: t})
	}
	return web.Form{
		{Name: "url", Label: c.site.T(r, "webhook.url"), Hint: c.site.T(r, "webhook.url.hint"), Required: true, MaxLength: 2000},
		{Name: "description", Label: c.site.T(r, "webhook.description"), MaxLength: 200},
		choose,
	}
}

func (c *console) askWebhook(w http.ResponseWriter, r *http.Request) {
	c.showWebhookForm(w, r, http.StatusOK, c.webhookForm(r))
}

func (c *console) showWebhookForm(w http.ResponseWriter, r *http.Request, status int, form web.Form) {
	p := c.staffPage(r, c.site.T(r, "webhook.new"))
	p.Back, p.Self = webhooksBase(r), webhooksBase(r)+"/new"
	c.site.Render(w, r, status, "webhook-new", p, map[string]any{"Form": form, "Own": webhooksBase(r) + "/new"})
}

func (c *console) createWebhook(w http.ResponseWriter, r *http.Request) {
	if err := parseForm(w, r); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	form := c.webhookForm(r)
	form.Fill(r.PostForm)
	if !c.site.Check(r, form) {
		c.showWebhookForm(w, r, http.StatusUnprocessableEntity, form)
		return
	}
	body := map[string]any{"url": form.Value("url"), "description": form.Value("description"), "events": append([]string{}, form.Field("events").Values...)}
	var made webhookView
	err := c.api.call(r.Context(), http.MethodPost, "payment", webhooksAPI(r), body, &made)
	switch {
	case err == nil:
		c.showSecret(w, r, &made)
	case c.onField(r, form, "url", err, "webhook_exists", "too_many_webhooks") || c.site.Fail(r, form, err) == nil:
		c.showWebhookForm(w, r, fault.From(err).Kind.Status(), form)
	default:
		c.site.ErrorPage(w, r, err)
	}
}

// showSecret shows a new secret in the answer to the post that made it, and nowhere again.
func (c *console) showSecret(w http.ResponseWriter, r *http.Request, v *webhookView) {
	own := webhooksBase(r) + "/" + url.PathEscape(v.ID)
	p := c.staffPage(r, c.site.T(r, "webhook.secret"))
	p.Back, p.Self = own, own
	rows := []web.Row{{Key: c.site.T(r, "webhook.url"), Value: v.URL}}
	if v.RotatingUntil != nil {
		rows = append(rows, web.Row{Key: c.site.T(r, "webhook.rotating"), Value: *v.RotatingUntil})
	}
	c.site.Render(w, r, http.StatusCreated, "webhook-secret", p, map[string]any{"Secret": v.Secret, "Rows": rows, "Own": own})
}

func (c *console) webhook(w http.ResponseWriter, r *http.Request) {
	c.showWebhook(w, r, http.StatusOK, "")
}

// message is a delivery on the page, with where it can be sent again.
type message struct {
	Type, Replay string
	At           time.Time
	State        web.Badge
	Answer       string
	Next         *time.Time
}

// showWebhook shows an address with its log; wrong says why what was asked for was not done.
func (c *console) showWebhook(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	var v webhookView
	if err := c.api.get(r.Context(), "payment", webhookAPI(r), &v); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	choose := web.Field{Name: "state", Kind: "select", Label: c.site.T(r, "delivery.state")}
	for _, s := range []string{"pending", "delivered", "failed"} {
		choose.Options = append(choose.Options, web.Option{Value: s, Label: c.site.T(r, "delivery.state."+s)})
	}
	form := filled(r, web.Form{choose}, "state")
	ask := url.Values{"limit": {"50"}}
	if s := form.Value("state"); slices.ContainsFunc(choose.Options, func(o web.Option) bool { return o.Value == s }) {
		ask.Set("state", s)
	}
	goOn(r, ask)
	var list page.List[deliveryView]
	if err := c.api.get(r.Context(), "payment", webhookAPI(r)+"/deliveries?"+ask.Encode(), &list); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	var log []message
	for i := range list.Items {
		log = append(log, c.message(r, &v, &list.Items[i]))
	}
	own := ownWebhook(r)
	p := c.staffPage(r, c.site.T(r, "webhook"))
	p.Back, p.Self = webhooksBase(r), own
	c.site.Render(w, r, status, "webhook", p, map[string]any{
		"Wrong": wrong, "Own": own, "Enabled": v.Enabled, "Rows": c.webhookRows(r, &v), "Log": log, "Form": form, "Next": nextPage(r, list.Next),
	})
}

func (c *console) webhookRows(r *http.Request, v *webhookView) []web.Row {
	told := c.site.T(r, "webhook.events.all")
	if len(v.Events) > 0 {
		var names []string
		for _, t := range v.Events {
			names = append(names, c.word(r, "event.", t))
		}
		told = joined(names)
	}
	rows := []web.Row{
		{Key: c.site.T(r, "webhook.url"), Value: v.URL},
		{Key: c.site.T(r, "webhook.state"), Value: c.webhookBadge(r, v)},
		{Key: c.site.T(r, "webhook.description"), Value: dash(v.Description)},
		{Key: c.site.T(r, "webhook.events"), Value: told},
		{Key: c.site.T(r, "webhook.created"), Value: v.CreatedAt},
	}
	if v.FailingSince != nil {
		rows = append(rows, web.Row{Key: c.site.T(r, "webhook.failing_since"), Value: *v.FailingSince})
	}
	if v.RotatingUntil != nil {
		rows = append(rows, web.Row{Key: c.site.T(r, "webhook.rotating"), Value: *v.RotatingUntil})
	}
	return rows
}

func (c *console) message(r *http.Request, v *webhookView, d *deliveryView) message {
	m := message{
		Type: c.word(r, "event.", d.Type), At: d.Timestamp, Answer: "–", Next: d.NextTryAt,
		State:  c.badge(r, "delivery.state.", d.State, map[string]string{"delivered": "success", "failed": "danger"}),
		Replay: when(v.Enabled && d.State != "pending", ownWebhook(r)+"/deliveries/"+url.PathEscape(d.ID)+"/replay"),
	}
	if n := len(d.Tries); n > 0 {
		m.Answer = c.word(r, "delivery.error.", d.Tries[n-1].Error)
		if status := d.Tries[n-1].Status; status != 0 {
			m.Answer = strconv.Itoa(status)
		}
	}
	return m
}

func (c *console) enableWebhook(w http.ResponseWriter, r *http.Request) { c.switchWebhook(w, r, true) }

func (c *console) disableWebhook(w http.ResponseWriter, r *http.Request) {
	c.switchWebhook(w, r, false)
}

func (c *console) switchWebhook(w http.ResponseWriter, r *http.Request, on bool) {
	err := c.api.call(r.Context(), http.MethodPatch, "payment", webhookAPI(r), map[string]bool{"enabled": on}, nil)
	text := "webhook.disable.done"
	if on {
		text = "webhook.enable.done"
	}
	c.done(w, r, err, text, ownWebhook(r))
}

func (c *console) rotateWebhook(w http.ResponseWriter, r *http.Request) {
	var v webhookView
	if err := c.api.call(r.Context(), http.MethodPost, "payment", webhookAPI(r)+"/rotate", nil, &v); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	c.showSecret(w, r, &v)
}

func (c *console) testWebhook(w http.ResponseWriter, r *http.Request) {
	c.sendSoon(w, r, webhookAPI(r)+"/test", "webhook.test.done")
}

func (c *console) replayDelivery(w http.ResponseWriter, r *http.Request) {
	c.sendSoon(w, r, webhookAPI(r)+"/deliveries/"+url.PathEscape(r.PathValue("delivery"))+"/replay", "delivery.replay.done")
}

// sendSoon asks for a message; a webhook that was disabled meanwhile says so.
func (c *console) sendSoon(w http.ResponseWriter, r *http.Request, path, done string) {
	err := c.api.post(r.Context(), "payment", path, nil)
	if fault.Is(err, "webhook_disabled") {
		c.showWebhook(w, r, http.StatusConflict, c.site.T(r, "error.webhook_disabled"))
		return
	}
	c.done(w, r, err, done, ownWebhook(r))
}
