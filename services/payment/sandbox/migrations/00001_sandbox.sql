-- +goose Up
-- The sandbox provider's own books; nothing of them is read by the payment service.
CREATE TABLE sandbox_sessions (
	tenant_id      TEXT NOT NULL,
	id             TEXT NOT NULL,
	attempt_id     TEXT NOT NULL,
	transaction_id TEXT NOT NULL,
	amount         BIGINT NOT NULL,
	currency       TEXT NOT NULL,
	method         TEXT NOT NULL,
	detail         TEXT NOT NULL,
	payee          TEXT NOT NULL,
	reference      TEXT NOT NULL,
	subject        TEXT NOT NULL,
	return_url     TEXT NOT NULL,
	service_url    TEXT NOT NULL,
	state          TEXT NOT NULL,
	reason         TEXT NOT NULL,
	expires_at     BIGINT NOT NULL,
	settles_at     BIGINT, -- when money on its way arrives, or is refused if there is a reason
	silent_until   BIGINT NOT NULL, -- the API answers nothing about the session before
	PRIMARY KEY (tenant_id, id)
) {{partition}};
{{partitions "sandbox_sessions"}}
-- The pay page knows the id alone, a random one.
CREATE INDEX sandbox_sessions_id ON sandbox_sessions (id);
CREATE UNIQUE INDEX sandbox_sessions_attempt ON sandbox_sessions (tenant_id, attempt_id);
-- Across tenants, for settling.
CREATE INDEX sandbox_sessions_settle ON sandbox_sessions (settles_at) WHERE settles_at IS NOT NULL;
{{isolate "sandbox_sessions"}}

-- Notifications that the receiver has not taken yet.
CREATE TABLE sandbox_notices (
	tenant_id      TEXT NOT NULL,
	id             TEXT NOT NULL,
	transaction_id TEXT NOT NULL,
	due_at         BIGINT NOT NULL,
	tries          INTEGER NOT NULL,
	PRIMARY KEY (tenant_id, id)
) {{partition}};
{{partitions "sandbox_notices"}}
-- Across tenants, for telling.
CREATE INDEX sandbox_notices_due ON sandbox_notices (due_at);
{{isolate "sandbox_notices"}}
-- +goose Down
DROP TABLE sandbox_notices;
DROP TABLE sandbox_sessions;
