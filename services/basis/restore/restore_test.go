package restore

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"basisdienste/services/basis/clients"
)

// TestBackup_EveryRow: what was backed up beside a running process is, row by row and byte by
// byte, what comes back; and the process that starts on it goes on from there.
func TestBackup_EveryRow(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start(t)
	p := newPeople(t, s)
	p.work(t, "first", 6)
	p.finish(t)
	eventually(t, time.Minute, "everything acknowledged is there", func() error { return p.settled(t) })

	file := filepath.Join(t.TempDir(), "backup.tar.zst")
	var source map[string][]string
	for try := 0; ; try++ { // the process is idle, but its jobs are not
		before := dump(t, s)
		file = filepath.Join(filepath.Dir(file), fmt.Sprintf("backup-%d.tar.zst", try))
		t.Log(basisctl(t, "backup", "--data", s.dir, "--to", file))
		source = dump(t, s)
		changed := differ(before, source)
		if len(changed) == 0 {
			break
		}
		if try == 5 {
			t.Fatalf("tables change all the time: %v", changed)
		}
	}
	uploads, secrets := filesIn(t, filepath.Join(s.dir, "forms", "files")), filesIn(t, filepath.Join(s.dir, "secrets"))
	s.stop(t)

	s.dir = filepath.Join(t.TempDir(), "restored")
	t.Log(basisctl(t, "restore", "--from", file, "--data", s.dir))
	restored := dump(t, s)
	total := 0
	for _, list := range restored {
		total += len(list)
	}
	if names := differ(source, restored); len(names) > 0 || total < 300 {
		t.Errorf("%d tables with %d rows; not the same as in the source: %v", len(restored), total, names)
	}
	t.Logf("%d tables with %d rows, %d uploaded files", len(restored), total, len(uploads))
	if got := filesIn(t, filepath.Join(s.dir, "forms", "files")); len(uploads) == 0 || !maps.Equal(got, uploads) {
		t.Errorf("%d uploaded files are restored, want the %d of the source", len(got), len(uploads))
	}
	if got := filesIn(t, filepath.Join(s.dir, "secrets")); len(secrets) == 0 || !maps.Equal(got, secrets) {
		t.Errorf("%d secrets are restored, want the %d of the source", len(got), len(secrets))
	}

	s.start(t)
	if err := p.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.submitted = make(chan string, 100)
	p.work(t, "second", 3) // the same ledger goes on
	p.finish(t)
	eventually(t, time.Minute, "everything acknowledged is there, once, also from before", func() error { return p.settled(t) })
	if err := p.ReadBack(t.Context()); err != nil {
		t.Error(err)
	}
	s.stop(t)
	if n, err := p.Audit(t.Context()); err != nil {
		t.Errorf("Audit = %d, %v", n, err)
	}
}

// TestBackup_UnderLoad: the backup is made while clients work, and the installation is lost some
// moments later. What was acknowledged before the backup began is in it; and although services
// were in the middle of their conversations, they agree with each other after the next start.
func TestBackup_UnderLoad(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start(t)
	p := newPeople(t, s)
	p.work(t, "load", 0)
	enough := func(more int) func() error {
		return func() (err error) {
			p.Ledger.Note(func() {
				n := min(len(p.Ledger.Payments), len(p.Ledger.Applications), len(p.Ledger.Messages), len(p.Ledger.Appointments))
				if n < more {
					err = fmt.Errorf("%d of each are acknowledged, want %d", n, more)
				}
			})
			return err
		}
	}
	eventually(t, time.Minute, "the clients are at work", enough(8))
	before := p.known()
	file := filepath.Join(t.TempDir(), "backup.tar.zst")
	t.Log(basisctl(t, "backup", "--data", s.dir, "--to", file))
	eventually(t, time.Minute, "the clients go on", enough(min(len(before.Payments), len(before.Applications), len(before.Messages), len(before.Appointments))+4))
	s.kill(t)
	p.cancel()
	p.workers.Wait()
	lost := p.known()
	numbersGone := kassenzeichen(t, s)

	s.dir = filepath.Join(t.TempDir(), "restored")
	basisctl(t, "restore", "--from", file, "--data", s.dir)
	missing(t, s, before)
	for number := range kassenzeichen(t, s) {
		delete(numbersGone, number)
	}
	t.Logf("acknowledged before the backup: %d payments, %d applications, %d messages, %d appointments; before the loss: %d, %d, %d, %d",
		len(before.Payments), len(before.Applications), len(before.Messages), len(before.Appointments),
		len(lost.Payments), len(lost.Applications), len(lost.Messages), len(lost.Appointments))

	s.start(t)
	eventually(t, time.Minute, "the services agree with each other", func() error { return agree(t, s) })
	again := newPeople(t, s)
	again.work(t, "again", 4)
	again.finish(t)
	eventually(t, time.Minute, "the services agree with each other after more work", func() error { return agree(t, s) })
	missing(t, s, again.known())
	for number := range kassenzeichen(t, s) {
		if numbersGone[number] {
			t.Errorf("Kassenzeichen %s, given out after the backup, is given out again", number)
		}
	}
	if len(numbersGone) == 0 {
		t.Error("no Kassenzeichen was given out after the backup: the test tests too little")
	}
	s.stop(t)
	if n, err := again.Audit(t.Context()); err != nil {
		t.Errorf("Audit = %d, %v", n, err)
	}
}

