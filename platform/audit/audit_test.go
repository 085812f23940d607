package audit_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/page"
	"basisdienste/platform/tenant"
)

func sets() []db.Set { return []db.Set{audit.Migrations()} }

func signer() page.Signer { return page.NewSigner([]byte("0123456789abcdef")) }

// record writes n entries, numbered from 1 in their details, in one transaction.
func record(t *testing.T, d *db.DB, ctx context.Context, n int) {
	t.Helper()
	err := d.Tx(ctx, func(tx *db.Tx) error {
		for i := 1; i <= n; i++ {
			if err := audit.Record(ctx, tx, "application.accepted", fmt.Sprintf("application:%d", i%2), map[string]int{"n": i}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Record of %d entries = %v, want no error", n, err)
	}
}

func list(t *testing.T, d *db.DB, ctx context.Context, q audit.Query) (page.List[audit.Entry], error) {
	t.Helper()
	var l page.List[audit.Entry]
	err := d.Read(ctx, func(tx *db.Tx) (err error) {
		l, err = audit.List(ctx, tx, signer(), q)
		return err
	})
	return l, err
}

func verify(t *testing.T, d *db.DB, ctx context.Context, want int) {
	t.Helper()
	if n, err := audit.Verify(ctx, d); n != want || err != nil {
		t.Errorf("Verify = %d, %v, want %d entries in order", n, err, want)
	}
}

func TestRecord_ListVerify(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		ctx := audit.WithActor(dbtest.Tenant(t, "erfurt"), "staff:7")
		verify(t, d, ctx, 0)
		before := time.Now().Add(-time.Minute)
		record(t, d, ctx, 3)
		if err := d.Tx(ctx, func(tx *db.Tx) error {
			return audit.Record(context.WithoutCancel(tenantOnly(ctx)), tx, "tenant.suspended", "tenant:1", nil)
		}); err != nil {
			t.Fatal(err)
		}
		verify(t, d, ctx, 4)

		first, err := list(t, d, ctx, audit.Query{Limit: 3})
		if err != nil || len(first.Items) != 3 || first.Next == "" {
			t.Fatalf("List(3 of 4) = %+v, %v, want 3 entries and a cursor", first, err)
		}
		e := first.Items[0]
		if e.Seq != 4 || e.Actor != "" || e.Action != "tenant.suspended" || e.Object != "tenant:1" || string(e.Detail) != "null" || len(e.Hash) != 64 || e.At.Before(before) {
			t.Errorf("newest entry = %+v, want the fourth, by nobody, without detail", e)
		}
		if e := first.Items[1]; e.Seq != 3 || e.Actor != "staff:7" || string(e.Detail) != `{"n":3}` {
			t.Errorf("entry before = %+v, want the third, by staff:7, with n=3", e)
		}
		rest, err := list(t, d, ctx, audit.Query{Limit: 3, Cursor: first.Next})
		if err != nil || len(rest.Items) != 1 || rest.Items[0].Seq != 1 || rest.Next != "" {
			t.Errorf("List after the cursor = %+v, %v, want the first entry and no cursor", rest, err)
		}
		one, err := list(t, d, ctx, audit.Query{Object: "application:1", Limit: 10})
		if err != nil || len(one.Items) != 2 || one.Items[0].Seq != 3 || one.Items[1].Seq != 1 {
			t.Errorf("List of application:1 = %+v, %v, want entries 3 and 1", one, err)
		}
		for name, q := range map[string]audit.Query{
			"made up": {Limit: 3, Cursor: "x"}, "of another object": {Object: "application:1", Limit: 3, Cursor: first.Next},
		} {
			if _, err := list(t, d, ctx, q); !fault.Is(err, "invalid_cursor") {
				t.Errorf("List with a cursor %s = %v, want invalid_cursor", name, err)
			}
		}
	})
}

// tenantOnly is ctx without the actor.
func tenantOnly(ctx context.Context) context.Context {
	t, _ := tenant.From(ctx)
	return tenant.With(context.Background(), t)
}

func TestRecord_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
		record(t, d, erfurt, 3)
		verify(t, d, jena, 0)
		if l, err := list(t, d, jena, audit.Query{Limit: 10}); err != nil || len(l.Items) != 0 {
			t.Errorf("List of another tenant = %+v, %v, want nothing", l, err)
		}
		record(t, d, jena, 2)
		verify(t, d, jena, 2)
		verify(t, d, erfurt, 3)
		l, err := list(t, d, erfurt, audit.Query{Limit: 1})
		if err != nil || l.Next == "" {
			t.Fatalf("List = %+v, %v, want a cursor", l, err)
		}
		if _, err := list(t, d, jena, audit.Query{Limit: 1, Cursor: l.Next}); !fault.Is(err, "invalid_cursor") {
			t.Errorf("List with another tenant's cursor = %v, want invalid_cursor", err)
		}
	})
}

