package treasury_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

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
