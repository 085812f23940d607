package payment

import (
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
)

func order(requestID string) Order {
	return Order{
		OriginatorID: "bewohnerparken", EndPointID: "160510000000", RequestID: requestID,
		Amount: 3070, Currency: "EUR", RedirectURL: "https://dienst.example/zurueck", Description: "Bewohnerparkausweis",
		Items:    []Item{{ID: "1", Reference: "BPA", Description: "Ausweis", TaxRate: "0", Quantity: 1, SingleNet: 3070, TotalNet: 3070}},
		Document: []byte(`{"requestId":"` + requestID + `"}`),
	}
}

func TestOrderCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(*Order)
		want string
	}{
		{"as it should be", func(*Order) {}, ""},
		{"several items with tax", func(o *Order) {
			o.Items = []Item{
				{Quantity: 3, SingleNet: 100, SingleTax: 19, TotalNet: 300, TotalTax: 57},
				{Quantity: 1, SingleNet: 2713, TotalNet: 2713},
			}
		}, ""},
		{"a cent too much", func(o *Order) { o.Amount++ }, "calculation_error"},
		{"a cent too little", func(o *Order) { o.Amount-- }, "calculation_error"},
		{"total is not quantity times single", func(o *Order) { o.Items[0].Quantity = 2 }, "calculation_error"},
		{"tax is not quantity times single", func(o *Order) { o.Items[0].TotalTax = 1; o.Amount++ }, "calculation_error"},
		{"other currency", func(o *Order) { o.Currency = "CHF" }, "invalid_currency"},
		{"script", func(o *Order) { o.RedirectURL = "javascript:alert(1)" }, "invalid_redirect_url"},
		{"relative", func(o *Order) { o.RedirectURL = "/zurueck" }, "invalid_redirect_url"},
		{"user name in the URL", func(o *Order) { o.RedirectURL = "https://bank.example@evil.example/" }, "invalid_redirect_url"},
	} {
		o := order("r")
		c.edit(&o)
		if err := o.Check(); (c.want == "") != (err == nil) || (err != nil && !fault.Is(err, c.want)) {
			t.Errorf("%s: Check() = %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAuthority(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"160510000000": "16051000", "16051000": "16051000", "160615002018": "16061018"} {
		if got := Authority(key); got != want {
			t.Errorf("Authority(%s) = %s, want %s", key, got, want)
		}
	}
}

func TestTold(t *testing.T) {
	t.Parallel()
	for s, want := range map[State]State{Initial: Initial, Payed: Payed, Failed: Failed, Canceled: Canceled, Expired: Failed} {
		if got := s.Told(); got != want {
			t.Errorf("%s.Told() = %s, want %s", s, got, want)
		}
	}
}

// Every final state keeps what it is, whatever comes.
func TestFinalStatesStay(t *testing.T) {
	t.Parallel()
	now := db.NewTime(november)
	acts := map[string]func(*Transaction) error{
		"Pay":     func(t *Transaction) error { return t.Pay(now, CreditCard, "") },
		"Decline": func(t *Transaction) error { return t.Decline(now, 1) },
		"Cancel":  func(t *Transaction) error { return t.Cancel(now) },
		"Expire":  func(t *Transaction) error { return t.Expire(now) },
	}
	ends := map[string]State{"Pay": Payed, "Decline": Failed, "Cancel": Canceled, "Expire": Expired}
	for first, act := range acts {
		tr := Transaction{State: Initial, ExpiresAt: now}
		if err := act(&tr); err != nil || tr.State != ends[first] || tr.EndedAt == nil {
			t.Errorf("%s from INITIAL: %v, state %s ended %v; want %s", first, err, tr.State, tr.EndedAt, ends[first])
		}
		for second, again := range acts {
			if err := again(&tr); !fault.Is(err, "transaction_final") || tr.State != ends[first] {
				t.Errorf("%s after %s: %v, state %s; want transaction_final and %s", second, first, err, tr.State, ends[first])
			}
		}
	}
}

func TestExpireInTime(t *testing.T) {
	t.Parallel()
	tr := Transaction{State: Initial, ExpiresAt: db.NewTime(november)}
	if err := tr.Expire(db.NewTime(november.Add(-time.Second))); !fault.Is(err, "not_expired") || tr.State != Initial {
		t.Errorf("Expire a second early = %v, state %s; want not_expired", err, tr.State)
	}
}

func TestDeclines(t *testing.T) {
	t.Parallel()
	tr := Transaction{State: Initial}
	for i, want := range []State{Initial, Initial, Failed} {
		if err := tr.Decline(db.NewTime(november), 3); err != nil || tr.State != want {
			t.Errorf("decline %d of 3: %v, state %s; want %s", i+1, err, tr.State, want)
		}
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	now := db.NewTime(november)
	paid := Session{ID: "s", State: SessionPaid, Amount: 3070, Currency: "EUR", Detail: "Visa"}
	for _, c := range []struct {
		name    string
		state   State
		session Session
		what    string
		wantTx  State
		wantAtt attemptState
	}{
		{"still open", Initial, Session{ID: "s", State: SessionOpen}, "", Initial, attemptOpen},
		{"on its way", Initial, Session{ID: "s", State: SessionProcessing}, "", Initial, attemptOpen},
		{"paid", Initial, paid, "payed", Payed, attemptPaid},
		{"declined", Initial, Session{ID: "s", State: SessionDeclined, Reason: "card_declined"}, "declined", Initial, attemptDeclined},
		{"canceled", Initial, Session{ID: "s", State: SessionCanceled}, "canceled", Canceled, attemptCanceled},
		{"ended", Initial, Session{ID: "s", State: SessionEnded}, "attempt_ended", Initial, attemptEnded},
		{"paid after the end", Expired, paid, "surplus", Expired, attemptSurplus},
		{"canceled after the end", Payed, Session{ID: "s", State: SessionCanceled}, "attempt_ended", Payed, attemptEnded},
	} {
		tr := Transaction{State: c.state, Amount: 3070, Currency: "EUR"}
		a := Attempt{ID: id.New(), SessionID: "s", Method: CreditCard, State: attemptOpen}
		what, err := tr.settle(&a, c.session, now, 3)
		if err != nil || what != c.what || tr.State != c.wantTx || a.State != c.wantAtt {
			t.Errorf("%s: settle = %q, %v; transaction %s, attempt %s; want %q, %s, %s", c.name, what, err, tr.State, a.State, c.what, c.wantTx, c.wantAtt)
		}
	}
	for _, wrong := range []Session{
		{ID: "s", State: SessionPaid, Amount: 3069, Currency: "EUR"},
		{ID: "s", State: SessionPaid, Amount: 3070, Currency: "USD"},
		{ID: "s", State: "thinking"},
	} {
		tr := Transaction{State: Initial, Amount: 3070, Currency: "EUR"}
		if _, err := tr.settle(&Attempt{State: attemptOpen}, wrong, now, 3); err == nil || tr.State != Initial {
			t.Errorf("settle(%+v) = %v, state %s; want an error and INITIAL", wrong, err, tr.State)
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	for checks, want := range map[int]time.Duration{0: 30 * time.Second, 1: time.Minute, 4: 8 * time.Minute, 5: 15 * time.Minute, 1000: 15 * time.Minute} {
		if got := pause(checks); got != want {
			t.Errorf("pause(%d) = %s, want %s", checks, got, want)
		}
	}
}

func TestOffers(t *testing.T) {
	t.Parallel()
	until := november.Add(time.Hour)
	s := Settings{
		Methods: []Offer{
			{Key: "a", Method: CreditCard, Min: 100, Max: 5000},
			{Key: "b", Method: PayPal, Down: true},
			{Key: "c", Method: Other},
		},
		Maintenance: []Window{{Until: &until, Methods: []Method{Other}}},
	}
	for _, c := range []struct {
		amount   money.Amount
		at       time.Time
		up, down string
	}{
		{3070, november, "a", "bc"}, {3070, until, "ac", "b"}, {99, until, "c", "b"}, {5001, until, "c", "b"}, {100, until, "ac", "b"},
	} {
		service := &Service{lines: &lines{}, clock: func() time.Time { return c.at }}
		up, down := service.offers(s, &Transaction{Amount: c.amount})
		if got := keys(up); got != c.up || keys(down) != c.down {
			t.Errorf("offers(%s, %s) = %q up, %q down; want %q, %q", c.amount, c.at, got, keys(down), c.up, c.down)
		}
	}
}

func keys(list []Offer) (s string) {
	for _, o := range list {
		s += o.Key
	}
	return s
}

func TestLinks(t *testing.T) {
	t.Parallel()
	l := links{base: "https://pay.example", key: []byte("0123456789abcdef0123456789abcdef")}
	tenantID, txID, other := id.New(), id.New(), id.New()
	_, token := splitLink(l.path(tenantID, txID))
	gotTenant, gotTx, err := l.read(txID.String(), token)
	if err != nil || gotTenant != tenantID || gotTx != txID {
		t.Errorf("read(path) = %s, %s, %v; want %s, %s", gotTenant, gotTx, err, tenantID, txID)
	}
	_, othersToken := splitLink(links{key: []byte("another key of the installation!")}.path(tenantID, txID))
	_, othersTenant := splitLink(l.path(other, txID))
	for name, c := range map[string][2]string{
		"another transaction": {other.String(), token},
		"another key":         {txID.String(), othersToken},
		"tenant exchanged":    {txID.String(), othersTenant[:20] + token[20:]},
		"cut":                 {txID.String(), token[:len(token)-1]},
		"empty":               {txID.String(), ""},
		"no id":               {"17", token},
		"proof in other bits": {txID.String(), token[:len(token)-1] + "_"},
	} {
		if _, _, err := l.read(c[0], c[1]); !fault.Is(err, "unknown_payment") {
			t.Errorf("%s: read = %v, want unknown_payment", name, err)
		}
	}
}

func splitLink(path string) (transaction, token string) {
	var parts []string
	for start, i := 0, 0; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			parts = append(parts, path[start:i])
			start = i + 1
		}
	}
	return parts[2], parts[3]
}
