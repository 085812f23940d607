package treasury_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/camt/camttest"
	"basisdienste/services/payment/ledger"
	"basisdienste/services/payment/settlement"
	"basisdienste/services/payment/treasury"
)

// tx runs f in a transaction of the tenant.
func (g *rig) tx(e tenantdir.Entry, f func(tx *db.Tx) error) {
	g.t.Helper()
	if err := g.Process.Host("payment").DB.Tx(runtest.Context(g.t, e), f); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) save(e tenantdir.Entry, s settlement.Settlement) {
	g.t.Helper()
	s.Lines = slices.Clone(s.Lines)
	g.tx(e, func(tx *db.Tx) error { return settlement.Save(runtest.Context(g.t, e), tx, s) })
}

func (g *rig) dispute(e tenantdir.Entry, d settlement.Dispute) {
	g.t.Helper()
	g.tx(e, func(tx *db.Tx) error { return settlement.SaveDispute(runtest.Context(g.t, e), tx, d) })
}

// paidAt pays a claim at a provider, as the service would book it.
func (g *rig) paidAt(t payment.Transaction) {
	g.t.Helper()
	ctx := runtest.Context(g.t, g.erfurt)
	g.tx(g.erfurt, func(tx *db.Tx) error {
		return ledger.Book(ctx, tx, ledger.Booking{
			Transaction: t.ID, Kind: ledger.Overpaid, Reference: "a-1", Moves: []ledger.Move{{Debit: ledger.Clearing("stripe"), Credit: ledger.Surplus, Amount: t.Amount}},
		})
	})
}

// payout is one of a claim, with a refund, a lost and a won dispute, and a fee.
func payout(name string, of payment.Transaction) settlement.Settlement {
	at := func(minutes int) db.Time { return db.NewTime(november.Add(time.Duration(minutes) * time.Minute)) }
	l := func(n int, kind settlement.Kind, transaction id.ID, amount, fee money.Amount) settlement.Line {
		return settlement.Line{ID: fmt.Sprint("txn_", n), Kind: kind, Source: fmt.Sprint("=x", n), Transaction: transaction, Amount: amount, Fee: fee, Net: amount - fee, At: at(n)}
	}
	s := settlement.Settlement{
		Provider: "stripe", ID: name, Currency: "EUR", State: settlement.Paid, CreatedAt: at(10), ArrivesAt: at(60), Complete: true, Lines: []settlement.Line{
			l(1, settlement.LinePayment, of.ID, of.Amount, 71), l(2, settlement.LineRefund, of.ID, -1000, 0), l(3, settlement.LineRefundFailed, of.ID, 1000, 0),
			l(4, settlement.LineDispute, of.ID, -500, 200), l(5, settlement.LineDisputeWon, of.ID, 500, 0), l(6, settlement.LineFee, "", -30, 0),
			l(7, settlement.LinePayment, "", 100, 1), l(8, settlement.LinePayoutFailed, "", 40, 0),
		},
	}
	for _, l := range s.Lines {
		s.Amount += l.Net
	}
	return s
}

func (g *rig) get(path string, want int, code string) runtest.Answer {
	g.t.Helper()
	a := g.Do("GET", base+path, g.token, nil)
	if a.Status != want || !strings.Contains(string(a.Body), code) {
		g.t.Errorf("GET %s = %d %s, want %d %s", path, a.Status, a.Body, want, code)
	}
	return a
}

