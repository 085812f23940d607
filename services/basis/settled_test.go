package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// services with tables.
func services() []string {
	return []string{"tenants", "auth", "notify", "payment", "forms", "booking", "console", "edge"}
}

// open opens a service's database beside the running process, for reading.
func (s *server) open(t testing.TB, service string) (*db.DB, error) {
	return db.Open(t.Context(), db.Config{URL: "sqlite:" + filepath.Join(s.dir, service+".db"), Schema: service, Conns: 2})
}

// rows reads from a service's database for all tenants.
func rows[T any](t testing.TB, s *server, service, sql string) (out []T, err error) {
	d, err := s.open(t, service)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	ctx := db.System(t.Context())
	return out, d.Read(ctx, func(tx *db.Tx) error {
		out = nil
		return tx.Select(ctx, &out, sql)
	})
}

type pair struct {
	Key string `db:"key"`
	N   int    `db:"n"`
}

// counts reads key and n.
func counts(t testing.TB, s *server, service, sql string) (map[string]int, error) {
	list, err := rows[pair](t, s, service, sql)
	out := map[string]int{}
	for _, p := range list {
		out[p.Key] = p.N
	}
	return out, err
}

// differences collects what is not as it has to be.
type differences struct{ list []error }

func (d *differences) add(format string, args ...any) {
	d.list = append(d.list, fmt.Errorf(format, args...))
}

func (d *differences) same(what string, got, want int) {
	if got != want {
		d.add("%s: got %d, want %d", what, got, want)
	}
}

// err tells the first of them.
func (d *differences) err() error {
	if len(d.list) == 0 {
		return nil
	}
	return fmt.Errorf("%d differences: %w", len(d.list), errors.Join(d.list[:min(len(d.list), 12)]...))
}

// settled compares what the services hold with what the clients were told; nil means that
// nothing is missing, nothing is there twice, and nothing waits.
func (l *load) settled(t testing.TB) error {
	var d differences
	var failed []error
	l.ledger.Lock()
	defer l.ledger.Unlock()
	for _, check := range []func(testing.TB, *differences) error{l.quiet, l.paymentsOnce, l.applicationsOnce, l.mailsOnce, l.appointmentsOnce, l.usageOnce} {
		failed = append(failed, check(t, &d))
	}
	return errors.Join(append(failed, d.err())...)
}

// quiet: no event waits to be sent, none was given up, no message waits.
func (l *load) quiet(t testing.TB, d *differences) error {
	for _, service := range services() {
		n, err := counts(t, l.s, service, `SELECT 'unsent' AS key, count(*) AS n FROM outbox WHERE sent_at IS NULL
			UNION ALL SELECT 'dead', count(*) FROM dead_letters`)
		if err != nil {
			return err
		}
		d.same(service+": events not sent", n["unsent"], 0)
		d.same(service+": dead letters", n["dead"], 0)
	}
	n, err := counts(t, l.s, "notify", `SELECT status AS key, count(*) AS n FROM messages GROUP BY status`)
	for status, k := range n {
		if status != "delivered" {
			d.add("notify: %d messages are %s", k, status)
		}
	}
	return err
}

func (l *load) paymentsOnce(t testing.TB, d *differences) error {
	type row struct {
		ID      string `db:"id"`
		Origin  string `db:"originator_id"`
		Request string `db:"request_id"`
		State   string `db:"state"`
	}
	list, err := rows[row](t, l.s, "payment", `SELECT id, originator_id, request_id, state FROM transactions`)
	if err != nil {
		return err
	}
	own, ofForms := map[string]row{}, map[string]row{}
	for _, r := range list {
		into := ofForms
		if r.Origin == l.d.Payment.OriginatorID {
			into = own
		}
		if _, twice := into[r.Request]; twice {
			d.add("payment: two transactions of request %s", r.Request)
		}
		into[r.Request] = r
	}
	d.same("payment: transactions of the client", len(own), len(l.ledger.payments))
	for request, claim := range l.ledger.payments {
		r := own[request]
		if r.ID != claim.id {
			d.add("payment: request %s is transaction %q, was acknowledged as %q", request, r.ID, claim.id)
		}
		if (r.State == "PAYED") != claim.paid {
			d.add("payment: %s is %s, paid by its payer: %t", r.ID, r.State, claim.paid)
		}
	}
	fees := 0
	for appID, a := range l.ledger.applications {
		if !a.fee {
			continue
		}
		fees++
		if r := ofForms[appID]; (r.State == "PAYED") != a.paid {
			d.add("payment: of application %s is %q, paid by its applicant: %t", appID, r.State, a.paid)
		}
	}
	d.same("payment: transactions of applications", len(ofForms), fees)
	n, err := counts(t, l.s, "payment", `SELECT transaction_id || ' ' || what AS key, count(*) AS n FROM history
		WHERE what IN ('created', 'payed') GROUP BY transaction_id, what HAVING count(*) > 1
		UNION ALL SELECT id || ' has open attempts', 1 FROM transactions AS t WHERE state = 'PAYED'
			AND EXISTS (SELECT 1 FROM attempts AS a WHERE a.tenant_id = t.tenant_id AND a.transaction_id = t.id AND a.state = 'open')
		UNION ALL SELECT transaction_id || ' was paid twice', count(*) FROM attempts WHERE state IN ('paid', 'surplus') GROUP BY transaction_id HAVING count(*) > 1`)
	for what, k := range n {
		d.add("payment: %s: %d", what, k)
	}
	return err
}

