package payment

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/tenantdir"
)

// twoDesks is a shop whose card payments go to the desk and, if that does not answer, to another.
func twoDesks(t *testing.T, d *db.DB) (*shop, *desk) {
	t.Helper()
	s := newShop(t, d)
	other := &desk{sessions: map[string]*Session{}}
	s.gateways["other"] = other
	s.configure(t, func(raw map[string]any) {
		raw["methods"] = []map[string]any{{"key": "card", "method": "CREDITCARD", "provider": "desk", "fallback": "other"}}
	})
	return s, other
}

func TestRouting_FallbackTakesOver(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s, other := twoDesks(t, d)
		tr := s.create(t, "r-1")
		s.desk.away = true
		var wg sync.WaitGroup
		for range 4 { // clicks at once
			wg.Go(func() {
				if url, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil || url == "" {
					t.Errorf("Start while the desk is away = %q, %v; want the other's page", url, err)
				}
			})
		}
		wg.Wait()
		if n := len(other.sessions); n != 1 {
			t.Errorf("the other has %d sessions, want 1", n)
		}
		s.desk.away = false
		if url, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil || len(s.desk.sessions) != 0 {
			t.Errorf("Start again = %q, %v, the desk has %d sessions; want the session there is", url, err, len(s.desk.sessions))
		}
		other.payAll()
		if p, err := s.Refresh(s.ctx, tr.ID); err != nil || p.Transaction.State != Payed || p.Attempt.Provider != "other" {
			t.Errorf("Refresh = %+v, %v; want PAYED by the other", p, err)
		}
		s.consistent(t)
		// Once given money back, it comes from where it is.
		if _, err := s.RequestRefund(s.ctx, tr.ID, RefundWanted{Amount: 100}); err != nil || other.gaveBack != 100 || s.desk.gaveBack != 0 {
			t.Errorf("refund: %v, the desk gave %s, the other %s; want 1.00 from the other", err, s.desk.gaveBack, other.gaveBack)
		}
	})
}

// A provider that has answered once for an attempt keeps it: money may be on its way there.
func TestRouting_ASessionIsNotLeft(t *testing.T) {
	t.Parallel()
	s, other := twoDesks(t, dbtest.New(t, serviceSets...))
	tr := s.create(t, "r-1")
	if _, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil {
		t.Fatal(err)
	}
	s.desk.away = true
	if _, err := s.Start(s.ctx, tr.ID, "card", "de"); !fault.Is(err, "provider_unavailable") || len(other.sessions) != 0 {
		t.Errorf("Start while the desk with the session is away = %v, the other has %d sessions; want provider_unavailable and none", err, len(other.sessions))
	}
}

// A method shows as down while none of its providers answers, and as up again after a while.
func TestRouting_DownIsShown(t *testing.T) {
	t.Parallel()
	s, other := twoDesks(t, dbtest.New(t, serviceSets...))
	methods := func() string {
		t.Helper()
		up, down, err := s.Methods(s.ctx, "bewohnerparken")
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(up, down)
	}
	s.desk.away = true
	for i := range tripAfter {
		if _, err := s.Start(s.ctx, s.create(t, fmt.Sprint("r-", i)).ID, "card", "de"); err != nil {
			t.Fatalf("Start %d: %v", i, err)
		}
	}
	if got := methods(); got != "[CREDITCARD] []" {
		t.Errorf("methods while the other answers = %s, want CREDITCARD up", got)
	}
	other.away = true
	for i := range tripAfter {
		if _, err := s.Start(s.ctx, s.create(t, fmt.Sprint("s-", i)).ID, "card", "de"); err == nil {
			t.Errorf("Start %d while both are away = nil, want an error", i)
		}
	}
	if got := methods(); got != "[] [CREDITCARD]" {
		t.Errorf("methods while nobody answers = %s, want CREDITCARD down", got)
	}
	if _, err := s.Start(s.ctx, s.create(t, "t").ID, "card", "de"); !fault.Is(err, "offer_down") {
		t.Errorf("Start while nobody answers = %v, want offer_down", err)
	}
}

func TestRoute(t *testing.T) {
	t.Parallel()
	s := &Service{lines: &lines{}}
	o := Offer{Key: "card", Provider: "a", Fallback: "b"}
	away := Attempt{Offer: "card", Provider: "a", State: attemptEnded, Reason: reasonAway, CreatedAt: db.NewTime(november)}
	expired := away
	expired.Reason = ReasonExpired
	for name, c := range map[string]struct {
		o    Offer
		last *Attempt
		at   time.Time
		want string
	}{
		"first":                  {o, nil, november, "a"},
		"just missed":            {o, &away, november.Add(time.Minute), "b"},
		"missed long ago":        {o, &away, november.Add(stayAway), "a"},
		"another reason":         {o, &expired, november, "a"},
		"no fallback":            {Offer{Key: "card", Provider: "a"}, &away, november, "a"},
		"another method was off": {Offer{Key: "paypal", Provider: "a", Fallback: "b"}, &away, november, "a"},
	} {
		if got := s.route(c.o, c.last, c.at); got != c.want {
			t.Errorf("%s: route = %s, want %s", name, got, c.want)
		}
	}
}

// configure changes the tenant's settings.
func (s *shop) configure(t *testing.T, change func(raw map[string]any)) {
	t.Helper()
	raw := map[string]any{}
	if err := json.Unmarshal(deskSettings()["payment"], &raw); err != nil {
		t.Fatal(err)
	}
	change(raw)
	text, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := tenantdir.From(s.ctx)
	e.Version, e.Settings = e.Version+1, map[string]json.RawMessage{"payment": text}
	s.ctx = tenantdir.With(s.ctx, e)
	if err := s.db.Tx(s.ctx, func(tx *db.Tx) error { return s.dir.Apply(s.ctx, tx, e) }); err != nil {
		t.Fatal(err)
	}
}
