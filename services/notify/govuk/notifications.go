package govuk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/services/notify"
)

// templateRef names a template in an answer.
type templateRef struct {
	ID      id.ID  `json:"id"`
	Version int64  `json:"version"`
	URI     string `json:"uri"`
}

func (a *api) templateRef(tid id.ID, version int64) templateRef {
	return templateRef{tid, version, a.root + "/v2/template/" + tid.String()}
}

// sent is the answer to a message that was accepted.
type sent struct {
	ID        id.ID       `json:"id"`
	Reference *string     `json:"reference"`
	Content   content     `json:"content"`
	URI       string      `json:"uri"`
	Template  templateRef `json:"template"`
	Scheduled *string     `json:"scheduled_for"`
	Sanitised sanitised   `json:"sanitised_content"`
}

type content struct {
	Subject     string  `json:"subject"`
	Body        string  `json:"body"`
	FromEmail   string  `json:"from_email"`
	Unsubscribe *string `json:"one_click_unsubscribe_url"`
}

// sanitised says which values were changed because the client does not trust them.
type sanitised map[string]change

type change struct {
	Unsanitised string `json:"unsanitised"`
	Sanitised   string `json:"sanitised"`
}

// simulators are the addresses that answer as if a message was sent, and keep nothing.
func isSimulator(address string) bool {
	return slices.Contains([]string{
		"simulate-delivered@notifications.service.gov.uk", "simulate-delivered-2@notifications.service.gov.uk",
		"simulate-delivered-3@notifications.service.gov.uk",
	}, strings.ToLower(address))
}

