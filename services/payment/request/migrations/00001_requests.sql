-- +goose Up
-- Payers who are to be asked for their payment by mail: at most one request of a claim. The
-- address is emptied when the request ends, and the row deleted some weeks later.
CREATE TABLE payment_requests (
	tenant_id      TEXT NOT NULL,
	transaction_id TEXT NOT NULL,
	email          TEXT NOT NULL,
	language       TEXT NOT NULL,
	days           TEXT NOT NULL, -- JSON: days before the due date on which the payer is reminded
	due_at         BIGINT NOT NULL, -- what the mails say, so that they say the same when they are sent again
	created_by     TEXT NOT NULL,
	created_at     BIGINT NOT NULL,
	ended_at       BIGINT,
	purge_at       BIGINT NOT NULL, -- when the row is deleted
	PRIMARY KEY (tenant_id, transaction_id),
	CHECK (ended_at IS NULL OR email = '')
) {{partition}};
{{partitions "payment_requests"}}
-- Across tenants, for deleting.
CREATE INDEX payment_requests_purge ON payment_requests (purge_at);
{{isolate "payment_requests"}}

-- Mails of a request: the first is number 0, the reminders follow.
CREATE TABLE payment_reminders (
	tenant_id      TEXT NOT NULL,
	transaction_id TEXT NOT NULL,
	n              INTEGER NOT NULL,
	id             TEXT NOT NULL, -- by which notify knows it: the same for every try
	send_at        BIGINT NOT NULL,
	state          TEXT NOT NULL CHECK (state IN ('WAITING', 'SENT', 'FAILED', 'SKIPPED')),
	reason         TEXT NOT NULL, -- of FAILED and SKIPPED
	tries          INTEGER NOT NULL,
	tried_at       BIGINT, -- first
	check_at       BIGINT NOT NULL, -- next
	sent_at        BIGINT,
	PRIMARY KEY (tenant_id, transaction_id, n),
	CHECK ((state = 'SENT') = (sent_at IS NOT NULL))
) {{partition}};
{{partitions "payment_reminders"}}
-- Across tenants, for sending.
CREATE INDEX payment_reminders_due ON payment_reminders (check_at) WHERE state = 'WAITING';
{{isolate "payment_reminders"}}
-- +goose Down
DROP TABLE payment_reminders;
DROP TABLE payment_requests;
