package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
)

// installation is basis on a PostgreSQL server, with one database after the other.
type installation struct {
	*server
	pg       *dbtest.Server
	host     string
	database string
}

func newInstallation(t *testing.T, settings ...string) *installation {
	t.Helper()
	pg := dbtest.NewServer(t, append(settings, "fsync=off", "max_connections=200")...)
	u, err := url.Parse(pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	i := &installation{server: newServer(t), pg: pg, host: u.Query().Get("host")}
	i.use("basis")
	return i
}

// use makes the next start serve from that database.
func (i *installation) use(database string) {
	i.database = database
	i.env = []string{
		"BASIS_SERVER__DATABASE__URL=" + i.url("basis_app"), "BASIS_SERVER__DATABASE__OWNER_URL=" + i.url("basis_owner"),
		"BASIS_SERVER__DATABASE__CONNECTIONS=4",
	}
}

func (i *installation) url(role string) string {
	return strings.Replace(i.pg.URL(role), "/basis?", "/"+i.database+"?", 1)
}

// tables opens a service's schema.
func (i *installation) tables(ctx context.Context, service string, read func(*db.DB) error) (err error) {
	d, err := db.Open(ctx, db.Config{URL: i.url("basis_app"), Schema: service, Conns: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return read(d)
}

// run runs a program with the superuser's access.
func (i *installation) run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "PGHOST="+i.host, "PGUSER=postgres", "DATABASE="+i.database)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (i *installation) script(t *testing.T, args ...string) string {
	t.Helper()
	out, err := i.run(t, "../../../deploy/postgres/"+args[0], args[1:]...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// ask returns the lines that a query gives the superuser in a database.
func (i *installation) ask(t *testing.T, database, sql string) []string {
	t.Helper()
	out, err := i.run(t, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql)
	if err != nil {
		t.Fatalf("psql %s: %v\n%s", sql, err, out)
	}
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
}

// dump is every row of every table, and how the tables are made and guarded. Which processes
// live (outbox_holders) is not compared: it changes all the time, and is nothing to restore.
func (i *installation) dump(t *testing.T, database string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	tables := i.ask(t, database, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename NOT IN ('restored', 'outbox_holders') ORDER BY 1`)
	var all strings.Builder
	for _, table := range tables {
		fmt.Fprintf(&all, "SELECT '%s' || ' ' || t::text FROM %s t ORDER BY 1;\n", table, table)
		out[table] = nil
	}
	file := filepath.Join(t.TempDir(), "rows.sql")
	if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := i.run(t, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", file)
	if err != nil {
		t.Fatalf("dump: %v\n%s", err, text)
	}
	table := ""
	for line := range strings.Lines(text) { // a row with line breaks goes on in the next line
		if name, _, ok := strings.Cut(line, " "); ok {
			if _, known := out[name]; known {
				table = name
			}
		}
		out[table] = append(out[table], line)
	}
	const ours = ` NOT IN ('pg_catalog', 'information_schema', 'pg_toast') `
	for what, sql := range map[string]string{
		"policies":   `SELECT p::text FROM pg_policies p ORDER BY 1`,
		"grants":     `SELECT n.nspname, c.relname, c.relkind, c.relowner::regrole, (SELECT array_agg(a ORDER BY a) FROM unnest(c.relacl::text[]) a), c.relrowsecurity, c.relforcerowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname` + ours + `ORDER BY 1, 2`,
		"schemas":    `SELECT nspname, nspowner::regrole, (SELECT array_agg(a ORDER BY a) FROM unnest(nspacl::text[]) a) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1`,
		"partitions": `SELECT inhparent::regclass, inhrelid::regclass, pg_get_expr(relpartbound, c.oid) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE relkind = 'r' ORDER BY 1, 2`,
		"indexes":    `SELECT schemaname, indexdef FROM pg_indexes WHERE schemaname` + ours + `ORDER BY 1, 2`,
		"checks":     `SELECT conrelid::regclass, conname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace WHERE nspname` + ours + `ORDER BY 1, 2`,
		"triggers":   `SELECT tgrelid::regclass, tgname, tgfoid::regproc FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2`,
		"sequences":  `SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2`,
	} {
		out[what] = i.ask(t, database, sql)
		slices.Sort(out[what]) // the server orders some by numbers of its own
		if len(out[what]) < 8 {
			t.Fatalf("%s: %q; the test compares too little", what, out[what])
		}
	}
	return out
}

// TestPostgres: backup.sh beside running services, restore.sh into a new database: each row, each
// policy, grant and partition is there, and the services go on from it. Then one service alone is
// brought back to an older point, while the others and the broker stay as they are.
func TestPostgres(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "full_page_writes=off")
	i.start(t)
	p := newPeople(t, i.server)
	p.Tables = i.tables
	p.work(t, "first", 4)
	p.finish(t)
	eventually(t, time.Minute, "everything acknowledged is there", func() error { return p.settled(t) })
	old := p.known()

	folder := filepath.Join(t.TempDir(), "backup")
	files := filepath.Join(i.dir, "forms", "files")
	var source map[string][]string
	for try := 0; ; try++ { // the process is idle, but its jobs are not
		before := i.dump(t, "basis")
		began := time.Now()
		out := i.script(t, "backup.sh", folder, files)
		t.Logf("%safter %s", out, time.Since(began).Round(time.Millisecond))
		source = i.dump(t, "basis")
		changed := differ(before, source)
		if len(changed) == 0 {
			break
		}
		if try == 5 {
			t.Fatalf("tables change all the time: %v", changed)
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := i.run(t, "../../../deploy/postgres/backup.sh", folder); err == nil || !strings.Contains(out, "not overwritten") {
		t.Errorf("backup.sh to a folder that is there = %v, %s, want a refusal", err, out)
	}
	if got, want := filesIn(t, filepath.Join(folder, "files")), filesIn(t, files); len(want) == 0 || !maps.Equal(got, want) {
		t.Errorf("%d uploaded files are in the backup, want %d", len(got), len(want))
	}
	p.submitted = make(chan string, 100)
	p.work(t, "second", 3)
	p.finish(t)
	eventually(t, time.Minute, "everything acknowledged is there", func() error { return p.settled(t) })
	i.stop(t)

	began := time.Now()
	out := i.script(t, "restore.sh", folder, "again")
	t.Logf("%safter %s", out, time.Since(began).Round(time.Millisecond))
	restored := i.dump(t, "again")
	total := 0
	for _, list := range restored {
		total += len(list)
	}
	if names := differ(source, restored); len(names) > 0 {
		t.Errorf("not the same as in the source: %v", names)
	}
	t.Logf("%d tables, %d rows", len(restored)-8, total)
	if out, err := i.run(t, "../../../deploy/postgres/restore.sh", folder, "again"); err == nil || !strings.Contains(out, "is there") {
		t.Errorf("restore.sh over a database = %v, %s, want a refusal", err, out)
	}

	// One service alone goes back: payment, with all that came since still known to the others.
	lost := p.known()
	for request := range old.Payments {
		delete(lost.Payments, request)
	}
	i.script(t, "restore.sh", folder, "basis", "payment")
	after := i.dump(t, "basis")
	for _, part := range []string{"payment.transactions", "payment.transactions_p3", "payment.history", "payment.numbers", "policies", "grants", "partitions", "indexes", "triggers", "checks", "schemas"} {
		if !slices.Equal(after[part], source[part]) {
			t.Errorf("%s is not as in the backup: %d rows, want %d", part, len(after[part]), len(source[part]))
		}
	}
	i.start(t)
	i.goesOn(t, p, "third")
	missing(t, i, old)
	efa := token(t, i.server, p)
	for request, c := range lost.Payments {
		path := "/xbezahldienste/paymenttransaction/" + p.Demo.Payment.OriginatorID + "/" + p.Demo.Payment.EndPointID
		status, body, err := i.site().Do(t.Context(), http.MethodGet, path+"/"+c.ID, efa, "", nil)
		if err != nil || status != http.StatusNotFound {
			t.Errorf("GET %s/%s of request %s = %d %s, %v, want 404: it was lost", path, c.ID, request, status, body, err)
		}
	}
	i.stop(t)

	// And everything goes back, while the broker stays as it is.
	i.use("again")
	i.start(t)
	i.goesOn(t, p, "fourth")
	missing(t, i, old)
	if err := once(t, i, old); err != nil {
		t.Errorf("what is known from before: %v", err)
	}
	i.stop(t)
}

// goesOn lets clients work, and fails if anything of that is missing or happened twice.
func (i *installation) goesOn(t *testing.T, p *people, name string) {
	t.Helper()
	again := newPeople(t, i.server)
	again.Tables = i.tables
	again.work(t, name, 3)
	again.finish(t)
	eventually(t, time.Minute, name+": each mail is there once, and each step of each application", func() error {
		return once(t, i, again.known())
	})
	missing(t, i, again.known())
	p.Demo = again.Demo
}
