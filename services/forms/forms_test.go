package forms

import (
	"regexp"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/money"
)

var now = db.NewTime(time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC))

func TestApplication_transitions(t *testing.T) {
	t.Parallel()
	all := append([]State{Draft}, States()...)
	tests := []struct {
		name string
		do   func(a *Application) error
		from map[State]State
		code string
	}{
		{"submit", func(a *Application) error { return a.Submit(now, "BPA-26-X", 0) }, map[State]State{Draft: Submitted}, "not_a_draft"},
		{"submit with a fee", func(a *Application) error { return a.Submit(now, "BPA-26-X", 3070) }, map[State]State{Draft: AwaitingPayment}, "not_a_draft"},
		{"deliver", func(a *Application) error { return a.Deliver() }, map[State]State{Submitted: Delivered, Paid: Delivered}, "not_deliverable"},
		{"accept", func(a *Application) error { return a.Accept(now) }, map[State]State{Delivered: Accepted}, "not_decidable"},
		{"reject", func(a *Application) error { return a.Reject(now, "zone full") }, map[State]State{Delivered: Rejected}, "not_decidable"},
		{
			"withdraw", func(a *Application) error { return a.Withdraw(now) },
			map[State]State{Submitted: Withdrawn, AwaitingPayment: Withdrawn, Paid: Withdrawn, Delivered: Withdrawn},
			"not_withdrawable",
		},
	}
	for _, tt := range tests {
		for _, from := range all {
			a := Application{State: from}
			err := tt.do(&a)
			if want, ok := tt.from[from]; ok {
				if err != nil || a.State != want {
					t.Errorf("%s of %s: got %s, %v, want %s", tt.name, from, a.State, err, want)
				}
				continue
			}
			if !fault.Is(err, tt.code) || a.State != from {
				t.Errorf("%s of %s: got %s, %v, want no change and %s", tt.name, from, a.State, err, tt.code)
			}
		}
	}
}

func TestApplication_payIsNewsOnce(t *testing.T) {
	t.Parallel()
	for _, from := range append([]State{Draft}, States()...) {
		a := Application{State: from, Amount: 3070}
		want := from == AwaitingPayment
		if got := a.Pay(now); got != want {
			t.Errorf("Pay of %s: got %v, want %v", from, got, want)
		}
		if a.Pay(now) {
			t.Errorf("second Pay of %s: got true, want false", from)
		}
	}
}

func TestApplication_unpaidIsNotDelivered(t *testing.T) {
	t.Parallel()
	a := Application{State: Submitted, Amount: money.Amount(3070)}
	if err := a.Deliver(); !fault.Is(err, "not_deliverable") {
		t.Errorf("Deliver with an unpaid fee: got %v, want not_deliverable", err)
	}
}

func TestPayment_pausesGrow(t *testing.T) {
	t.Parallel()
	var p Payment
	last := time.Duration(0)
	for i := range 12 {
		p.Failed(now)
		pause := p.NextTryAt.Sub(now.Time)
		if pause < last || pause > time.Hour || i == 0 && pause != 15*time.Second {
			t.Errorf("pause %d: got %s after %s, want 15s growing to 1h", i+1, pause, last)
		}
		last = pause
	}
	if last != time.Hour {
		t.Errorf("last pause: got %s, want 1h", last)
	}
}

func TestNewReference(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^BPA-26-[2-9A-HJ-NP-Z]{8}$`)
	seen := map[string]bool{}
	for range 1000 {
		r := newReference("BPA", now.Time)
		if !shape.MatchString(r) || seen[r] {
			t.Fatalf("newReference: got %q, want a new one like %s", r, shape)
		}
		seen[r] = true
	}
}

func TestSplitStreet(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		"Anger 12a":               {"Anger", "12a"},
		"Lange Straße 12 a":       {"Lange Straße", "12 a"},
		"Straße des 17. Juni 100": {"Straße des 17. Juni", "100"},
		"Am Markt":                {"Am Markt", ""},
		"":                        {"", ""},
	} {
		street, house := splitStreet(in)
		if got := [2]string{street, house}; got != want {
			t.Errorf("splitStreet(%q): got %q, want %q", in, got, want)
		}
	}
}
