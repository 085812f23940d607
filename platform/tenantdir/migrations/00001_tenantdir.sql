-- +goose Up
CREATE TABLE tenant_directory (
	tenant_id TEXT PRIMARY KEY,
	slug      TEXT NOT NULL,
	entry     TEXT NOT NULL,
	version   BIGINT NOT NULL,
	erased    BOOLEAN NOT NULL -- its slug and keys may belong to another one now
);
CREATE INDEX tenant_directory_slug ON tenant_directory (slug, tenant_id);
{{isolate "tenant_directory"}}

CREATE TABLE tenant_directory_keys (
	tenant_id TEXT NOT NULL,
	key       TEXT NOT NULL,
	PRIMARY KEY (tenant_id, key)
);
CREATE INDEX tenant_directory_key ON tenant_directory_keys (key);
{{isolate "tenant_directory_keys"}}

-- Which clients of the operator may act for which tenants.
CREATE TABLE tenant_grants (
	client_id TEXT PRIMARY KEY,
	grants    TEXT NOT NULL,
	version   BIGINT NOT NULL
);
-- +goose Down
DROP TABLE tenant_grants;
DROP TABLE tenant_directory_keys;
DROP TABLE tenant_directory;
