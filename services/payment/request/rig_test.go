package request

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/camt/camttest"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/transfer"

	"basisdienste/platform/id"
)

// mailbox stands for notify: it takes a mail once for each key, as notify does.
type mailbox struct {
	mu     sync.Mutex
	status int  // of answers; 0: 201
	lose   bool // the effect happens, and the answer is lost
	keys   map[string]string
	mails  []message
	posts  int // with and without effect
	clash  int // the same key with another content
}

func (b *mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	b.posts++
	if b.status != 0 {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(b.status)
		_, _ = w.Write([]byte(`{"code":"placeholder_missing"}`))
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if was, known := b.keys[key]; !known {
		var m message
		if err := json.Unmarshal(body, &m); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b.keys[key], b.mails = string(body), append(b.mails, m)
	} else if was != string(body) {
		b.clash++
	}
	if b.lose {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(`{"id":"x","status":"created"}`))
}

// now changes how notify behaves.
func (b *mailbox) now(status int, lose bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status, b.lose = status, lose
}

func (b *mailbox) all() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.mails)
}

// rig is a running service with a notify, and a clock that the test moves.
type rig struct {
	*runtest.Env
	t       *testing.T
	core    *payment.Service
	service *Service
	erfurt  tenantdir.Entry
	jena    tenantdir.Entry
	mails   *mailbox
	spec    *runtest.Spec

	mu  sync.Mutex
	now time.Time
}

func (g *rig) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *rig) at(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = now
}

func (g *rig) pass(d time.Duration) { g.at(g.clock().Add(d)) }

// monday is before the first Sunday of summer time in 2027, so that a due date lies behind it.
var monday = time.Date(2027, 3, 15, 12, 0, 0, 0, time.UTC)

func newRig(t *testing.T, options ...runtest.Option) *rig {
	t.Helper()
	g := &rig{t: t, now: monday, mails: &mailbox{keys: map[string]string{}}, spec: runtest.LoadSpec(t, "../../../contracts/openapi/payment-requests.yaml")}
	p := part(func(s *Service) { g.service = s })
	open := p.Open
	p.Open = func(ctx context.Context, h *run.Host, s *payment.Service) (payment.Opened, error) {
		g.core = s
		o, err := open(ctx, h, s)
		o.Jobs = nil // the test sweeps
		return o, err
	}
	g.Env = runtest.Start(t, []run.App{payment.New(sandbox.Part(), transfer.Part(), p)},
		append(options, runtest.Clock(g.clock), runtest.Neighbour("notify", g.mails), runtest.Set("payment.sweep_every", "1h"))...)
	g.erfurt = g.municipality("erfurt", "160510000000", fmt.Sprintf(`{"transfer": {"iban": %q, "holder": "Stadt Erfurt"}}`, camttest.IBAN(1)))
	g.jena = g.municipality("jena", "160530000000", `{}`)
	return g
}

func (g *rig) municipality(slug, key, settings string) tenantdir.Entry {
	return g.Put(tenantdir.Entry{
		Tenant: tenant.Tenant{ID: id.New(), Slug: slug, Name: strings.ToUpper(slug[:1]) + slug[1:]}, Status: tenantdir.Active, Keys: []string{key}, Version: 1,
		Settings: map[string]json.RawMessage{"payment": json.RawMessage(settings)},
	})
}

// due is a day in the future of monday; the day itself is included.
var dueDay = time.Date(2027, 3, 31, 21, 59, 59, 0, time.UTC)

func (g *rig) claim(e tenantdir.Entry, number string, due time.Time) payment.Transaction {
	g.t.Helper()
	return g.create(e, order(e, number, due))
}

// claimDelayed is one whose money is held first.
func (g *rig) claimDelayed(number string) payment.Transaction {
	g.t.Helper()
	o := order(g.erfurt, number, dueDay)
	o.Delayed = true
	return g.create(g.erfurt, o)
}

