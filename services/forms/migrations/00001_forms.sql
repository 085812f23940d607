-- +goose Up
-- Form definitions by version; the operator's catalogue belongs to the operator's tenant.
-- A version never changes: drafts and applications name the one they were filled in with.
CREATE TABLE definitions (
	tenant_id TEXT NOT NULL,
	form      TEXT NOT NULL,
	version   BIGINT NOT NULL,
	hash      TEXT NOT NULL,
	body      TEXT NOT NULL,
	at        BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, form, version),
	UNIQUE (tenant_id, form, hash)
);
{{isolate "definitions"}}

CREATE TABLE applications (
	tenant_id    TEXT NOT NULL,
	id           TEXT NOT NULL,
	form         TEXT NOT NULL,
	form_version BIGINT NOT NULL,
	state        TEXT NOT NULL,
	subject      TEXT NOT NULL,
	client_id    TEXT NOT NULL,
	level        INTEGER NOT NULL,
	language     TEXT NOT NULL,
	answers      TEXT NOT NULL,
	taken_over   TEXT NOT NULL,
	contact      TEXT NOT NULL,
	reference    TEXT,
	amount       BIGINT NOT NULL,
	return_url   TEXT NOT NULL,
	reason       TEXT NOT NULL,
	created_at   BIGINT NOT NULL,
	edited_at    BIGINT NOT NULL,
	submitted_at BIGINT,
	paid_at      BIGINT,
	decided_at   BIGINT,
	PRIMARY KEY (tenant_id, id),
	UNIQUE (tenant_id, reference)
) {{partition}};
{{partitions "applications"}}
CREATE INDEX applications_citizen ON applications (tenant_id, subject, edited_at);
CREATE INDEX applications_list ON applications (tenant_id, submitted_at, id) WHERE submitted_at IS NOT NULL;
CREATE INDEX applications_state ON applications (tenant_id, state, submitted_at, id) WHERE submitted_at IS NOT NULL;
-- Across tenants, for purging.
CREATE INDEX applications_old_drafts ON applications (edited_at) WHERE state = 'draft';
{{isolate "applications"}}

-- What became of an application, for the citizen and the clerk. Rows are only added.
CREATE TABLE application_events (
	tenant_id      TEXT NOT NULL,
	application_id TEXT NOT NULL,
	id             TEXT NOT NULL,
	kind           TEXT NOT NULL,
	actor          TEXT NOT NULL,
	note           TEXT NOT NULL,
	at             BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, application_id, id)
) {{partition}};
{{partitions "application_events"}}
{{isolate "application_events"}}

-- Uploaded files: the row is what makes a file exist; its bytes are in the data folder.
-- A file that a client sent ahead has no application yet.
CREATE TABLE files (
	tenant_id      TEXT NOT NULL,
	id             TEXT NOT NULL,
	application_id TEXT NOT NULL,
	field          TEXT NOT NULL,
	owner          TEXT NOT NULL,
	name           TEXT NOT NULL,
	type           TEXT NOT NULL,
	size           BIGINT NOT NULL,
	sha256         TEXT NOT NULL,
	at             BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, id)
) {{partition}};
{{partitions "files"}}
CREATE INDEX files_application ON files (tenant_id, application_id, id);
-- Across tenants, for purging.
CREATE INDEX files_loose ON files (at) WHERE application_id = '';
{{isolate "files"}}

-- Attempts to pay a fee. Events of the payment service find them by request_id.
CREATE TABLE payments (
	tenant_id      TEXT NOT NULL,
	request_id     TEXT NOT NULL,
	application_id TEXT NOT NULL,
	attempt        INTEGER NOT NULL,
	state          TEXT NOT NULL,
	amount         BIGINT NOT NULL,
	transaction_id TEXT NOT NULL,
	pay_url        TEXT NOT NULL,
	kassenzeichen  TEXT NOT NULL,
	method         TEXT NOT NULL,
	by_mail        BOOLEAN NOT NULL,
	mailed_at      BIGINT,
	tries          INTEGER NOT NULL,
	next_try_at    BIGINT NOT NULL,
	at             BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, request_id),
	UNIQUE (tenant_id, application_id, attempt)
) {{partition}};
{{partitions "payments"}}
-- Across tenants, for the job that asks and mails again.
CREATE INDEX payments_wanted ON payments (next_try_at) WHERE state = 'wanted';
CREATE INDEX payments_unmailed ON payments (next_try_at) WHERE state = 'open' AND by_mail AND mailed_at IS NULL;
{{isolate "payments"}}
-- +goose Down
DROP TABLE payments;
DROP TABLE files;
DROP TABLE application_events;
DROP TABLE applications;
DROP TABLE definitions;
