package forms

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/runtest"
)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: now.Time} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// submitPermit fills in and submits; it returns the application's id.
func (c *citizen) submitPermit() string {
	c.t.Helper()
	c.fillPermit()
	appID := c.applicationID()
	c.press("", map[string]string{"declaration": "true"})
	return appID
}

func payed(request paymentRequest, transaction string) events.TransactionPayed {
	return events.TransactionPayed{
		TransactionID: transaction, RequestID: request.RequestID, OriginatorID: "anwohnerparkausweis", EndPointID: "160510000000",
		Amount: int64(request.GrossAmount), Currency: "EUR", Method: "CREDITCARD", Kassenzeichen: "2026.000017.4", Status: "PAYED", At: now.Time,
	}
}

func (n *town) show(t *testing.T, appID string) Detail {
	t.Helper()
	a := n.Do(t, "GET", "/t/erfurt/forms/v1/applications/"+appID, n.clerk(), nil)
	if a.Status != http.StatusOK {
		t.Fatalf("GET application: got %d %s", a.Status, a.Body)
	}
	var d Detail
	a.JSON(t, &d)
	return d
}

func (n *town) awaitState(t *testing.T, appID string, want State) {
	t.Helper()
	runtest.Eventually(t, "application is "+string(want), func() bool { return n.show(t, appID).State == want })
}

func logKinds(log []LogEntry) string {
	var k []string
	for _, e := range log {
		k = append(k, e.Kind)
	}
	return strings.Join(k, " ")
}

func TestJourney_paidAndAccepted(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	c := n.citizen(t, "kim.1")
	appID := c.submitPermit()
	if c.status != http.StatusSeeOther || !strings.HasPrefix(c.at.Path, "/pay/") {
		t.Fatalf("after submitting: got %d to %s, want the pay page", c.status, c.at)
	}
	q := n.payment.all()[0]
	ref := n.show(t, appID).Reference
	if q.RequestID != appID || q.GrossAmount != 3070 || q.Currency != "EUR" || q.Purpose != ref || q.RedirectURL != n.URL+"/t/erfurt/forms/applications/"+appID || len(q.Items) != 1 {
		t.Errorf("payment request: got %+v, want the application's id, fee, reference and page", q)
	}
	if got, want := n.payment.paths[0], "/xbezahldienste/paymenttransaction/anwohnerparkausweis/160510000000"; got != want {
		t.Errorf("payment path: got %s, want %s", got, want)
	}

	// A payment of somebody else moves nothing; ours moves the application once, however
	// often it is told.
	transaction := n.payment.made[appID]
	stranger := payed(q, "other")
	stranger.RequestID = id.New().String()
	n.Tell("payment", n.erfurt.Tenant, stranger)
	for range 3 {
		n.Tell("payment", n.erfurt.Tenant, payed(q, transaction))
	}
	n.awaitState(t, appID, Delivered)
	d := n.show(t, appID)
	if got, want := logKinds(d.Events), "submitted paid delivered"; got != want {
		t.Errorf("event log: got %q, want %q", got, want)
	}
	if len(d.Payments) != 1 || d.Payments[0].State != PaymentPayed || d.Payments[0].Kassenzeichen != "2026.000017.4" || d.Amount != 3070 || d.PaidAt == nil {
		t.Errorf("payments: got %+v, want one, payed, with its Kassenzeichen", d.Payments)
	}
	runtest.Eventually(t, "mails about receipt and payment", func() bool {
		return len(n.notify.messages("application-received", "email")) == 1 && len(n.notify.messages("payment-receipt", "mailbox")) == 1
	})
	receipt := n.notify.messages("payment-receipt", "email")
	if len(receipt) != 1 || receipt[0].To.Email != "kim.beispiel@example.org" || receipt[0].Personalisation["amount"] != "30.70" ||
		receipt[0].Personalisation["kassenzeichen"] != "2026.000017.4" || receipt[0].Personalisation["reference"] != ref || receipt[0].Personalisation["name"] != "Kim Beispiel" {
		t.Errorf("receipt: got %+v, want name, amount, Kassenzeichen and reference", receipt)
	}
	if got := n.notify.messages("payment-receipt", "mailbox"); len(got) != 1 || got[0].To.Subject != "kim" {
		t.Errorf("receipt in the mailbox: got %+v, want one to kim", got)
	}

	if a := n.Do(t, "POST", "/t/erfurt/forms/v1/applications/"+appID+"/accept", n.clerk(), map[string]string{"note": "Zone A3 frei"}); a.Status != http.StatusOK {
		t.Fatalf("accept: got %d %s", a.Status, a.Body)
	}
	if a := n.Do(t, "POST", "/t/erfurt/forms/v1/applications/"+appID+"/reject", n.clerk(), map[string]string{"reason": "doch nicht"}); a.Status != http.StatusConflict {
		t.Errorf("reject after accept: got %d, want 409", a.Status)
	}
	runtest.Eventually(t, "mail about the decision", func() bool { return len(n.notify.messages("application-accepted", "email")) == 1 })
	if got := n.notify.messages("application-accepted", "email")[0].Personalisation["booking_link"]; got != n.URL+"/t/erfurt/booking/" {
		t.Errorf("booking link: got %q", got)
	}
	c.open("/t/erfurt/forms/applications/" + appID)
	if !strings.Contains(words(c.doc), "Ihr Antrag ist bewilligt") {
		t.Errorf("application page: got %s, want that it is granted", words(c.doc))
	}
	want := map[string]int{"submitted": 1, "paid": 1, "delivered": 1, "accepted": 1}
	if got := n.told(t, appID); mustJSON(t, got) != mustJSON(t, want) {
		t.Errorf("events told: got %v, want %v", got, want)
	}
	if got := n.payment.all(); len(got) != 1 {
		t.Errorf("payment requests: got %d, want 1", len(got))
	}
}

