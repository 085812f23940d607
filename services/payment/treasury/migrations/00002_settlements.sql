-- +goose Up
-- The settlement that a movement is the money of, as provider/id; empty: of none.
ALTER TABLE treasury_entries ADD COLUMN settlement TEXT NOT NULL DEFAULT '';
-- +goose Down
ALTER TABLE treasury_entries DROP COLUMN settlement;
