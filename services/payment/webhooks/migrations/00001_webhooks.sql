-- +goose Up
-- Where a municipality wants to be told. At most a few for each tenant.
CREATE TABLE webhooks_endpoints (
	tenant_id       TEXT NOT NULL,
	id              TEXT NOT NULL,
	url             TEXT NOT NULL,
	description     TEXT NOT NULL,
	events          TEXT NOT NULL, -- JSON; an empty list is every event
	enabled         BOOLEAN NOT NULL,
	disabled_reason TEXT NOT NULL CHECK (disabled_reason IN ('', 'by_hand', 'gone', 'failing')),
	disabled_at     BIGINT,
	secret          {{.Bytes}} NOT NULL, -- sealed, as the one before it
	previous        {{.Bytes}},
	previous_until  BIGINT,
	failing_since   BIGINT, -- the first failure after the last success
	paused_until    BIGINT, -- the receiver asked for it
	created_at      BIGINT NOT NULL,
	updated_at      BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, id),
	CHECK (enabled = (disabled_at IS NULL)),
	CHECK (enabled = (disabled_reason = ''))
);
-- So that a creation whose answer was lost does not double what is sent.
CREATE UNIQUE INDEX webhooks_endpoints_url ON webhooks_endpoints (tenant_id, url);
{{isolate "webhooks_endpoints"}}

-- One message for one endpoint. The id is the message's: two endpoints get it under the same.
CREATE TABLE webhooks_deliveries (
	tenant_id      TEXT NOT NULL,
	endpoint_id    TEXT NOT NULL,
	id             TEXT NOT NULL,
	type           TEXT NOT NULL,
	transaction_id TEXT NOT NULL,
	data           TEXT NOT NULL, -- the event's payload
	at             BIGINT NOT NULL, -- of the event
	state          TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
	failures       INTEGER NOT NULL,
	claims         INTEGER NOT NULL, -- counts who took it up, so that who was too slow changes nothing
	tries          TEXT NOT NULL, -- JSON
	due_at         BIGINT, -- next try, or when a try under way is taken for lost
	created_at     BIGINT NOT NULL,
	ended_at       BIGINT,
	PRIMARY KEY (tenant_id, endpoint_id, id),
	CHECK ((state = 'pending') = (due_at IS NOT NULL)),
	CHECK ((state = 'pending') = (ended_at IS NULL))
) {{partition}};
{{partitions "webhooks_deliveries"}}
CREATE INDEX webhooks_deliveries_due ON webhooks_deliveries (tenant_id, endpoint_id, due_at) WHERE due_at IS NOT NULL;
-- Across tenants, for purging.
CREATE INDEX webhooks_deliveries_created ON webhooks_deliveries (created_at);
{{if .Postgres}}-- What a list is narrowed by; a file of SQLite holds few enough to read on.
CREATE INDEX webhooks_deliveries_state ON webhooks_deliveries (tenant_id, endpoint_id, state, id);{{end}}
{{isolate "webhooks_deliveries"}}
-- +goose Down
DROP TABLE webhooks_deliveries;
DROP TABLE webhooks_endpoints;
