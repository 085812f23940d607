-- +goose Up
-- When this database was brought back from a backup, and when its service had acted on it.
CREATE TABLE restored (
	at      BIGINT PRIMARY KEY,
	done_at BIGINT
);
-- +goose Down
DROP TABLE restored;