func kassenzeichen(t *testing.T, s *server) map[string]bool {
	out := map[string]bool{}
	for _, n := range rows[string](t, s, "payment", `SELECT kassenzeichen FROM transactions`) {
		out[n] = true
	}
	return out
}

// missing reports what was acknowledged and is not there.
func missing(t *testing.T, s tabled, l *clients.Ledger) {
	t.Helper()
	type row struct {
		ID    string `db:"id"`
		State string `db:"state"`
	}
	read := func(service, sql string) map[string]string {
		out := map[string]string{}
		for _, r := range rows[row](t, s, service, sql) {
			out[r.ID] = r.State
		}
		return out
	}
	payments := read("payment", `SELECT id, state FROM transactions`)
	for request, c := range l.Payments {
		if state, ok := payments[c.ID]; !ok || (c.Paid && state != "PAYED") {
			t.Errorf("payment %s of request %s is %q, acknowledged as paid: %t", c.ID, request, state, c.Paid)
		}
	}
	applications := read("forms", `SELECT id, state FROM applications`)
	for id, a := range l.Applications {
		if state, ok := applications[id]; !ok || (a.Accepted && state != "accepted") {
			t.Errorf("application %s is %q, acknowledged as accepted: %t", id, state, a.Accepted)
		}
	}
	messages := read("notify", `SELECT id, status AS state FROM messages`)
	for reference, id := range l.Messages {
		if _, ok := messages[id]; !ok {
			t.Errorf("message %s of %s is missing", id, reference)
		}
	}
	appointments := read("booking", `SELECT id, state FROM appointments`)
	for id := range l.Appointments {
		if appointments[id] != "confirmed" {
			t.Errorf("appointment %s is %q, acknowledged as confirmed", id, appointments[id])
		}
	}
}

