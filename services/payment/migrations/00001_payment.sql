-- +goose Up
-- Claims of municipalities. The id is a UUIDv7, so the primary key is the order of time.
CREATE TABLE transactions (
	tenant_id     TEXT NOT NULL,
	id            TEXT NOT NULL,
	originator_id TEXT NOT NULL,
	end_point_id  TEXT NOT NULL,
	authority     TEXT NOT NULL,
	request_id    TEXT NOT NULL,
	created_by    TEXT NOT NULL,
	amount        BIGINT NOT NULL CHECK (amount > 0),
	currency      TEXT NOT NULL,
	purpose       TEXT NOT NULL,
	description   TEXT NOT NULL,
	redirect_url  TEXT NOT NULL,
	items         TEXT NOT NULL,
	document      TEXT NOT NULL,
	content_hash  TEXT NOT NULL,
	kassenzeichen TEXT NOT NULL,
	state         TEXT NOT NULL CHECK (state IN ('INITIAL', 'PAYED', 'FAILED', 'CANCELED', 'EXPIRED')),
	reason        TEXT NOT NULL,
	method        TEXT NOT NULL,
	method_detail TEXT NOT NULL,
	declines      INTEGER NOT NULL,
	created_at    BIGINT NOT NULL,
	expires_at    BIGINT NOT NULL,
	ended_at      BIGINT,
	PRIMARY KEY (tenant_id, id),
	CHECK ((state = 'INITIAL') = (ended_at IS NULL)),
	CHECK ((state = 'PAYED') = (method <> ''))
) {{partition}};
{{partitions "transactions"}}
-- One claim a request, whether its municipality is named by ARS or AGS.
CREATE UNIQUE INDEX transactions_request ON transactions (tenant_id, originator_id, authority, request_id);
CREATE UNIQUE INDEX transactions_kassenzeichen ON transactions (tenant_id, kassenzeichen);
-- Across tenants, for expiring.
CREATE INDEX transactions_open ON transactions (expires_at) WHERE state = 'INITIAL';
{{if .Postgres}}-- What a list is narrowed by; a file of SQLite holds few enough to read on.
CREATE INDEX transactions_state ON transactions (tenant_id, state, id);
CREATE INDEX transactions_wanted ON transactions (tenant_id, request_id, id);
CREATE INDEX transactions_created ON transactions (tenant_id, created_at, id);{{end}}
{{isolate "transactions"}}

-- Tries to pay at a provider; at most one of a transaction is open.
CREATE TABLE attempts (
	tenant_id      TEXT NOT NULL,
	id             TEXT NOT NULL,
	transaction_id TEXT NOT NULL,
	offer          TEXT NOT NULL,
	method         TEXT NOT NULL,
	detail         TEXT NOT NULL,
	provider       TEXT NOT NULL,
	session_id     TEXT NOT NULL,
	url            TEXT NOT NULL,
	state          TEXT NOT NULL CHECK (state IN ('open', 'paid', 'surplus', 'declined', 'canceled', 'ended')),
	reason         TEXT NOT NULL,
	created_at     BIGINT NOT NULL,
	expires_at     BIGINT NOT NULL,
	check_at       BIGINT NOT NULL,
	checks         INTEGER NOT NULL,
	ended_at       BIGINT,
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, transaction_id) REFERENCES transactions (tenant_id, id),
	CHECK ((state = 'open') = (ended_at IS NULL))
) {{partition}};
{{partitions "attempts"}}
CREATE INDEX attempts_of ON attempts (tenant_id, transaction_id, id);
CREATE UNIQUE INDEX attempts_open ON attempts (tenant_id, transaction_id) WHERE state = 'open';
-- Across tenants, for asking the providers.
CREATE INDEX attempts_due ON attempts (check_at) WHERE state = 'open';
{{isolate "attempts"}}

-- What happened to a transaction after it was created, in its order.
CREATE TABLE history (
	tenant_id      TEXT NOT NULL,
	transaction_id TEXT NOT NULL,
	id             TEXT NOT NULL,
	what           TEXT NOT NULL,
	state          TEXT NOT NULL,
	reason         TEXT NOT NULL,
	attempt_id     TEXT NOT NULL,
	actor          TEXT NOT NULL,
	at             BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, transaction_id, id)
) {{partition}};
{{partitions "history"}}
{{isolate "history"}}

-- The last number given out of each range.
CREATE TABLE numbers (
	tenant_id TEXT NOT NULL,
	name      TEXT NOT NULL,
	last      BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, name)
);
{{isolate "numbers"}}
-- +goose Down
DROP TABLE numbers;
DROP TABLE history;
DROP TABLE attempts;
DROP TABLE transactions;