// sendEmail accepts a message. The checks run in the order of GOV.UK Notify: limits, schema,
// template, personalisation.
func (a *api) sendEmail(r *http.Request) (int, any, error) {
	ctx := r.Context()
	if err := a.service.Open(ctx); err != nil {
		return 0, nil, err
	}
	release, err := a.service.Enter(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer release()
	f, err := readFields(r, "email_address", "template_id", "personalisation", "reference", "email_reply_to_id",
		"one_click_unsubscribe_url", "sanitise_content_for", "scheduled_for")
	if err != nil {
		return 0, nil, err
	}
	address := f.text("email_address", true)
	tid := f.uuid("template_id", true)
	reference := f.text("reference", false)
	replyTo := f.uuid("email_reply_to_id", false)
	unsubscribe := f.text("one_click_unsubscribe_url", false)
	values := f.personalisation()
	untrusted := f.list("sanitise_content_for")
	if address != "" {
		checked, err := notify.CheckAddress(address)
		if err != nil {
			f.wrong.add("email_address Not a valid email address")
		}
		if !isSimulator(address) {
			address = checked
		}
	}
	if !notify.CheckReference(reference) {
		f.wrong.add("reference " + clip(reference) + " is too long, or has several lines")
	}
	if u, err := url.Parse(unsubscribe); unsubscribe != "" && (err != nil || u.Scheme != "https" || u.Host == "" || strings.ContainsAny(unsubscribe, " <>\r\n\t")) {
		f.wrong.add("one_click_unsubscribe_url is not a valid https url")
	}
	if err := f.wrong.err(); err != nil {
		return 0, nil, err
	}
	if replyTo != "" {
		return 0, nil, badRequest(fmt.Sprintf("email_reply_to_id %s does not exist in database for service id %s", replyTo, tenantID(ctx)))
	}
	if err := noFiles(values); err != nil {
		return 0, nil, err
	}
	changes := sanitise(values, untrusted)
	draft := notify.Draft{Channel: notify.Email, Recipient: address, Values: values, Reference: reference, Unsubscribe: unsubscribe}
	var m notify.Message
	accept := func(tx *db.Tx) (err error) {
		draft.Template, err = a.service.TemplateIn(ctx, tx, tid)
		if fault.Is(err, "unknown_template") {
			return badRequest("Template not found")
		}
		if err != nil {
			return err
		}
		m, err = a.service.Accept(ctx, tx, draft)
		return err
	}
	if isSimulator(address) {
		err = a.simulate(ctx, draft, tid, &m)
	} else {
		err = a.service.DB.Tx(ctx, accept)
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, sent{
		ID: m.ID, Reference: optional(reference),
		Content:  content{Subject: m.Title, Body: m.Markdown(), FromEmail: a.service.Config.From, Unsubscribe: optional(unsubscribe)},
		URI:      a.root + "/v2/notifications/" + m.ID.String(),
		Template: a.templateRef(m.TemplateID, m.TemplateVersion), Sanitised: changes,
	}, nil
}

// simulate does everything but store the message.
func (a *api) simulate(ctx context.Context, d notify.Draft, tid id.ID, m *notify.Message) error {
	t, err := a.service.Template(ctx, tid, 0)
	if fault.Is(err, "unknown_template") {
		return badRequest("Template not found")
	}
	if err != nil {
		return err
	}
	f, err := t.Fill(d.Values)
	*m = notify.Message{ID: id.New(), TemplateID: t.ID, TemplateVersion: t.Version, Title: f.Subject, Body: f.Body}
	return err
}

// noFiles refuses files by link, which are objects among the values.
func noFiles(values notify.Values) error {
	for _, v := range values {
		if len(v) > 0 && v[0] == '{' {
			return badRequest("Send files by email has not been set up for this service")
		}
	}
	return nil
}

var (
	urlShape  = regexp.MustCompile(`(?i)\b(?:https?://|www\.)\S+`)
	bareShape = regexp.MustCompile(`\.(\pL)`)
)

// sanitise takes the links out of the values named, and tells what was changed. That they
// are no markup is so for all values.
func sanitise(values notify.Values, untrusted []string) sanitised {
	changes := sanitised{}
	for _, name := range untrusted {
		var before string
		if json.Unmarshal(values[name], &before) != nil {
			continue
		}
		after := bareShape.ReplaceAllString(urlShape.ReplaceAllString(before, ""), ". $1")
		shown := escapeMarkdown(after)
		if shown == before {
			continue
		}
		changes[name] = change{Unsanitised: before, Sanitised: shown}
		text, err := json.Marshal(after)
		if err == nil { // a text always can
			values[name] = text
		}
	}
	return changes
}

func escapeMarkdown(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("`*_()\\{}[]<>#+-.!|", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (a *api) sendSMS(r *http.Request) (int, any, error) {
	f, err := readFields(r, "phone_number", "template_id", "personalisation", "reference", "sms_sender_id", "scheduled_for")
	if err != nil {
		return 0, nil, err
	}
	f.text("phone_number", true)
	f.uuid("template_id", true)
	f.personalisation()
	if err := f.wrong.err(); err != nil {
		return 0, nil, err
	}
	return 0, nil, badRequest("Service is not allowed to send text messages")
}

func (a *api) sendLetter(r *http.Request) (int, any, error) {
	f, err := readFields(r, "template_id", "personalisation", "reference", "content", "postage")
	if err != nil {
		return 0, nil, err
	}
	if f.has("content") { // a letter that is a PDF already
		f.text("reference", true)
	} else {
		f.uuid("template_id", true)
		f.personalisation()
		if !f.has("personalisation") {
			f.wrong.add("personalisation is a required property")
		}
	}
	if err := f.wrong.err(); err != nil {
		return 0, nil, err
	}
	return 0, nil, badRequest("Service is not allowed to send letters")
}

// notification is a message as it is shown; every key is always there.
type notification struct {
	ID            id.ID          `json:"id"`
	Reference     *string        `json:"reference"`
	Email         *string        `json:"email_address"`
	Phone         *string        `json:"phone_number"`
	Line1         *string        `json:"line_1"`
	Line2         *string        `json:"line_2"`
	Line3         *string        `json:"line_3"`
	Line4         *string        `json:"line_4"`
	Line5         *string        `json:"line_5"`
	Line6         *string        `json:"line_6"`
	Postcode      *string        `json:"postcode"`
	Postage       *string        `json:"postage"`
	Type          string         `json:"type"`
	Status        notify.Status  `json:"status"`
	Template      templateRef    `json:"template"`
	Body          string         `json:"body"`
	Subject       string         `json:"subject"`
	CreatedAt     string         `json:"created_at"`
	SentAt        *string        `json:"sent_at"`
	CompletedAt   *string        `json:"completed_at"`
	CreatedByName *string        `json:"created_by_name"`
	Scheduled     *string        `json:"scheduled_for"`
	Unsubscribe   *string        `json:"one_click_unsubscribe_url"`
	Cost          float64        `json:"cost_in_pounds"`
	CostReady     bool           `json:"is_cost_data_ready"`
	CostDetails   map[string]any `json:"cost_details"`
}

func (a *api) show(m *notify.Message) notification {
	n := notification{
		ID: m.ID, Reference: optional(m.Reference), Email: optional(m.Recipient), Type: "email", Status: m.Status,
		Template: a.templateRef(m.TemplateID, m.TemplateVersion), Body: m.Markdown(), Subject: m.Title, CreatedAt: stamp(m.CreatedAt.Time),
		Unsubscribe: optional(m.Unsubscribe), CostReady: true, CostDetails: map[string]any{},
	}
	if m.SentAt != nil {
		n.SentAt = optional(stamp(m.SentAt.Time))
	}
	if m.CompletedAt != nil {
		n.CompletedAt = optional(stamp(m.CompletedAt.Time))
	}
	return n
}

// visible reports whether an API key may see the message: sent with one, and its content
// still there.
func visible(m *notify.Message) bool {
	return m.Channel == notify.Email && m.Recipient != "" && strings.HasPrefix(m.Client, actorPrefix)
}

func (a *api) find(ctx context.Context, r *http.Request) (notify.Message, error) {
	mid, err := id.Parse(r.PathValue("id"))
	if err != nil {
		return notify.Message{}, refuse(http.StatusBadRequest, "ValidationError", "notification_id is not a valid UUID")
	}
	m, err := a.service.Message(ctx, mid)
	if err != nil {
		return m, err
	}
	if !visible(&m) {
		return m, noResult()
	}
	return m, nil
}

func (a *api) getNotification(r *http.Request) (int, any, error) {
	ctx := r.Context()
	m, err := a.find(ctx, r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, a.show(&m), nil
}

func (a *api) getPDF(r *http.Request) (int, any, error) {
	ctx := r.Context()
	if _, err := a.find(ctx, r); err != nil {
		return 0, nil, err
	}
	return 0, nil, badRequest("Notification is not a letter")
}

const pageSize = 250

type notificationList struct {
	Notifications []notification `json:"notifications"`
	Links         links          `json:"links"`
}

type links struct {
	Current string `json:"current"`
	Next    string `json:"next,omitempty"`
}

func (a *api) listNotifications(r *http.Request) (int, any, error) {
	ctx := r.Context()
	q := r.URL.Query()
	filter := notify.Filter{Channel: notify.Email, Client: actorPrefix, WithContent: true, Reference: q.Get("reference")}
	var wrong invalid
	types, known := []string{"sms", "email", "letter"}, []string{
		"cancelled", "created", "sending", "sent", "delivered", "pending", "failed", "technical-failure", "temporary-failure",
		"permanent-failure", "pending-virus-check", "validation-failed", "virus-scan-failed", "returned-letter", "accepted", "received",
	}
	for name := range q {
		if !slices.Contains([]string{"template_type", "status", "reference", "older_than", "include_jobs"}, name) {
			wrong.add("Additional properties are not allowed (" + clip(name) + " was unexpected)")
		}
	}
	for _, t := range q["template_type"] {
		if !slices.Contains(types, t) {
			wrong.add("template_type " + clip(t) + " is not one of [sms, email, letter]")
		}
	}
	for _, s := range q["status"] {
		switch {
		case !slices.Contains(known, s):
			wrong.add("status " + clip(s) + " is not one of [" + strings.Join(known, ", ") + "]")
		case s == "failed":
			filter.Statuses = append(filter.Statuses, notify.TechnicalFailure, notify.TemporaryFailure, notify.PermanentFailure)
		default:
			filter.Statuses = append(filter.Statuses, notify.Status(s))
		}
	}
	if older := q.Get("older_than"); older != "" {
		var err error
		if filter.After, err = id.Parse(older); err != nil {
			wrong.add("older_than is not a valid UUID")
		}
	}
	if err := wrong.err(); err != nil {
		return 0, nil, err
	}
	out := notificationList{Notifications: []notification{}, Links: links{Current: a.link(q)}}
	if t := q["template_type"]; len(t) == 0 || slices.Contains(t, "email") {
		rows, err := a.service.Messages(ctx, filter, pageSize)
		if err != nil {
			return 0, nil, err
		}
		for i := range rows {
			out.Notifications = append(out.Notifications, a.show(&rows[i]))
		}
	}
	if n := len(out.Notifications); n > 0 {
		q.Set("older_than", out.Notifications[n-1].ID.String())
		out.Links.Next = a.link(q)
	}
	return http.StatusOK, out, nil
}

func (a *api) link(q url.Values) string {
	if len(q) == 0 {
		return a.root + "/v2/notifications"
	}
	return a.root + "/v2/notifications?" + q.Encode()
}

func (a *api) receivedTexts(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{
		"received_text_messages": []any{}, "links": links{Current: a.root + "/v2/received-text-messages"},
	}, nil
}
