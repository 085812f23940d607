-- +goose Up
-- Clients whose access tokens are good with a key (RFC 9449) or a certificate (RFC 8705) alone.
ALTER TABLE clients ADD COLUMN dpop_bound BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE clients ADD COLUMN certificate_bound BOOLEAN NOT NULL DEFAULT FALSE;
-- +goose Down
ALTER TABLE clients DROP COLUMN certificate_bound;
ALTER TABLE clients DROP COLUMN dpop_bound;