func TestRecord_OnlyIfCommitted(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		record(t, d, ctx, 1)
		boom := errors.New("boom")
		err := d.Tx(ctx, func(tx *db.Tx) error {
			return errors.Join(audit.Record(ctx, tx, "a.done", "a:1", nil), boom)
		})
		if !errors.Is(err, boom) {
			t.Fatalf("Tx = %v, want boom", err)
		}
		verify(t, d, ctx, 1)
		record(t, d, ctx, 1)
		verify(t, d, ctx, 2)
	})
}

func TestRecord_Refuses(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		tests := []struct {
			name, action, object string
			ctx                  context.Context
			detail               any
			want                 string
		}{
			{"no tenant", "a.done", "a:1", db.System(ctx), nil, "no tenant"},
			{"no action", "", "a:1", ctx, nil, "must be named"},
			{"no object", "a.done", "", ctx, nil, "must be named"},
			{"no JSON", "a.done", "a:1", ctx, func() {}, "unsupported type"},
			{"too much", "a.done", "a:1", ctx, strings.Repeat("x", 8<<10), "at most 8192"},
		}
		for _, test := range tests {
			err := d.Tx(test.ctx, func(tx *db.Tx) error { return audit.Record(test.ctx, tx, test.action, test.object, test.detail) })
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: Record = %v, want %q", test.name, err, test.want)
			}
		}
		if _, err := audit.Verify(db.System(ctx), d); err == nil {
			t.Error("Verify without a tenant = nil, want an error")
		}
		if _, err := list(t, d, db.System(ctx), audit.Query{Limit: 1}); err == nil {
			t.Error("List without a tenant = nil, want an error")
		}
		verify(t, d, ctx, 0)
	})
}

func TestRecord_WritersAtOnce(t *testing.T) {
	t.Parallel()
	const writers, each = 16, 5
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				ctx := erfurt
				if w%4 == 0 {
					ctx = jena
				}
				for range each {
					if err := d.Tx(ctx, func(tx *db.Tx) error { return audit.Record(ctx, tx, "a.done", "a:1", w) }); err != nil {
						t.Errorf("Record by %d writers at once = %v, want no error", writers, err)
					}
				}
			})
		}
		wg.Wait()
		verify(t, d, erfurt, writers*each*3/4)
		verify(t, d, jena, writers*each/4)
	})
}

func TestVerify_ManyEntries(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		record(t, d, ctx, 1001)
		verify(t, d, ctx, 1001)
	})
}