func (l *load) applicationsOnce(t testing.TB, d *differences) error {
	type row struct {
		ID    string `db:"id"`
		State string `db:"state"`
	}
	list, err := rows[row](t, l.s, "forms", `SELECT id, state FROM applications`)
	if err != nil {
		return err
	}
	log, err := counts(t, l.s, "forms", `SELECT application_id || ' ' || kind AS key, count(*) AS n FROM application_events GROUP BY application_id, kind`)
	if err != nil {
		return err
	}
	d.same("forms: applications", len(list), len(l.ledger.applications))
	for _, r := range list {
		a := l.ledger.applications[r.ID]
		if a == nil {
			d.add("forms: application %s was never acknowledged", r.ID)
			continue
		}
		want := "delivered"
		switch {
		case a.accepted:
			want = "accepted"
		case a.fee && !a.paid:
			want = "awaiting_payment"
		}
		if r.State != want {
			d.add("forms: application %s is %s, want %s", r.ID, r.State, want)
		}
		happened := map[string]int{"submitted": 1, "paid": count(a.fee && a.paid), "delivered": count(!a.fee || a.paid), "accepted": count(a.accepted)}
		for kind, n := range happened {
			d.same("forms: "+r.ID+": log entries "+kind, log[r.ID+" "+kind], n)
		}
	}
	n, err := counts(t, l.s, "forms", `SELECT application_id || ' was paid twice' AS key, count(*) AS n FROM payments
		WHERE state = 'payed' GROUP BY application_id HAVING count(*) > 1
		UNION ALL SELECT application_id || ' has no address to pay at', tries FROM payments WHERE state = 'wanted' OR pay_url = ''`)
	for what, k := range n {
		d.add("forms: %s: %d", what, k)
	}
	return err
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// mailsOnce: each message in the outbox once, each kind of mail of an application once.
func (l *load) mailsOnce(t testing.TB, d *differences) error {
	got, err := counts(t, l.s, "notify", `SELECT m.reference || ' ' || m.template_name AS key, count(*) AS n
		FROM messages AS m JOIN local_mails AS o ON o.tenant_id = m.tenant_id AND o.message_id = m.id
		WHERE m.template_name <> 'payment-link' GROUP BY m.reference, m.template_name`)
	if err != nil {
		return err
	}
	want := map[string]int{}
	for reference := range l.ledger.messages {
		want[reference+" test-message"] = 1
	}
	for appID, a := range l.ledger.applications {
		want[appID+" application-received"] = 1
		want[appID+" payment-receipt"] = count(a.fee && a.paid)
		want[appID+" application-accepted"] = count(a.accepted)
	}
	for appointmentID := range l.ledger.appointments {
		want[appointmentID+" appointment-confirmed"] = 1
	}
	for key, n := range want {
		d.same("notify: mails "+key, got[key], n)
	}
	for key, n := range got {
		if _, known := want[key]; !known {
			d.add("notify: %d mails %s that nobody asked for", n, key)
		}
	}
	ids, err := counts(t, l.s, "notify", `SELECT id || ' ' || reference AS key, 1 AS n FROM messages WHERE template_name = 'test-message'`)
	for reference, messageID := range l.ledger.messages {
		d.same("notify: message "+messageID+" of "+reference, ids[messageID+" "+reference], 1)
	}
	return err
}

func (l *load) appointmentsOnce(t testing.TB, d *differences) error {
	type row struct {
		ID    string `db:"id"`
		Email string `db:"email"`
	}
	list, err := rows[row](t, l.s, "booking", `SELECT id, email FROM appointments WHERE state = 'confirmed'`)
	if err != nil {
		return err
	}
	d.same("booking: appointments", len(list), len(l.ledger.appointments))
	for _, r := range list {
		if b := l.ledger.appointments[r.ID]; b == nil || b.email != r.Email {
			d.add("booking: appointment %s was never acknowledged", r.ID)
		}
	}
	n, err := counts(t, l.s, "booking", `SELECT a.id || ' and ' || b.id AS key, 1 AS n FROM appointments AS a JOIN appointments AS b
		ON a.tenant_id = b.tenant_id AND a.office_id = b.office_id AND a.resource_id = b.resource_id AND a.id < b.id
		WHERE a.state IN ('held', 'confirmed') AND b.state IN ('held', 'confirmed') AND a.starts_at < b.free_at AND b.starts_at < a.free_at`)
	for key := range n {
		d.add("booking: %s overlap", key)
	}
	return err
}

// usageOnce: another service, which hears everything by events alone, counts the same.
func (l *load) usageOnce(t testing.TB, d *differences) error {
	got, err := counts(t, l.s, "tenants", `SELECT counter AS key, sum(n) AS n FROM usage GROUP BY counter`)
	if err != nil {
		return err
	}
	messages, err := counts(t, l.s, "notify", `SELECT 'all' AS key, count(*) AS n FROM messages`)
	if err != nil {
		return err
	}
	want := map[string]int{
		"payment.transaction.created": len(l.ledger.payments), "forms.application.submitted": len(l.ledger.applications),
		"notify.message.accepted": messages["all"], "notify.message.delivered": messages["all"], "booking.appointment.confirmed": len(l.ledger.appointments),
	}
	for _, c := range l.ledger.payments {
		want["payment.transaction.payed"] += count(c.paid)
	}
	for _, a := range l.ledger.applications {
		want["payment.transaction.created"] += count(a.fee)
		want["payment.transaction.payed"] += count(a.paid)
		want["forms.application.accepted"] += count(a.accepted)
	}
	for counter, n := range want {
		d.same("tenants: usage "+counter, got[counter], n)
	}
	return nil
}

// checkAPIs reads every acknowledged write back as its client does.
func (l *load) checkAPIs(t *testing.T) {
	t.Helper()
	l.ledger.Lock()
	defer l.ledger.Unlock()
	want := func(path string, headers http.Header, what string) {
		status, body, err := l.read(t.Context(), path, headers)
		if err != nil || status != http.StatusOK || !strings.Contains(string(body), what) {
			t.Errorf("GET %s = %d, %v, want 200 with %s: %.300s", path, status, err, what, body)
		}
	}
	for _, c := range l.ledger.payments {
		state := map[bool]string{true: "PAYED", false: "INITIAL"}[c.paid]
		want("/xbezahldienste/paymenttransaction/"+l.d.Payment.OriginatorID+"/"+l.d.Payment.EndPointID+"/"+c.id, nil, `"status":"`+state+`"`)
	}
	for _, messageID := range l.ledger.messages {
		want("/t/erfurt/notify/v1/messages/"+messageID, nil, `"status":"delivered"`)
	}
	for appointmentID, b := range l.ledger.appointments {
		want("/t/erfurt/booking/v1/appointments/"+appointmentID, http.Header{"Appointment-Secret": {b.secret}}, `"state":"confirmed"`)
	}
}

// checkAudit verifies the chain of every tenant in every service.
func (l *load) checkAudit(t *testing.T) {
	t.Helper()
	entries := 0
	for _, service := range services() {
		tenants, err := rows[string](t, l.s, service, `SELECT DISTINCT tenant_id FROM audit_log`)
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.s.open(t, service)
		if err != nil {
			t.Fatal(err)
		}
		for _, tenantID := range tenants {
			n, err := audit.Verify(tenant.With(context.WithoutCancel(t.Context()), tenant.Tenant{ID: id.ID(tenantID)}), d)
			if err != nil {
				t.Errorf("%s: audit.Verify(%s) = %d, %v", service, tenantID, n, err)
			}
			entries += n
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("audit: %d entries in order", entries)
}
