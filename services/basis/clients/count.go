package clients

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// services with tables.
func services() []string {
	return []string{"tenants", "auth", "notify", "payment", "forms", "booking", "console", "edge"}
}

// rows reads from a service's database for all tenants.
func rows[T any](ctx context.Context, l *Load, service, sql string) (out []T, err error) {
	ctx = db.System(ctx)
	err = l.Tables(ctx, service, func(d *db.DB) error {
		return d.Read(ctx, func(tx *db.Tx) error {
			out = nil
			return tx.Select(ctx, &out, sql)
		})
	})
	return out, err
}

type pair struct {
	Key string `db:"key"`
	N   int    `db:"n"`
}

// counts reads key and n.
func counts(ctx context.Context, l *Load, service, sql string) (map[string]int, error) {
	list, err := rows[pair](ctx, l, service, sql)
	out := map[string]int{}
	for _, p := range list {
		out[p.Key] = p.N
	}
	return out, err
}

// Differences are between what the clients were told and what the services hold.
type Differences struct {
	Lost    int // acknowledged and not there, or still waiting to happen
	Doubled int // there more often than it should, or never acknowledged
	list    []string
}

func (d *Differences) lost(n int, format string, args ...any) {
	d.Lost += n
	d.list = append(d.list, "lost: "+fmt.Sprintf(format, args...))
}

func (d *Differences) doubled(n int, format string, args ...any) {
	d.Doubled += n
	d.list = append(d.list, "doubled: "+fmt.Sprintf(format, args...))
}

func (d *Differences) same(what string, got, want int) {
	switch {
	case got < want:
		d.lost(want-got, "%s: got %d, want %d", what, got, want)
	case got > want:
		d.doubled(got-want, "%s: got %d, want %d", what, got, want)
	}
}

// Err tells the first of them; nil means that nothing is missing, nothing is there twice, and
// nothing waits.
func (d *Differences) Err() error {
	if len(d.list) == 0 {
		return nil
	}
	return fmt.Errorf("%d lost, %d doubled:\n%s", d.Lost, d.Doubled, strings.Join(d.list[:min(len(d.list), 12)], "\n"))
}

// Count compares what the services hold with what the clients were told. It fails only if it
// cannot read. While clients are at work or events under way there are differences.
func (l *Load) Count(ctx context.Context) (d Differences, err error) {
	l.Ledger.mu.Lock()
	defer l.Ledger.mu.Unlock()
	for _, check := range []func(context.Context, *Differences) error{l.quiet, l.paymentsOnce, l.applicationsOnce, l.mailsOnce, l.appointmentsOnce, l.usageOnce} {
		err = errors.Join(err, check(ctx, &d))
	}
	return d, err
}

// quiet: no event waits to be sent, none was given up that should not, no message waits.
func (l *Load) quiet(ctx context.Context, d *Differences) error {
	for _, service := range services() {
		n, err := counts(ctx, l, service, `SELECT 'unsent' AS key, count(*) AS n FROM outbox WHERE sent_at IS NULL
			UNION ALL SELECT 'dead', count(*) FROM dead_letters`)
		if err != nil {
			return err
		}
		if n["unsent"] > 0 {
			d.lost(n["unsent"], "%s: %d events wait to be sent", service, n["unsent"])
		}
		if dead, want := n["dead"], l.Ledger.Dead[service]; dead != want {
			d.lost(max(1, dead-want), "%s: %d dead letters, want %d", service, dead, want)
		}
	}
	n, err := counts(ctx, l, "notify", `SELECT status AS key, count(*) AS n FROM messages GROUP BY status`)
	for status, k := range n {
		if status != "delivered" {
			d.lost(k, "notify: %d messages are %s", k, status)
		}
	}
	return err
}

