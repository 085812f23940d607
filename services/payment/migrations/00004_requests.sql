-- +goose Up
-- What a municipality's own request may say beyond the standard.
ALTER TABLE transactions ADD COLUMN metadata TEXT NOT NULL DEFAULT ''; -- the caller's own facts, JSON; empty: none
ALTER TABLE transactions ADD COLUMN due_at BIGINT; -- when the payer should have paid; NULL: at once
ALTER TABLE transactions ADD COLUMN delayed BOOLEAN NOT NULL DEFAULT FALSE; -- the money is held first, and taken later
-- +goose Down
ALTER TABLE transactions DROP COLUMN delayed;
ALTER TABLE transactions DROP COLUMN due_at;
ALTER TABLE transactions DROP COLUMN metadata;