func order(e tenantdir.Entry, number string, due time.Time) payment.Order {
	return payment.Order{
		OriginatorID: "own", EndPointID: e.Keys[0], RequestID: number, Amount: 42_00, Currency: "EUR", Description: "Hundesteuer 2027", DueAt: due,
		Items: []payment.Item{{ID: "1", Reference: "A", TaxRate: "0", Quantity: 1, SingleNet: 42_00, TotalNet: 42_00}},
	}
}

func (g *rig) create(e tenantdir.Entry, o payment.Order) payment.Transaction {
	g.t.Helper()
	made, err := g.core.Create(runtest.Context(g.t, e), o)
	if err != nil {
		g.t.Fatalf("Create: %v", err)
	}
	return made
}

func (g *rig) token(e tenantdir.Entry, scopes ...string) string {
	return g.Token(authn.Principal{Kind: authn.Client, ClientID: "fachverfahren", TenantID: e.ID, Scopes: scopes})
}

// call speaks as a program of Erfurt with every scope, and holds the answer against the contract.
func (g *rig) call(method string, t payment.Transaction, path string, body any) runtest.Answer {
	g.t.Helper()
	address := "/t/erfurt/payment/v1/transactions/" + t.ID.String() + path
	a := g.Do(method, address, g.token(g.erfurt, payment.ScopeRead, payment.ScopeWrite), body)
	if a.Header.Get("Content-Type") != "image/svg+xml" { // which the checker cannot read
		g.spec.Check(g.t, method, address, a)
	}
	return a
}

const asks = `{"email":"Erika.Muster@example.org","language":"de","remind_days_before":[1,7]}`

func (g *rig) ask(t payment.Transaction, body string) View {
	g.t.Helper()
	a := g.call("POST", t, "/request", body)
	if a.Status != http.StatusCreated {
		g.t.Fatalf("POST request = %d %s, want 201", a.Status, a.Body)
	}
	var v View
	a.JSON(g.t, &v)
	return v
}

func (g *rig) get(t payment.Transaction) View {
	g.t.Helper()
	a := g.call("GET", t, "/request", nil)
	if a.Status != http.StatusOK {
		g.t.Fatalf("GET request = %d %s, want 200", a.Status, a.Body)
	}
	var v View
	a.JSON(g.t, &v)
	return v
}

func (g *rig) sweep() {
	g.t.Helper()
	if err := g.service.Sweep(g.t.Context()); err != nil {
		g.t.Fatalf("Sweep: %v", err)
	}
}

// states are those of a request's mails, in their order.
func states(v View) string {
	var words []string
	for _, m := range v.Mails {
		words = append(words, strings.TrimSuffix(string(m.State)+":"+m.Reason, ":"))
	}
	return strings.Join(words, " ")
}

func (g *rig) wantStates(when string, t payment.Transaction, want string) {
	g.t.Helper()
	if got := states(g.get(t)); got != want {
		g.t.Errorf("%s: mails are %q, want %q", when, got, want)
	}
}

func (g *rig) wantMails(when string, want ...string) {
	g.t.Helper()
	var got []string
	for _, m := range g.mails.all() {
		got = append(got, m.Template)
	}
	if !slices.Equal(got, want) {
		g.t.Errorf("%s: notify has %v, want %v", when, got, want)
	}
}

// each runs f on both engines.
func each(t *testing.T, f func(t *testing.T, g *rig)) {
	t.Parallel()
	for name, options := range map[string][]runtest.Option{"sqlite": nil, "postgres": {runtest.Postgres()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newRig(t, options...))
		})
	}
}

// counted says how many rows of the part's tables there are, whoever they belong to.
func (g *rig) counted() map[string]int {
	g.t.Helper()
	found := map[string]int{}
	if err := g.service.count(g.t.Context(), found); err != nil {
		g.t.Fatal(err)
	}
	return maps.Clone(found)
}
