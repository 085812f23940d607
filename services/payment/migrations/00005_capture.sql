-- +goose Up
-- Money that is held, and whether it was asked to be taken. The attempt is open meanwhile.
ALTER TABLE attempts ADD COLUMN authorised_at BIGINT;
ALTER TABLE attempts ADD COLUMN capture_asked_at BIGINT;
-- +goose Down
ALTER TABLE attempts DROP COLUMN capture_asked_at;
ALTER TABLE attempts DROP COLUMN authorised_at;
