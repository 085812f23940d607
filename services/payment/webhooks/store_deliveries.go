package webhooks

import (
	"context"
	"errors"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

const deliveryColumns = `endpoint_id, id, type, transaction_id, data, at, state, failures, claims, tries, due_at, created_at, ended_at`

// insertDelivery stores a new one of a tenant; a message that the endpoint has already is left
// alone.
func insertDelivery(ctx context.Context, tx *db.Tx, tenant id.ID, d *Delivery) error {
	return tx.Send(ctx, `INSERT INTO webhooks_deliveries (tenant_id, `+deliveryColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id, endpoint_id, id) DO NOTHING`,
		tenant, d.EndpointID, d.ID, d.Type, d.TransactionID, d.Data, d.At, d.State, d.Failures, d.Claims, d.Tries, d.DueAt, d.CreatedAt, d.EndedAt)
}

// delivery reads one. Error: unknown_delivery.
func delivery(ctx context.Context, tx *db.Tx, of, message id.ID) (d Delivery, err error) {
	err = tx.Get(ctx, &d, `SELECT `+deliveryColumns+` FROM webhooks_deliveries WHERE tenant_id = ? AND endpoint_id = ? AND id = ?`, tx.Tenant(), of, message)
	if errors.Is(err, db.ErrNoRows) {
		return d, errUnknownDelivery()
	}
	return d, err
}

// deliveries lists an endpoint's, the newest first, from before a message on; no state is all.
func deliveries(ctx context.Context, tx *db.Tx, of id.ID, state State, before id.ID, limit int) (list []Delivery, err error) {
	where, args := `tenant_id = ? AND endpoint_id = ?`, []any{tx.Tenant(), of}
	if state != "" {
		where, args = where+` AND state = ?`, append(args, state)
	}
	if before != "" {
		where, args = where+` AND id < ?`, append(args, before)
	}
	err = tx.Select(ctx, &list, `SELECT `+deliveryColumns+` FROM webhooks_deliveries WHERE `+where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	return list, err
}

// revive makes one delivery pending again, and due. Error: unknown_delivery.
func revive(ctx context.Context, tx *db.Tx, of, message id.ID) error {
	n, err := tx.Exec(ctx, `UPDATE webhooks_deliveries SET state = 'pending', failures = 0, due_at = ?, ended_at = NULL
		WHERE tenant_id = ? AND endpoint_id = ? AND id = ?`, tx.Now(), tx.Tenant(), of, message)
	if err == nil && n == 0 {
		return errUnknownDelivery()
	}
	return err
}

// reviveSince makes up to limit deliveries of a state pending again whose events happened
// since then, in the order of their ids from behind after, and returns their ids.
func reviveSince(ctx context.Context, tx *db.Tx, of id.ID, state State, since db.Time, after id.ID, limit int) (ids []id.ID, err error) {
	err = tx.Select(ctx, &ids, `SELECT id FROM webhooks_deliveries
		WHERE tenant_id = ? AND endpoint_id = ? AND state = ? AND id > ? AND at >= ? ORDER BY id LIMIT ?`+tx.ForUpdate(),
		tx.Tenant(), of, state, after, since, limit)
	for _, message := range ids {
		if err == nil {
			err = revive(ctx, tx, of, message)
		}
	}
	return ids, err
}

// pendingTenants lists up to limit tenants behind after with deliveries that wait, due or not,
// in their order. It skips from tenant to tenant, however much waits. For db.System contexts.
func pendingTenants(ctx context.Context, tx *db.Tx, after id.ID, limit int) (list []id.ID, err error) {
	err = tx.Select(ctx, &list, `WITH RECURSIVE found (tenant_id, n) AS (
			SELECT min(tenant_id), 1 FROM webhooks_deliveries WHERE due_at IS NOT NULL AND tenant_id > ?
			UNION ALL
			SELECT (SELECT min(d.tenant_id) FROM webhooks_deliveries d WHERE d.due_at IS NOT NULL AND d.tenant_id > found.tenant_id), n + 1
			FROM found WHERE found.tenant_id IS NOT NULL AND n < ?)
		SELECT tenant_id FROM found WHERE tenant_id IS NOT NULL`, after, limit)
	return list, err
}

// dueEndpoints lists the endpoints of the tenants to which something can be sent now, in the
// order of tenants. For db.System contexts.
func dueEndpoints(ctx context.Context, tx *db.Tx, tenants []id.ID) (list []Endpoint, err error) {
	query, args, err := db.In(`SELECT `+endpointColumns+` FROM webhooks_endpoints e
		WHERE tenant_id IN (?) AND enabled AND (paused_until IS NULL OR paused_until <= ?) AND EXISTS (SELECT 1 FROM webhooks_deliveries d
			WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.id AND d.due_at <= ?)
		ORDER BY tenant_id, id`, tenants, tx.Now(), tx.Now())
	if err != nil {
		return nil, err
	}
	err = tx.Select(ctx, &list, query, args...)
	return list, err
}

// claim takes up to limit deliveries of an endpoint that are due, the longest waiting first:
// nobody else gets them before the lease ends. For db.System contexts. It reads and then
// changes: one UPDATE over a subquery may run that for each row and take more than the limit.
func claim(ctx context.Context, tx *db.Tx, e *Endpoint, until db.Time, limit int) (list []Delivery, err error) {
	err = tx.Select(ctx, &list, `SELECT `+deliveryColumns+` FROM webhooks_deliveries
		WHERE tenant_id = ? AND endpoint_id = ? AND due_at <= ? ORDER BY due_at LIMIT ?`+tx.SkipLocked(), e.Tenant, e.ID, tx.Now(), limit)
	for i := range list {
		if err == nil {
			list[i].Claims++
			err = tx.Send(ctx, `UPDATE webhooks_deliveries SET claims = ?, due_at = ? WHERE tenant_id = ? AND endpoint_id = ? AND id = ?`,
				list[i].Claims, until, e.Tenant, e.ID, list[i].ID)
		}
	}
	return list, err
}

// finish stores how a try ended; false means that it is no longer ours to say.
func finish(ctx context.Context, tx *db.Tx, d *Delivery) (bool, error) {
	n, err := tx.Exec(ctx, `UPDATE webhooks_deliveries SET state = ?, failures = ?, tries = ?, due_at = ?, ended_at = ?
		WHERE tenant_id = ? AND endpoint_id = ? AND id = ? AND state = 'pending' AND claims = ?`,
		d.State, d.Failures, d.Tries, d.DueAt, d.EndedAt, tx.Tenant(), d.EndpointID, d.ID, d.Claims)
	return n == 1, err
}

// dropDeliveries deletes up to limit deliveries of an endpoint and returns how many.
func dropDeliveries(ctx context.Context, tx *db.Tx, of id.ID, limit int) (int64, error) {
	return tx.Exec(ctx, `DELETE FROM webhooks_deliveries WHERE tenant_id = ? AND endpoint_id = ? AND id <= (SELECT max(id) FROM (
		SELECT id FROM webhooks_deliveries WHERE tenant_id = ? AND endpoint_id = ? ORDER BY id LIMIT ?) AS oldest)`, tx.Tenant(), of, tx.Tenant(), of, limit)
}

// purge deletes deliveries made before then, about limit at once: more of one instant go with
// them. For db.System contexts.
func purge(ctx context.Context, tx *db.Tx, before db.Time, limit int) (int64, error) {
	return tx.Exec(ctx, `DELETE FROM webhooks_deliveries WHERE created_at BETWEEN (SELECT min(created_at) FROM webhooks_deliveries)
		AND (SELECT max(created_at) FROM (SELECT created_at FROM webhooks_deliveries WHERE created_at < ? ORDER BY created_at LIMIT ?) AS oldest)`, before, limit)
}
