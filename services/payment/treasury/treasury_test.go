package treasury_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/money"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/camt/camttest"
	"basisdienste/services/payment/ledger"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/settlement"
	"basisdienste/services/payment/treasury"
)

const base = "/t/erfurt/payment/v1/treasury"

// rig is a running service with a treasury, a clock that the test moves, and a tenant.
type rig struct {
	*runtest.Env
	t       *testing.T
	service *payment.Service
	erfurt  tenantdir.Entry
	token   string

	mu  sync.Mutex
	now time.Time
}

func (g *rig) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

// at sets the time; programs get a new token.
func (g *rig) at(now time.Time) {
	g.mu.Lock()
	g.now = now
	g.mu.Unlock()
	g.token = g.program(g.erfurt, treasury.Scope)
}

func (g *rig) program(e tenantdir.Entry, scopes ...string) string {
	return g.Token(authn.Principal{Kind: authn.Client, ClientID: "kasse", TenantID: e.ID, Scopes: scopes})
}

var november = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func newRig(t *testing.T, options ...runtest.Option) *rig {
	t.Helper()
	g := &rig{t: t, now: november}
	probe := payment.Part{Open: func(_ context.Context, _ *run.Host, s *payment.Service) (payment.Opened, error) {
		g.service = s
		return payment.Opened{}, nil
	}}
	g.Env = runtest.Start(t, []run.App{payment.New(sandbox.Part(), treasury.Part(), probe)}, append(options, runtest.Clock(g.clock), runtest.Set("payment.sweep_every", "1h"))...)
	g.erfurt = g.Tenant("erfurt", "160510000000")
	g.at(november)
	return g
}

// each runs f on both engines.
func each(t *testing.T, f func(t *testing.T, g *rig)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, newRig(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, newRig(t, runtest.Postgres()))
	})
}

// claim makes one with two budget lines, of which the second is worth 10.00.
func (g *rig) claim(n int, amount money.Amount) payment.Transaction {
	g.t.Helper()
	ctx := runtest.Context(g.t, g.erfurt)
	made, err := g.service.Create(ctx, payment.Order{
		OriginatorID: "bewohnerparken", EndPointID: "160510000000", RequestID: fmt.Sprint("r-", n), Amount: amount, Currency: "EUR",
		RedirectURL: "https://dienst.example/", Document: []byte("{}"), Items: []payment.Item{
			{ID: "1", Reference: "A", TaxRate: "0", Quantity: 1, SingleNet: amount - 1000, TotalNet: amount - 1000, BookingData: map[string]string{"haushaltsstelle": "1100.10000"}},
			{ID: "2", Reference: "B", TaxRate: "0", Quantity: 1, SingleNet: 1000, TotalNet: 1000, BookingData: map[string]string{"haushaltsstelle": "=1100"}},
		},
	})
	if err != nil {
		g.t.Fatalf("Create: %v", err)
	}
	return made
}

func (g *rig) send(version string, statements ...camttest.Statement) runtest.Answer {
	g.t.Helper()
	return g.Do("POST", base+"/statements", g.token, camttest.String(version, statements...), "Content-Type", "application/xml")
}

type statement struct {
	ID      string
	State   string
	Matched int64
}

// imported sends a file and waits until its first statement was matched.
func (g *rig) imported(version string, statements ...camttest.Statement) statement {
	g.t.Helper()
	a := g.send(version, statements...)
	if a.Status != http.StatusCreated {
		g.t.Fatalf("POST statements = %d %s, want 201", a.Status, a.Body)
	}
	var list struct{ Items []statement }
	a.JSON(g.t, &list)
	first := list.Items[0]
	runtest.Eventually(g.t, "the statement is matched", func() bool {
		if first.State == "done" {
			return true
		}
		g.Do("GET", base+"/statements/"+first.ID, g.token, nil).JSON(g.t, &first)
		return false
	})
	return first
}

// outcomes lists what became of the movements.
func (g *rig) outcomes(statementID, query string) string {
	g.t.Helper()
	var words []string
	for cursor := ""; ; {
		var list struct {
			Items []struct {
				Outcome string
				Surplus bool
				Text    string
			}
			Next string
		}
		a := g.Do("GET", base+"/statements/"+statementID+"/entries?limit=2"+query+cursor, g.token, nil)
		if a.Status != http.StatusOK {
			g.t.Fatalf("GET entries = %d %s, want 200", a.Status, a.Body)
		}
		a.JSON(g.t, &list)
		for _, e := range list.Items {
			word := e.Outcome
			if e.Surplus {
				word += "+surplus"
			}
			words = append(words, word)
			if (e.Outcome == "matched" || e.Outcome == "debit") && e.Text != "" {
				g.t.Errorf("the text of a movement that is %s was kept: %q", e.Outcome, e.Text)
			}
		}
		if cursor = "&cursor=" + list.Next; list.Next == "" {
			return strings.Join(words, " ")
		}
	}
}

