-- +goose Up
-- What this service has to tell. The relay works across tenants, in the order of seq.
CREATE TABLE outbox (
	seq         {{.Serial}},
	tenant_id   TEXT NOT NULL,
	id          TEXT NOT NULL,
	type        TEXT NOT NULL,
	subject     TEXT NOT NULL,
	payload     TEXT NOT NULL,
	traceparent TEXT NOT NULL,
	at          BIGINT NOT NULL,
	sent_at     BIGINT
);
CREATE INDEX outbox_unsent ON outbox (seq) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;
{{isolate "outbox"}}

-- One process relays at a time.
CREATE TABLE outbox_lease (
	name   TEXT PRIMARY KEY,
	holder TEXT NOT NULL,
	until  BIGINT NOT NULL
);

-- What this service has heard and done.
CREATE TABLE inbox (
	tenant_id TEXT NOT NULL,
	consumer  TEXT NOT NULL,
	id        TEXT NOT NULL,
	at        BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, consumer, id)
);
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
);
{{isolate "dead_letters"}}
-- +goose Down
DROP TABLE dead_letters;
DROP TABLE inbox;
DROP TABLE outbox_lease;
DROP TABLE outbox;
