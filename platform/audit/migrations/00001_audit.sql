-- +goose Up
-- The last link of each tenant's chain. Its row is locked while a link is added.
CREATE TABLE audit_head (
	tenant_id TEXT PRIMARY KEY,
	seq       BIGINT NOT NULL,
	hash      {{.Bytes}} NOT NULL
);
{{isolate "audit_head"}}

CREATE TABLE audit_log (
	tenant_id TEXT NOT NULL,
	seq       BIGINT NOT NULL,
	at        BIGINT NOT NULL,
	actor     TEXT NOT NULL,
	action    TEXT NOT NULL,
	object    TEXT NOT NULL,
	detail    TEXT NOT NULL,
	prev_hash {{.Bytes}} NOT NULL,
	hash      {{.Bytes}} NOT NULL,
	PRIMARY KEY (tenant_id, seq)
) {{partition}};
{{partitions "audit_log"}}
CREATE INDEX audit_log_object ON audit_log (tenant_id, object, seq);
{{isolate "audit_log"}}

-- Rows are added at the end of the chain and never changed. Only the role that owns the
-- tables may delete: that is how a tenant is erased. SQLite has no roles; there erasing
-- drops the triggers first.
{{if .Postgres}}
-- +goose StatementBegin
CREATE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' AND current_user = (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID) THEN
		RETURN OLD;
	END IF;
	RAISE EXCEPTION '% is append-only', TG_ARGV[0];
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION audit_next() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT 1 FROM audit_head WHERE tenant_id = NEW.tenant_id AND seq + 1 = NEW.seq AND hash = NEW.prev_hash) THEN
		RETURN NEW;
	END IF;
	RAISE EXCEPTION 'audit_log: this is not the next link of the chain';
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION audit_advance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT 1 FROM audit_log WHERE tenant_id = NEW.tenant_id AND seq = NEW.seq AND hash = NEW.hash)
		AND OLD.seq + 1 = NEW.seq AND OLD.tenant_id = NEW.tenant_id THEN
		RETURN NEW;
	END IF;
	RAISE EXCEPTION 'audit_head: it follows the last link of the chain';
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_log_keep BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_keep('audit_log');
CREATE TRIGGER audit_log_next BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_next();
CREATE TRIGGER audit_head_keep BEFORE DELETE ON audit_head FOR EACH ROW EXECUTE FUNCTION audit_keep('audit_head');
CREATE TRIGGER audit_head_advance BEFORE UPDATE ON audit_head FOR EACH ROW EXECUTE FUNCTION audit_advance();
{{else}}
-- +goose StatementBegin
CREATE TRIGGER audit_log_keep BEFORE UPDATE ON audit_log
BEGIN
	SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_keep_all BEFORE DELETE ON audit_log
BEGIN
	SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_next BEFORE INSERT ON audit_log
WHEN NOT EXISTS (SELECT 1 FROM audit_head WHERE tenant_id = NEW.tenant_id AND seq + 1 = NEW.seq AND hash = NEW.prev_hash)
BEGIN
	SELECT RAISE(ABORT, 'audit_log: this is not the next link of the chain');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_head_keep BEFORE DELETE ON audit_head
BEGIN
	SELECT RAISE(ABORT, 'audit_head is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_head_advance BEFORE UPDATE ON audit_head
WHEN OLD.seq + 1 <> NEW.seq OR OLD.tenant_id <> NEW.tenant_id
	OR NOT EXISTS (SELECT 1 FROM audit_log WHERE tenant_id = NEW.tenant_id AND seq = NEW.seq AND hash = NEW.hash)
BEGIN
	SELECT RAISE(ABORT, 'audit_head: it follows the last link of the chain');
END;
-- +goose StatementEnd
-- REPLACE deletes without asking the triggers on DELETE.
-- +goose StatementBegin
CREATE TRIGGER audit_head_once BEFORE INSERT ON audit_head
WHEN NEW.seq <> 0 OR EXISTS (SELECT 1 FROM audit_head WHERE tenant_id = NEW.tenant_id)
BEGIN
	SELECT RAISE(ABORT, 'audit_head: a tenant has one chain');
END;
-- +goose StatementEnd
{{end}}
-- +goose Down
DROP TABLE audit_log;
DROP TABLE audit_head;
{{if .Postgres}}
DROP FUNCTION audit_keep;
DROP FUNCTION audit_next;
DROP FUNCTION audit_advance;
{{end}}
