-- +goose Up
-- For the list of those that the municipality has to answer, which are few among many.
CREATE INDEX disputes_state ON disputes (tenant_id, state, created_at, provider, id);
-- +goose Down
DROP INDEX disputes_state;
