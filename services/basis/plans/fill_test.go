package main

import (
	"fmt"
	"strings"

	"basisdienste/platform/id"
)

// table is filled with n rows. Columns that columns does not name get an empty value of their
// type. In the expressions, n counts from 1, of is a tenant's id, and from's columns are there
// if it is set ("transactions t").
type table struct {
	schema, name, from string
	rows               int
	columns            map[string]string
}

const (
	day  = "86400000000::bigint"
	now  = "(extract(epoch from now()) * 1000000)::bigint"
	past = "(" + now + " - (n % 300 + 1) * " + day + ")" // up to 300 days ago
	soon = "(" + now + " + " + day + ")"
	// uid is a UUID that begins with a time, as ours do, from the year 2023 on.
	uid = `(lpad(to_hex(1700000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3) || 'a' || substr(md5(n::text || 'x'), 1, 15))::uuid::text`
	// few is true for one row in 2,000, and then of the great tenant, which is known.
	few = "n % 2000 = 0"
)

// tables are those that grow with use. What jobs would change, open or expired things, are few,
// as they are where the jobs run.
func tables() []table {
	return []table{
		{"payment", "transactions", "", 150_000, map[string]string{
			"id": uid, "originator_id": "'efa'", "authority": "'160510000'", "request_id": "'r-' || n", "amount": "100", "items": "'[]'", "kassenzeichen": "'k-' || n",
			"state": "CASE WHEN " + few + " THEN 'INITIAL' WHEN n % 50 = 7 THEN 'FAILED' ELSE 'PAYED' END", "method": "CASE WHEN " + few + " OR n % 50 = 7 THEN '' ELSE 'CREDITCARD' END",
			"created_at": past, "expires_at": soon, "ended_at": "CASE WHEN " + few + " THEN NULL::bigint ELSE " + past + " END",
		}},
		{"payment", "attempts", "transactions t", 24_000, map[string]string{
			"tenant_id": "t.tenant_id", "id": uid, "transaction_id": "t.id", "state": "CASE WHEN t.state = 'INITIAL' THEN 'open' ELSE 'paid' END",
			"created_at": past, "check_at": soon, "expires_at": soon, "ended_at": "t.ended_at",
		}},
		{"payment", "history", "transactions t", 24_000, map[string]string{"tenant_id": "t.tenant_id", "transaction_id": "t.id", "id": uid, "at": past}},
		{"payment", "ledger", "transactions t", 24_000, map[string]string{
			"tenant_id": "t.tenant_id", "transaction_id": "t.id", "kind": "'claim'", "debit": "'claims'", "credit": "'revenue/1'", "amount": "100", "at": past,
		}},
		{"payment", "refunds", "attempts t", 16_000, map[string]string{
			"tenant_id": "t.tenant_id", "id": uid, "transaction_id": "t.transaction_id", "attempt_id": "t.id", "amount": "1",
			"state": "CASE WHEN " + few + " THEN 'SUBMITTED' ELSE 'SUCCEEDED' END", "created_at": past, "check_at": soon, "ended_at": "CASE WHEN " + few + " THEN NULL::bigint ELSE " + past + " END",
		}},
		{"payment", "sandbox_sessions", "transactions t", 16_000, map[string]string{
			"tenant_id": "t.tenant_id", "id": "'sbx_' || n", "attempt_id": uid, "transaction_id": "t.id", "state": "'paid'", "settles_at": "NULL::bigint",
		}},
		{"payment", "treasury_statements", "", 16_000, map[string]string{
			"id": uid, "kind": "'camt.053'", "iban": "'DE02'", "statement_id": "'s-' || n", "state": "CASE WHEN " + few + " THEN 'matching' ELSE 'done' END", "imported_at": past,
			"opening": "NULL::bigint", "closing": "NULL::bigint",
		}},
		{"payment", "treasury_entries", "treasury_statements t", 16_000, map[string]string{
			"tenant_id": "t.tenant_id", "statement": "t.id", "n": "n", "amount": "100", "credit": "true", "outcome": "CASE WHEN n % 100 = 3 THEN 'unknown' ELSE 'matched' END", "transaction_id": uid,
		}},
		{"payment", "treasury_closings", "", 16_000, map[string]string{"day": "(date '1990-01-01' + n::int)::text", "number": "n", "body": "'{}'", "made_at": past}},
		{"payment", "settlements", "", 16_000, map[string]string{
			"provider": "'stripe'", "id": "'po_' || n", "amount": "100", "currency": "'EUR'", "state": "'paid'", "complete": "true", "arrives_at": past, "created_at": past,
			"check_at": "CASE WHEN " + few + " THEN " + soon + " END",
		}},
		{"payment", "settlement_lines", "settlements t", 16_000, map[string]string{
			"tenant_id": "t.tenant_id", "provider": "t.provider", "settlement_id": "t.id", "n": "1", "id": "'txn_' || n", "kind": "'payment'", "transaction_id": uid, "amount": "100", "net": "100", "at": past,
		}},
		{"payment", "disputes", "", 16_000, map[string]string{
			"provider": "'stripe'", "id": "'du_' || n", "transaction_id": uid, "currency": "'EUR'", "state": "CASE WHEN n % 100 = 3 THEN 'needs_response' ELSE 'lost' END", "created_at": past, "read_at": past,
		}},
		// A few events and requests are old enough to be deleted, and a few wait.
		{"payment", "stripe_events", "", 16_000, map[string]string{
			"id": "'evt_' || n", "about": "'transaction'", "received_at": "CASE WHEN n % 20 = 0 THEN " + past + " - 90 * " + day + " ELSE " + now + " END", "due_at": "CASE WHEN " + few + " THEN " + soon + " END",
		}},
		{"payment", "payment_requests", "transactions t", 16_000, map[string]string{
			"tenant_id": "t.tenant_id", "transaction_id": "t.id", "language": "'de'", "days": "'[]'", "due_at": past, "created_at": past, "ended_at": past,
			"purge_at": "CASE WHEN n % 20 = 0 THEN " + past + " ELSE " + soon + " END",
		}},
		{"payment", "payment_reminders", "transactions t", 16_000, map[string]string{
			"tenant_id": "t.tenant_id", "transaction_id": "t.id", "id": uid, "state": "CASE WHEN " + few + " THEN 'WAITING' ELSE 'SENT' END", "tried_at": past, "check_at": soon,
			"sent_at": "CASE WHEN " + few + " THEN NULL::bigint ELSE " + past + " END",
		}},
		{"payment", "webhooks_deliveries", "", 24_000, map[string]string{
			"endpoint_id": "'e-' || n % 3", "id": uid, "type": "'payment.transaction.payed.v1'", "data": "'{}'", "tries": "'[]'", "at": past, "ended_at": "CASE WHEN " + few + " THEN NULL::bigint ELSE " + past + " END",
			"state": "CASE WHEN " + few + " THEN 'pending' WHEN n % 100 = 3 THEN 'failed' ELSE 'delivered' END", "due_at": "CASE WHEN " + few + " THEN " + soon + " END",
			"created_at": "CASE WHEN n % 20 = 0 THEN " + past + " - 30 * " + day + " ELSE " + now + " - n END",
		}},
		{"payment", "idempotency", "", 16_000, map[string]string{"actor": "'client:efa'", "operation": "'POST /x'", "key": "'k-' || n", "at": now}},
		{"payment", "audit_log", "", 16_000, map[string]string{"seq": "1000000 + n", "object": "'payment:' || n", "at": past}},
		// A few of them are old enough to be purged, more than one chunk.
		{"payment", "outbox", "", 100_000, map[string]string{
			"id": uid, "type": "'payment.transaction.payed.v1'", "subject": "'t-' || n", "holder": "'gone'", "payload": "'{}'",
			"at": now, "sent_at": "CASE WHEN n % 20 = 0 THEN " + past + " - n ELSE " + now + " - 3600000000 END",
		}},
		{"payment", "inbox", "", 100_000, map[string]string{"consumer": "'c'", "id": uid, "at": "CASE WHEN n % 20 = 0 THEN " + past + " - 8 * " + day + " - n ELSE " + now + " END"}},
		{"forms", "applications", "", 150_000, map[string]string{
			"id": uid, "form": "'hundesteuer'", "form_version": "1", "state": "CASE WHEN " + few + " THEN 'draft' WHEN n % 100 = 3 THEN 'rejected' ELSE 'accepted' END", "subject": "'citizen-' || n % 5000",
			"reference": "'F-' || n", "created_at": past, "edited_at": "CASE WHEN " + few + " THEN " + now + " ELSE " + past + " END", "submitted_at": "CASE WHEN " + few + " THEN NULL::bigint ELSE " + past + " END",
			"paid_at": "NULL::bigint", "decided_at": past, "answers": "'{}'", "contact": "'{}'", "taken_over": "'{}'",
		}},
		{"forms", "application_events", "applications t", 24_000, map[string]string{"tenant_id": "t.tenant_id", "application_id": "t.id", "id": uid, "kind": "'submitted'", "at": past}},
		{"forms", "files", "applications t", 24_000, map[string]string{"tenant_id": "t.tenant_id", "application_id": "t.id", "id": uid, "owner": "t.subject", "at": past}},
		{"forms", "payments", "applications t", 24_000, map[string]string{
			"tenant_id": "t.tenant_id", "application_id": "t.id", "request_id": "t.id || '-1'", "attempt": "1", "state": "'payed'", "mailed_at": past, "next_try_at": past, "at": past,
		}},
		{"notify", "messages", "", 150_000, map[string]string{
			"id": uid, "channel": "CASE WHEN n % 3 = 0 THEN 'mailbox' ELSE 'email' END", "status": "CASE WHEN n % 100 = 3 THEN 'permanent-failure' ELSE 'delivered' END",
			"template_name": "'receipt'", "reference": "'F-' || n", "client": "'service:forms'", "recipient": "'citizen-' || n % 5000", "history": "'[]'",
			"created_at": now + " - n", "sent_at": past, "completed_at": past, "read_at": "NULL::bigint", "due_at": "CASE WHEN " + few + " THEN " + soon + " END",
		}},
		{"notify", "attachments", "messages t", 16_000, map[string]string{"tenant_id": "t.tenant_id", "message_id": "t.id", "position": "0"}},
		{"booking", "appointments", "", 150_000, map[string]string{
			"id": uid, "state": "CASE WHEN " + few + " THEN 'held' ELSE 'confirmed' END", "office_id": "'office-' || n % 5", "resource_id": "'desk-' || n % 7", "service_id": "'passport'",
			"starts_at": now + " - (n % 25) * " + day, "ends_at": now + " - (n % 25) * " + day + " + 900000000", "free_at": now + " - (n % 25) * " + day + " + 900000000",
			"email": "'citizen-' || n % 5000 || '@example.org'", "created_at": past, "expires_at": soon, "confirmed_at": past, "ended_at": "NULL::bigint", "language": "'de'",
		}},
		{"booking", "grains", "appointments t", 24_000, map[string]string{
			"tenant_id": "t.tenant_id", "appointment_id": "t.id", "office_id": "t.office_id", "resource_id": "t.resource_id", "grain": "n",
		}},
		{"booking", "days", "", 16_000, map[string]string{"office_id": "'office-' || n % 5", "day": now + " / " + day + " - 30 + n"}},
		{"tenants", "usage", "", 16_000, map[string]string{"month": "2000 + n % 50 || '-01'", "counter": "'c-' || n"}},
		{"tenants", "usage_slots", "", 16_000, map[string]string{"month": "2000 + n % 50 || '-01'", "counter": "'c-' || n"}},
		{"auth", "sessions", "", 24_000, map[string]string{"id": uid, "cookie": "'c-' || n", "kind": "'citizen'", "subject": "'citizen-' || n % 5000", "expires_at": soon}},
		{"auth", "codes", "sessions t", 16_000, map[string]string{"tenant_id": "t.tenant_id", "code": "'c-' || n", "session_id": "t.id", "request": "'{}'", "expires_at": soon, "keep_until": soon, "jti": "'j-' || n"}},
		{"auth", "revoked_tokens", "", 16_000, map[string]string{"jti": "'j-' || n", "expires_at": soon}},
		{"auth", "used_assertions", "", 16_000, map[string]string{"client_id": "'efa'", "jti": "'j-' || n", "expires_at": soon}},
		{"auth", "auth_requests", "", 16_000, map[string]string{"id": uid, "request": "'{}'", "expires_at": soon}},
	}
}

