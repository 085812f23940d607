-- +goose Up
-- One row for each message. recipient, title, body and unsubscribe are personal data; they
-- become empty when the retention time is over.
CREATE TABLE messages (
	tenant_id        TEXT NOT NULL,
	id               TEXT NOT NULL,
	channel          TEXT NOT NULL,
	status           TEXT NOT NULL,
	template_id      TEXT NOT NULL,
	template_name    TEXT NOT NULL,
	template_version BIGINT NOT NULL,
	language         TEXT NOT NULL,
	reference        TEXT NOT NULL,
	client           TEXT NOT NULL,
	recipient        TEXT NOT NULL,
	title            TEXT NOT NULL,
	body             TEXT NOT NULL,
	unsubscribe      TEXT NOT NULL,
	attachments      INTEGER NOT NULL,
	attempts         INTEGER NOT NULL,
	holder           TEXT NOT NULL,
	created_at       BIGINT NOT NULL,
	sent_at          BIGINT,
	completed_at     BIGINT,
	read_at          BIGINT,
	due_at           BIGINT,
	history          TEXT NOT NULL,
	PRIMARY KEY (tenant_id, id)
) {{partition}};
{{partitions "messages"}}
-- The queue: who is due, by tenant.
CREATE INDEX messages_due ON messages (tenant_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX messages_mailbox ON messages (tenant_id, recipient, id) WHERE channel = 'mailbox';
CREATE INDEX messages_reference ON messages (tenant_id, reference, id) WHERE reference <> '';
{{if .Postgres}}-- What a list is narrowed by; a file of SQLite holds few enough to read on.
CREATE INDEX messages_status ON messages (tenant_id, status, id);{{end}}
-- What still holds personal data, by age.
CREATE INDEX messages_content ON messages (tenant_id, channel, created_at) WHERE recipient <> '';
{{isolate "messages"}}

CREATE TABLE attachments (
	tenant_id    TEXT NOT NULL,
	message_id   TEXT NOT NULL,
	position     INTEGER NOT NULL,
	filename     TEXT NOT NULL,
	content_type TEXT NOT NULL,
	content      {{.Bytes}} NOT NULL,
	PRIMARY KEY (tenant_id, message_id, position)
) {{partition}};
{{partitions "attachments"}}
{{isolate "attachments"}}

-- Where mails land while no SMTP server is configured: one row for each message, never two.
CREATE TABLE local_mails (
	tenant_id  TEXT NOT NULL,
	message_id TEXT NOT NULL,
	recipient  TEXT NOT NULL,
	source     {{.Bytes}} NOT NULL,
	at         BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, message_id)
) {{partition}};
{{partitions "local_mails"}}
CREATE INDEX local_mails_recipient ON local_mails (tenant_id, recipient, message_id);
-- Across tenants, for the operator's list.
CREATE INDEX local_mails_newest ON local_mails (message_id);
{{isolate "local_mails"}}

-- A tenant's own texts. Versions are only added.
CREATE TABLE templates (
	tenant_id    TEXT NOT NULL,
	name         TEXT NOT NULL,
	language     TEXT NOT NULL,
	version      BIGINT NOT NULL,
	id           TEXT NOT NULL,
	subject      TEXT NOT NULL,
	body         TEXT NOT NULL,
	placeholders TEXT NOT NULL,
	created_by   TEXT NOT NULL,
	created_at   BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, name, language, version)
);
CREATE UNIQUE INDEX templates_id ON templates (tenant_id, id, version);
{{isolate "templates"}}

-- Secrets of API keys, sealed: to check an HS256 signature takes the secret itself.
CREATE TABLE api_keys (
	tenant_id  TEXT NOT NULL,
	id         TEXT NOT NULL,
	name       TEXT NOT NULL,
	sealed     {{.Bytes}} NOT NULL,
	created_by TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	revoked_at BIGINT,
	PRIMARY KEY (tenant_id, id)
);
{{isolate "api_keys"}}
-- +goose Down
DROP TABLE api_keys;
DROP TABLE templates;
DROP TABLE local_mails;
DROP TABLE attachments;
DROP TABLE messages;
