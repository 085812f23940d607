-- +goose Up
-- The connected account that was made for a municipality. One in its settings goes before it.
CREATE TABLE stripe_accounts (
	tenant_id TEXT NOT NULL,
	account   TEXT NOT NULL,
	made_at   BIGINT NOT NULL,
	PRIMARY KEY (tenant_id)
);
-- Across tenants: an event names the account alone.
CREATE UNIQUE INDEX stripe_accounts_account ON stripe_accounts (account);
{{isolate "stripe_accounts"}}
-- +goose Down
DROP TABLE stripe_accounts;
