-- +goose Up
CREATE TABLE tenant_directory_hosts (
	tenant_id TEXT NOT NULL,
	host      TEXT NOT NULL,
	PRIMARY KEY (tenant_id, host)
);
CREATE INDEX tenant_directory_host ON tenant_directory_hosts (host);
{{isolate "tenant_directory_hosts"}}

-- What is known already.
{{if .Postgres}}
SELECT set_config('app.tenant', '*', true);
INSERT INTO tenant_directory_hosts (tenant_id, host)
	SELECT DISTINCT d.tenant_id, h.host FROM tenant_directory d
	CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(d.entry::jsonb->'hosts') WHEN 'array' THEN d.entry::jsonb->'hosts' ELSE '[]' END) AS h (host)
	WHERE NOT d.erased;
{{else}}
INSERT INTO tenant_directory_hosts (tenant_id, host)
	SELECT DISTINCT d.tenant_id, h.value FROM tenant_directory d, json_each(d.entry, '$.hosts') h
	WHERE NOT d.erased AND h.value IS NOT NULL;
{{end}}
-- +goose Down
DROP TABLE tenant_directory_hosts;