func (l *Load) paymentsOnce(ctx context.Context, d *Differences) error {
	type row struct {
		ID      string `db:"id"`
		Origin  string `db:"originator_id"`
		Request string `db:"request_id"`
		State   string `db:"state"`
	}
	list, err := rows[row](ctx, l, "payment", `SELECT id, originator_id, request_id, state FROM transactions`)
	if err != nil {
		return err
	}
	own, ofForms := map[string]row{}, map[string]row{}
	for _, r := range list {
		into := ofForms
		if r.Origin == l.Demo.Payment.OriginatorID {
			into = own
		}
		if _, twice := into[r.Request]; twice {
			d.doubled(1, "payment: two transactions of request %s", r.Request)
		}
		into[r.Request] = r
	}
	d.same("payment: transactions of the client", len(own), len(l.Ledger.Payments))
	for request, claim := range l.Ledger.Payments {
		r := own[request]
		switch paid := r.State == "PAYED"; {
		case r.ID == "":
			// It is counted above.
		case r.ID != claim.ID:
			d.doubled(1, "payment: request %s is transaction %q, was acknowledged as %q", request, r.ID, claim.ID)
		case !paid && claim.Paid:
			d.lost(1, "payment: %s is %s, its payer was told that it is paid", r.ID, r.State)
		case paid && !claim.Paid:
			d.doubled(1, "payment: %s is paid, its payer did not pay", r.ID)
		}
	}
	fees := 0
	for appID, a := range l.Ledger.Applications {
		if !a.Fee {
			continue
		}
		fees++
		d.same("payment: paid for application "+appID, count(ofForms[appID].State == "PAYED"), count(a.Paid))
	}
	d.same("payment: transactions of applications", len(ofForms), fees)
	n, err := counts(ctx, l, "payment", `SELECT transaction_id || ' ' || what AS key, count(*) AS n FROM history
		WHERE what IN ('created', 'payed') GROUP BY transaction_id, what HAVING count(*) > 1
		UNION ALL SELECT id || ' has open attempts', 1 FROM transactions AS t WHERE state = 'PAYED'
			AND EXISTS (SELECT 1 FROM attempts AS a WHERE a.tenant_id = t.tenant_id AND a.transaction_id = t.id AND a.state = 'open')
		UNION ALL SELECT transaction_id || ' was paid twice', count(*) FROM attempts WHERE state IN ('paid', 'surplus') GROUP BY transaction_id HAVING count(*) > 1`)
	for what, k := range n {
		d.doubled(1, "payment: %s: %d", what, k)
	}
	return err
}

