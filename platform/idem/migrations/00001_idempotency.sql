-- +goose Up
CREATE TABLE idempotency (
	tenant_id TEXT NOT NULL,
	actor     TEXT NOT NULL,
	operation TEXT NOT NULL,
	key       TEXT NOT NULL,
	hash      TEXT NOT NULL,
	answer    TEXT NOT NULL,
	at        BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, actor, operation, key)
) {{partition}};
{{partitions "idempotency"}}
-- Across tenants, for purging.
CREATE INDEX idempotency_at ON idempotency (at);
{{isolate "idempotency"}}
-- +goose Down
DROP TABLE idempotency;