func TestJourney_paymentDown(t *testing.T) {
	t.Parallel()
	time := newClock()
	n := newTown(t, runtest.Clock(time.now))
	n.payment.setDown(true)
	c := n.citizen(t, "kim.1")
	appID := c.submitPermit()
	c.expect(200, "Bewohnerparkausweis beantragen")
	for _, want := range []string{"Die Bezahlseite ist gerade nicht erreichbar", "per E-Mail", "BPA-26-"} {
		if !strings.Contains(words(c.doc), want) {
			t.Errorf("page while payment is down: %q is missing", want)
		}
	}
	c.press("", nil) // pay now: still down
	c.expect(200, "Bewohnerparkausweis beantragen")

	n.payment.setDown(false)
	time.pass(hour)
	runtest.Eventually(t, "link by mail", func() bool { return len(n.notify.messages("payment-link", "email")) == 1 })
	m := n.notify.messages("payment-link", "email")[0]
	if m.Personalisation["link"] != n.URL+"/t/erfurt/forms/applications/"+appID || m.Personalisation["amount"] != "30.70" {
		t.Errorf("mail with the link: got %+v, want the application's page and the amount", m.Personalisation)
	}
	if got := n.payment.all(); len(got) != 1 || got[0].RequestID != appID {
		t.Errorf("payment requests: got %+v, want one with the application's id", got)
	}
	c.open("/t/erfurt/forms/applications/" + appID)
	c.press("", nil)
	if !strings.HasPrefix(c.at.Path, "/pay/") {
		t.Errorf("pay now: got %s, want the pay page", c.at)
	}
	n.Tell("payment", n.erfurt.Tenant, payed(n.payment.all()[0], n.payment.made[appID]))
	n.awaitState(t, appID, Delivered)
}

const hour = time.Hour

// TestJourney_paymentAgain: an attempt that failed is followed by another one with its own
// request id; late money for the first one is not lost.
func TestJourney_paymentAgain(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	c := n.citizen(t, "kim.1")
	appID := c.submitPermit()
	first := n.payment.all()[0]
	n.Tell("payment", n.erfurt.Tenant, events.TransactionFailed(payed(first, n.payment.made[appID])))
	runtest.Eventually(t, "the failure is known", func() bool { return logKinds(n.show(t, appID).Events) == "submitted payment_failed" })
	c.open("/t/erfurt/forms/applications/" + appID)
	if !strings.Contains(words(c.doc), "Die Bezahlung hat nicht geklappt") {
		t.Errorf("page after the failure: got %s", words(c.doc))
	}
	c.press("", nil)
	all := n.payment.all()
	if len(all) != 2 || all[1].RequestID == appID || len(all[1].RequestID) != 36 || !strings.HasPrefix(c.at.Path, "/pay/") {
		t.Fatalf("second attempt: got %+v at %s, want one with its own id", all, c.at)
	}
	for _, over := range []outbox.Event{events.TransactionCanceled(payed(all[1], "t")), events.TransactionExpired(payed(all[1], "t"))} {
		n.Tell("payment", n.erfurt.Tenant, over)
	}
	runtest.Eventually(t, "the second failure is known", func() bool { return len(n.show(t, appID).Events) == 3 })
	c.open("/t/erfurt/forms/applications/" + appID)
	c.press("", nil)
	third := n.payment.all()[2]
	n.Tell("payment", n.erfurt.Tenant, payed(third, n.payment.made[third.RequestID]))
	n.awaitState(t, appID, Delivered)
	n.Tell("payment", n.erfurt.Tenant, payed(first, n.payment.made[appID]))
	runtest.Eventually(t, "money in vain is in the log", func() bool {
		return strings.HasSuffix(logKinds(n.show(t, appID).Events), "paid delivered paid_in_vain")
	})
	if got := n.told(t, appID)["paid"]; got != 1 {
		t.Errorf("paid told: got %d times, want once", got)
	}
}

