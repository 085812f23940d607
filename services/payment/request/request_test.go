package request

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
)

func TestAsk(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		made := g.claim(g.erfurt, "r-1", dueDay)
		first := g.ask(made, asks)
		if first.State != "ASKING" || first.Email != "E***@example.org" || first.DueOn != "2027-03-31" || fmt.Sprint(first.Days) != "[7 1]" || states(first) != "WAITING WAITING WAITING" {
			t.Errorf("POST = %+v, want it to ask, with the address masked and the earliest reminder first", first)
		}
		for i, want := range []string{"2027-03-15T12:00:00Z", "2027-03-24T08:00:00Z", "2027-03-30T07:00:00Z"} { // nine o'clock, in winter and in summer time
			if got := first.Mails[i].SendAt.Format(time.RFC3339); got != want {
				t.Errorf("mail %d is sent at %s, want %s", i, got, want)
			}
		}
		g.pass(time.Minute)
		for name, body := range map[string]string{"again": asks, "in another order": `{"email":" Erika.Muster@example.org","remind_days_before":[7,1]}`} {
			if got := g.ask(made, body); fmt.Sprint(got.CreatedAt, states(got)) != fmt.Sprint(first.CreatedAt, states(first)) {
				t.Errorf("POST %s = %+v, want %+v", name, got, first)
			}
		}
		for name, body := range map[string]string{
			"address": `{"email":"x@example.org","remind_days_before":[1,7]}`, "language": strings.Replace(asks, `"de"`, `"en"`, 1), "days": strings.Replace(asks, "[1,7]", "[1]", 1),
		} {
			g.wantRefused("another "+name, g.call("POST", made, "/request", body), http.StatusConflict, "request_exists")
		}
		if got := g.counted(); got["requests"] != 1 || got["reminders"] != 3 {
			t.Errorf("stored are %v, want one request with three mails", got)
		}
		if a := g.call("DELETE", made, "/request", nil); a.Status != http.StatusNoContent {
			t.Errorf("DELETE = %d %s, want 204", a.Status, a.Body)
		}
		g.wantRefused("GET after DELETE", g.call("GET", made, "/request", nil), http.StatusNotFound, "unknown_request")
		g.wantRefused("DELETE again", g.call("DELETE", made, "/request", nil), http.StatusNotFound, "unknown_request")
		if got := g.counted(); got["requests"]+got["reminders"] != 0 {
			t.Errorf("after DELETE there are %v, want nothing", got)
		}
		g.sweep()
		g.wantMails("after DELETE")
		g.ask(made, `{"email":"x@example.org"}`)
		g.sweep()
		g.wantMails("asked anew", "payment-request")
	})
}

func (g *rig) wantRefused(what string, a runtest.Answer, status int, code string) {
	g.t.Helper()
	var p struct {
		Code string `json:"code"`
	}
	if a.Status != status {
		g.t.Errorf("%s = %d %s, want %d %s", what, a.Status, a.Body, status, code)
		return
	}
	if a.JSON(g.t, &p); p.Code != code {
		g.t.Errorf("%s = %s, want %s", what, a.Body, code)
	}
}

