package payment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/money"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

var serviceSets = []db.Set{outbox.Migrations(), idem.Migrations(), audit.Migrations(), tenantdir.Migrations(), Migrations()}

// desk is a provider that remembers its sessions and does what the test says.
type desk struct {
	mu       sync.Mutex
	sessions map[string]*Session
	holds    map[string]bool
	refunds  map[string]*RefundResult
	gaveBack money.Amount
	away     bool
}

func (d *desk) Create(_ context.Context, c Checkout) (Session, error) {
	return d.with(string(c.Attempt), func(s *Session) {
		s.Amount, s.Currency = c.Amount, c.Currency
		if d.holds == nil {
			d.holds = map[string]bool{}
		}
		d.holds[s.ID] = c.Hold
	})
}

func (d *desk) Get(_ context.Context, session string) (Session, error) {
	return d.with(session, func(*Session) {})
}

func (d *desk) End(_ context.Context, session string) (Session, error) {
	return d.with(session, func(s *Session) {
		if s.State == SessionOpen || s.State == SessionAuthorised {
			s.State = SessionEnded
		}
	})
}

func (d *desk) Capture(_ context.Context, session string) (Session, error) {
	return d.with(session, func(s *Session) {
		if s.State == SessionAuthorised {
			s.State = SessionPaid
		}
	})
}

// pay is what becomes of a session when its payer says yes.
func (d *desk) pay(s *Session) {
	if s.State = SessionPaid; d.holds[s.ID] {
		s.State = SessionAuthorised
	}
}

// Refund gives back all but amounts that end in 13: those are refused.
func (d *desk) Refund(_ context.Context, r RefundOrder) (RefundResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return RefundResult{}, errors.New("away")
	}
	was, again := d.refunds[string(r.Refund)]
	if !again {
		was = &RefundResult{ID: string(r.Refund), State: RefundSucceeded}
		if r.Amount%100 == 13 {
			was.State, was.Reason = RefundFailed, "account_closed"
		}
		if d.refunds == nil {
			d.refunds = map[string]*RefundResult{}
		}
		d.refunds[string(r.Refund)] = was
		if was.State == RefundSucceeded {
			d.gaveBack += r.Amount
		}
	}
	return *was, nil
}

func (d *desk) GetRefund(_ context.Context, _, refund string) (RefundResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *d.refunds[refund], nil
}

func (d *desk) with(session string, act func(*Session)) (Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return Session{}, errors.New("away")
	}
	s, ok := d.sessions[session]
	if !ok {
		s = &Session{ID: session, URL: "https://desk.example/" + session, State: SessionOpen}
		d.sessions[session] = s
	}
	act(s)
	return *s, nil
}

// payAll lets everybody pay whose session is open.
func (d *desk) payAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions {
		if s.State == SessionOpen {
			d.pay(s)
		}
	}
}

func (d *desk) paid() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions {
		if s.State == SessionPaid {
			n++
		}
	}
	return n
}

// shop is the service over a fresh database, with two offers at the desk.
type shop struct {
	*Service
	desk *desk
	ctx  context.Context // acts for erfurt
	mu   sync.Mutex
	at   time.Time
}

func (s *shop) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = s.at.Add(d)
}

func deskSettings() map[string]json.RawMessage {
	return map[string]json.RawMessage{"payment": json.RawMessage(`{"methods":[
		{"key":"card","method":"CREDITCARD","provider":"desk"},{"key":"paypal","method":"PAYPAL","provider":"desk"}]}`)}
}

func newShop(t *testing.T, d *db.DB) *shop {
	t.Helper()
	s := &shop{desk: &desk{sessions: map[string]*Session{}}, at: november}
	clock := func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.at
	}
	d = d.WithClock(clock)
	dir := tenantdir.New(d, clock)
	entry := tenantdir.Entry{
		Tenant: tenant.Tenant{ID: id.New(), Slug: "erfurt", Name: "Erfurt"}, Status: tenantdir.Active, Keys: []string{"160510000000"}, Version: 1,
		Settings: deskSettings(),
	}
	s.ctx = tenantdir.With(t.Context(), entry)
	if err := d.Tx(s.ctx, func(tx *db.Tx) error { return dir.Apply(s.ctx, tx, entry) }); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.SweepBatch = 50
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	s.Service = &Service{
		db: d, zone: zone, dir: dir, links: links{base: "https://pay.example", key: make([]byte, 32)}, gateways: map[string]Gateway{"desk": s.desk},
		cfg: cfg, known: &knownSettings{}, numbers: &numbers{}, lines: &lines{}, clock: clock, log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	return s
}

