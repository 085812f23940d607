package notify

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/page"
)

// SendRequest asks for a message.
type SendRequest struct {
	Template        string             `json:"template"` // name or id
	Language        string             `json:"language"` // de, en; default: the municipality's
	Channel         Channel            `json:"channel"`
	To              Recipient          `json:"to"`
	Personalisation Values             `json:"personalisation"`
	Reference       string             `json:"reference"` // the sender's own, without personal data
	Attachments     []AttachmentUpload `json:"attachments"`

	recipient string
	files     []Attachment
}

// Recipient is who gets it: a mail address, or the subject of a citizen's token here.
type Recipient struct {
	Email   string `json:"email"`
	Subject string `json:"subject"`
}

// AttachmentUpload is a file in base64.
type AttachmentUpload struct {
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	Content     []byte `json:"content"`
}

// maxSendBody bounds a request with all its files in base64.
const maxSendBody = maxFiles*maxFileSize*4/3 + 1<<20

// MaxBody lets the request be longer than others.
func (SendRequest) MaxBody() int64 { return maxSendBody }

const (
	maxReference = 1000 // as GOV.UK Notify
	maxRecipient = 255
)

// CheckReference reports whether a sender may name a message so.
func CheckReference(s string) bool { return len(s) <= maxReference && !hasControls(s) }

