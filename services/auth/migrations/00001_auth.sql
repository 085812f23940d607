-- +goose Up
-- Indexes named …_end do not begin with the tenant: they are for purging, across tenants.

-- Keys that an issuer signs with. The newest whose signs_from has come signs; all that are
-- not gone are published.
CREATE TABLE signing_keys (
	tenant_id  TEXT NOT NULL,
	generation BIGINT NOT NULL,
	kid        TEXT NOT NULL,
	sealed     {{.Bytes}} NOT NULL,
	created_at BIGINT NOT NULL,
	signs_from BIGINT NOT NULL,
	gone_at    BIGINT,
	PRIMARY KEY (tenant_id, generation)
);
{{isolate "signing_keys"}}

CREATE TABLE clients (
	tenant_id      TEXT NOT NULL,
	client_id      TEXT NOT NULL,
	name           TEXT NOT NULL,
	login          TEXT NOT NULL,
	auth_method    TEXT NOT NULL,
	secret_hash    TEXT NOT NULL,
	previous_hash  TEXT NOT NULL,
	previous_until BIGINT,
	jwks           TEXT NOT NULL,
	redirect_uris  TEXT NOT NULL,
	logout_uris    TEXT NOT NULL,
	grant_types    TEXT NOT NULL,
	scopes         TEXT NOT NULL,
	min_level      INTEGER NOT NULL,
	enabled        BOOLEAN NOT NULL,
	all_tenants    BOOLEAN NOT NULL,
	version        BIGINT NOT NULL,
	created_at     BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, client_id)
);
{{isolate "clients"}}

-- For which municipalities a client of the operator is switched on. tenant_id is the
-- operator's, as the client is.
CREATE TABLE client_tenants (
	tenant_id TEXT NOT NULL,
	client_id TEXT NOT NULL,
	target_id TEXT NOT NULL,
	PRIMARY KEY (tenant_id, client_id, target_id)
);
{{isolate "client_tenants"}}

CREATE TABLE staff (
	tenant_id     TEXT NOT NULL,
	id            TEXT NOT NULL,
	username      TEXT NOT NULL,
	name          TEXT NOT NULL,
	email         TEXT NOT NULL,
	roles         TEXT NOT NULL,
	password_hash TEXT NOT NULL,
	disabled      BOOLEAN NOT NULL,
	created_at    BIGINT NOT NULL,
	changed_at    BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX staff_username ON staff (tenant_id, username);
{{isolate "staff"}}

-- Wrong passwords of an account, by a keyed hash of its name: accounts that do not exist
-- are counted like others.
CREATE TABLE password_failures (
	tenant_id TEXT NOT NULL,
	account   TEXT NOT NULL,
	failures  INTEGER NOT NULL,
	since     BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, account)
);
CREATE INDEX password_failures_end ON password_failures (since);
{{isolate "password_failures"}}

-- Logins under way.
CREATE TABLE auth_requests (
	tenant_id  TEXT NOT NULL,
	id         TEXT NOT NULL,
	browser    TEXT NOT NULL,
	request    TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, id)
) {{partition}};
{{partitions "auth_requests"}}
CREATE INDEX auth_requests_end ON auth_requests (expires_at);
{{isolate "auth_requests"}}

-- Who is logged in, in which browser. cookie is a hash; profile is sealed.
CREATE TABLE sessions (
	tenant_id  TEXT NOT NULL,
	id         TEXT NOT NULL,
	cookie     TEXT NOT NULL,
	kind       TEXT NOT NULL,
	subject    TEXT NOT NULL,
	level      INTEGER NOT NULL,
	auth_time  BIGINT NOT NULL,
	profile    {{.Bytes}} NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, id)
) {{partition}};
{{partitions "sessions"}}
CREATE UNIQUE INDEX sessions_cookie ON sessions (tenant_id, cookie);
CREATE INDEX sessions_subject ON sessions (tenant_id, subject);
CREATE INDEX sessions_end ON sessions (expires_at);
{{isolate "sessions"}}

-- Authorization codes; after its use a code remembers the access token that it gave.
CREATE TABLE codes (
	tenant_id  TEXT NOT NULL,
	code       TEXT NOT NULL,
	session_id TEXT NOT NULL,
	request    TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	jti        TEXT,
	keep_until BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, code)
) {{partition}};
{{partitions "codes"}}
CREATE INDEX codes_jti ON codes (tenant_id, jti) WHERE jti IS NOT NULL;
CREATE INDEX codes_session ON codes (tenant_id, session_id);
CREATE INDEX codes_end ON codes (keep_until);
{{isolate "codes"}}

CREATE TABLE revoked_tokens (
	tenant_id  TEXT NOT NULL,
	jti        TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, jti)
) {{partition}};
{{partitions "revoked_tokens"}}
CREATE INDEX revoked_tokens_end ON revoked_tokens (expires_at);
{{isolate "revoked_tokens"}}

-- Client assertions (private_key_jwt) that were used: each is good once.
CREATE TABLE used_assertions (
	tenant_id  TEXT NOT NULL,
	client_id  TEXT NOT NULL,
	jti        TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, client_id, jti)
) {{partition}};
{{partitions "used_assertions"}}
CREATE INDEX used_assertions_end ON used_assertions (expires_at);
{{isolate "used_assertions"}}
-- +goose Down
DROP TABLE used_assertions;
DROP TABLE revoked_tokens;
DROP TABLE codes;
DROP TABLE sessions;
DROP TABLE auth_requests;
DROP TABLE password_failures;
DROP TABLE staff;
DROP TABLE client_tenants;
DROP TABLE clients;
DROP TABLE signing_keys;
