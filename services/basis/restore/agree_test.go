package restore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// agree is nil when the services know the same of each other: nothing waits, each conversation
// between two of them has come to its end on both sides, and what one counts of another by
// events alone is what the other has.
func agree(t *testing.T, s *server) error {
	t.Helper()
	var wrong []error
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	one := func(service, sql string) int { return rows[int](t, s, service, sql)[0] }
	for _, service := range []string{"tenants", "auth", "notify", "payment", "forms", "booking", "console", "edge"} {
		if n := one(service, `SELECT (SELECT count(*) FROM outbox WHERE sent_at IS NULL) + (SELECT count(*) FROM dead_letters)`); n > 0 {
			say("%s: %d events wait or were given up", service, n)
		}
	}
	if n := one("notify", `SELECT count(*) FROM messages WHERE status <> 'delivered'`); n > 0 {
		say("notify: %d messages wait", n)
	}
	// forms and payment: each attempt is known on both sides, in the same state.
	type attempt struct {
		Request string `db:"request_id"`
		ID      string `db:"id"`
		State   string `db:"state"`
	}
	there := map[string]attempt{}
	for _, a := range rows[attempt](t, s, "payment", `SELECT request_id, id, state FROM transactions`) {
		there[a.Request] = a
	}
	for _, a := range rows[attempt](t, s, "forms", `SELECT request_id, transaction_id AS id, state FROM payments`) {
		if b := there[a.Request]; b.ID != a.ID || (b.State == "PAYED") != (a.State == "payed") {
			say("forms has payment %s of request %s as %s, payment has %s as %s", a.ID, a.Request, a.State, b.ID, b.State)
		}
	}
	// tenants counts by events what the others have.
	type counter struct {
		Name string `db:"name"`
		N    int    `db:"n"`
	}
	usage := map[string]int{}
	for _, c := range rows[counter](t, s, "tenants", `SELECT counter AS name, sum(n) AS n FROM usage_slots GROUP BY counter`) {
		usage[c.Name] = c.N
	}
	for name, of := range map[string][2]string{
		"payment.transaction.created":   {"payment", `SELECT count(*) FROM transactions`},
		"payment.transaction.payed":     {"payment", `SELECT count(*) FROM transactions WHERE state = 'PAYED'`},
		"forms.application.submitted":   {"forms", `SELECT count(*) FROM applications WHERE state <> 'draft'`},
		"forms.application.accepted":    {"forms", `SELECT count(*) FROM applications WHERE state = 'accepted'`},
		"notify.message.accepted":       {"notify", `SELECT count(*) FROM messages`},
		"booking.appointment.confirmed": {"booking", `SELECT count(*) FROM appointments WHERE state = 'confirmed'`},
	} {
		if n := one(of[0], of[1]); n != usage[name] {
			say("tenants counts %d %s, %s has %d", usage[name], name, of[0], n)
		}
	}
	// notify has one mail for each step, and none without.
	mails := map[string]int{}
	for _, m := range rows[string](t, s, "notify", `SELECT reference || ' ' || template_name FROM messages WHERE template_name NOT IN ('test-message', 'payment-link')`) {
		mails[m]++
	}
	want := rows[string](t, s, "forms", `SELECT application_id || ' ' || CASE kind WHEN 'submitted' THEN 'application-received' WHEN 'paid' THEN 'payment-receipt' ELSE 'application-accepted' END
		FROM application_events WHERE kind IN ('submitted', 'paid', 'accepted')`)
	want = append(want, rows[string](t, s, "booking", `SELECT id || ' appointment-confirmed' FROM appointments WHERE state = 'confirmed'`)...)
	for _, m := range want {
		if mails[m] != 1 {
			say("%d mails %s, want 1", mails[m], m)
		}
		delete(mails, m)
	}
	for m := range mails {
		say("a mail %s of nothing", m)
	}
	// Files that applications name have their bytes.
	for _, f := range rows[string](t, s, "forms", `SELECT tenant_id || '/' || id FROM files`) {
		if _, err := os.Stat(filepath.Join(s.dir, "forms", "files", f)); err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong[:min(len(wrong), 10)]...)
}
