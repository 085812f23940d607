package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/mail"
	"path"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/net/idna"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/audit"
	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/limit"
	"basisdienste/platform/outbox"
	"basisdienste/platform/page"
	"basisdienste/platform/tenantdir"
)

// Mailer hands mails to a server. It is safe for concurrent use.
type Mailer interface {
	// Send returns nil once the server has taken responsibility for the mail. Its errors are
	// of type Failure. It is called again for the same mail if the answer was lost.
	Send(ctx context.Context, from, to string, source []byte) error
	Close() error
}

// Deps are what a Service needs. Mailer may be nil: then mails stay in the local outbox.
type Deps struct {
	DB      *db.DB
	Dir     *tenantdir.Dir
	Clock   func() time.Time
	Log     *slog.Logger
	Mailer  Mailer
	Limiter *limit.Limiter
	Cursors page.Signer
	KeyKey  []byte // seals API keys
	BaseURL string
	Holder  string // names this process for leases, the same after a restart
	Config  Config
}

// Service takes messages, sends them and shows what became of them. It is safe for
// concurrent use.
type Service struct {
	Deps
	catalogue *Catalogue
	compiled  *lru.Cache[string, *Template] // of tenants, by tenant, id and version
	render    *renderer
	down      pauser
}

// opSend is what the limiter counts.
const opSend = "notify.send"

// NewService checks the catalogue, so that no message ever meets a broken template.
func NewService(d Deps) (*Service, error) {
	c, err := loadCatalogue(catalogueFiles)
	if err != nil {
		return nil, err
	}
	compiled, err := lru.New[string, *Template](4096)
	if err != nil {
		return nil, err
	}
	if d.Config.Domain == "" {
		_, d.Config.Domain, _ = strings.Cut(d.Config.From, "@")
		d.Config.Domain = strings.TrimSuffix(d.Config.Domain, ">")
	}
	d.Limiter.Declare(opSend, limit.Quota{PerMinute: d.Config.PerMinute, Burst: max(1, d.Config.PerMinute/60), Concurrent: d.Config.Concurrent})
	return &Service{Deps: d, catalogue: c, compiled: compiled, render: newRenderer()}, nil
}

// Draft is a message that somebody wants to be sent.
type Draft struct {
	Template    *Template
	Channel     Channel
	Recipient   string // checked by CheckAddress, or a citizen's subject
	Values      Values
	Reference   string
	Unsubscribe string
	Attachments []Attachment
}

// Accept stores a message to be sent and tells so, in the caller's transaction: once that is
// committed the message will be sent, or reported as failed.
// Errors: placeholder_missing, placeholder_invalid.
func (s *Service) Accept(ctx context.Context, tx *db.Tx, d Draft) (Message, error) {
	filled, err := d.Template.Fill(d.Values)
	if err != nil {
		return Message{}, err
	}
	now := tx.Now()
	m := Message{
		Tenant: tx.Tenant(), ID: id.New(), Channel: d.Channel, Status: Created,
		TemplateID: d.Template.ID, TemplateName: d.Template.Name, TemplateVersion: d.Template.Version, Language: d.Template.Language,
		Reference: d.Reference, Client: audit.Actor(ctx), Recipient: d.Recipient, Title: filled.Subject, Body: filled.Body,
		Unsubscribe: d.Unsubscribe, Attachments: len(d.Attachments), CreatedAt: now, DueAt: &now,
		History: db.JSON[[]Step]{V: []Step{{Status: Created, At: now.Time}}},
	}
	if err := insertMessage(ctx, tx, &m, d.Attachments); err != nil {
		return Message{}, fmt.Errorf("store message: %w", err)
	}
	return m, outbox.Put(ctx, tx, events.MessageAccepted(factOf(&m, now)))
}

// Open returns nil if the tenant of ctx takes new messages: for a suspended one the messages
// of our own services still go, because payments under way finish.
// Errors: tenant_suspended, tenant_closing.
func (s *Service) Open(ctx context.Context) error {
	e, ok := tenantdir.From(ctx)
	if !ok {
		return errors.New("notify: no tenant in the context")
	}
	if p, ok := authn.From(ctx); ok && p.Kind == authn.Service && e.Status == tenantdir.Suspended {
		return nil
	}
	return e.Open()
}

// Enter counts one request of the tenant in ctx to send. Call release when it is done.
// Errors: rate_limited, too_many_concurrent.
func (s *Service) Enter(ctx context.Context) (release func(), err error) {
	if err := s.Limiter.Allow(ctx, opSend); err != nil {
		return nil, err
	}
	return s.Limiter.Acquire(ctx, opSend)
}

