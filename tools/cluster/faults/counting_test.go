package faults_test

import (
	"testing"

	"basisdienste/services/basis/clients"
)

// countingCanFail takes away what clients were told, and doubles it, behind the services' backs:
// each has to be seen. It is the last on the cluster, which is wrong afterwards.
func (r *rig) countingCanFail(t *testing.T) {
	before, err := r.load.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.load.Ledger.Note(func() { r.load.Ledger.Payments["never-stored"] = &clients.Payment{ID: "never-stored"} })
	for _, c := range []struct {
		name, sql     string
		lost, doubled bool
	}{
		{"a payment that nobody stored", `SELECT 1`, true, false},
		{"a payment that is gone", `DELETE FROM payment.transactions WHERE id = (SELECT id FROM payment.transactions WHERE state = 'PAYED' LIMIT 1)`, true, false},
		{"a receipt that is gone", `DELETE FROM notify.local_mails WHERE message_id = (SELECT id FROM notify.messages WHERE template_name = 'payment-receipt' LIMIT 1)`, true, false},
		{"a receipt sent twice", `WITH m AS (SELECT * FROM notify.messages AS m WHERE template_name = 'payment-receipt'
			AND EXISTS (SELECT 1 FROM notify.local_mails AS o WHERE o.message_id = m.id) LIMIT 1),
			n AS (INSERT INTO notify.messages SELECT (jsonb_populate_record(NULL::notify.messages, to_jsonb(m) || '{"id": "twice"}')).* FROM m)
			INSERT INTO notify.local_mails SELECT (jsonb_populate_record(NULL::notify.local_mails, to_jsonb(o) || '{"message_id": "twice"}')).* FROM notify.local_mails AS o, m WHERE o.message_id = m.id`, true, true},
		{"an application delivered twice", `INSERT INTO forms.application_events
			SELECT (jsonb_populate_record(NULL::forms.application_events, to_jsonb(e) || '{"id": "twice"}')).* FROM forms.application_events AS e WHERE kind = 'delivered' LIMIT 1`, false, true},
		{"an application that did not move on", `UPDATE forms.applications SET state = 'awaiting_payment' WHERE id = (SELECT id FROM forms.applications WHERE state = 'delivered' LIMIT 1)`, true, false},
		{"an appointment that is gone", `DELETE FROM booking.appointments WHERE id = (SELECT id FROM booking.appointments WHERE state = 'confirmed' LIMIT 1)`, true, false},
		{"an event counted twice", `UPDATE tenants.usage_slots SET n = n + 1 WHERE counter = 'payment.transaction.payed'`, false, true},
	} {
		// Without foreign keys.
		if _, err := r.cluster.SQL(t.Context(), "SET session_replication_role = replica; "+c.sql); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		after, err := r.load.Count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if lost, doubled := after.Lost > before.Lost, after.Doubled > before.Doubled; lost != c.lost || doubled != c.doubled {
			t.Errorf("%s: counted %d lost and %d doubled, before %d and %d; want more lost: %t, more doubled: %t",
				c.name, after.Lost, after.Doubled, before.Lost, before.Doubled, c.lost, c.doubled)
		}
		before = after
	}
}