func TestSettlements(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		claim := g.claim(1, 3070)
		s := payout("po_1", claim)
		g.save(g.erfurt, s)
		early := payout("po_2", claim)
		early.CreatedAt, early.State, early.Complete, early.Lines = db.NewTime(november.AddDate(0, 0, -2)), settlement.Pending, false, nil
		g.save(g.erfurt, early)

		var one struct {
			Amount, Difference money.Amount
			Complete           bool
			Sums               map[string]money.Amount
			Lines              []struct {
				Position            int
				Kind, Kassenzeichen string
				Net                 money.Amount
			}
			Count int
		}
		g.get("/settlements/stripe/po_1", 200, "").JSON(t, &one)
		want := map[string]money.Amount{"payments": 3170, "refunds": 0, "disputes": 0, "returned": 40, "fees": 302, "net": 2908, "foreign": 99}
		if fmt.Sprint(one.Sums) != fmt.Sprint(want) || one.Amount != 2908 || one.Difference != 0 || !one.Complete || one.Count != 8 || len(one.Lines) != 8 {
			t.Errorf("settlement = %+v\nwant sums %v, no difference, eight lines", one, want)
		}
		if l := one.Lines; l[0].Kassenzeichen != claim.Kassenzeichen || l[0].Net != 2999 || l[5].Kind != "fee" || l[5].Kassenzeichen != "" || l[7].Position != 8 {
			t.Errorf("lines = %+v, want the first of %s, and the sixth a fee of none", l, claim.Kassenzeichen)
		}

		csvOf := func(query string, headers ...string) runtest.Answer {
			return g.Do("GET", base+"/settlements/stripe/po_1"+query, g.token, nil, headers...)
		}
		a := csvOf("?format=csv")
		rows, err := csv.NewReader(strings.NewReader(string(a.Body))).ReadAll()
		if err != nil || len(rows) != 9 || a.Header.Get("Content-Type") != "text/csv; charset=utf-8; header=present" || strings.Count(string(a.Body), "\r\n") != 9 ||
			a.Header.Get("Content-Disposition") != "attachment; filename=abrechnung-stripe-po_1.csv" {
			t.Fatalf("as CSV = %d %v %s (%v), want a header and eight rows", a.Status, a.Header, a.Body, err)
		}
		first := []string{"stripe", "po_1", "1", "2026-11-20", "payment", claim.Kassenzeichen, "30.70", "0.71", "29.99", claim.ID.String(), "'=x1", "txn_1", "2026-11-20T12:01:00Z"}
		if !slices.Equal(rows[1], first) {
			t.Errorf("first row = %q\nwant %q", rows[1], first)
		}
		if german := csvOf("?format=csv&separator=semicolon"); !strings.Contains(string(german.Body), ";30,70;0,71;29,99;") {
			t.Errorf("with semicolons = %s, want 30,70", german.Body)
		}
		failed := s
		failed.State = settlement.Failed
		g.save(g.erfurt, failed)
		if again := csvOf("", "Accept", "text/csv"); string(again.Body) != string(a.Body) {
			t.Errorf("as CSV later, by Accept = %s\nwant the same as %s", again.Body, a.Body)
		}

		list := func(query string) string {
			var names []string
			for cursor := ""; ; {
				var page struct {
					Items []struct{ ID, State string }
					Next  string
				}
				g.get("/settlements?limit=1"+query+cursor, 200, "").JSON(t, &page)
				for _, i := range page.Items {
					names = append(names, i.ID+" "+i.State)
				}
				if cursor = "&cursor=" + page.Next; page.Next == "" {
					return strings.Join(names, ", ")
				}
			}
		}
		for query, want := range map[string]string{
			"": "po_1 failed, po_2 pending", "&state=pending": "po_2 pending", "&provider=other": "", "&from=2026-11-20": "po_1 failed", "&to=2026-11-18": "po_2 pending",
			"&from=2026-11-18&to=2026-11-20&provider=stripe": "po_1 failed, po_2 pending", "&from=2026-11-19&to=2026-11-19": "",
		} {
			if got := list(query); got != want {
				t.Errorf("settlements with %q = %s, want %s", query, got, want)
			}
		}
		g.get("/settlements?state=lost", 400, "invalid_state")
		g.get("/settlements?from=gestern", 400, "invalid_day")
		g.get("/settlements?cursor=x", 400, "invalid_cursor")
		g.get("/settlements?limit=0", 400, "invalid_limit")
		g.get("/disputes?state=paid", 400, "invalid_state")
		g.get("/settlements/stripe/po_9", 404, "unknown_settlement")
		g.get("/settlements/other/po_1", 404, "unknown_settlement")
		g.get("/settlements/stripe/po_1?format=xml", 400, "unknown_format")
		g.get("/settlements/stripe/po_1?separator=comma", 400, "unknown_format")
		g.get("/settlements/stripe/po_2?format=csv", 409, "settlement_not_complete")
		g.get("/settlements/stripe/po_2", 200, `"lines":[`)
	})
}

