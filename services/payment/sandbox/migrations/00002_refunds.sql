-- +goose Up
-- Money that the sandbox gave back, or refused to.
CREATE TABLE sandbox_refunds (
	tenant_id  TEXT NOT NULL,
	refund_id  TEXT NOT NULL, -- the payment service's: the idempotency key
	id         TEXT NOT NULL,
	session_id TEXT NOT NULL,
	amount     BIGINT NOT NULL,
	state      TEXT NOT NULL,
	reason     TEXT NOT NULL,
	PRIMARY KEY (tenant_id, refund_id)
) {{partition}};
{{partitions "sandbox_refunds"}}
CREATE INDEX sandbox_refunds_session ON sandbox_refunds (tenant_id, session_id);
CREATE INDEX sandbox_refunds_id ON sandbox_refunds (id);
{{isolate "sandbox_refunds"}}
-- +goose Down
DROP TABLE sandbox_refunds;
