-- +goose Up
-- Bank statements that were imported. One that is loading was read to its end and found right,
-- and its entries are being stored; nobody sees it before all of them are.
CREATE TABLE treasury_statements (
	tenant_id    TEXT NOT NULL,
	id           TEXT NOT NULL,
	kind         TEXT NOT NULL,
	iban         TEXT NOT NULL, -- the municipality's own account
	statement_id TEXT NOT NULL,
	sequence     BIGINT NOT NULL,
	page         BIGINT NOT NULL,
	state        TEXT NOT NULL CHECK (state IN ('loading', 'matching', 'done')),
	opening      BIGINT,
	closing      BIGINT,
	credits      BIGINT NOT NULL,
	debits       BIGINT NOT NULL,
	entries      BIGINT NOT NULL,
	moves        BIGINT NOT NULL,
	matched      BIGINT NOT NULL,
	imported_by  TEXT NOT NULL,
	imported_at  BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, id)
) {{partition}};
{{partitions "treasury_statements"}}
-- Each once.
CREATE UNIQUE INDEX treasury_statements_once ON treasury_statements (tenant_id, kind, iban, statement_id, sequence, page);
-- Across tenants, for matching what a process left behind.
CREATE INDEX treasury_statements_open ON treasury_statements (imported_at) WHERE state = 'matching';
{{isolate "treasury_statements"}}

-- Movements of a statement and what became of them. text is what the payer wrote; it is kept
-- where nothing matched, so that somebody can find out.
CREATE TABLE treasury_entries (
	tenant_id      TEXT NOT NULL,
	statement      TEXT NOT NULL,
	n              BIGINT NOT NULL,
	line           BIGINT NOT NULL,
	entry          BIGINT NOT NULL,
	part           BIGINT NOT NULL,
	amount         BIGINT NOT NULL,
	credit         BOOLEAN NOT NULL,
	booked_on      TEXT NOT NULL,
	value_on       TEXT NOT NULL,
	end_to_end     TEXT NOT NULL,
	creditor       TEXT NOT NULL,
	reference      TEXT NOT NULL,
	text           TEXT NOT NULL,
	outcome        TEXT NOT NULL,
	surplus        BOOLEAN NOT NULL,
	transaction_id TEXT NOT NULL,
	kassenzeichen  TEXT NOT NULL,
	PRIMARY KEY (tenant_id, statement, n),
	FOREIGN KEY (tenant_id, statement) REFERENCES treasury_statements (tenant_id, id)
) {{partition}};
{{partitions "treasury_entries"}}
CREATE INDEX treasury_entries_open ON treasury_entries (tenant_id, statement, n) WHERE outcome = 'open';
CREATE INDEX treasury_entries_of ON treasury_entries (tenant_id, transaction_id) WHERE transaction_id <> '';
{{isolate "treasury_entries"}}

-- Closings of days that were over when they were asked for. They never change.
CREATE TABLE treasury_closings (
	tenant_id TEXT NOT NULL,
	day       TEXT NOT NULL,
	number    BIGINT NOT NULL,
	body      TEXT NOT NULL,
	made_at   BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, day)
) {{partition}};
{{partitions "treasury_closings"}}
CREATE UNIQUE INDEX treasury_closings_number ON treasury_closings (tenant_id, number);
{{isolate "treasury_closings"}}
-- +goose Down
DROP TABLE treasury_closings;
DROP TABLE treasury_entries;
DROP TABLE treasury_statements;