// TestRestore_OlderPointBesideANewerBroker: the services come back as they were, and the broker
// still has everything that was told afterwards; worse, it has forgotten what was handled and
// sends all of it again. What is known happens once; what is not known any more does no harm.
func TestRestore_OlderPointBesideANewerBroker(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start(t)
	p := newPeople(t, s)
	p.work(t, "old", 5)
	p.finish(t)
	eventually(t, time.Minute, "everything acknowledged is there", func() error { return p.settled(t) })
	file := filepath.Join(t.TempDir(), "backup.tar.zst")
	basisctl(t, "backup", "--data", s.dir, "--to", file)
	old := p.known()
	p.submitted = make(chan string, 100)
	p.work(t, "new", 4)
	p.finish(t)
	eventually(t, time.Minute, "everything acknowledged is there", func() error { return p.settled(t) })
	lost := p.known()
	for request := range old.Payments {
		delete(lost.Payments, request)
	}
	s.stop(t)

	newer := s.dir
	s.dir = filepath.Join(t.TempDir(), "restored")
	basisctl(t, "restore", "--from", file, "--data", s.dir)
	if err := os.CopyFS(filepath.Join(s.dir, "events"), os.DirFS(filepath.Join(newer, "events"))); err != nil {
		t.Fatal(err)
	}
	positions, err := filepath.Glob(filepath.Join(s.dir, "events", "jetstream", "*", "streams", "*", "obs"))
	if err != nil || len(positions) == 0 {
		t.Fatalf("consumers of the broker: %v, %v", positions, err)
	}
	for _, dir := range positions {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	s.start(t)

	// An operation of each kind, which goes the same ways behind all that is sent again.
	p.Ledger = clients.NewLedger()
	if err := p.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.submitted = make(chan string, 100)
	p.work(t, "third", 2)
	p.finish(t)
	third := p.known()
	eventually(t, time.Minute, "each mail is there once, and each step of each application", func() error {
		return once(t, s, old, third)
	})
	missing(t, s, old)
	missing(t, s, third)

	// What is not known any more is answered clearly, and can be asked for again.
	efa := token(t, s, p)
	for request, c := range lost.Payments {
		path := "/xbezahldienste/paymenttransaction/" + p.Demo.Payment.OriginatorID + "/" + p.Demo.Payment.EndPointID
		status, body, err := s.site().Do(t.Context(), http.MethodGet, path+"/"+c.ID, efa, "", nil)
		if err != nil || status != http.StatusNotFound {
			t.Errorf("GET %s/%s = %d %s, %v, want 404: it was lost", path, c.ID, status, body, err)
		}
		var made struct {
			Information struct {
				ID string `json:"transactionId"`
			} `json:"paymentInformation"`
		}
		if _, err := p.Request(t.Context(), http.MethodPost, path, request, p.Claim(request), &made); err != nil || made.Information.ID == c.ID || made.Information.ID == "" {
			t.Errorf("POST %s of the lost request %s = %+v, %v, want a new transaction", path, request, made, err)
		}
	}
	nothingGivenUp(t, s)
	s.stop(t)
}

// nothingGivenUp fails if there is a dead letter, other than of forms about what it does not know any more.
func nothingGivenUp(t *testing.T, s tabled) {
	t.Helper()
	known := map[string]bool{}
	for _, id := range rows[string](t, s, "forms", `SELECT id FROM applications`) {
		known[id] = true
	}
	for _, service := range []string{"tenants", "auth", "notify", "payment", "forms", "booking", "console", "edge"} {
		for _, subject := range rows[string](t, s, service, `SELECT subject FROM dead_letters`) {
			if service != "forms" || known[subject] {
				t.Errorf("%s gave up an event of %s, which it knows", service, subject)
			}
		}
	}
}

func token(t *testing.T, s *server, p *people) string {
	t.Helper()
	text, err := s.site().Token(t.Context(), p.Demo.EfA)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// once is nil when every step of every application known in the ledgers happened once.
func once(t *testing.T, s tabled, ledgers ...*clients.Ledger) error {
	var wrong []string
	for _, kind := range []string{"submitted", "paid", "delivered", "accepted"} {
		for _, id := range rows[string](t, s, "forms", `SELECT application_id FROM application_events WHERE kind = '`+kind+`' GROUP BY application_id HAVING count(*) > 1`) {
			wrong = append(wrong, id+" was "+kind+" more than once")
		}
	}
	mails := map[string]int{}
	for _, m := range rows[string](t, s, "notify", `SELECT reference || ' ' || template_name FROM messages`) {
		mails[m]++
	}
	for _, l := range ledgers {
		want := map[string]int{}
		for id, a := range l.Applications {
			want[id+" application-received"] = 1
			want[id+" payment-receipt"] = 0
			if a.Fee && a.Paid {
				want[id+" payment-receipt"] = 1
			}
		}
		for id := range l.Appointments {
			want[id+" appointment-confirmed"] = 1
		}
		for reference := range l.Messages {
			want[reference+" test-message"] = 1
		}
		for m, n := range want {
			if mails[m] != n {
				wrong = append(wrong, fmt.Sprintf("mail %s: %d, want %d", m, mails[m], n))
			}
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong[:min(len(wrong), 10)], "; "))
	}
	return nil
}
