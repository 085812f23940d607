-- +goose Up
-- What providers paid out to the municipality's bank: see package settlement. Amounts are cents.
CREATE TABLE settlements (
	tenant_id   TEXT NOT NULL,
	provider    TEXT NOT NULL,
	id          TEXT NOT NULL, -- the provider's
	amount      BIGINT NOT NULL, -- what goes to the bank; below zero it is taken from there
	currency    TEXT NOT NULL,
	state       TEXT NOT NULL CHECK (state IN ('pending', 'paid', 'failed')),
	complete    BOOLEAN NOT NULL, -- its lines are here, and sum up to it
	arrives_at  BIGINT NOT NULL,
	created_at  BIGINT NOT NULL,
	check_at    BIGINT, -- when the provider is asked next; NULL: never again
	arrived_in  TEXT NOT NULL, -- the bank statement that tells of it; empty: none yet
	arrived_as  BIGINT NOT NULL, -- the number of the movement there
	PRIMARY KEY (tenant_id, provider, id)
);
CREATE INDEX settlements_created ON settlements (tenant_id, created_at, provider, id);
-- A bank statement names the id alone.
CREATE INDEX settlements_id ON settlements (tenant_id, id);
-- Across tenants, for asking the providers.
CREATE INDEX settlements_check ON settlements (check_at) WHERE check_at IS NOT NULL;
{{isolate "settlements"}}

CREATE TABLE settlement_lines (
	tenant_id      TEXT NOT NULL,
	provider       TEXT NOT NULL,
	settlement_id  TEXT NOT NULL,
	n              BIGINT NOT NULL, -- in the order of time
	id             TEXT NOT NULL, -- the provider's
	kind           TEXT NOT NULL,
	source         TEXT NOT NULL, -- the provider's id of the payment, refund or dispute
	transaction_id TEXT NOT NULL, -- empty: of none of ours
	amount         BIGINT NOT NULL,
	fee            BIGINT NOT NULL,
	net            BIGINT NOT NULL,
	at             BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, provider, settlement_id, n),
	CHECK (net = amount - fee)
) {{partition}};
{{partitions "settlement_lines"}}
{{isolate "settlement_lines"}}

CREATE TABLE disputes (
	tenant_id      TEXT NOT NULL,
	provider       TEXT NOT NULL,
	id             TEXT NOT NULL, -- the provider's
	transaction_id TEXT NOT NULL, -- empty: of none of ours
	amount         BIGINT NOT NULL, -- what the payer's bank wants back
	taken          BIGINT NOT NULL, -- what the provider has taken so far and not given back, without fees
	fee            BIGINT NOT NULL,
	currency       TEXT NOT NULL,
	reason         TEXT NOT NULL,
	state          TEXT NOT NULL CHECK (state IN ('warning', 'closed', 'needs_response', 'under_review', 'won', 'lost')),
	created_at     BIGINT NOT NULL,
	read_at        BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, provider, id)
);
CREATE INDEX disputes_created ON disputes (tenant_id, created_at, provider, id);
{{isolate "disputes"}}
-- +goose Down
DROP TABLE disputes;
DROP TABLE settlement_lines;
DROP TABLE settlements;