func TestDisputes(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		claim := g.claim(1, 3070)
		for i, state := range []settlement.DisputeState{settlement.Lost, settlement.NeedsResponse} {
			g.dispute(g.erfurt, settlement.Dispute{
				Provider: "stripe", ID: fmt.Sprint("dp_", i), Transaction: claim.ID, Amount: 3070, Taken: 3070, Fee: 2000, Currency: "EUR", Reason: "fraudulent", State: state,
				CreatedAt: db.NewTime(november.Add(time.Duration(i) * time.Minute)), ReadAt: db.NewTime(november),
			})
		}
		var page struct {
			Items []struct {
				ID, State, Kassenzeichen, Reason string
				Amount, Taken, Fee               money.Amount
			}
			Next string
		}
		g.get("/disputes?limit=1&from=2026-11-20", 200, "").JSON(t, &page)
		if d := page.Items; len(d) != 1 || d[0].ID != "dp_1" || d[0].State != "needs_response" || d[0].Kassenzeichen != claim.Kassenzeichen || d[0].Fee != 2000 || page.Next == "" {
			t.Errorf("disputes = %+v, want dp_1 with the Kassenzeichen, and more", page)
		}
		a := g.get("/disputes?limit=1&from=2026-11-20&cursor="+page.Next, 200, "dp_0")
		if strings.Contains(string(a.Body), "next") {
			t.Errorf("second page = %s, want it to be the last", a.Body)
		}
		g.get("/disputes?state=won", 200, `{"items":[]}`)
		g.get("/disputes?cursor="+page.Next, 400, "invalid_cursor") // of another filter
	})
}

// The closing of a day with settlements has no difference, and the new kinds and accounts.
func TestClosing_WithSettlements(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		claim := g.claim(1, 3070)
		g.paidAt(claim)
		s := payout("po_1", claim)
		g.save(g.erfurt, s)
		s.State = settlement.Failed
		g.save(g.erfurt, s)
		g.dispute(g.erfurt, settlement.Dispute{Provider: "stripe", ID: "dp_1", Transaction: claim.ID, Taken: 500, Currency: "EUR", State: settlement.Lost, CreatedAt: s.CreatedAt, ReadAt: s.CreatedAt})
		g.at(november.AddDate(0, 0, 1))
		a := g.get("/closings/2026-11-20", 200, `"difference":0.00}`)
		for _, want := range []string{
			`{"kind":"fee","count":4,"amount":3.02},{"kind":"payout","count":1,"amount":29.08},{"kind":"payout_failed","count":1,"amount":29.08},` +
				`{"kind":"dispute","count":1,"amount":5.00},{"kind":"dispute_won","count":1,"amount":5.00},{"kind":"dispute_lost","count":1,"amount":5.00}`,
			`{"account":"bank","opening":0.00,"debit":29.08,"credit":29.08,"closing":0.00},{"account":"chargebacks","opening":0.00,"debit":5.00,"credit":0.00,"closing":5.00}`,
			`{"account":"fees","opening":0.00,"debit":3.02,"credit":0.00,"closing":3.02}`,
			`{"what":"sum_of_accounts","ledger":0.00,"transactions":0.00,"explained":0.00,"difference":0.00}`,
		} {
			if !strings.Contains(string(a.Body), want) {
				t.Errorf("closing = %s\nwant in it %s", a.Body, want)
			}
		}
		g.Do("GET", base+"/exports/payments?from=2026-11-20&to=2026-11-20&format=json", g.token, nil)
	})
}

