-- +goose Up
ALTER TABLE sandbox_sessions ADD COLUMN hold BOOLEAN NOT NULL DEFAULT FALSE; -- the money is held until it is captured
ALTER TABLE sandbox_sessions ADD COLUMN shaky BOOLEAN NOT NULL DEFAULT FALSE; -- refunds of it succeed and come back
ALTER TABLE sandbox_refunds ADD COLUMN settles_at BIGINT; -- when it succeeds, or fails if there is a reason
-- Across tenants, for settling.
CREATE INDEX sandbox_refunds_settle ON sandbox_refunds (settles_at) WHERE settles_at IS NOT NULL;
-- +goose Down
DROP INDEX sandbox_refunds_settle;
ALTER TABLE sandbox_refunds DROP COLUMN settles_at;
ALTER TABLE sandbox_sessions DROP COLUMN shaky;
ALTER TABLE sandbox_sessions DROP COLUMN hold;
