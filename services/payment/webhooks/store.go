package webhooks

import (
	"context"
	"errors"
	"fmt"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

const endpointColumns = `tenant_id, id, url, description, events, enabled, disabled_reason, disabled_at,
	secret, previous, previous_until, failing_since, paused_until, created_at, updated_at`

// insertEndpoint stores a new one. Errors: too_many_webhooks, webhook_exists.
func insertEndpoint(ctx context.Context, tx *db.Tx, e *Endpoint) error {
	var n int
	// Two creations at once wait for each other on the rows that are there, and then count.
	if err := tx.Select(ctx, &[]string{}, `SELECT id FROM webhooks_endpoints WHERE tenant_id = ? ORDER BY id LIMIT ?`+tx.ForUpdate(), tx.Tenant(), maxEndpoints); err != nil {
		return err
	}
	if err := tx.Get(ctx, &n, `SELECT count(*) FROM webhooks_endpoints WHERE tenant_id = ?`, tx.Tenant()); err != nil {
		return err
	}
	if n >= maxEndpoints {
		return fault.Conflict("too_many_webhooks", "a municipality has at most %d webhooks; delete one first", maxEndpoints)
	}
	_, err := tx.Exec(ctx, `INSERT INTO webhooks_endpoints (`+endpointColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), e.ID, e.URL, e.Description, e.Events, e.Enabled, e.DisabledReason, e.DisabledAt,
		e.Secret, e.Previous, e.PreviousUntil, e.FailingSince, e.PausedUntil, e.CreatedAt, e.UpdatedAt)
	return taken(err)
}

// saveEndpoint writes what may change. Error: webhook_exists.
func saveEndpoint(ctx context.Context, tx *db.Tx, e *Endpoint) error {
	n, err := tx.Exec(ctx, `UPDATE webhooks_endpoints SET url = ?, description = ?, events = ?, enabled = ?, disabled_reason = ?, disabled_at = ?,
		secret = ?, previous = ?, previous_until = ?, failing_since = ?, paused_until = ?, updated_at = ? WHERE tenant_id = ? AND id = ?`,
		e.URL, e.Description, e.Events, e.Enabled, e.DisabledReason, e.DisabledAt,
		e.Secret, e.Previous, e.PreviousUntil, e.FailingSince, e.PausedUntil, e.UpdatedAt, tx.Tenant(), e.ID)
	if err == nil && n != 1 {
		err = fmt.Errorf("save webhook %s: %d rows", e.ID, n)
	}
	return taken(err)
}

func taken(err error) error {
	if db.IsUnique(err) {
		return fault.Conflict("webhook_exists", "this URL is registered already; change that webhook, or rotate its secret").Because(err)
	}
	return err
}

// endpoint reads one. Error: unknown_webhook.
func endpoint(ctx context.Context, tx *db.Tx, of id.ID) (Endpoint, error) {
	return getEndpoint(ctx, tx, of, "")
}

// lockEndpoint reads one and keeps others from changing it. Error: unknown_webhook.
func lockEndpoint(ctx context.Context, tx *db.Tx, of id.ID) (Endpoint, error) {
	return getEndpoint(ctx, tx, of, tx.ForUpdate())
}

func getEndpoint(ctx context.Context, tx *db.Tx, of id.ID, lock string) (e Endpoint, err error) {
	err = tx.Get(ctx, &e, `SELECT `+endpointColumns+` FROM webhooks_endpoints WHERE tenant_id = ? AND id = ?`+lock, tx.Tenant(), of)
	if errors.Is(err, db.ErrNoRows) {
		return e, errUnknownWebhook()
	}
	return e, err
}

// endpoints lists the tenant's, the oldest first.
func endpoints(ctx context.Context, tx *db.Tx) (list []Endpoint, err error) {
	err = tx.Select(ctx, &list, `SELECT `+endpointColumns+` FROM webhooks_endpoints WHERE tenant_id = ? ORDER BY id LIMIT ?`, tx.Tenant(), maxEndpoints)
	return list, err
}

// listening lists the enabled endpoints of the tenants. For db.System contexts.
func listening(ctx context.Context, tx *db.Tx, tenants []id.ID) (list []Endpoint, err error) {
	query, args, err := db.In(`SELECT `+endpointColumns+` FROM webhooks_endpoints WHERE tenant_id IN (?) AND enabled ORDER BY tenant_id, id`, tenants)
	if err != nil {
		return nil, err
	}
	err = tx.Select(ctx, &list, query, args...)
	return list, err
}

// worked clears what was held against the endpoint, if there is anything.
func worked(ctx context.Context, tx *db.Tx, of id.ID) error {
	return tx.Send(ctx, `UPDATE webhooks_endpoints SET failing_since = NULL, paused_until = NULL
		WHERE tenant_id = ? AND id = ? AND (failing_since IS NOT NULL OR paused_until IS NOT NULL)`, tx.Tenant(), of)
}

// deleteEndpoint removes it; its deliveries are another matter. Error: unknown_webhook.
func deleteEndpoint(ctx context.Context, tx *db.Tx, of id.ID) error {
	n, err := tx.Exec(ctx, `DELETE FROM webhooks_endpoints WHERE tenant_id = ? AND id = ?`, tx.Tenant(), of)
	if err == nil && n == 0 {
		return errUnknownWebhook()
	}
	return err
}
