-- +goose Up
-- The few that wait for a second person.
CREATE INDEX refunds_waiting ON refunds (tenant_id, id) WHERE state = 'WAITING';
-- +goose Down
DROP INDEX refunds_waiting;
