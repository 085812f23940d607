package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

const messageColumns = `tenant_id, id, channel, status, template_id, template_name, template_version, language, reference,
	client, recipient, title, body, unsubscribe, attachments, attempts, created_at, sent_at, completed_at, read_at, due_at, history`

// sendWake is woken when there is something to send.
const sendWake = "notify-send"

// insertMessage stores a new message with its files and wakes the sender.
func insertMessage(ctx context.Context, tx *db.Tx, m *Message, files []Attachment) error {
	err := tx.Send(ctx, `INSERT INTO messages (holder, `+messageColumns+`)
		VALUES ('', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), m.ID, m.Channel, m.Status, m.TemplateID, m.TemplateName, m.TemplateVersion, m.Language, m.Reference,
		m.Client, m.Recipient, m.Title, m.Body, m.Unsubscribe, len(files), m.Attempts, m.CreatedAt, m.SentAt, m.CompletedAt, m.ReadAt, m.DueAt, m.History)
	if err != nil {
		return err
	}
	for i, f := range files {
		err := tx.Send(ctx, `INSERT INTO attachments (tenant_id, message_id, position, filename, content_type, content) VALUES (?, ?, ?, ?, ?, ?)`,
			tx.Tenant(), m.ID, i, f.Filename, f.ContentType, f.Content)
		if err != nil {
			return err
		}
	}
	tx.Wake(sendWake)
	return nil
}

// message reads one. Error: unknown_message.
func message(ctx context.Context, tx *db.Tx, mid id.ID) (m Message, err error) {
	err = tx.Get(ctx, &m, `SELECT `+messageColumns+` FROM messages WHERE tenant_id = ? AND id = ?`, tx.Tenant(), mid)
	if errors.Is(err, db.ErrNoRows) {
		return m, fault.NotFound("unknown_message", "there is no such message here")
	}
	return m, err
}

// files reads the attachments of a message in their order.
func files(ctx context.Context, tx *db.Tx, mid id.ID) (out []Attachment, err error) {
	err = tx.Select(ctx, &out, `SELECT filename, content_type, content FROM attachments
		WHERE tenant_id = ? AND message_id = ? ORDER BY position`, tx.Tenant(), mid)
	return out, err
}

// Conditions of partial indexes that begin with the tenant.
const (
	waiting  = "due_at IS NOT NULL" // in the queue, due or not
	withText = "recipient <> ''"    // still holds personal data
)

// tenantsWith returns the tenants that have a message of that condition, each found by one
// step in the index. Under System.
func tenantsWith(ctx context.Context, tx *db.Tx, condition string) (out []id.ID, err error) {
	err = tx.Select(ctx, &out, `WITH RECURSIVE found (tenant_id) AS (
			SELECT min(tenant_id) FROM messages WHERE `+condition+`
			UNION ALL
			SELECT (SELECT min(m.tenant_id) FROM messages m WHERE m.tenant_id > found.tenant_id AND m.`+condition+`)
			FROM found WHERE found.tenant_id IS NOT NULL)
		SELECT tenant_id FROM found WHERE tenant_id IS NOT NULL`)
	return out, err
}

// claim takes up to limit messages of a tenant that are due, the oldest first: until the
// lease ends nobody else gets them. The attempt's number is what finish compares.
func claim(ctx context.Context, tx *db.Tx, of id.ID, holder string, lease time.Duration, limit int) (out []Message, err error) {
	now := tx.Now()
	// MATERIALIZED: else PostgreSQL may look for what is due once more for each row, and lock more.
	err = tx.Select(ctx, &out, `WITH due AS MATERIALIZED (
			SELECT id AS due_id FROM messages WHERE tenant_id = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?`+tx.SkipLocked()+`)
		UPDATE messages SET status = ?, attempts = attempts + 1, holder = ?, sent_at = ?, due_at = ?
		FROM due WHERE tenant_id = ? AND id = due_id
		RETURNING `+messageColumns,
		of, now, limit, Sending, holder, now, db.NewTime(now.Add(lease)), of)
	return out, err
}

// finish stores how the attempt ended; false means that it is no longer ours to say.
func finish(ctx context.Context, tx *db.Tx, m *Message) (bool, error) {
	n, err := tx.Exec(ctx, `UPDATE messages SET status = ?, completed_at = ?, due_at = ?, history = ?
		WHERE tenant_id = ? AND id = ? AND status = ? AND attempts = ?`,
		m.Status, m.CompletedAt, m.DueAt, m.History, tx.Tenant(), m.ID, Sending, m.Attempts)
	return n == 1, err
}

// giveBack ends the lease without an attempt having been made: the message is due at once, or
// after the pause.
func giveBack(ctx context.Context, tx *db.Tx, m *Message, after time.Duration) error {
	_, err := tx.Exec(ctx, `UPDATE messages SET due_at = ?, attempts = attempts - 1
		WHERE tenant_id = ? AND id = ? AND status = ? AND attempts = ?`,
		db.NewTime(tx.Now().Add(after)), tx.Tenant(), m.ID, Sending, m.Attempts)
	return err
}

// releaseLeases makes due what this holder was sending when it died. Under System.
func releaseLeases(ctx context.Context, tx *db.Tx, holder string) error {
	tenants, err := tenantsWith(ctx, tx, waiting)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		_, err := tx.Exec(ctx, `UPDATE messages SET due_at = ? WHERE tenant_id = ? AND due_at IS NOT NULL AND status = ? AND holder = ?`,
			tx.Now(), t, Sending, holder)
		if err != nil {
			return err
		}
	}
	return nil
}

// insertLocalMail puts a mail into the local outbox. A second one for the same message
// violates the key.
func insertLocalMail(ctx context.Context, tx *db.Tx, m *Message, source []byte) error {
	_, err := tx.Exec(ctx, `INSERT INTO local_mails (tenant_id, message_id, recipient, source, at) VALUES (?, ?, ?, ?, ?)`,
		tx.Tenant(), m.ID, m.Recipient, source, tx.Now())
	return err
}

// localMail is one mail of the local outbox.
type localMail struct {
	Tenant    id.ID   `db:"tenant_id"`
	ID        id.ID   `db:"message_id"`
	Recipient string  `db:"recipient"`
	Source    []byte  `db:"source"`
	At        db.Time `db:"at"`
}

// localFilter narrows a list of mails; zero values do not. Tenant is for System only.
type localFilter struct {
	Tenant id.ID
	To     string
	After  id.ID // older than this message
}

// localMails lists mails, the newest first.
func localMails(ctx context.Context, tx *db.Tx, f localFilter, limit int) (out []localMail, err error) {
	query, args := `SELECT tenant_id, message_id, recipient, source, at FROM local_mails WHERE 1 = 1`, []any{}
	add := func(condition string, v any) { query, args = query+" AND "+condition, append(args, v) }
	if tx.Tenant() != "" {
		add("tenant_id = ?", tx.Tenant())
	} else if f.Tenant != "" {
		add("tenant_id = ?", f.Tenant)
	}
	if f.To != "" {
		add("recipient = ?", f.To)
	}
	if f.After != "" {
		add("message_id < ?", f.After)
	}
	err = tx.Select(ctx, &out, query+` ORDER BY message_id DESC LIMIT ?`, append(args, limit)...)
	return out, err
}

// oneLocalMail reads one, of any tenant under System. Error: unknown_message.
func oneLocalMail(ctx context.Context, tx *db.Tx, mid id.ID) (row localMail, err error) {
	query, args := `SELECT tenant_id, message_id, recipient, source, at FROM local_mails WHERE message_id = ?`, []any{mid}
	if tx.Tenant() != "" {
		query, args = query+` AND tenant_id = ?`, append(args, tx.Tenant())
	}
	err = tx.Get(ctx, &row, query, args...)
	if errors.Is(err, db.ErrNoRows) {
		return row, fault.NotFound("unknown_message", "there is no such message here")
	}
	return row, err
}

// Filter narrows a list of messages; zero values do not.
type Filter struct {
	Reference string
	Statuses  []Status
	Channel   Channel
	Template  string
	After     id.ID // older than this message
	Recipient string
	Client    string // how the actor who sent it begins
	// WithContent leaves out messages whose personal data was deleted.
	WithContent bool
}

// messages lists messages, the newest first.
func messages(ctx context.Context, tx *db.Tx, f Filter, limit int) (out []Message, err error) {
	query, args := `SELECT `+messageColumns+` FROM messages WHERE tenant_id = ?`, []any{tx.Tenant()}
	add := func(condition string, v any) { query, args = query+" AND "+condition, append(args, v) }
	if f.Reference != "" {
		add("reference = ?", f.Reference)
	}
	if len(f.Statuses) > 0 {
		add("status IN (?)", f.Statuses)
	}
	if f.Channel != "" {
		add("channel = ?", f.Channel)
	}
	if f.Template != "" {
		add("template_name = ?", f.Template)
	}
	if f.Recipient != "" {
		add("recipient = ?", f.Recipient)
	}
	if f.Client != "" {
		add("client LIKE ?", f.Client+"%")
	}
	if f.WithContent {
		add("recipient <> ?", "")
	}
	if f.After != "" {
		add("id < ?", f.After)
	}
	query, args, err = db.In(query+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	err = tx.Select(ctx, &out, query, args...)
	return out, err
}

// inbox lists what is in a citizen's mailbox, the newest first.
func inbox(ctx context.Context, tx *db.Tx, subject string, after id.ID, limit int) ([]Message, error) {
	return messages(ctx, tx, Filter{Channel: Mailbox, Recipient: subject, Statuses: []Status{Delivered}, After: after}, limit)
}

// markRead notes when a message was first retrieved; later calls change nothing.
func markRead(ctx context.Context, tx *db.Tx, mid id.ID) error {
	_, err := tx.Exec(ctx, `UPDATE messages SET read_at = ? WHERE tenant_id = ? AND id = ? AND read_at IS NULL`,
		tx.Now(), tx.Tenant(), mid)
	return err
}

// forget deletes the personal data of up to limit messages of a tenant and channel that are
// finished and were made before that time. It returns how many. Under System.
func forget(ctx context.Context, tx *db.Tx, of id.ID, channel Channel, before db.Time, limit int) (int, error) {
	var ids []id.ID
	err := tx.Select(ctx, &ids, `UPDATE messages SET recipient = '', title = '', body = '', unsubscribe = ''
		WHERE tenant_id = ? AND id IN (SELECT id FROM messages
			WHERE tenant_id = ? AND recipient <> '' AND channel = ? AND created_at < ? AND due_at IS NULL ORDER BY created_at LIMIT ?)
		RETURNING id`, of, of, channel, before, limit)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	for _, table := range []string{"attachments", "local_mails"} {
		query, args, err := db.In(`DELETE FROM `+table+` WHERE tenant_id = ? AND message_id IN (?)`, of, ids)
		if err != nil {
			return 0, err
		}
		if _, err := tx.Exec(ctx, query, args...); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}
