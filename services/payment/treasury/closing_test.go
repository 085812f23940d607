package treasury_test

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/money"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment/camt/camttest"
	"basisdienste/services/payment/treasury"
)

func TestClosing(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		paid, open := g.claim(1, 3070), g.claim(2, 2000)
		g.imported("camt.053.001.02", camttest.Statement{ID: "S", Entries: []camttest.Entry{in(paid.Kassenzeichen, 3070), in(paid.Kassenzeichen, 3070)}})
		day := base + "/closings/2026-11-20"
		var c treasury.Closing
		g.Do("GET", day, g.token, nil).JSON(t, &c)
		if c.Final || c.Number != 0 {
			t.Errorf("closing of today = %+v, want it not final", c)
		}
		g.at(time.Date(2026, 11, 20, 23, 9, 59, 0, time.UTC)) // 0:09:59 in Germany
		g.Do("GET", day, g.token, nil).JSON(t, &c)
		if c.Final {
			t.Errorf("closing ten minutes after midnight = %+v, want it not final", c)
		}
		g.at(time.Date(2026, 11, 20, 23, 10, 0, 0, time.UTC))
		first := g.Do("GET", day, g.token, nil)
		first.JSON(t, &c)
		if first.Status != http.StatusOK || !c.Final || c.Number != 1 || c.Difference != 0 {
			t.Fatalf("closing = %d %s, want number 1, final and without a difference", first.Status, first.Body)
		}
		for _, want := range []string{
			`{"kind":"claim","count":2,"amount":50.70}`, `{"kind":"paid","count":1,"amount":30.70}`, `{"kind":"surplus","count":1,"amount":30.70}`, `{"kind":"fee","count":0,"amount":0.00}`,
			`"methods":[{"method":"OTHER","method_detail":"transfer","count":1,"amount":30.70}]`,
			`{"budget_line":"1100.10000","claimed":30.70,"dropped":0.00,"paid":{"count":1,"amount":20.70},"refunded":0.00}`,
			`{"account":"bank","opening":0.00,"debit":61.40,"credit":0.00,"closing":61.40}`,
			`{"account":"claims","opening":0.00,"debit":50.70,"credit":30.70,"closing":20.00}`,
			`{"what":"open_claims","ledger":20.00,"transactions":20.00,"explained":0.00,"difference":0.00}`,
			`"from":"2026-11-19T23:00:00Z","until":"2026-11-20T23:00:00Z"`,
		} {
			if !strings.Contains(string(first.Body), want) {
				t.Errorf("closing = %s\nwant in it %s", first.Body, want)
			}
		}
		g.imported("camt.053.001.02", camttest.Statement{ID: "S2", Sequence: 2, Entries: []camttest.Entry{in(open.Kassenzeichen, 2000)}})
		g.at(november.AddDate(0, 0, 5))
		if again := g.Do("GET", day, g.token, nil); string(again.Body) != string(first.Body) {
			t.Errorf("closing again = %s\nwant the same as %s", again.Body, first.Body)
		}
		var next treasury.Closing
		g.Do("GET", base+"/closings/2026-11-21", g.token, nil).JSON(t, &next)
		if next.Number != 2 || next.Difference != 0 || len(next.Accounts) == 0 || next.Accounts[0].Opening != 6140 {
			t.Errorf("closing of the next day = %+v, want number 2, beginning where the first ended", next)
		}
		for path, code := range map[string]string{"/closings/2026-11-26": "day_ahead", "/closings/gestern": "invalid_day", "/closings/2026-02-30": "invalid_day"} {
			if a := g.Do("GET", base+path, g.token, nil); a.Status != http.StatusBadRequest || !strings.Contains(string(a.Body), code) {
				t.Errorf("GET %s = %d %s, want 400 %s", path, a.Status, a.Body, code)
			}
		}
	})
}

// Many ask for closings at once: each day has one, and the numbers have no gap.
func TestClosing_AtOnce(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		g.claim(1, 3070)
		g.at(november.AddDate(0, 0, 5))
		var mu sync.Mutex
		bodies := map[string]map[string]bool{}
		numbers := map[int64]bool{}
		var wg sync.WaitGroup
		for range 2 {
			for _, day := range []string{"2026-11-20", "2026-11-21"} {
				wg.Go(func() {
					a := g.Do("GET", base+"/closings/"+day, g.token, nil)
					var c treasury.Closing
					_ = json.Unmarshal(a.Body, &c) // an answer that is none has the number 0
					mu.Lock()
					defer mu.Unlock()
					if bodies[day] == nil {
						bodies[day] = map[string]bool{}
					}
					bodies[day][string(a.Body)], numbers[c.Number] = true, true
				})
			}
		}
		wg.Wait()
		if len(bodies["2026-11-20"]) != 1 || len(bodies["2026-11-21"]) != 1 || len(numbers) != 2 || !numbers[1] || !numbers[2] {
			t.Errorf("closings asked for at once = %v, numbers %v, want one a day and 1 and 2", bodies, numbers)
		}
	})
}