func TestAsk_Refuses(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.claim(g.erfurt, "r-1", dueDay)
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"no address":      {`{}`, 422, "invalid_email"},
		"no mail address": {`{"email":"erika"}`, 422, "invalid_email"},
		"with a name":     {`{"email":"Erika <e@example.org>"}`, 422, "invalid_email"},
		"two addresses":   {`{"email":"e@example.org, f@example.org"}`, 422, "invalid_email"},
		"a line more":     {`{"email":"e@example.org\nBcc: f@example.org"}`, 422, "invalid_email"},
		"no domain":       {`{"email":"e@localhost"}`, 422, "invalid_email"},
		"too long":        {`{"email":"` + strings.Repeat("e", 250) + `@example.org"}`, 422, "invalid_email"},
		"language":        {`{"email":"e@example.org","language":"fr"}`, 400, "unknown_language"},
		"a day twice":     {`{"email":"e@example.org","remind_days_before":[7,1,7]}`, 422, "invalid_reminder"},
		"after the day":   {`{"email":"e@example.org","remind_days_before":[-1]}`, 422, "invalid_reminder"},
		"long before":     {`{"email":"e@example.org","remind_days_before":[91]}`, 422, "invalid_reminder"},
		"six reminders":   {`{"email":"e@example.org","remind_days_before":[1,2,3,4,5,6]}`, 422, "invalid_reminder"},
		"unknown field":   {`{"email":"e@example.org","id":"x"}`, 400, "unknown_field"},
	} {
		g.wantRefused(name, g.call("POST", made, "/request", c.body), c.status, c.code)
	}
	nobody := payment.Transaction{ID: id.New()}
	for _, method := range []string{"POST", "GET", "DELETE"} {
		g.wantRefused(method+" of no transaction", g.call(method, nobody, "/request", asks), http.StatusNotFound, "unknown_transaction")
	}
	theirs := g.claim(g.jena, "r-1", dueDay)
	for _, method := range []string{"POST", "GET", "DELETE"} {
		g.wantRefused(method+" of another's", g.call(method, theirs, "/request", asks), http.StatusNotFound, "unknown_transaction")
	}
	address := "/t/erfurt/payment/v1/transactions/" + made.ID.String() + "/request"
	for _, c := range []struct{ method, scope string }{{"POST", payment.ScopeRead}, {"DELETE", payment.ScopeRead}, {"GET", payment.ScopeWrite}} {
		if a := g.Do(c.method, address, g.token(g.erfurt, c.scope), asks); a.Status != http.StatusForbidden {
			t.Errorf("%s with %s = %d, want 403", c.method, c.scope, a.Status)
		}
		if a := g.Do(c.method, address, g.token(g.jena, payment.ScopeRead, payment.ScopeWrite), asks); a.Status != http.StatusForbidden {
			t.Errorf("%s with another municipality's token = %d, want 403", c.method, a.Status)
		}
	}
	if _, err := g.core.Withdraw(runtest.Context(t, g.erfurt), made.ID); err != nil {
		t.Fatal(err)
	}
	g.wantRefused("a final transaction", g.call("POST", made, "/request", asks), http.StatusConflict, "transaction_final")
	if got := g.counted(); got["requests"]+got["reminders"] != 0 {
		t.Errorf("stored are %v, want nothing", got)
	}
}

func TestReminders(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		made := g.claim(g.erfurt, "r-1", dueDay)
		g.ask(made, asks)
		g.sweep()
		g.sweep()
		g.wantMails("at once", "payment-request")
		first := g.mails.all()[0]
		want := map[string]string{
			"subject": "Hundesteuer 2027", "amount": "42.00", "kassenzeichen": made.Kassenzeichen, "due_on": "2027-03-31", "municipality": "Erfurt",
			"link": g.core.PayURL(runtest.Context(t, g.erfurt), made.ID),
		}
		if first.To["email"] != "Erika.Muster@example.org" || first.Channel != "email" || first.Language != "de" || first.Reference != made.ID.String() ||
			fmt.Sprint(first.Personalisation) != fmt.Sprint(want) {
			t.Errorf("the mail is %+v, want to the address in German, with %v", first, want)
		}
		for _, c := range []struct {
			at   time.Time
			want []string
		}{
			{time.Date(2027, 3, 24, 7, 59, 59, 0, time.UTC), []string{"payment-request"}},
			{time.Date(2027, 3, 24, 8, 0, 0, 0, time.UTC), []string{"payment-request", "payment-reminder"}},
			{time.Date(2027, 3, 30, 6, 59, 59, 0, time.UTC), []string{"payment-request", "payment-reminder"}},
			{time.Date(2027, 3, 30, 7, 0, 0, 0, time.UTC), []string{"payment-request", "payment-reminder", "payment-reminder"}},
			{time.Date(2027, 4, 3, 7, 0, 0, 0, time.UTC), []string{"payment-request", "payment-reminder", "payment-reminder"}},
		} {
			g.at(c.at)
			g.sweep()
			g.wantMails(c.at.String(), c.want...)
		}
		v := g.get(made)
		if states(v) != "SENT SENT SENT" || v.Mails[1].SentAt == nil || v.Mails[1].DaysBefore == nil || *v.Mails[1].DaysBefore != 7 || v.Mails[0].DaysBefore != nil {
			t.Errorf("GET = %+v, want three mails that were sent, the second seven days before", v)
		}
	})
}