func hasControls(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

func known(lang string) bool { return lang == "de" || lang == "en" }

// Validate implements kit.Validator.
func (q *SendRequest) Validate() error {
	var wrong []fault.Field
	bad := func(name, code, detail string) {
		wrong = append(wrong, fault.Field{Name: name, Code: code, Detail: detail})
	}
	if q.Template == "" || len(q.Template) > 100 {
		bad("/template", "required", "names a template of the list of templates")
	}
	if q.Language != "" && !known(q.Language) {
		bad("/language", "unknown_language", "is de or en")
	}
	if !CheckReference(q.Reference) {
		bad("/reference", "invalid_reference", fmt.Sprintf("has at most %d bytes on one line", maxReference))
	}
	switch q.Channel {
	case Email:
		address, err := CheckAddress(q.To.Email)
		if err != nil || q.To.Subject != "" {
			bad("/to/email", "invalid_email", "is a mail address; a message by e-mail has nothing else in to")
		}
		q.recipient = address
	case Mailbox:
		if q.To.Subject == "" || len(q.To.Subject) > maxRecipient || hasControls(q.To.Subject) || q.To.Email != "" {
			bad("/to/subject", "required", "is the subject of the citizen's token here; a message to the mailbox has nothing else in to")
		}
		if len(q.Attachments) > 0 {
			bad("/attachments", "unsupported", "files go by e-mail only")
		}
		q.recipient = q.To.Subject
	default:
		bad("/channel", "unknown_channel", "is email or mailbox")
	}
	if len(q.Attachments) > maxFiles {
		bad("/attachments", "too_many", fmt.Sprintf("has at most %d files", maxFiles))
	}
	for i, a := range q.Attachments {
		file, err := checkFile(a.Filename, a.ContentType, a.Content)
		if err != nil {
			bad(fmt.Sprintf("/attachments/%d", i), "attachment_invalid", fault.From(err).Detail)
		}
		q.files = append(q.files, file)
	}
	if len(wrong) > 0 {
		return fault.Unprocessable("message_invalid", "the message cannot be sent as it is").With(wrong...)
	}
	return nil
}

// SendAnswer says under which id the message is known. Sending comes later.
type SendAnswer struct {
	ID     id.ID  `json:"id"`
	Status Status `json:"status"`
}

// StatusCode implements kit's status.
func (SendAnswer) StatusCode() int { return http.StatusCreated }

// MessageRequest names a message.
type MessageRequest struct {
	ID id.ID
}

// FromHTTP implements kit.FromHTTPer.
func (q *MessageRequest) FromHTTP(r *http.Request) (err error) {
	if q.ID, err = id.Parse(r.PathValue("id")); err != nil {
		return fault.NotFound("unknown_message", "there is no such message here") // what is no id names nothing
	}
	return nil
}

// MessageView shows what became of a message, without its text.
type MessageView struct {
	ID              id.ID      `json:"id"`
	Channel         Channel    `json:"channel"`
	Status          Status     `json:"status"`
	Template        string     `json:"template"`
	TemplateID      id.ID      `json:"template_id"`
	TemplateVersion int64      `json:"template_version"`
	Language        string     `json:"language"`
	Reference       string     `json:"reference,omitempty"`
	Attempts        int        `json:"attempts"`
	Attachments     int        `json:"attachments"`
	CreatedAt       time.Time  `json:"created_at"`
	CompletedAt     *time.Time `json:"completed_at,omitempty"`
	ReadAt          *time.Time `json:"read_at,omitempty"`
	NextAttemptAt   *time.Time `json:"next_attempt_at,omitempty"`
	History         []Step     `json:"history"`
}

func viewOf(m *Message) MessageView {
	v := MessageView{
		ID: m.ID, Channel: m.Channel, Status: m.Status, Template: m.TemplateName, TemplateID: m.TemplateID, TemplateVersion: m.TemplateVersion,
		Language: m.Language, Reference: m.Reference, Attempts: m.Attempts, Attachments: m.Attachments, CreatedAt: m.CreatedAt.Time, History: m.History.V,
	}
	if m.CompletedAt != nil {
		v.CompletedAt = &m.CompletedAt.Time
	}
	if m.ReadAt != nil {
		v.ReadAt = &m.ReadAt.Time
	}
	if m.DueAt != nil && m.Status == TemporaryFailure {
		v.NextAttemptAt = &m.DueAt.Time
	}
	return v
}

// ListRequest asks for messages.
type ListRequest struct {
	filter Filter
	limit  int
	cursor string
}

// FromHTTP implements kit.FromHTTPer.
func (q *ListRequest) FromHTTP(r *http.Request) (err error) {
	v := r.URL.Query()
	for _, s := range v["status"] {
		if !Status(s).Known() {
			return fault.Invalid("invalid_filter", "status is one of created, sending, delivered, temporary-failure, permanent-failure, technical-failure")
		}
		q.filter.Statuses = append(q.filter.Statuses, Status(s))
	}
	q.filter.Channel = Channel(v.Get("channel"))
	if c := q.filter.Channel; c != "" && c != Email && c != Mailbox {
		return fault.Invalid("invalid_filter", "channel is email or mailbox")
	}
	q.filter.Reference, q.filter.Template, q.cursor = v.Get("reference"), v.Get("template"), v.Get("cursor")
	q.limit, err = page.Limit(v.Get("limit"), 50, 200)
	return err
}

var templateName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// TemplateRequest names a template in a language; without one, the municipality's.
type TemplateRequest struct {
	Name     string `json:"-"`
	Language string `json:"-"`
}

// FromHTTP implements kit.FromHTTPer.
func (q *TemplateRequest) FromHTTP(r *http.Request) error {
	q.Name, q.Language = r.PathValue("name"), r.URL.Query().Get("language")
	if l := r.PathValue("language"); l != "" {
		q.Language = l
	}
	if q.Language != "" && !known(q.Language) {
		return fault.Invalid("unknown_language", "messages are written in de or en")
	}
	return nil
}

// PutTemplateRequest is a new version of the municipality's own text.
type PutTemplateRequest struct {
	TemplateRequest
	Subject      string        `json:"subject"`
	Body         string        `json:"body"`
	Placeholders []Placeholder `json:"placeholders"`
}

// Validate implements kit.Validator; the rest is Template.Compile's to check.
func (q *PutTemplateRequest) Validate() error {
	if !templateName.MatchString(q.Name) {
		return fault.Unprocessable("template_invalid", "a template's name has 1 to 63 small letters, digits and hyphens")
	}
	return nil
}

// TemplateView shows a template.
type TemplateView struct {
	ID           id.ID         `json:"id"`
	Name         string        `json:"name"`
	Language     string        `json:"language"`
	Version      int64         `json:"version"`
	Own          bool          `json:"own"` // the municipality's, not the catalogue's
	Subject      string        `json:"subject"`
	Body         string        `json:"body"`
	Placeholders []Placeholder `json:"placeholders"`
}

// TemplateList is all of them; there are never many.
type TemplateList struct {
	Items []TemplateView `json:"items"`
}

func templateView(t *Template) TemplateView {
	return TemplateView{
		ID: t.ID, Name: t.Name, Language: t.Language, Version: t.Version, Own: t.Own,
		Subject: t.Subject, Body: t.Body, Placeholders: append([]Placeholder{}, t.Placeholders...),
	}
}

// PreviewRequest fills a template.
type PreviewRequest struct {
	TemplateRequest
	Personalisation Values `json:"personalisation"`
}

// PreviewAnswer is what would be sent.
type PreviewAnswer struct {
	Version int64  `json:"version"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
}

// OutboxRequest asks for mails of the local outbox.
type OutboxRequest struct {
	slug   string
	filter localFilter
	limit  int
	cursor string
}

// FromHTTP implements kit.FromHTTPer.
func (q *OutboxRequest) FromHTTP(r *http.Request) (err error) {
	v := r.URL.Query()
	q.slug, q.filter.To, q.cursor = v.Get("tenant"), v.Get("to"), v.Get("cursor")
	q.limit, err = page.Limit(v.Get("limit"), 50, 200)
	return err
}

// LocalMail is a mail of the local outbox, as a mail program shows it.
type LocalMail struct {
	ID          id.ID       `json:"id"`
	Tenant      string      `json:"tenant"` // slug
	To          string      `json:"to"`
	Subject     string      `json:"subject"`
	Text        string      `json:"text"`
	HTML        string      `json:"html"`
	Attachments []LocalFile `json:"attachments"`
	At          time.Time   `json:"at"`
}

// LocalFile is a file of such a mail.
type LocalFile struct {
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	Size        int    `json:"size"` // bytes
}

// KeyRequest asks for an API key.
type KeyRequest struct {
	Name string `json:"name"`
}

// Validate implements kit.Validator.
func (q *KeyRequest) Validate() error {
	if !keyName.MatchString(q.Name) {
		return fault.Unprocessable("api_key_invalid", "a key's name has 1 to 60 letters, digits, spaces, - and _").
			With(fault.Field{Name: "/name", Code: "api_key_invalid", Detail: "has 1 to 60 letters, digits, spaces, - and _"})
	}
	return nil
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9_ -]{1,60}$`)

// KeyView shows a key; Key, the secret, is there once: when it was made.
type KeyView struct {
	ID        id.ID      `json:"id"`
	Name      string     `json:"name"`
	Key       string     `json:"key,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

// KeyCreated is a new key.
type KeyCreated struct{ KeyView }

// StatusCode implements kit's status.
func (KeyCreated) StatusCode() int { return http.StatusCreated }

// KeyList is all keys of the municipality, the newest last.
type KeyList struct {
	Items []KeyView `json:"items"`
}

// RevokeRequest names a key.
type RevokeRequest struct {
	kit.NoBody
	ID id.ID
}

// FromHTTP implements kit.FromHTTPer.
func (q *RevokeRequest) FromHTTP(r *http.Request) (err error) {
	if q.ID, err = id.Parse(r.PathValue("id")); err != nil {
		return fault.NotFound("unknown_api_key", "there is no such API key here")
	}
	return nil
}
