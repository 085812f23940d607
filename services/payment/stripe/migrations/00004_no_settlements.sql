-- +goose Up
-- Payouts and disputes are the core's (package settlement). No release has read these tables.
DROP TABLE stripe_payout_lines;
DROP TABLE stripe_payouts;
DROP TABLE stripe_disputes;
-- +goose Down
-- What Stripe said of disputes and payouts, as it stood when it was read last. Amounts are cents.
CREATE TABLE stripe_disputes (
	tenant_id      TEXT NOT NULL,
	id             TEXT NOT NULL, -- Stripe's
	transaction_id TEXT NOT NULL, -- empty: not one of ours
	charge         TEXT NOT NULL,
	amount         BIGINT NOT NULL,
	net            BIGINT NOT NULL, -- what it did to the balance so far, fees included: below zero is taken
	fee            BIGINT NOT NULL,
	currency       TEXT NOT NULL,
	status         TEXT NOT NULL,
	reason         TEXT NOT NULL,
	created_at     BIGINT NOT NULL,
	read_at        BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, id)
);
CREATE INDEX stripe_disputes_created ON stripe_disputes (tenant_id, created_at);
{{isolate "stripe_disputes"}}

CREATE TABLE stripe_payouts (
	tenant_id  TEXT NOT NULL,
	id         TEXT NOT NULL, -- Stripe's
	amount     BIGINT NOT NULL,
	currency   TEXT NOT NULL,
	status     TEXT NOT NULL,
	arrives_at BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	complete   BOOLEAN NOT NULL, -- its lines are here, and they sum up to it
	read_at    BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, id)
);
CREATE INDEX stripe_payouts_arrives ON stripe_payouts (tenant_id, arrives_at);
{{isolate "stripe_payouts"}}

-- The balance transactions of a payout: charges, refunds, disputes, fees.
CREATE TABLE stripe_payout_lines (
	tenant_id      TEXT NOT NULL,
	payout_id      TEXT NOT NULL,
	id             TEXT NOT NULL, -- Stripe's, of the balance transaction
	kind           TEXT NOT NULL,
	source         TEXT NOT NULL,
	transaction_id TEXT NOT NULL, -- empty: of none of ours
	amount         BIGINT NOT NULL,
	fee            BIGINT NOT NULL,
	net            BIGINT NOT NULL,
	created_at     BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, payout_id, id)
) {{partition}};
{{partitions "stripe_payout_lines"}}
{{isolate "stripe_payout_lines"}}