// Nobody is asked who has paid; the address is gone, and later all of it.
func TestReminders_End(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		made := g.claim(g.erfurt, "r-1", dueDay)
		other := g.claim(g.erfurt, "r-2", dueDay)
		g.ask(made, asks)
		g.ask(other, asks)
		g.sweep()
		g.wantMails("at once", "payment-request", "payment-request")
		if _, err := g.core.Withdraw(runtest.Context(t, g.erfurt), made.ID); err != nil {
			t.Fatal(err)
		}
		runtest.Eventually(t, "end of the request", func() bool { return g.get(made).State == "ENDED" })
		g.at(time.Date(2027, 3, 24, 9, 0, 0, 0, time.UTC))
		g.sweep()
		g.wantMails("after one transaction ended", "payment-request", "payment-request", "payment-reminder")
		v := g.get(made)
		if v.Email != "" || v.EndedAt == nil || states(v) != "SENT SKIPPED:ended SKIPPED:ended" {
			t.Errorf("GET = %+v, want it ended, without an address", v)
		}
		if got := g.counted(); got["addresses"] != 1 || got["requests"] != 2 {
			t.Errorf("stored are %v, want two requests and one address", got)
		}
		g.at(v.EndedAt.Add(keepFor - time.Second))
		g.wantPurged(2)
		g.at(v.EndedAt.Add(keepFor))
		g.wantPurged(1)
		g.at(dueDay.AddDate(1, 0, 0)) // whatever became of the other: it is deleted some weeks after its transaction should have ended
		g.wantPurged(0)
	})
}

// Money is held: the payer has done all, and is not asked any more.
func TestReminders_EndWhenHeld(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.claim(g.erfurt, "r-1", dueDay)
	held := g.claimDelayed("r-2")
	g.ask(made, asks)
	g.ask(held, asks)
	post := func(address, form string) runtest.Answer {
		return g.Do("POST", address, "", form, "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Sec-Fetch-Site", "same-origin")
	}
	session := post(g.core.PayURL(runtest.Context(t, g.erfurt), held.ID), "offer=card").Header.Get("Location")
	if a := post(session, "act=pay"); a.Status != http.StatusSeeOther {
		t.Fatalf("pay = %d %s, want 303", a.Status, a.Body)
	}
	runtest.Eventually(t, "end of the request", func() bool { return g.get(held).State == "ENDED" })
	g.sweep()
	g.wantMails("with the money held", "payment-request")
	g.wantRefused("asking anew", g.call("POST", held, "/request", asks), http.StatusConflict, "payment_authorised")
}

func (g *rig) wantPurged(left int) {
	g.t.Helper()
	if err := g.service.Purge(g.t.Context()); err != nil {
		g.t.Fatalf("Purge: %v", err)
	}
	if got := g.counted(); got["requests"] != left || got["reminders"] != 3*left {
		g.t.Errorf("after Purge there are %v, want %d requests with three mails each", got, left)
	}
}

// The transaction is final and its event has not been heard: the sweep looks itself.
func TestDeliver_Final(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.claim(g.erfurt, "r-1", dueDay)
	g.ask(made, asks)
	ctx := db.System(t.Context())
	var list []due
	if err := g.service.db.Tx(ctx, func(tx *db.Tx) (err error) {
		list, err = claimDue(ctx, tx, batch)
		return err
	}); err != nil || len(list) != 1 {
		t.Fatalf("claimDue = %+v, %v, want one mail", list, err)
	}
	if _, err := g.core.Withdraw(runtest.Context(t, g.erfurt), made.ID); err != nil {
		t.Fatal(err)
	}
	if err := g.service.deliver(t.Context(), &list[0]); err != nil {
		t.Errorf("deliver: %v", err)
	}
	g.wantMails("after the end")
	g.wantStates("after the end", made, "SKIPPED:ended SKIPPED:ended SKIPPED:ended")
}

func TestDeliver_NotifyAway(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		made := g.claim(g.erfurt, "r-1", dueDay)
		g.ask(made, asks)
		for name, lose := range map[string]bool{"refuses": false, "loses the answer": true} {
			status := 0
			if !lose {
				status = http.StatusServiceUnavailable
			}
			g.mails.now(status, lose)
			err := g.service.Sweep(t.Context())
			if err == nil || strings.Contains(err.Error(), "@") || strings.Contains(err.Error(), "/pay/") || errors.Is(err, errAway) != lose {
				t.Errorf("Sweep while notify %s = %v, want an error without address and link", name, err)
			}
			g.mails.now(0, false)
			g.sweep()
			g.wantStates("during the pause", made, "WAITING WAITING WAITING")
			g.pass(2 * lease)
		}
		g.sweep()
		g.wantMails("after the pause", "payment-request")
		g.wantStates("after the pause", made, "SENT WAITING WAITING")
		if g.mails.clash != 0 {
			t.Errorf("%d tries had another content under the same key", g.mails.clash)
		}

		refused := g.claim(g.erfurt, "r-2", dueDay)
		g.ask(refused, `{"email":"e@example.org"}`)
		g.mails.now(http.StatusUnprocessableEntity, false)
		g.sweep()
		g.wantStates("refused", refused, "FAILED:refused")
		g.mails.now(0, false)

		// A lost answer, and then nobody there until notify has forgotten the key.
		lost := g.claim(g.erfurt, "r-3", dueDay)
		g.ask(lost, `{"email":"e@example.org"}`)
		g.mails.now(0, true)
		if err := g.service.Sweep(t.Context()); err == nil {
			t.Error("Sweep without an answer succeeded")
		}
		g.mails.now(0, false)
		g.pass(tryFor + time.Second)
		g.sweep()
		g.wantStates("too late to be sure", lost, "FAILED:not_taken")
		g.wantMails("in the end", "payment-request", "payment-request")
	})
}