func TestJourney_withdrawnBeforePaying(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	c := n.citizen(t, "kim.1")
	appID := c.submitPermit()
	page := "/t/erfurt/forms/applications/" + appID
	resp := n.Do(t, "POST", page+"/withdraw", "", "", "Cookie", "who=kim.1")
	if resp.Status != http.StatusSeeOther {
		t.Fatalf("withdraw: got %d", resp.Status)
	}
	c.open(page)
	if !strings.Contains(words(c.doc), "Ihr Antrag ist zurückgezogen") {
		t.Errorf("page: got %s, want that it is withdrawn", words(c.doc))
	}
	n.Tell("payment", n.erfurt.Tenant, payed(n.payment.all()[0], n.payment.made[appID]))
	runtest.Eventually(t, "money in vain is in the log", func() bool {
		return logKinds(n.show(t, appID).Events) == "submitted withdrawn paid_in_vain"
	})
	if resp := n.Do(t, "POST", page+"/withdraw", "", "", "Cookie", "who=kim.1", "Accept", "application/json"); resp.Status != http.StatusConflict {
		t.Errorf("withdraw again: got %d, want 409", resp.Status)
	}
	want := map[string]int{"submitted": 1, "withdrawn": 1}
	if got := n.told(t, appID); mustJSON(t, got) != mustJSON(t, want) {
		t.Errorf("events told: got %v, want %v", got, want)
	}
}

// TestJourney_restart: what is committed goes on after the process ended at the worst moment.
func TestJourney_restart(t *testing.T) {
	t.Parallel()
	dir, time := t.TempDir(), newClock()
	first := newTown(t, runtest.Dir(dir), runtest.Clock(time.now))
	first.payment.setDown(true)
	c := first.citizen(t, "kim.1")
	appID := c.submitPermit()
	if err := first.Process.Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	time.pass(2 * hour)
	again := newTown(t, runtest.Dir(dir), runtest.Clock(time.now))
	again.erfurt = again.Put(first.erfurt)
	runtest.Eventually(t, "link by mail after the restart", func() bool { return len(again.notify.messages("payment-link", "email")) == 1 })
	all := again.payment.all()
	if len(all) != 1 || all[0].RequestID != appID {
		t.Fatalf("payment requests after the restart: got %+v, want one with the application's id", all)
	}
	again.Tell("payment", again.erfurt.Tenant, payed(all[0], again.payment.made[appID]))
	again.awaitState(t, appID, Delivered)
	if files := again.show(t, appID).Files; len(files) != 1 || files[0].Name != "schein.pdf" {
		t.Errorf("files after the restart: got %+v, want schein.pdf", files)
	}
}

func TestJobs_oldDraftsGo(t *testing.T) {
	t.Parallel()
	time := newClock()
	n := newTown(t, runtest.Clock(time.now), runtest.Set("forms.purge_every", "50ms"))
	c := n.citizen(t, "kim.1")
	c.fillPermit()
	old := "/t/erfurt/forms/applications/" + c.applicationID()
	submitted := n.citizen(t, "kim.1").submitPermit()
	time.pass(20 * 24 * hour)
	c.open(old + "/pages/permit")
	c.press("go=next", map[string]string{"permit-years": "2"}) // an edit: 30 days from here
	time.pass(29 * 24 * hour)
	c.open(old + "/check")
	c.expect(200, "Prüfen und absenden")
	time.pass(2 * 24 * hour)
	runtest.Eventually(t, "the draft is deleted", func() bool {
		return n.Do(t, "GET", old+"/check", "", nil, "Cookie", "who=kim.1").Status == http.StatusNotFound
	})
	runtest.Eventually(t, "its file is deleted, the submitted one's stays", func() bool { return n.stored(t) == 1 })
	if got := n.show(t, submitted).State; got != AwaitingPayment {
		t.Errorf("submitted application: got %s, want it to stay", got)
	}
}