// A provider's payout on the bank statement is found by its id and amount, once.
func TestImport_Settlement(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		claim := g.claim(1, 3070)
		s := payout("po_1QO2Bc2eZvKYlo2C0", claim)
		g.save(g.erfurt, s)
		failed := payout("po_failed1", claim)
		failed.State = settlement.Failed
		failed.Lines[0].ID = "txn_other"
		g.save(g.erfurt, failed)
		day := camttest.Statement{ID: "2026-324", Entries: []camttest.Entry{
			in("STRIPE "+s.ID+" AUSZAHLUNG", s.Amount-1),
			{Amount: s.Amount, EndToEnd: s.ID},
			in("STRIPE "+s.ID, s.Amount),
			in("STRIPE po_failed1", s.Amount),
		}}
		st := g.imported("camt.053.001.08", day)
		if got, want := g.outcomes(st.ID, ""), "unknown settlement reported_before unknown"; got != want {
			t.Errorf("outcomes = %s, want %s", got, want)
		}
		if got := g.outcomes(st.ID, "&matched=true"); got != "settlement" || st.Matched != 1 {
			t.Errorf("matched = %s, and %d are counted, want the settlement", got, st.Matched)
		}
		if got, want := g.outcomes(st.ID, "&matched=false"), "unknown reported_before unknown"; got != want {
			t.Errorf("not matched = %s, want %s", got, want)
		}
		g.get("/statements/"+st.ID+"/entries?matched=true", 200, `"settlement":"stripe/`+s.ID+`"`)
		g.get("/settlements/stripe/"+s.ID, 200, `"arrived":{"statement":"`+st.ID+`","number":2}`)
		n := g.imported("camt.054.001.02", camttest.Statement{ID: "N-1", Entries: []camttest.Entry{in(s.ID, s.Amount)}})
		if got := g.outcomes(n.ID, ""); got != "reported_before" {
			t.Errorf("outcome of the notification = %s, want reported_before", got)
		}
	})
}

func TestSettlements_OtherTenantSeesNothing(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		jena := g.Tenant("jena", "160530000000")
		s := payout("po_1QO2Bc2eZvKYlo2C0", g.claim(1, 3070))
		g.save(g.erfurt, s)
		g.dispute(g.erfurt, settlement.Dispute{Provider: "stripe", ID: "dp_1", Currency: "EUR", State: settlement.Lost, CreatedAt: s.CreatedAt, ReadAt: s.CreatedAt})
		other := g.program(jena, treasury.Scope)
		at := strings.Replace(base, "erfurt", "jena", 1)
		for path, want := range map[string]string{
			"/settlements": `{"items":[]}`, "/disputes": `{"items":[]}`, "/settlements/stripe/" + s.ID: "unknown_settlement", "/settlements/stripe/" + s.ID + "?format=csv": "unknown_settlement",
		} {
			if a := g.Do("GET", at+path, other, nil); !strings.Contains(string(a.Body), want) {
				t.Errorf("GET %s as another tenant = %d %s, want %s", path, a.Status, a.Body, want)
			}
			for token, want := range map[string]int{other: http.StatusForbidden, "": http.StatusUnauthorized, g.program(g.erfurt, payment.ScopeRead): http.StatusForbidden} {
				if a := g.Do("GET", base+path, token, nil); a.Status != want {
					t.Errorf("GET %s without the right = %d %s, want %d", path, a.Status, a.Body, want)
				}
			}
		}
		// Its bank statement cannot have another one's payout.
		a := g.Do("POST", at+"/statements", other, camttest.String("camt.053.001.02", camttest.Statement{ID: "S", Entries: []camttest.Entry{in(s.ID, s.Amount)}}), "Content-Type", "application/xml")
		if !strings.Contains(string(a.Body), `"matched":0`) {
			t.Errorf("import as another tenant = %s, want nothing matched", a.Body)
		}
	})
}