// Nobody swept for days: a reminder whose day is over is left out.
func TestReminders_Late(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.claim(g.erfurt, "r-1", dueDay)
	g.ask(made, `{"email":"e@example.org","remind_days_before":[30,7,1]}`)
	g.wantStates("at once", made, "WAITING SKIPPED:too_late WAITING WAITING")
	g.at(time.Date(2027, 3, 30, 20, 0, 0, 0, time.UTC))
	g.sweep()
	g.wantStates("six days later", made, "SENT SKIPPED:too_late SKIPPED:too_late SENT")
	second := g.claim(g.erfurt, "r-2", dueDay)
	g.ask(second, `{"email":"e@example.org","remind_days_before":[0]}`)
	g.at(dueDay.Add(time.Second))
	g.sweep()
	g.wantStates("after the due date", second, "SENT SKIPPED:too_late")
}

// Two processes sweep at once.
func TestSweep_AtOnce(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		const requests = 30
		for n := range requests {
			g.ask(g.claim(g.erfurt, fmt.Sprint("r-", n), dueDay), `{"email":"e@example.org"}`)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := g.service.Sweep(t.Context()); err != nil {
					t.Errorf("Sweep: %v", err)
				}
			})
		}
		wg.Wait()
		if got := len(g.mails.all()); got != requests || g.mails.posts != requests {
			t.Errorf("notify has %d mails of %d tries, want %d of as many", got, g.mails.posts, requests)
		}
	})
}

// Two POSTs at once make one request.
func TestAsk_AtOnce(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		made := g.claim(g.erfurt, "r-1", dueDay)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if a := g.call("POST", made, "/request", asks); a.Status != http.StatusCreated {
					t.Errorf("POST = %d %s, want 201", a.Status, a.Body)
				}
			})
		}
		wg.Wait()
		g.sweep()
		g.wantMails("asked four times at once", "payment-request")
	})
}

func TestStore_OtherTenantSeesNothing(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		made := g.claim(g.erfurt, "r-1", dueDay)
		g.ask(made, asks)
		ctx := runtest.Context(t, g.jena)
		err := g.service.db.Tx(ctx, func(tx *db.Tx) error {
			if _, err := request(ctx, tx, made.ID); !fault.Is(err, "unknown_request") {
				t.Errorf("request as another = %v, want unknown_request", err)
			}
			if list, err := reminders(ctx, tx, made.ID); err != nil || len(list) != 0 {
				t.Errorf("reminders as another = %v, %v, want none", list, err)
			}
			if err := endRequest(ctx, tx, claim{tx.Tenant(), made.ID}); err != nil {
				t.Errorf("endRequest as another: %v", err)
			}
			if err := deleteRequest(ctx, tx, made.ID); !fault.Is(err, "unknown_request") {
				t.Errorf("deleteRequest as another = %v, want unknown_request", err)
			}
			return finish(ctx, tx, &Reminder{TransactionID: made.ID, State: Failed})
		})
		if err != nil {
			t.Fatal(err)
		}
		g.wantStates("after another tried", made, "WAITING WAITING WAITING")
	})
}

func TestMask(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"erika@example.org": "e***@example.org", "e@x.de": "e***@x.de", "": "", "@x.de": ""} {
		if got := mask(in); got != want {
			t.Errorf("mask(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	for tries, want := range map[int]time.Duration{0: 5 * time.Minute, 1: 10 * time.Minute, 3: 40 * time.Minute, 4: time.Hour, 40: time.Hour} {
		if got := pause(tries); got != want {
			t.Errorf("pause(%d) = %s, want %s", tries, got, want)
		}
	}
}
