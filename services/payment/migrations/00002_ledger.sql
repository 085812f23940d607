-- +goose Up
-- The books: see package ledger. Claims that a release before made are booked when they end.
CREATE TABLE ledger (
	tenant_id      TEXT NOT NULL,
	transaction_id TEXT NOT NULL,
	kind           TEXT NOT NULL,
	reference      TEXT NOT NULL,
	n              INTEGER NOT NULL,
	debit          TEXT NOT NULL,
	credit         TEXT NOT NULL,
	amount         BIGINT NOT NULL CHECK (amount > 0),
	at             BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, transaction_id, kind, reference, n),
	CHECK (debit <> credit)
) {{partition}};
{{partitions "ledger"}}
CREATE INDEX ledger_at ON ledger (tenant_id, at);
{{isolate "ledger"}}

-- Rows are added and never changed. Deleting is how a tenant is erased.
{{if .Postgres}}
-- +goose StatementBegin
CREATE FUNCTION ledger_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' AND current_user = (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID) THEN
		RETURN OLD;
	END IF;
	RAISE EXCEPTION 'the ledger is append-only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_keep BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION ledger_keep();
{{else}}
-- +goose StatementBegin
CREATE TRIGGER ledger_keep_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_keep_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
-- +goose StatementEnd
{{end}}
-- +goose Down
DROP TABLE ledger;
{{if .Postgres}}DROP FUNCTION ledger_keep();{{end}}