func TestDatabase_RefusesChanges(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		record(t, d, ctx, 3)
		const insert = `INTO audit_log (tenant_id, seq, at, actor, action, object, detail, prev_hash, hash) `
		statements := []string{
			`UPDATE audit_log SET actor = 'staff:8' WHERE tenant_id = ?`,
			`UPDATE audit_log SET tenant_id = tenant_id WHERE tenant_id = ?`,
			`DELETE FROM audit_log WHERE tenant_id = ?`,
			`DELETE FROM audit_head WHERE tenant_id = ?`,
			`UPDATE audit_head SET seq = 2 WHERE tenant_id = ?`,
			`UPDATE audit_head SET seq = 4 WHERE tenant_id = ?`,
			`UPDATE audit_head SET hash = prev_hash FROM audit_log l WHERE audit_head.tenant_id = ? AND l.tenant_id = audit_head.tenant_id`,
			`INSERT ` + insert + `SELECT tenant_id, 5, at, actor, action, object, detail, prev_hash, hash FROM audit_log WHERE tenant_id = ? AND seq = 3`,
			`INSERT ` + insert + `SELECT tenant_id, 4, at, actor, action, object, detail, prev_hash, hash FROM audit_log WHERE tenant_id = ? AND seq = 3`,
			`INSERT ` + insert + `SELECT tenant_id, seq, at, actor, action, object, '1', prev_hash, hash FROM audit_log WHERE tenant_id = ? AND seq = 3
				ON CONFLICT (tenant_id, seq) DO UPDATE SET detail = '1'`,
			`INSERT INTO audit_head (tenant_id, seq, hash) SELECT tenant_id, 0, hash FROM audit_head WHERE tenant_id = ? ON CONFLICT (tenant_id) DO UPDATE SET seq = 0`,
		}
		if !d.Postgres() {
			statements = append(statements,
				`INSERT OR REPLACE `+insert+`SELECT tenant_id, seq, at, actor, action, object, '1', prev_hash, hash FROM audit_log WHERE tenant_id = ? AND seq = 3`,
				`INSERT OR REPLACE INTO audit_head (tenant_id, seq, hash) SELECT tenant_id, 0, hash FROM audit_head WHERE tenant_id = ?`,
			)
		}
		refusal := regexp.MustCompile(`is append-only|is not the next link of the chain|follows the last link of the chain|a tenant has one chain`)
		for _, statement := range statements {
			err := d.Tx(ctx, func(tx *db.Tx) error {
				n, err := tx.Exec(ctx, statement, tx.Tenant())
				if err == nil {
					return fmt.Errorf("changed %d rows", n)
				}
				return err
			})
			if err == nil || !refusal.MatchString(err.Error()) {
				t.Errorf("%s = %v, want that a trigger refuses it", statement, err)
			}
		}
		verify(t, d, ctx, 3)
		record(t, d, ctx, 1)
		verify(t, d, ctx, 4)
	})
}

// TestVerify_NamesTheFirstBrokenEntry changes the tables as somebody could who owns the
// database: by way of migrations, without the triggers. Each case has its own tenant, T.
func TestVerify_NamesTheFirstBrokenEntry(t *testing.T) {
	t.Parallel()
	tests := []struct {
		sql    string
		broken int64
		reason string
	}{
		{`UPDATE audit_log SET actor = 'staff:8' WHERE tenant_id = T AND seq = 3`, 3, "its content was changed"},
		{`UPDATE audit_log SET at = at + 1 WHERE tenant_id = T AND seq >= 2`, 2, "its content was changed"},
		{`UPDATE audit_log SET action = action || 'a', object = SUBSTR(object, 2) WHERE tenant_id = T AND seq = 5`, 5, "its content was changed"},
		{`DELETE FROM audit_log WHERE tenant_id = T AND seq = 1`, 1, "it is missing"},
		{`DELETE FROM audit_log WHERE tenant_id = T AND seq = 4`, 4, "it is missing"},
		{`DELETE FROM audit_log WHERE tenant_id = T AND seq >= 5`, 5, "it is missing"},
		{`DELETE FROM audit_log WHERE tenant_id = T`, 1, "it is missing"},
		{`UPDATE audit_log SET prev_hash = hash WHERE tenant_id = T AND seq = 2`, 2, "it does not follow the entry before it"},
		{`UPDATE audit_log SET seq = CASE seq WHEN 3 THEN 40 ELSE 3 END WHERE tenant_id = T AND seq IN (3, 4)`, 3, "it does not follow the entry before it"},
		{`UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit_log WHERE tenant_id = T AND seq = 4) WHERE tenant_id = T`, 5, "it is not part of the chain, which ends before it"},
		{`DELETE FROM audit_head WHERE tenant_id = T`, 1, "it is not part of the chain, which ends before it"},
		{`UPDATE audit_head SET hash = (SELECT hash FROM audit_log WHERE tenant_id = T AND seq = 4) WHERE tenant_id = T`, 6, "it is not the entry that the chain ends with"},
	}
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		untouched := dbtest.Tenant(t, "jena")
		record(t, d, untouched, 6)
		contexts := make([]context.Context, len(tests))
		for i := range tests {
			contexts[i] = audit.WithActor(dbtest.Tenant(t, "erfurt"), "staff:7")
			record(t, d, contexts[i], 6)
			verify(t, d, contexts[i], 6)
		}
		asOwner(t, d, "disarm", `{{if .Postgres}}
ALTER TABLE audit_log DISABLE TRIGGER ALL;
ALTER TABLE audit_head DISABLE TRIGGER ALL;
{{else}}
DROP TRIGGER audit_log_keep;
DROP TRIGGER audit_log_keep_all;
DROP TRIGGER audit_head_keep;
DROP TRIGGER audit_head_advance;
{{end}}`)
		for i, test := range tests {
			own, _ := tenant.From(contexts[i])
			asOwner(t, d, fmt.Sprintf("tamper%d", i), strings.ReplaceAll(test.sql, "tenant_id = T", "tenant_id = '"+own.ID.String()+"'")+";")
			n, err := audit.Verify(contexts[i], d)
			var broken *audit.BrokenError
			if !errors.As(err, &broken) || broken.Seq != test.broken || broken.Reason != test.reason || n != int(test.broken)-1 {
				t.Errorf("Verify after %s = %d, %v, want entry %d: %s", test.sql, n, err, test.broken, test.reason)
			}
		}
		verify(t, d, untouched, 6)
	})
}

