-- +goose Up
-- Events that Stripe told, each once: what to look at again because of them.
CREATE TABLE stripe_events (
	tenant_id   TEXT NOT NULL,
	id          TEXT NOT NULL, -- Stripe's
	type        TEXT NOT NULL,
	about       TEXT NOT NULL CHECK (about IN ('transaction', 'refund', 'dispute', 'payout')),
	subject     TEXT NOT NULL, -- our id of a transaction or refund, Stripe's of the others
	account     TEXT NOT NULL,
	received_at BIGINT NOT NULL,
	due_at      BIGINT, -- when to look (again); NULL once it was looked
	tries       INTEGER NOT NULL,
	PRIMARY KEY (tenant_id, id)
) {{partition}};
{{partitions "stripe_events"}}
-- Across tenants, for looking and for forgetting.
CREATE INDEX stripe_events_due ON stripe_events (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX stripe_events_old ON stripe_events (received_at);
{{isolate "stripe_events"}}
-- +goose Down
DROP TABLE stripe_events;
