package restore

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// operator is the server's own user, beside the server, with its programs and our scripts.
type operator struct {
	home, bin string
	as        *syscall.SysProcAttr
}

func newOperator(t *testing.T, i *installation) *operator {
	t.Helper()
	o := &operator{home: i.host, bin: i.ask(t, "postgres", `SELECT setting FROM pg_config WHERE name = 'BINDIR'`)[0]}
	if os.Geteuid() == 0 { // then the server runs as who its folder belongs to
		info, err := os.Stat(i.host)
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		o.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	for _, script := range []string{"pitr.sh", "restore.sh"} {
		text, err := os.ReadFile("../../../deploy/postgres/" + script)
		if err == nil {
			err = os.WriteFile(filepath.Join(o.home, script), text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func (o *operator) run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.SysProcAttr = o.home, o.as
	cmd.Env = append(os.Environ(), "PGHOST="+o.home, "PGUSER=postgres", "TMPDIR="+o.home, "PATH="+o.bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (o *operator) do(t *testing.T, name string, args ...string) {
	t.Helper()
	began := time.Now()
	out, err := o.run(t, name, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	t.Logf("%safter %s", out, time.Since(began).Round(time.Millisecond))
}

// TestPostgres_PointInTime: a base backup while clients work, the log's archive from then on, and
// the server is lost. It comes back as of a moment between, with each row of that moment. The
// broker stays, with all that was told since, and forgets who has heard what, so that all of it
// is told again: by services that know nothing of it any more, to others that do not either.
// Nothing is doubled, and no number is given out twice.
func TestPostgres_PointInTime(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "archive_mode=on")
	o := newOperator(t, i)
	archive, base, data := filepath.Join(o.home, "archive"), filepath.Join(o.home, "base"), filepath.Join(o.home, "data")
	o.do(t, "mkdir", archive)
	i.ask(t, "postgres", fmt.Sprintf(`ALTER SYSTEM SET archive_command = '%s/pitr.sh archive %s %%p %%f'`, o.home, archive))
	i.ask(t, "postgres", `ALTER SYSTEM SET fsync = off`) // also of the server that recovers
	i.ask(t, "postgres", `SELECT pg_reload_conf()`)

	i.start(t)
	p := newPeople(t, i.server)
	p.Tables = i.tables
	p.work(t, "first", 2)
	o.do(t, "./pitr.sh", "base", base)
	p.finish(t)
	p.submitted = make(chan string, 100)
	p.work(t, "second", 2)
	p.finish(t)
	eventually(t, time.Minute, "everything acknowledged is there", func() error { return p.settled(t) })
	old := p.known()
	var point string
	var source map[string][]string
	for try := 0; ; try++ { // the process is idle, but its jobs are not
		before := i.dump(t, "basis")
		point = i.ask(t, "postgres", `SELECT clock_timestamp()`)[0]
		source = i.dump(t, "basis")
		changed := differ(before, source)
		if len(changed) == 0 {
			break
		}
		if try == 5 {
			t.Fatalf("tables change all the time: %v", changed)
		}
	}

	p.submitted = make(chan string, 100)
	p.work(t, "lost", 2)
	p.finish(t)
	eventually(t, time.Minute, "everything acknowledged is there", func() error { return p.settled(t) })
	lost := p.known()
	for request := range old.Payments {
		delete(lost.Payments, request)
	}
	numbers := i.numbers(t)
	segment := i.ask(t, "postgres", `SELECT pg_walfile_name(pg_switch_wal())`)[0]
	eventually(t, 30*time.Second, "the log is archived", func() error {
		_, err := os.Stat(filepath.Join(archive, segment))
		return err
	})
	o.do(t, "./pitr.sh", "archive", archive, filepath.Join(archive, segment), segment) // once more, as after a crash
	if out, err := o.run(t, "./pitr.sh", "archive", archive, filepath.Join(base, "PG_VERSION"), segment); err == nil || !strings.Contains(out, "not the same") {
		t.Errorf("pitr.sh archive of another segment %s = %v, %s, want a refusal", segment, err, out)
	}
	if out, err := o.run(t, "./pitr.sh", "recover", base, archive, data, point); err == nil || !strings.Contains(out, "move it away") {
		t.Errorf("pitr.sh recover over a data folder = %v, %s, want a refusal", err, out)
	}

	i.kill(t)
	i.lose(t, data)
	if out, err := o.run(t, "./pitr.sh", "recover", base, archive, data, "2999-01-01 00:00:00+00"); err == nil || !strings.Contains(out, "there is no "+data) {
		t.Errorf("pitr.sh recover to a time that the log does not reach = %v, %s, want a refusal", err, out)
	}
	o.do(t, "./pitr.sh", "recover", base, archive, data, point)
	eventually(t, 30*time.Second, "the server is back", func() error { // who watches it starts it
		_, err := i.run(t, "psql", "-d", "basis", "-c", "SELECT 1")
		return err
	})
	restored := i.dump(t, "basis")
	total := 0
	for _, list := range restored {
		total += len(list)
	}
	is := lastValues(t, restored["sequences"])
	for sequence, was := range lastValues(t, source["sequences"]) { // the log lets it skip some numbers, and repeat none
		if is[sequence] < was {
			t.Errorf("sequence %s is at %d, was at %d; numbers would come twice", sequence, is[sequence], was)
		}
	}
	delete(source, "sequences")
	delete(restored, "sequences")
	if names := differ(source, restored); len(names) > 0 || total < 300 {
		t.Errorf("%d rows; not the same as at %s: %v", total, point, names)
	}
	t.Logf("%d tables, %d rows as of %s", len(restored)-7, total, point)

	positions, err := filepath.Glob(filepath.Join(i.dir, "events", "jetstream", "*", "streams", "*", "obs"))
	if err != nil || len(positions) == 0 {
		t.Fatalf("consumers of the broker: %v, %v", positions, err)
	}
	for _, dir := range positions {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	known := i.numbers(t)
	i.start(t)
	i.goesOn(t, p, "after")
	eventually(t, time.Minute, "all is told again, and what is known from before happened once", func() error { return errors.Join(i.told(t), once(t, i, old)) })
	missing(t, i, old)
	nothingGivenUp(t, i)
	given := 0
	for number := range i.numbers(t) {
		if known[number] {
			continue
		}
		if given++; numbers[number] {
			t.Errorf("%s, given out after %s, is given out again", number, point)
		}
	}
	if given == 0 || len(numbers) == len(known) {
		t.Errorf("%d numbers were given out before, %d in the lost time, %d after the recovery; the test compares too little", len(known), len(numbers)-len(known), given)
	}
	efa := token(t, i.server, p)
	for request, c := range lost.Payments {
		path := "/xbezahldienste/paymenttransaction/" + p.Demo.Payment.OriginatorID + "/" + p.Demo.Payment.EndPointID + "/" + c.ID
		if status, body, err := i.site().Do(t.Context(), http.MethodGet, path, efa, "", nil); err != nil || status != http.StatusNotFound {
			t.Errorf("GET %s of request %s = %d %s, %v, want 404: it was lost", path, request, status, body, err)
		}
	}
	i.stop(t)
}

// lastValues are of lines schema|sequence|value, 0 where it was never used.
func lastValues(t *testing.T, lines []string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, line := range lines {
		name, value, _ := strings.Cut(strings.Replace(line, "|", ".", 1), "|")
		n, err := strconv.ParseInt("0"+value, 10, 64)
		if err != nil {
			t.Fatalf("sequence %q: %v", line, err)
		}
		out[name] = n
	}
	return out
}

// lose takes the server's folder away and kills it.
func (i *installation) lose(t *testing.T, data string) {
	t.Helper()
	pid, err := i.pg.PID()
	if err == nil {
		err = errors.Join(os.Rename(data, data+".lost"), syscall.Kill(pid, syscall.SIGKILL))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// numbers are all that people are told to name: of payments and of applications.
func (i *installation) numbers(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, n := range slices.Concat(rows[string](t, i, "payment", `SELECT 'Kassenzeichen ' || kassenzeichen FROM transactions`),
		rows[string](t, i, "forms", `SELECT 'application ' || reference FROM applications WHERE reference IS NOT NULL`)) {
		out[n] = true
	}
	return out
}

// told is nil when no event waits to be sent.
func (i *installation) told(t *testing.T) error {
	t.Helper()
	for _, service := range []string{"tenants", "auth", "notify", "payment", "forms", "booking", "console", "edge"} {
		if n := rows[int](t, i, service, `SELECT count(*) FROM outbox WHERE sent_at IS NULL`)[0]; n > 0 {
			return fmt.Errorf("%s: %d events wait", service, n)
		}
	}
	return nil
}
