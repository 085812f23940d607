-- +goose Up
-- When a municipality's account was last searched for payouts and disputes of which no event told.
CREATE TABLE stripe_looks (
	tenant_id TEXT NOT NULL,
	at        BIGINT NOT NULL,
	PRIMARY KEY (tenant_id)
);
{{isolate "stripe_looks"}}
-- +goose Down
DROP TABLE stripe_looks;
