package treasury_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/camt/camttest"
	"basisdienste/services/payment/treasury"
)

func TestImport(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		paid, differs, late := g.claim(1, 3070), g.claim(2, 3070), g.claim(3, 2000)
		day := camttest.Statement{ID: "2026-324", Sequence: 324, Opening: 100, Entries: []camttest.Entry{
			in("Kassenzeichen "+paid.Kassenzeichen+" danke", 3070),
			in(differs.Kassenzeichen, 3071),
			in("Miete 4711 0815", 3070),
			{Amount: 120, Debit: true, Text: []string{paid.Kassenzeichen}},
			{Amount: 2000, Status: "PDNG", Text: []string{late.Kassenzeichen}},
			{Batch: []camttest.Entry{{Amount: 2000, EndToEnd: late.Kassenzeichen}, in(paid.Kassenzeichen, 3070), in(paid.Kassenzeichen+" "+late.Kassenzeichen, 5070)}},
		}}
		s := g.imported("camt.053.001.08", day)
		if got, want := g.outcomes(s.ID, ""), "matched amount_differs unknown debit pending matched already_paid+surplus ambiguous"; got != want {
			t.Errorf("outcomes = %s\nwant %s", got, want)
		}
		if got, want := g.outcomes(s.ID, "&matched=true"), "matched matched"; got != want || s.Matched != 2 {
			t.Errorf("matched = %s, and %d are counted, want %s", got, s.Matched, want)
		}
		if got, want := g.outcomes(s.ID, "&matched=false"), "amount_differs unknown debit pending already_paid+surplus ambiguous"; got != want {
			t.Errorf("not matched = %s\nwant %s", got, want)
		}
		for tr, want := range map[*payment.Transaction]string{&paid: "PAYED OTHER transfer", &differs: "INITIAL", &late: "PAYED OTHER transfer"} {
			if got := g.state(*tr); got != want {
				t.Errorf("state = %s, want %s", got, want)
			}
		}
		books := g.balances()
		if books["bank"] != 3070+2000+3070 || books["surplus"] != -3070 || books["claims"] != 3070 || books["clearing/transfer"] != 0 {
			t.Errorf("balances = %v, want 81.40 in the bank, of which 30.70 are surplus, and 30.70 claimed", books)
		}
		if a := g.send("camt.053.001.08", day); a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "statement_exists") {
			t.Errorf("the same statement again = %d %s, want 409 statement_exists", a.Status, a.Body)
		}
		// A notification of the same money changes nothing; more of it than the statement knew is news.
		notice := camttest.Statement{ID: "N-1", Entries: []camttest.Entry{in(paid.Kassenzeichen, 3070), in(late.Kassenzeichen, 2000), in(paid.Kassenzeichen, 3070), in(paid.Kassenzeichen, 3070)}}
		n := g.imported("camt.054.001.02", notice)
		if got, want := g.outcomes(n.ID, ""), "reported_before reported_before reported_before already_paid+surplus"; got != want {
			t.Errorf("outcomes of the notification = %s\nwant %s", got, want)
		}
		var list struct{ Items []statement }
		g.Do("GET", base+"/statements?limit=1", g.token, nil).JSON(t, &list)
		if len(list.Items) != 1 || list.Items[0].ID != n.ID {
			t.Errorf("GET statements = %+v, want the newest", list.Items)
		}
	})
}

// A claim that expired is not paid by money that comes later; the money is owed back.
func TestImport_Expired(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		claim := g.claim(1, 3070)
		g.at(november.AddDate(0, 0, 20))
		if err := g.service.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := g.imported("camt.053.001.02", camttest.Statement{ID: "S", Entries: []camttest.Entry{in(claim.Kassenzeichen, 3070), in(claim.Kassenzeichen, 1)}})
		if got, want := g.outcomes(s.ID, ""), "claim_ended+surplus claim_ended"; got != want {
			t.Errorf("outcomes = %s, want %s", got, want)
		}
		if got := g.state(claim); got != "EXPIRED" {
			t.Errorf("state = %s, want EXPIRED", got)
		}
	})
}

// An account statement and the notification of the same money come at once: it counts once.
func TestImport_AtOnce(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		const claims = 10
		var list []camttest.Entry
		for i := range claims {
			list = append(list, in(g.claim(i, 3070).Kassenzeichen, 3070))
		}
		var wg sync.WaitGroup
		for _, version := range []string{"camt.053.001.02", "camt.054.001.02"} {
			text := camttest.String(version, camttest.Statement{ID: "S", Entries: list})
			wg.Go(func() {
				if a := g.Do("POST", base+"/statements", g.token, text, "Content-Type", "text/xml"); a.Status != http.StatusCreated {
					t.Errorf("POST %s = %d %s, want 201", version, a.Status, a.Body)
				}
			})
		}
		wg.Wait()
		books := g.balances()
		if books["bank"] != claims*3070 || books["surplus"] != 0 || books["claims"] != 0 {
			t.Errorf("balances = %v, want each claim paid once", books)
		}
	})
}

