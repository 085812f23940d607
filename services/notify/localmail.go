package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	_ "github.com/emersion/go-message/charset" // mails are read in whatever they were written
	mailparser "github.com/emersion/go-message/mail"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
	"basisdienste/platform/page"
	"basisdienste/platform/tenantdir"
)

// Outbox lists the mails that stayed here because no SMTP server is configured, the newest
// first: those of the tenant of the path, or of all for the operator.
// Errors: unknown_tenant, invalid_cursor.
func (s *Service) Outbox(ctx context.Context, q OutboxRequest) (out page.List[LocalMail], err error) {
	scope := "all"
	if e, ok := tenantdir.From(ctx); ok {
		scope = e.ID.String()
	} else {
		ctx = db.System(ctx)
		if q.slug != "" {
			e, err := s.Dir.BySlug(ctx, q.slug)
			if err != nil {
				return out, err
			}
			q.filter.Tenant, scope = e.ID, e.ID.String()
		}
	}
	signer := s.Cursors.For("outbox", scope)
	if err := signer.Decode(q.cursor, &q.filter.After); err != nil {
		return out, err
	}
	var rows []localMail
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		rows, err = localMails(ctx, tx, q.filter, q.limit+1)
		return err
	})
	if err != nil {
		return out, err
	}
	mails := make([]LocalMail, len(rows))
	for i, r := range rows {
		if mails[i], err = s.readMail(ctx, r); err != nil {
			return out, fmt.Errorf("local mail %s: %w", r.ID, err)
		}
	}
	return page.Cut(signer, mails, q.limit, func(last LocalMail) any { return last.ID })
}

// OneMail shows a mail of the local outbox. Error: unknown_message.
func (s *Service) OneMail(ctx context.Context, q MessageRequest) (LocalMail, error) {
	row, err := s.localMail(ctx, q)
	if err != nil {
		return LocalMail{}, err
	}
	return s.readMail(ctx, row)
}

// RawMail returns a mail's RFC 5322 source. Error: unknown_message.
func (s *Service) RawMail(ctx context.Context, q MessageRequest) (kit.Raw, error) {
	row, err := s.localMail(ctx, q)
	return kit.Raw{Status: http.StatusOK, Type: "message/rfc822", Body: row.Source}, err
}

func (s *Service) localMail(ctx context.Context, q MessageRequest) (row localMail, err error) {
	if _, ok := tenantdir.From(ctx); !ok {
		ctx = db.System(ctx)
	}
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		row, err = oneLocalMail(ctx, tx, q.ID)
		return err
	})
	return row, err
}

// readMail takes a mail apart as a mail program does.
func (s *Service) readMail(ctx context.Context, row localMail) (LocalMail, error) {
	m := LocalMail{ID: row.ID, To: row.Recipient, At: row.At.Time, Attachments: []LocalFile{}}
	e, err := s.Dir.ByID(ctx, row.Tenant)
	if err != nil && !fault.Is(err, "unknown_tenant") {
		return m, err
	}
	m.Tenant = e.Slug
	r, err := mailparser.CreateReader(bytes.NewReader(row.Source))
	if err != nil {
		return m, err
	}
	if m.Subject, err = r.Header.Subject(); err != nil {
		return m, err
	}
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return m, err
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			return m, err
		}
		if err := m.take(part.Header, body); err != nil {
			return m, err
		}
	}
}

func (m *LocalMail) take(header mailparser.PartHeader, body []byte) error {
	switch h := header.(type) {
	case *mailparser.InlineHeader:
		media, _, err := h.ContentType()
		if err != nil {
			return err
		}
		switch media {
		case "text/plain":
			m.Text = string(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")))
		case "text/html":
			m.HTML = string(body)
		}
	case *mailparser.AttachmentHeader:
		name, err := h.Filename()
		if err != nil {
			return err
		}
		m.Attachments = append(m.Attachments, LocalFile{Filename: name, ContentType: h.Get("Content-Type"), Size: len(body)})
	}
	return nil
}