// Send takes a message. The same Idempotency-Key gives the same message.
func (s *Service) Send(ctx context.Context, q SendRequest) (SendAnswer, error) {
	if err := s.Open(ctx); err != nil {
		return SendAnswer{}, err
	}
	release, err := s.Enter(ctx)
	if err != nil {
		return SendAnswer{}, err
	}
	defer release()
	return idem.Tx(ctx, s.DB, func(tx *db.Tx) (SendAnswer, error) {
		t, err := s.findTemplate(ctx, tx, q.Template, q.Language)
		if err != nil {
			return SendAnswer{}, err
		}
		m, err := s.Accept(ctx, tx, Draft{
			Template: t, Channel: q.Channel, Recipient: q.recipient, Values: q.Personalisation,
			Reference: q.Reference, Attachments: q.files,
		})
		return SendAnswer{ID: m.ID, Status: m.Status}, err
	})
}

// Get shows a message. Error: unknown_message.
func (s *Service) Get(ctx context.Context, q MessageRequest) (out MessageView, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		m, err := message(ctx, tx, q.ID)
		out = viewOf(&m)
		return err
	})
	return out, err
}

// Message is Get for another API on top of this service.
func (s *Service) Message(ctx context.Context, mid id.ID) (m Message, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		m, err = message(ctx, tx, mid)
		return err
	})
	return m, err
}

// Messages lists the newest messages for another API on top of this service.
func (s *Service) Messages(ctx context.Context, f Filter, limit int) (out []Message, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		out, err = messages(ctx, tx, f, limit)
		return err
	})
	return out, err
}

// List lists messages, the newest first.
func (s *Service) List(ctx context.Context, q ListRequest) (out page.List[MessageView], err error) {
	signer := s.Cursors.For("messages", tenantOf(ctx).String())
	if err := signer.Decode(q.cursor, &q.filter.After); err != nil {
		return out, err
	}
	rows, err := s.Messages(ctx, q.filter, q.limit+1)
	if err != nil {
		return out, err
	}
	views := make([]MessageView, len(rows))
	for i := range rows {
		views[i] = viewOf(&rows[i])
	}
	return page.Cut(signer, views, q.limit, func(last MessageView) any { return last.ID })
}

func tenantOf(ctx context.Context) id.ID {
	e, _ := tenantdir.From(ctx)
	return e.ID
}

// entryOf finds the tenant of a message that a job works on, and a context that acts for it.
func (s *Service) entryOf(ctx context.Context, of id.ID) (context.Context, tenantdir.Entry, Settings, error) {
	e, err := s.Dir.ByID(ctx, of)
	if err != nil {
		return ctx, e, Settings{}, err
	}
	settings, err := tenantdir.Settings(e, "notify", DefaultSettings())
	if err != nil {
		s.Log.WarnContext(ctx, "the tenant's settings for notify cannot be read", "tenant", e.Slug, "error", err)
		settings = DefaultSettings()
	}
	return tenantdir.With(db.For(ctx, e.Tenant), e), e, settings, nil
}

// senderName is how the municipality is called in mails.
func senderName(e tenantdir.Entry, s Settings) string {
	if s.SenderName != "" {
		return s.SenderName
	}
	return e.Name
}

// CheckAddress returns a mail address as it is used on the wire: its domain in lower case and
// ASCII (IDNA 2008). Error: invalid_email.
func CheckAddress(s string) (string, error) {
	bad := fault.Unprocessable("invalid_email", "this is no mail address that a message can be sent to")
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 254 || strings.ContainsAny(s, "\r\n\t \"") {
		return "", bad
	}
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:at], s[at+1:]
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || len(local) > 64 || !strings.Contains(ascii, ".") || strings.HasPrefix(domain, "[") || !isASCII(local) {
		return "", bad
	}
	return local + "@" + strings.ToLower(ascii), nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Bounds of attachments.
const (
	maxFiles    = 10
	maxFileSize = 2 << 20
)

// checkFile returns the attachment as it is stored. Errors: attachment_invalid.
func checkFile(filename, contentType string, content []byte) (Attachment, error) {
	name := strings.TrimSpace(filename)
	if name == "" || len(name) > 200 || name != path.Base(name) || name == "." || name == ".." || clean(name) != name || strings.ContainsAny(name, "\n\t\"\\") {
		return Attachment{}, fault.Unprocessable("attachment_invalid", "a filename has 1 to 200 bytes and no folder")
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.Contains(media, "/") || strings.HasPrefix(media, "multipart/") || strings.HasPrefix(media, "message/") {
		return Attachment{}, fault.Unprocessable("attachment_invalid", "content_type is the media type of one file, for example application/pdf")
	}
	if len(content) == 0 || len(content) > maxFileSize {
		return Attachment{}, fault.Unprocessable("attachment_invalid", "a file has 1 byte to %d MB", maxFileSize>>20)
	}
	return Attachment{Filename: name, ContentType: mime.FormatMediaType(media, params), Content: content}, nil
}