func (l *Load) applicationsOnce(ctx context.Context, d *Differences) error {
	type row struct {
		ID    string `db:"id"`
		State string `db:"state"`
	}
	list, err := rows[row](ctx, l, "forms", `SELECT id, state FROM applications`)
	if err != nil {
		return err
	}
	log, err := counts(ctx, l, "forms", `SELECT application_id || ' ' || kind AS key, count(*) AS n FROM application_events GROUP BY application_id, kind`)
	if err != nil {
		return err
	}
	d.same("forms: applications", len(list), len(l.Ledger.Applications))
	for _, r := range list {
		a := l.Ledger.Applications[r.ID]
		if a == nil {
			d.doubled(1, "forms: application %s was never acknowledged", r.ID)
			continue
		}
		want := "delivered"
		switch {
		case a.Accepted:
			want = "accepted"
		case a.Fee && !a.Paid:
			want = "awaiting_payment"
		}
		if r.State != want {
			d.lost(1, "forms: application %s is %s, want %s", r.ID, r.State, want)
		}
		happened := map[string]int{"submitted": 1, "paid": count(a.Fee && a.Paid), "delivered": count(!a.Fee || a.Paid), "accepted": count(a.Accepted)}
		for kind, n := range happened {
			d.same("forms: "+r.ID+": log entries "+kind, log[r.ID+" "+kind], n)
		}
	}
	n, err := counts(ctx, l, "forms", `SELECT application_id || ' was paid twice' AS key, count(*) AS n FROM payments
		WHERE state = 'payed' GROUP BY application_id HAVING count(*) > 1
		UNION ALL SELECT application_id || ' has no address to pay at', tries FROM payments WHERE state = 'wanted' OR pay_url = ''`)
	for what, k := range n {
		d.doubled(1, "forms: %s: %d", what, k)
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
func (l *Load) mailsOnce(ctx context.Context, d *Differences) error {
	got, err := counts(ctx, l, "notify", `SELECT m.reference || ' ' || m.template_name AS key, count(*) AS n
		FROM messages AS m JOIN local_mails AS o ON o.tenant_id = m.tenant_id AND o.message_id = m.id
		WHERE m.template_name <> 'payment-link' GROUP BY m.reference, m.template_name`)
	if err != nil {
		return err
	}
	want := map[string]int{}
	for reference := range l.Ledger.Messages {
		want[reference+" test-message"] = 1
	}
	for appID, a := range l.Ledger.Applications {
		want[appID+" application-received"] = 1
		want[appID+" payment-receipt"] = count(a.Fee && a.Paid)
		want[appID+" application-accepted"] = count(a.Accepted)
	}
	for appointmentID := range l.Ledger.Appointments {
		want[appointmentID+" appointment-confirmed"] = 1
	}
	for key, n := range want {
		d.same("notify: mails "+key, got[key], n)
	}
	for key, n := range got {
		if _, known := want[key]; !known {
			d.doubled(n, "notify: %d mails %s that nobody asked for", n, key)
		}
	}
	ids, err := counts(ctx, l, "notify", `SELECT id || ' ' || reference AS key, 1 AS n FROM messages WHERE template_name = 'test-message'`)
	for reference, messageID := range l.Ledger.Messages {
		d.same("notify: message "+messageID+" of "+reference, ids[messageID+" "+reference], 1)
	}
	return err
}

func (l *Load) appointmentsOnce(ctx context.Context, d *Differences) error {
	type row struct {
		ID    string `db:"id"`
		Email string `db:"email"`
	}
	list, err := rows[row](ctx, l, "booking", `SELECT id, email FROM appointments WHERE state = 'confirmed'`)
	if err != nil {
		return err
	}
	d.same("booking: appointments", len(list), len(l.Ledger.Appointments))
	for _, r := range list {
		if b := l.Ledger.Appointments[r.ID]; b == nil || b.Email != r.Email {
			d.doubled(1, "booking: appointment %s was never acknowledged", r.ID)
		}
	}
	n, err := counts(ctx, l, "booking", `SELECT a.id || ' and ' || b.id AS key, 1 AS n FROM appointments AS a JOIN appointments AS b
		ON a.tenant_id = b.tenant_id AND a.office_id = b.office_id AND a.resource_id = b.resource_id AND a.id < b.id
		WHERE a.state IN ('held', 'confirmed') AND b.state IN ('held', 'confirmed') AND a.starts_at < b.free_at AND b.starts_at < a.free_at`)
	for key := range n {
		d.doubled(1, "booking: %s overlap", key)
	}
	return err
}

// usageOnce: another service, which hears everything by events alone, counts the same.
func (l *Load) usageOnce(ctx context.Context, d *Differences) error {
	got, err := counts(ctx, l, "tenants", `SELECT counter AS key, sum(n) AS n FROM (SELECT counter, n FROM usage UNION ALL SELECT counter, n FROM usage_slots) AS parts GROUP BY counter`)
	if err != nil {
		return err
	}
	messages, err := counts(ctx, l, "notify", `SELECT 'all' AS key, count(*) AS n FROM messages`)
	if err != nil {
		return err
	}
	want := map[string]int{
		"payment.transaction.created": l.Ledger.Told + len(l.Ledger.Payments), "forms.application.submitted": len(l.Ledger.Applications),
		"notify.message.accepted": messages["all"], "notify.message.delivered": messages["all"], "booking.appointment.confirmed": len(l.Ledger.Appointments),
	}
	for _, c := range l.Ledger.Payments {
		want["payment.transaction.payed"] += count(c.Paid)
	}
	for _, a := range l.Ledger.Applications {
		want["payment.transaction.created"] += count(a.Fee)
		want["payment.transaction.payed"] += count(a.Paid)
		want["forms.application.accepted"] += count(a.Accepted)
	}
	for counter, n := range want {
		if l.Ledger.Later[counter] {
			continue
		}
		d.same("tenants: usage "+counter, got[counter], n)
	}
	return nil
}

// ReadBack reads every acknowledged write as its client does, each once however often it is
// called, and tells what is not as it was acknowledged.
func (l *Load) ReadBack(ctx context.Context) error {
	l.Ledger.mu.Lock()
	defer l.Ledger.mu.Unlock()
	var wrong []error
	want := func(path string, headers http.Header, what string) {
		if l.readBack[path] || len(wrong) > 10 {
			return
		}
		l.readBack[path] = true
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.Site.URL+path, nil)
		if err != nil {
			wrong = append(wrong, err)
			return
		}
		for name, values := range headers {
			req.Header[name] = values
		}
		req.Header.Set("Authorization", "Bearer "+*l.token.Load())
		status, body, err := l.Site.Send(req)
		if err != nil || status != http.StatusOK || !strings.Contains(string(body), what) {
			wrong = append(wrong, fmt.Errorf("GET %s = %d, %w, want 200 with %s: %.300s", path, status, err, what, body))
		}
	}
	for _, p := range l.Ledger.Payments {
		state := map[bool]string{true: "PAYED", false: "INITIAL"}[p.Paid]
		want("/xbezahldienste/paymenttransaction/"+l.Demo.Payment.OriginatorID+"/"+l.Demo.Payment.EndPointID+"/"+p.ID, nil, `"status":"`+state+`"`)
	}
	for _, messageID := range l.Ledger.Messages {
		want("/t/erfurt/notify/v1/messages/"+messageID, nil, `"status":"delivered"`)
	}
	for appointmentID, a := range l.Ledger.Appointments {
		want("/t/erfurt/booking/v1/appointments/"+appointmentID, http.Header{"Appointment-Secret": {a.Secret}}, `"state":"confirmed"`)
	}
	return errors.Join(wrong...)
}

// Audit verifies the chain of every tenant in every service, and counts the entries.
func (l *Load) Audit(ctx context.Context) (entries int, err error) {
	for _, service := range services() {
		tenants, failed := rows[string](ctx, l, service, `SELECT DISTINCT tenant_id FROM audit_log`)
		err = errors.Join(err, failed)
		for _, tenantID := range tenants {
			err = errors.Join(err, l.Tables(ctx, service, func(d *db.DB) error {
				n, err := audit.Verify(tenant.With(context.WithoutCancel(ctx), tenant.Tenant{ID: id.ID(tenantID)}), d)
				entries += n
				if err != nil {
					return fmt.Errorf("%s: audit.Verify(%s) = %d, %w", service, tenantID, n, err)
				}
				return nil
			}))
		}
	}
	return entries, err
}