func (s *shop) create(t *testing.T, requestID string) Transaction {
	t.Helper()
	tr, err := s.Create(s.ctx, order(requestID))
	if err != nil {
		t.Fatalf("Create(%s): %v", requestID, err)
	}
	return tr
}

func (s *shop) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	sys := db.System(t.Context())
	if err := s.db.Read(sys, func(tx *db.Tx) error { return tx.Get(sys, &n, query, args...) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// booked counts the transactions whose amount is not booked as kind exactly when it should be.
func booked(kind, when string) string {
	return `SELECT count(*) FROM transactions t WHERE (CASE WHEN ` + when + ` THEN t.amount ELSE 0 END) <>
		(SELECT COALESCE(sum(l.amount), 0) FROM ledger l WHERE l.transaction_id = t.id AND l.kind = '` + kind + `')`
}

// consistent checks what must hold whatever happened: what is told is what is stored.
func (s *shop) consistent(t *testing.T) {
	t.Helper()
	for what, query := range map[string]string{
		"transactions without their created event": `SELECT count(*) FROM transactions t WHERE 1 <> (SELECT count(*) FROM outbox o
			WHERE o.subject = t.id AND o.type = 'payment.transaction.created.v1')`,
		"authorised attempts more or less than their events": `SELECT abs((SELECT count(*) FROM attempts WHERE authorised_at IS NOT NULL) -
			(SELECT count(*) FROM outbox WHERE type = 'payment.transaction.authorised.v1'))`,
		"authorised attempts without an event": `SELECT count(*) FROM attempts a WHERE a.authorised_at IS NOT NULL AND NOT EXISTS
			(SELECT 1 FROM outbox o WHERE o.subject = a.transaction_id AND o.type = 'payment.transaction.authorised.v1')`,
		"payments that were held and never asked for": `SELECT count(*) FROM attempts WHERE state = 'paid' AND authorised_at IS NOT NULL AND capture_asked_at IS NULL`,
		"final transactions without one event of their end": `SELECT count(*) FROM transactions t WHERE t.state <> 'INITIAL' AND 1 <> (SELECT count(*) FROM outbox o
			WHERE o.subject = t.id AND o.type NOT IN ('payment.transaction.created.v1', 'payment.transaction.authorised.v1'))`,
		"events of an end that is not stored": `SELECT count(*) FROM outbox o WHERE o.type LIKE 'payment.transaction.%' AND o.type NOT IN ('payment.transaction.created.v1', 'payment.transaction.authorised.v1') AND NOT EXISTS
			(SELECT 1 FROM transactions t WHERE t.id = o.subject AND o.type = 'payment.transaction.' || lower(t.state) || '.v1')`,
		"payments that do not match their attempts": `SELECT count(*) FROM transactions t WHERE (CASE WHEN t.state = 'PAYED' THEN 1 ELSE 0 END) <>
			(SELECT count(*) FROM attempts a WHERE a.transaction_id = t.id AND a.state = 'paid')`,
		"payments that do not match their history": `SELECT count(*) FROM transactions t WHERE (CASE WHEN t.state = 'PAYED' THEN 1 ELSE 0 END) <>
			(SELECT count(*) FROM history h WHERE h.transaction_id = t.id AND h.what = 'payed')`,
		"claims that are not booked as they are": booked("claim", "TRUE"),
		"payments that are not booked":           booked("paid", "t.state = 'PAYED'"),
		"dropped claims that are not booked":     booked("dropped", "t.state NOT IN ('INITIAL', 'PAYED')"),
		"refunds that are not booked": `SELECT count(*) FROM refunds r WHERE (CASE WHEN r.state = 'SUCCEEDED' THEN r.amount ELSE 0 END) <>
			(SELECT COALESCE(sum(CASE WHEN l.kind = 'refund' THEN l.amount ELSE -l.amount END), 0) FROM ledger l
			WHERE l.transaction_id = r.transaction_id AND l.kind IN ('refund', 'refund_failed') AND l.reference = r.id)`,
		"transactions of which more went back than came in": `SELECT count(*) FROM transactions t WHERE (SELECT COALESCE(sum(r.amount), 0) FROM refunds r
			WHERE r.transaction_id = t.id AND r.state NOT IN ('FAILED', 'REJECTED')) > t.amount * (SELECT count(*) FROM attempts a
			WHERE a.transaction_id = t.id AND a.state IN ('paid', 'surplus'))`,
		"surpluses that are not booked": `SELECT count(*) FROM attempts a JOIN transactions t ON t.id = a.transaction_id WHERE (CASE WHEN a.state = 'surplus' THEN t.amount ELSE 0 END) <>
			(SELECT COALESCE(sum(l.amount), 0) FROM ledger l WHERE l.transaction_id = t.id AND l.kind = 'surplus' AND l.reference = a.id)`,
	} {
		if n := s.count(t, query); n != 0 {
			t.Errorf("%d %s, want none", n, what)
		}
	}
}

func TestService_SameRequestAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		const clients = 12
		var mu sync.Mutex
		ids, refused := map[id.ID]int{}, 0
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				tr, err := s.Create(s.ctx, order("r-1"))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case fault.Is(err, "payment_exists"):
					refused++
				case err != nil:
					t.Errorf("Create: %v", err)
				default:
					ids[tr.ID]++
				}
			})
		}
		wg.Wait()
		if len(ids) != 1 || refused != clients-1 {
			t.Errorf("%d clients with one request: made %v, refused %d; want one made, the others refused", clients, ids, refused)
		}
		s.consistent(t)
	})
}