func TestImport_Refused(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		claim := g.claim(1, 3070)
		good := camttest.String("camt.053.001.02", camttest.Statement{ID: "S", Sequence: 7, Opening: 1, Entries: []camttest.Entry{in(claim.Kassenzeichen, 3070)}})
		jena := g.Tenant("jena", "160530000000")
		for _, c := range []struct {
			name, token, media, body string
			status                   int
			code, detail             string
		}{
			{"a cent too much", g.token, "application/xml", strings.Replace(good, ">30.71<", ">30.72<", 1), 422, "statement_refused", "line 25: the opening balance 0.01"},
			{"encoding", g.token, "application/xml", strings.Replace(good, "UTF-8", "ISO-8859-15", 1), 422, "statement_refused", "line 1: the encoding"},
			{"half", g.token, "application/xml", good[:len(good)/2], 422, "statement_refused", "ends early"},
			{"twice in a file", g.token, "application/xml", camttest.String("camt.054.001.02", camttest.Statement{ID: "N"}, camttest.Statement{ID: "N"}), 409, "statement_exists", "nothing was imported"},
			{"no XML", g.token, "application/json", "{}", 415, "xml_expected", ""},
			{"no token", "", "application/xml", good, 401, "token_missing", ""},
			{"no scope", g.program(g.erfurt, payment.ScopeRead), "application/xml", good, 403, "scope_missing", ""},
			{"clerk", g.Token(authn.Principal{Kind: authn.Staff, TenantID: g.erfurt.ID, Roles: []string{authn.RoleClerk}}), "application/xml", good, 403, "role_missing", ""},
			{"other tenant", g.program(jena, treasury.Scope), "application/xml", good, 403, "wrong_tenant", ""},
		} {
			a := g.Do("POST", base+"/statements", c.token, c.body, "Content-Type", c.media)
			var p struct{ Code, Detail string }
			a.JSON(t, &p)
			if a.Status != c.status || p.Code != c.code || !strings.Contains(p.Detail, c.detail) {
				t.Errorf("%s: POST = %d %s %q, want %d %s …%s…", c.name, a.Status, p.Code, p.Detail, c.status, c.code, c.detail)
			}
		}
		var list struct{ Items []statement }
		g.Do("GET", base+"/statements", g.token, nil).JSON(t, &list)
		if len(list.Items) > 0 || g.state(claim) != "INITIAL" {
			t.Errorf("after refused files there are %+v and the claim is %s, want nothing and INITIAL", list.Items, g.state(claim))
		}
		admin := g.Token(authn.Principal{Kind: authn.Staff, TenantID: g.erfurt.ID, Roles: []string{authn.RoleTenantAdmin}})
		if a := g.Do("POST", base+"/statements", admin, good, "Content-Type", "application/xml; charset=utf-8"); a.Status != http.StatusCreated {
			t.Errorf("POST by the tenant's admin = %d %s, want 201", a.Status, a.Body)
		}
	})
}

// A process dies while it stores a statement: nobody sees it, and later it can be sent again.
func TestImport_AfterACrash(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		ctx, claim := runtest.Context(t, g.erfurt), g.claim(1, 3070)
		err := g.Process.Host("payment").DB.Tx(ctx, func(tx *db.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO treasury_statements (tenant_id, id, kind, iban, statement_id, sequence, page, state, credits, debits, entries, moves, matched, imported_by, imported_at)
				VALUES (?, 's-1', 'camt.053', ?, 'S', 0, 1, 'loading', 1, 0, 1, 1, 0, '', ?)`, tx.Tenant(), camttest.IBAN(1), tx.Now()); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO treasury_entries (tenant_id, statement, n, line, entry, part, amount, credit, booked_on, value_on, end_to_end, creditor, reference, text, outcome, surplus, transaction_id, kassenzeichen)
				VALUES (?, 's-1', 1, 1, 1, 0, 1, true, '', '', '', '', '', ?, 'open', false, '', '')`, tx.Tenant(), claim.Kassenzeichen)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if a := g.Do("GET", base+"/statements/s-1/entries", g.token, nil); a.Status != http.StatusNotFound {
			t.Errorf("GET of a statement that is loading = %d %s, want 404", a.Status, a.Body)
		}
		s := camttest.Statement{ID: "S", Entries: []camttest.Entry{in(claim.Kassenzeichen, 3070)}}
		if a := g.send("camt.053.001.02", s); a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "statement_loading") {
			t.Errorf("POST while it is loading = %d %s, want 409 statement_loading", a.Status, a.Body)
		}
		g.at(november.Add(16 * time.Minute))
		if got := g.outcomes(g.imported("camt.053.001.02", s).ID, ""); got != "matched" || g.state(claim) != "PAYED OTHER transfer" {
			t.Errorf("after sending it again = %s, the claim is %s, want matched and PAYED", got, g.state(claim))
		}
	})
}
