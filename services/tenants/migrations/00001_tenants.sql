-- +goose Up
-- Who is there. settings and limits are what the tenant has of its own, laid over the
-- catalogue (JSON merge patches, RFC 7396).
CREATE TABLE tenants (
	tenant_id          TEXT PRIMARY KEY,
	slug               TEXT NOT NULL UNIQUE,
	name               TEXT NOT NULL,
	kind               TEXT NOT NULL,
	status             TEXT NOT NULL,
	imported_name      TEXT NOT NULL,
	settings           TEXT NOT NULL,
	limits             TEXT NOT NULL,
	search             TEXT NOT NULL,
	version            BIGINT NOT NULL,
	catalogue_revision BIGINT NOT NULL,
	created_at         BIGINT NOT NULL,
	changed_at         BIGINT NOT NULL
);
{{isolate "tenants"}}

-- Regional keys. A key has one tenant. area is the first nine digits of an ARS, which name
-- the administration, and empty for an AGS.
CREATE TABLE tenant_keys (
	tenant_id TEXT NOT NULL,
	key       TEXT NOT NULL UNIQUE,
	area      TEXT NOT NULL,
	name      TEXT NOT NULL,
	PRIMARY KEY (tenant_id, key)
);
CREATE INDEX tenant_keys_area ON tenant_keys (area) WHERE area <> '';
{{isolate "tenant_keys"}}

CREATE TABLE tenant_hosts (
	tenant_id TEXT NOT NULL,
	host      TEXT NOT NULL UNIQUE,
	PRIMARY KEY (tenant_id, host)
);
{{isolate "tenant_hosts"}}

-- The operator's defaults, which every tenant's transaction reads. "" holds the limits.
CREATE TABLE catalogue (
	service    TEXT PRIMARY KEY,
	document   TEXT NOT NULL,
	changed_at BIGINT NOT NULL
);

-- One row, which orders changes: of tenants among each other and against the catalogue.
-- revision counts the catalogue's changes; told is the revision that every tenant's
-- snapshot holds.
CREATE TABLE registry (
	id       INTEGER PRIMARY KEY CHECK (id = 1),
	revision BIGINT NOT NULL,
	told     BIGINT NOT NULL
);
INSERT INTO registry (id, revision, told) VALUES (1, 0, 0);

CREATE TABLE usage (
	tenant_id TEXT NOT NULL,
	month     TEXT NOT NULL, -- YYYY-MM in Europe/Berlin
	counter   TEXT NOT NULL,
	n         BIGINT NOT NULL,
	amount    BIGINT NOT NULL, -- cents
	PRIMARY KEY (tenant_id, month, counter)
) {{partition}};
{{partitions "usage"}}
{{isolate "usage"}}
-- +goose Down
DROP TABLE usage;
DROP TABLE registry;
DROP TABLE catalogue;
DROP TABLE tenant_hosts;
DROP TABLE tenant_keys;
DROP TABLE tenants;