func TestService_IdempotencyKey(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		o := order("r-1")
		with := func(key string, o Order) (Transaction, error) {
			ctx, err := idem.With(s.ctx, "POST", key, "/p", o.Document)
			if err != nil {
				t.Fatal(err)
			}
			return s.Create(ctx, o)
		}
		first, err := with("k-1", o)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"k-1", "k-2"} {
			if again, err := with(key, o); err != nil || again.ID != first.ID || again.Kassenzeichen != first.Kassenzeichen {
				t.Errorf("Create again with key %s = %s %s, %v; want %s %s", key, again.ID, again.Kassenzeichen, err, first.ID, first.Kassenzeichen)
			}
		}
		s.pass(idem.Keep + time.Hour)
		if _, err := with("k-3", o); !fault.Is(err, "payment_exists") {
			t.Errorf("Create again after %s = %v, want payment_exists", idem.Keep, err)
		}
		if n := s.count(t, `SELECT count(*) FROM transactions`); n != 1 {
			t.Errorf("%d transactions, want 1", n)
		}
	})
}

func TestService_ManyPayAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		tr := s.create(t, "r-1")
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				offer := []string{"card", "paypal"}[i%2]
				if _, err := s.Start(s.ctx, tr.ID, offer, "de"); err != nil && fault.From(err).Kind != fault.KindUnavailable {
					t.Errorf("Start(%s): %v", offer, err)
				}
				if i%3 == 0 {
					s.desk.payAll()
				}
				if err := s.Notified(s.ctx, tenantID(s.ctx), tr.ID); err != nil {
					t.Errorf("Notified: %v", err)
				}
			})
		}
		wg.Wait()
		if _, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil {
			t.Errorf("Start: %v", err)
		}
		s.desk.payAll()
		p, err := s.Refresh(s.ctx, tr.ID)
		if err != nil || p.Transaction.State != Payed {
			t.Errorf("in the end: %s, %v; want PAYED", p.Transaction.State, err)
		}
		if n := s.desk.paid(); n != 1 {
			t.Errorf("the payer paid %d times, want once", n)
		}
		s.consistent(t)
	})
}

func tenantID(ctx context.Context) id.ID {
	e, _ := tenantdir.From(ctx)
	return e.ID
}

