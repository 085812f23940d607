-- +goose Up
-- What this service has to tell, until two hours after it was told: short enough to be one table.
-- Each process relays what it has committed (holder), across tenants, from each in turn.
CREATE TABLE outbox (
	seq         {{.Serial}},
	tenant_id   TEXT NOT NULL,
	id          TEXT NOT NULL,
	type        TEXT NOT NULL,
	subject     TEXT NOT NULL,
	prior       TEXT NOT NULL,
	holder      TEXT NOT NULL,
	payload     TEXT NOT NULL,
	traceparent TEXT NOT NULL,
	at          BIGINT NOT NULL,
	sent_at     BIGINT
);
CREATE INDEX outbox_unsent ON outbox (holder, tenant_id, seq) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;
{{if .Postgres}}
CREATE INDEX outbox_prior ON outbox (tenant_id, subject, type, seq);
-- Each row is written, marked and deleted within hours: what is dead is swept early.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
	autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- The processes that relay. What one leaves behind that is gone, the others take over.
CREATE TABLE outbox_holders (
	name    TEXT PRIMARY KEY,
	seen_at BIGINT NOT NULL
);
{{end}}
{{isolate "outbox"}}

-- What this service has heard and done.
CREATE TABLE inbox (
	tenant_id TEXT NOT NULL,
	consumer  TEXT NOT NULL,
	id        TEXT NOT NULL,
	at        BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, consumer, id)
) {{partition}};
{{partitions "inbox"}}
-- For purging, across tenants.
CREATE INDEX inbox_at ON inbox (at);
{{isolate "inbox"}}

-- What this service has heard and could not do.
CREATE TABLE dead_letters (
	tenant_id   TEXT NOT NULL,
	id          TEXT NOT NULL,
	consumer    TEXT NOT NULL,
	type        TEXT NOT NULL,
	source      TEXT NOT NULL,
	subject     TEXT NOT NULL,
	payload     TEXT NOT NULL,
	traceparent TEXT NOT NULL,
	event_at    BIGINT NOT NULL,
	error       TEXT NOT NULL,
	at          BIGINT NOT NULL,
	replayed_at BIGINT,
	PRIMARY KEY (tenant_id, consumer, id)
) {{partition}};
{{partitions "dead_letters"}}
{{isolate "dead_letters"}}
-- +goose Down
DROP TABLE dead_letters;
DROP TABLE inbox;
{{if .Postgres}}DROP TABLE outbox_holders;{{end}}
DROP TABLE outbox;