// asOwner runs statements, once, as the role that migrates.
func asOwner(t *testing.T, d *db.DB, name, statements string) {
	t.Helper()
	if err := tryAsOwner(t, d, name, statements); err != nil {
		t.Fatalf("as the owner: %s: %v", statements, err)
	}
}

func tryAsOwner(t *testing.T, d *db.DB, name, statements string) error {
	t.Helper()
	text := "-- +goose Up\n{{if .Postgres}}\nSET LOCAL app.tenant = '*';\n{{end}}\n" + statements + "\n-- +goose Down\n"
	return d.Migrate(t.Context(), db.Set{Name: name, FS: fstest.MapFS{"migrations/00001_" + name + ".sql": {Data: []byte(text)}}})
}

func TestErasing_IsForTheOwner(t *testing.T) {
	t.Parallel()
	d := dbtest.NewPostgres(t, sets()...)
	ctx := dbtest.Tenant(t, "erfurt")
	record(t, d, ctx, 2)
	asOwner(t, d, "erase", "DELETE FROM audit_log;\nDELETE FROM audit_head;")
	verify(t, d, ctx, 0)
	record(t, d, ctx, 1)
	if err := tryAsOwner(t, d, "change", "UPDATE audit_log SET actor = 'x';"); err == nil {
		t.Error("changing an entry as the owner = nil, want an error")
	}
}

func TestMigrations_UpAndDown(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		record(t, d, ctx, 1)
		if err := errors.Join(d.MigrateDown(t.Context(), sets()...), d.Migrate(t.Context(), sets()...)); err != nil {
			t.Fatalf("down and up again = %v, want no error", err)
		}
		record(t, d, ctx, 1)
		verify(t, d, ctx, 1)
	})
}

func BenchmarkRecord(b *testing.B) {
	for name, open := range map[string]func(testing.TB, ...db.Set) *db.DB{"sqlite": dbtest.New, "postgres": dbtest.NewPostgres} {
		b.Run(name, func(b *testing.B) {
			d := open(b, sets()...)
			ctx := dbtest.Tenant(b, "erfurt")
			for b.Loop() {
				if err := d.Tx(ctx, func(tx *db.Tx) error { return audit.Record(ctx, tx, "a.done", "a:1", nil) }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
