-- +goose Up
-- Money that goes back to payers.
CREATE TABLE refunds (
	tenant_id      TEXT NOT NULL,
	id             TEXT NOT NULL,
	transaction_id TEXT NOT NULL,
	attempt_id     TEXT NOT NULL,
	amount         BIGINT NOT NULL CHECK (amount > 0),
	note           TEXT NOT NULL,
	state          TEXT NOT NULL CHECK (state IN ('WAITING', 'SUBMITTED', 'SUCCEEDED', 'FAILED', 'REJECTED')),
	reason         TEXT NOT NULL,
	requested_by   TEXT NOT NULL,
	decided_by     TEXT NOT NULL,
	provider_id    TEXT NOT NULL,
	created_at     BIGINT NOT NULL,
	ended_at       BIGINT,
	check_at       BIGINT NOT NULL,
	checks         INTEGER NOT NULL,
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, attempt_id) REFERENCES attempts (tenant_id, id),
	CHECK ((state IN ('WAITING', 'SUBMITTED')) = (ended_at IS NULL))
) {{partition}};
{{partitions "refunds"}}
CREATE INDEX refunds_of ON refunds (tenant_id, transaction_id, id);
-- Across tenants, for telling the providers and asking them.
CREATE INDEX refunds_due ON refunds (check_at) WHERE state = 'SUBMITTED';
{{isolate "refunds"}}
-- +goose Down
DROP TABLE refunds;