func (g *rig) balances() map[ledger.Account]money.Amount {
	g.t.Helper()
	ctx := runtest.Context(g.t, g.erfurt)
	var found map[ledger.Account]money.Amount
	err := g.Process.Host("payment").DB.Read(ctx, func(tx *db.Tx) (err error) {
		found, err = ledger.Balances(ctx, tx, g.clock().Add(time.Second))
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return found
}

func (g *rig) state(t payment.Transaction) string {
	g.t.Helper()
	now, err := g.service.Get(runtest.Context(g.t, g.erfurt), t.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	return strings.TrimSpace(string(now.State) + " " + string(now.Method) + " " + now.MethodDetail)
}

func in(text string, amount money.Amount) camttest.Entry {
	return camttest.Entry{Amount: amount, Text: []string{text}}
}

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

func TestTreasury_OtherTenantSeesNothing(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		claim := g.claim(1, 3070)
		jena := g.Tenant("jena", "160530000000")
		s := g.imported("camt.053.001.02", camttest.Statement{ID: "S", Entries: []camttest.Entry{in("fremd "+claim.Kassenzeichen, 3070)}})
		g.at(november.AddDate(0, 0, 1))
		g.Do("GET", base+"/closings/2026-11-20", g.token, nil)
		other := g.program(jena, treasury.Scope)
		at := func(path string) runtest.Answer {
			return g.Do("GET", strings.Replace(base, "erfurt", "jena", 1)+path, other, nil)
		}
		for _, path := range []string{"/statements/" + s.ID, "/statements/" + s.ID + "/entries"} {
			if a := at(path); a.Status != http.StatusNotFound || !strings.Contains(string(a.Body), "unknown_statement") {
				t.Errorf("GET %s as another tenant = %d %s, want 404 unknown_statement", path, a.Status, a.Body)
			}
		}
		if a := at("/statements"); string(a.Body) != "{\"items\":[]}\n" {
			t.Errorf("GET statements as another tenant = %s, want none", a.Body)
		}
		if a := at("/closings/2026-11-20"); !strings.Contains(string(a.Body), `"number":1`) || strings.Contains(string(a.Body), "30.7") {
			t.Errorf("GET closing as another tenant = %s, want its own first one, with nothing in it", a.Body)
		}
		if a := at("/exports/payments?from=2026-11-20&to=2026-11-20&format=json"); !strings.Contains(string(a.Body), `"count":0`) {
			t.Errorf("GET export as another tenant = %s, want nothing in it", a.Body)
		}
		// Its bank statement cannot pay another one's claim.
		a := g.Do("POST", strings.Replace(base, "erfurt", "jena", 1)+"/statements", other,
			camttest.String("camt.053.001.02", camttest.Statement{ID: "S", Entries: []camttest.Entry{in(claim.Kassenzeichen, 3070)}}), "Content-Type", "application/xml")
		if !strings.Contains(string(a.Body), `"matched":0`) {
			t.Errorf("import as another tenant = %s, want nothing matched", a.Body)
		}
	})
}

// Every answer is as the OpenAPI document says.
func TestContract(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	doc, err := openapi3.NewLoader().LoadFromFile("../../../contracts/openapi/payment-treasury.yaml")
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	paid := g.claim(1, 3070)
	text := camttest.String("camt.053.001.02", camttest.Statement{ID: "S", Entries: []camttest.Entry{in(paid.Kassenzeichen, 3070), in("unbekannt 12345", 1)}})
	g.save(g.erfurt, payout("po_1", paid))
	g.dispute(g.erfurt, settlement.Dispute{Provider: "stripe", ID: "dp_1", Transaction: paid.ID, Currency: "EUR", State: settlement.Lost, CreatedAt: db.NewTime(november), ReadAt: db.NewTime(november)})
	id := ""
	for _, q := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/statements", text, 201},
		{"POST", "/statements", text, 409},
		{"POST", "/statements", text[1:], 422},
		{"GET", "/statements", "", 200},
		{"GET", "/statements/{id}", "", 200},
		{"GET", "/statements/{id}/entries?matched=true", "", 200},
		{"GET", "/statements/{id}/entries?matched=false&limit=1", "", 200},
		{"GET", "/closings/2026-11-20", "", 200},
		{"GET", "/closings/2026-11-19", "", 200},
		{"GET", "/exports/payments?from=2026-11-20&to=2026-11-20&format=json", "", 409},
		{"GET", "/exports/claims?from=2026-11-18&to=2026-11-19&format=json", "", 200},
		{"GET", "/settlements?state=paid", "", 200},
		{"GET", "/settlements/stripe/po_1", "", 200},
		{"GET", "/settlements/stripe/po_2", "", 404},
		{"GET", "/disputes", "", 200},
	} {
		path := base + strings.Replace(q.path, "{id}", id, 1)
		a := g.Do(q.method, path, g.token, q.body, "Content-Type", "application/xml")
		r, err := http.NewRequestWithContext(t.Context(), q.method, path, strings.NewReader(q.body))
		if err != nil {
			t.Fatal(err)
		}
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Fatalf("%s %s is not in the document: %v", q.method, q.path, err)
		}
		out := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
			Status:                 a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body)),
		}
		if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil || a.Status != q.status {
			t.Errorf("%s %s = %d, want %d as in the document: %v\n%s", q.method, q.path, a.Status, q.status, err, a.Body)
		}
		if id == "" {
			var made struct{ Items []statement }
			a.JSON(t, &made)
			id = made.Items[0].ID
		}
	}
}

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