func TestService_SweepFindsAll(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		const open = 120 // more than two batches
		for i := range open {
			tr := s.create(t, fmt.Sprintf("r-%d", i))
			if _, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil {
				t.Fatal(err)
			}
		}
		s.desk.payAll()
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.count(t, `SELECT count(*) FROM transactions WHERE state = 'PAYED'`); n != 0 {
			t.Errorf("%d payments found before the first look is due, want none", n)
		}
		s.pass(time.Minute)
		s.desk.away = true
		if err := s.Sweep(t.Context()); !fault.Is(err, "provider_unavailable") {
			t.Errorf("Sweep while the provider is away = %v, want provider_unavailable", err)
		}
		s.desk.away = false
		s.pass(2 * time.Minute)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.count(t, `SELECT count(*) FROM transactions WHERE state = 'PAYED'`); n != open {
			t.Errorf("%d payments found, want %d", n, open)
		}
		s.consistent(t)
	})
}

func TestService_ExpireAll(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		const open = 120
		for i := range open {
			tr := s.create(t, fmt.Sprintf("r-%d", i))
			if i%4 == 0 {
				if _, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil {
					t.Fatal(err)
				}
			}
			if i == 0 {
				s.desk.payAll()
			}
		}
		s.pass(14 * 24 * time.Hour)
		var wg sync.WaitGroup
		for range 2 { // two processes at once
			wg.Go(func() {
				if err := s.Expire(t.Context()); err != nil {
					t.Errorf("Expire: %v", err)
				}
			})
		}
		wg.Wait()
		if n := s.count(t, `SELECT count(*) FROM transactions WHERE state = 'EXPIRED'`); n != open-1 {
			t.Errorf("%d expired, want %d", n, open-1)
		}
		if n := s.count(t, `SELECT count(*) FROM transactions WHERE state = 'PAYED'`); n != 1 {
			t.Errorf("%d payed, want the one that was paid", n)
		}
		s.consistent(t)
	})
}

func TestService_MoneyAfterTheEndIsKept(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		tr := s.create(t, "r-1")
		if _, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil {
			t.Fatal(err)
		}
		_, a, err := s.current(s.ctx, tr.ID)
		if err != nil {
			t.Fatal(err)
		}
		// A provider that breaks its word: the session was ended, and the money comes all the same.
		err = s.db.Tx(s.ctx, func(tx *db.Tx) error {
			got, err := lockTransaction(s.ctx, tx, tr.ID)
			if err != nil {
				return err
			}
			if err := got.Cancel(tx.Now()); err != nil {
				return err
			}
			if err := saveTransaction(s.ctx, tx, &got); err != nil {
				return err
			}
			if err := bookEnd(s.ctx, tx, &got, nil, DefaultSettings()); err != nil {
				return err
			}
			return tell(s.ctx, tx, &got)
		})
		if err != nil {
			t.Fatal(err)
		}
		paid := Session{ID: a.SessionID, State: SessionPaid, Amount: tr.Amount, Currency: "EUR"}
		for range 2 {
			if err := s.settle(s.ctx, a.ID, paid); err != nil {
				t.Errorf("settle: %v", err)
			}
		}
		list, err := s.History(s.ctx, tr.ID)
		if err != nil || list[len(list)-1].What != "surplus" || list[len(list)-1].State != Canceled {
			t.Errorf("history = %+v, %v; want surplus at the end, of a canceled transaction", list, err)
		}
		if n := s.count(t, `SELECT count(*) FROM attempts WHERE state = 'surplus'`); n != 1 {
			t.Errorf("%d surplus attempts, want 1", n)
		}
		s.consistent(t)
	})
}

func TestService_WrongAmountIsNotBooked(t *testing.T) {
	t.Parallel()
	s := newShop(t, dbtest.New(t, serviceSets...))
	tr := s.create(t, "r-1")
	if _, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil {
		t.Fatal(err)
	}
	for _, session := range s.desk.sessions {
		session.State, session.Amount = SessionPaid, 1
	}
	if _, err := s.Refresh(s.ctx, tr.ID); err == nil {
		t.Error("Refresh of a session with another amount = nil, want an error")
	}
	if got, err := s.Get(s.ctx, tr.ID); err != nil || got.State != Initial {
		t.Errorf("transaction = %s, %v; want INITIAL", got.State, err)
	}
}