// fill is the SQL that a superuser runs: two rows of five, and those that jobs look at, belong
// to the great tenant; the others to 1,000 more. share 1 makes a million rows.
func fill(prefix string, great id.ID, share int) string {
	var b strings.Builder
	// Row triggers rest: the links of audit chains are made up here.
	b.WriteString(`SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '128MB';
		CREATE TEMPORARY TABLE others AS SELECT k, gen_random_uuid()::text AS tenant FROM generate_series(0, 999) AS k;
		CREATE FUNCTION pg_temp.make(schema_name text, table_name text, source text, rows bigint, given jsonb) RETURNS void LANGUAGE plpgsql AS $$
		DECLARE names text; vals text;
		BEGIN
			SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position),
				string_agg(COALESCE(given ->> column_name, CASE data_type WHEN 'text' THEN '''''' WHEN 'boolean' THEN 'false' WHEN 'bytea' THEN '''\x00''::bytea' ELSE '0' END), ', ' ORDER BY ordinal_position)
			INTO names, vals FROM information_schema.columns c
			WHERE c.table_schema = schema_name AND c.table_name = make.table_name AND is_identity = 'NO';
			IF source <> '' THEN
				source := format('(SELECT row_number() OVER () AS n, s.* FROM (SELECT * FROM %I.%s LIMIT %s) AS s) AS t', schema_name, split_part(source, ' ', 1), rows);
			ELSE
				source := format('(SELECT n, CASE WHEN n %% 5 < 2 THEN given.great ELSE o.tenant END AS tenant_of FROM generate_series(1, %s) AS n JOIN others o ON o.k = n %% 1000, (SELECT %L::text AS great) AS given) AS t', rows, given ->> 'great');
			END IF;
			EXECUTE format('INSERT INTO %I.%I (%s) SELECT %s FROM %s', schema_name, table_name, names, vals, source);
		END $$;
`)
	for _, t := range tables() {
		given := map[string]string{"great": great.String(), "tenant_id": "tenant_of"}
		for k, v := range t.columns {
			given[k] = v
		}
		fmt.Fprintf(&b, "SELECT pg_temp.make(%s, %s, %s, %d, %s);\n", literal(prefix+t.schema), literal(t.name), literal(t.from), t.rows/share, literal(jsonText(given)))
	}
	b.WriteString("ANALYZE;\n")
	return b.String()
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
