-- +goose Up
-- What the tenants use, each counter spread over a few rows: see addUsage. The table usage holds
-- what the release before counted, and is only read.
CREATE TABLE usage_slots (
	tenant_id TEXT NOT NULL,
	month     TEXT NOT NULL, -- YYYY-MM in Europe/Berlin
	counter   TEXT NOT NULL,
	slot      INTEGER NOT NULL,
	n         BIGINT NOT NULL,
	amount    BIGINT NOT NULL, -- cents
	PRIMARY KEY (tenant_id, month, counter, slot)
) {{partition}};
{{partitions "usage_slots"}}
{{isolate "usage_slots"}}
-- +goose Down
DROP TABLE usage_slots;