func TestExport(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		paid := g.claim(1, 3070)
		g.claim(2, 2000)
		g.imported("camt.053.001.02", camttest.Statement{ID: "S", Entries: []camttest.Entry{in(paid.Kassenzeichen, 3070), in(paid.Kassenzeichen, 3070)}})
		get := func(what, query string) runtest.Answer {
			return g.Do("GET", base+"/exports/"+what+"?from=2026-11-19&to=2026-11-20&"+query, g.token, nil)
		}
		if a := get("payments", "format=csv"); a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "day_not_over") {
			t.Errorf("export of today = %d %s, want 409 day_not_over", a.Status, a.Body)
		}
		g.at(november.AddDate(0, 0, 15))
		if err := g.service.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}

		a := get("payments", "format=csv")
		rows, err := csv.NewReader(strings.NewReader(string(a.Body))).ReadAll()
		if err != nil || len(rows) != 4 || a.Header.Get("Content-Type") != "text/csv; charset=utf-8; header=present" || strings.Count(string(a.Body), "\r\n") != 4 {
			t.Fatalf("payments as CSV = %d %s (%v), want a header and three rows", a.Status, a.Body, err)
		}
		want := []string{"2026-11-20", "paid", paid.Kassenzeichen, "1100.10000", "20.70", "bewohnerparken", "OTHER", "transfer", "transfer"}
		if got := rows[1][:9]; strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("first row = %q, want %q", got, want)
		}
		if rows[2][3] != "'=1100" || rows[3][1] != "surplus" || rows[3][3] != "" || rows[3][4] != "30.70" {
			t.Errorf("other rows = %q, want a budget line that is no formula, and the surplus without one", rows[2:])
		}
		german := get("payments", "format=csv&separator=semicolon")
		if !strings.Contains(string(german.Body), ";20,70;") {
			t.Errorf("payments with semicolons = %s, want 20,70", german.Body)
		}

		var j struct {
			Rows  []treasury.Row
			Count int
			Sum   money.Amount
		}
		get("claims", "format=json").JSON(t, &j)
		if j.Count != 4 || len(j.Rows) != 4 || j.Sum != 5070 || j.Rows[0].Kind != "claim" || j.Rows[0].Method != "" {
			t.Errorf("claims as JSON = %+v, want four rows of 50.70", j)
		}
		late := g.Do("GET", base+"/exports/claims?from=2026-12-05&to=2026-12-05&format=json", g.program(g.erfurt, treasury.Scope), nil)
		if late.Status != http.StatusConflict {
			t.Errorf("export of today = %d, want 409", late.Status)
		}
		g.at(november.AddDate(0, 0, 17))
		g.Do("GET", base+"/exports/claims?from=2026-12-05&to=2026-12-05&format=json", g.token, nil).JSON(t, &j)
		if j.Count != 2 || j.Sum != -2000 || j.Rows[0].Kind != "dropped" {
			t.Errorf("dropped claims as JSON = %+v, want two rows of -20.00", j)
		}

		x := get("payments", "format=xml")
		var doc struct {
			XMLName xml.Name
			Booking []struct {
				Kassenzeichen string `xml:"kassenzeichen"`
				Amount        struct {
					Currency string `xml:"currency,attr"`
					Value    string `xml:",chardata"`
				} `xml:"amount"`
			} `xml:"booking"`
			Total struct {
				Count int    `xml:"count,attr"`
				Sum   string `xml:"sum,attr"`
			} `xml:"total"`
		}
		if err := xml.Unmarshal(x.Body, &doc); err != nil || doc.XMLName.Space != treasury.Namespace || len(doc.Booking) != 3 || doc.Total.Count != 3 || doc.Total.Sum != "61.40" ||
			doc.Booking[0].Amount.Value != "20.70" || doc.Booking[0].Amount.Currency != "EUR" || doc.Booking[0].Kassenzeichen != paid.Kassenzeichen {
			t.Errorf("payments as XML = %s (%v), want three bookings of 61.40", x.Body, err)
		}

		for _, query := range []string{"format=csv", "format=json", "format=xml", "format=csv&separator=semicolon"} {
			if one, two := get("payments", query), get("payments", query); string(one.Body) != string(two.Body) {
				t.Errorf("export with %s is not the same twice", query)
			}
		}
		for query, code := range map[string]string{
			"payments?from=2026-11-20&to=2026-11-20":                                 "unknown_format",
			"payments?from=2026-11-20&to=2026-11-20&format=json&separator=semicolon": "unknown_format",
			"payments?from=2026-11-20&to=2026-11-19&format=csv":                      "invalid_period",
			"payments?from=2025-01-01&to=2026-11-19&format=csv":                      "invalid_period",
			"payments?to=2026-11-19&format=csv":                                      "invalid_day",
			"payouts?from=2026-11-20&to=2026-11-20&format=csv":                       "unknown_export",
		} {
			if a := g.Do("GET", base+"/exports/"+query, g.token, nil); !strings.Contains(string(a.Body), `"`+code+`"`) {
				t.Errorf("GET exports/%s = %d %s, want %s", query, a.Status, a.Body, code)
			}
		}
	})
}
