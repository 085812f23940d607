package payment

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
)

// Config is the section "payment" of the process's configuration.
type Config struct {
	// SweepEvery is how often the provider is asked about open attempts that are due, and
	// old transactions are ended.
	SweepEvery time.Duration `config:"sweep_every"`
	// SweepBatch bounds how many of each are taken in one round.
	SweepBatch int `config:"sweep_batch"`
	// SessionTime is how long a provider keeps its pay page open for one attempt.
	SessionTime time.Duration `config:"session_time"`
	// ProviderTimeout bounds one call to a provider.
	ProviderTimeout time.Duration `config:"provider_timeout"`
	// BasicAuth lets clients of XBezahldienste identify themselves by HTTP Basic, for those that
	// can do no better.
	BasicAuth bool `config:"basic_auth"`
	// Stripe is a provider that is offered if it has a key.
	Stripe StripeConfig `config:"stripe"`
}

// DefaultConfig is used where nothing else is said.
func DefaultConfig() Config {
	return Config{SweepEvery: 10 * time.Second, SweepBatch: 500, SessionTime: time.Hour, ProviderTimeout: 10 * time.Second, Stripe: defaultStripe()}
}

// Validate implements the check of package config.
func (c *Config) Validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{"sweep_every": c.SweepEvery, "session_time": c.SessionTime, "provider_timeout": c.ProviderTimeout} {
		if d < 100*time.Millisecond {
			errs = append(errs, fmt.Errorf("%s: %s is too short, want at least 100ms", name, d))
		}
	}
	if c.SweepBatch < 1 || c.SweepBatch > 10_000 {
		errs = append(errs, errors.New("sweep_batch: want 1 to 10000"))
	}
	return errors.Join(errs...)
}

// Settings are a municipality's own, under "payment" of its settings; what it leaves out is
// the operator's default.
type Settings struct {
	Kassenzeichen Numbering `json:"kassenzeichen"`
	// Methods offered to payers, in their order on the pay page.
	Methods []Offer `json:"methods"`
	// BudgetKeys name the booking data of an item that say, joined by dots, where the treasury
	// books it (Haushaltsstelle, Objektnummer).
	BudgetKeys []string `json:"budget_keys"`
	// BookingData is what each item's booking data must hold, by originator; "*" is for those
	// that have none of their own. Without either anything goes.
	BookingData map[string]BookingSchema `json:"booking_data"`
	// Originators that may ask for payments; empty means all.
	Originators []string `json:"originators"`
	// Notice stands on the pay page, by language: "de", "en".
	Notice map[string]string `json:"notice"`
	// ExpireHours after which a transaction that nobody paid ends.
	ExpireHours int `json:"expire_hours"`
	// MaxDeclined attempts, after which a transaction has failed.
	MaxDeclined int     `json:"max_declined"`
	Refunds     Refunds `json:"refunds"`
	// Maintenance that the municipality or its provider announced.
	Maintenance []Window `json:"maintenance"`
}

// Refunds says how money goes back.
type Refunds struct {
	// FourEyesAbove is what may go back of a transaction, in one refund or several, before a second
	// person has to approve; null means any amount.
	FourEyesAbove *money.Amount `json:"four_eyes_above"`
}

// Offer is one method on the pay page.
type Offer struct {
	Key      string       `json:"key"` // unique; names the choice on the page: "card"
	Method   Method       `json:"method"`
	Detail   string       `json:"detail"` // of OTHER: "SEPA"
	Provider string       `json:"provider"`
	Fallback string       `json:"fallback"` // provider that takes over when the other does not answer; empty: none
	Min      money.Amount `json:"min"`      // 0: none
	Max      money.Amount `json:"max"`      // 0: none
	Down     bool         `json:"down"`
}

// Takes reports whether the amount can be paid by it; delayed means that the money has to be held first.
func (o Offer) Takes(a money.Amount, delayed bool) bool {
	return a >= o.Min && (o.Max == 0 || a <= o.Max) && (!delayed || o.holds())
}

// holds reports whether money can be held by it: a card's can, at any provider that has cards. A
// bank transfer and the other methods move the money at once.
func (o Offer) holds() bool {
	return o.Method == CreditCard && o.Provider != TransferProvider && o.Fallback != TransferProvider
}

// Window is a time in which methods do not work: from the start, if there is one, until
// before the end, if there is one. No methods means all.
type Window struct {
	From        *time.Time `json:"from,omitempty"`
	Until       *time.Time `json:"until,omitempty"`
	Description string     `json:"description"`
	Methods     []Method   `json:"methods"`
}

// covers reports whether the window is open at now for the method.
func (w Window) covers(m Method, now time.Time) bool {
	return (w.From == nil || !now.Before(*w.From)) && (w.Until == nil || now.Before(*w.Until)) &&
		(len(w.Methods) == 0 || slices.Contains(w.Methods, m))
}

const fourEyesAbove money.Amount = 250_00

// DefaultSettings are the catalogue's defaults.
func DefaultSettings() Settings {
	return Settings{
		Kassenzeichen: Numbering{Pattern: "{prefix}{ags}{year}{number:07}{check}", First: 1},
		Methods: []Offer{
			{Key: "card", Method: CreditCard, Provider: "sandbox"},
			{Key: "paypal", Method: PayPal, Provider: "sandbox"},
			{Key: "sepa", Method: Other, Detail: "SEPA", Provider: "sandbox"},
		},
		Refunds:     Refunds{FourEyesAbove: new(fourEyesAbove)},
		BudgetKeys:  []string{"haushaltsstelle", "objektnummer"},
		ExpireHours: 14 * 24, MaxDeclined: 10,
	}
}

// Validate names the first mistake.
func (s Settings) Validate() error {
	seen := map[string]bool{}
	for _, o := range s.Methods {
		switch {
		case o.Key == "" || seen[o.Key] || !plainText.MatchString(o.Key):
			return fmt.Errorf("methods: key %q is missing, there twice, or no plain word", o.Key)
		case !slices.Contains(methods, o.Method):
			return fmt.Errorf("methods: %s: method %q is not known", o.Key, o.Method)
		case !plainText.MatchString(o.Detail) || len(o.Detail) > 36:
			return fmt.Errorf("methods: %s: detail %q: at most 36 letters, digits, hyphens", o.Key, o.Detail)
		case o.Fallback != "" && o.Fallback == o.Provider:
			return fmt.Errorf("methods: %s: fallback is the provider itself", o.Key)
		case o.Min < 0 || o.Max < 0 || (o.Max > 0 && o.Min > o.Max):
			return fmt.Errorf("methods: %s: amounts from %s to %s", o.Key, o.Min, o.Max)
		}
		seen[o.Key] = true
	}
	if len(s.BudgetKeys) > 4 || slices.Contains(s.BudgetKeys, "") {
		return errors.New("budget_keys: want at most 4 keys of booking data")
	}
	if a := s.Refunds.FourEyesAbove; a != nil && *a < 0 {
		return fmt.Errorf("refunds: four_eyes_above: %s", *a)
	}
	for _, w := range s.Maintenance {
		if w.From != nil && w.Until != nil && !w.From.Before(*w.Until) {
			return fmt.Errorf("maintenance: %q ends before it begins", w.Description)
		}
		if i := slices.IndexFunc(w.Methods, func(m Method) bool { return !slices.Contains(methods, m) }); i >= 0 {
			return fmt.Errorf("maintenance: %q: method %q is not known", w.Description, w.Methods[i])
		}
	}
	if s.ExpireHours < 1 || s.MaxDeclined < 1 {
		return errors.New("expire_hours and max_declined: want at least 1")
	}
	for originator, schema := range s.BookingData {
		if _, err := schema.compile(); err != nil {
			return fmt.Errorf("booking_data: %s: %w", originator, err)
		}
	}
	return nil
}

// settingsOf reads the tenant's settings. A mistake in them is the operator's, not the
// caller's: it is an internal error.
func settingsOf(e tenantdir.Entry) (Settings, error) {
	s, err := tenantdir.Settings(e, "payment", DefaultSettings())
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		return s, fmt.Errorf("payment settings of %s: %w", e.Slug, err)
	}
	return s, nil
}

// knownSettings keeps the settings that were read, for each tenant the newest, so that a
// request does not read them again. It is safe for concurrent use.
type knownSettings struct{ byTenant sync.Map }

// tenantSettings are read settings with the patterns in use.
type tenantSettings struct {
	Settings
	version int64
	byAGS   sync.Map
	booking map[string]bookingRules // by originator in lower case
}

func (k *knownSettings) of(e tenantdir.Entry) (*tenantSettings, error) {
	if v, ok := k.byTenant.Load(e.ID); ok {
		if t := v.(*tenantSettings); t.version == e.Version {
			return t, nil
		}
	}
	s, err := settingsOf(e)
	if err != nil {
		return nil, err
	}
	t := &tenantSettings{Settings: s, version: e.Version, booking: map[string]bookingRules{}}
	for originator, schema := range s.BookingData {
		if t.booking[strings.ToLower(originator)], err = schema.compile(); err != nil {
			return nil, err
		}
	}
	k.byTenant.Store(e.ID, t)
	return t, nil
}

// numbers returns the Kassenzeichen of the municipality with that AGS.
func (t *tenantSettings) numbers(ags string) (kassenzeichen, error) {
	if v, ok := t.byAGS.Load(ags); ok {
		return v.(kassenzeichen), nil
	}
	n, err := t.Kassenzeichen.compile(ags)
	if err == nil {
		t.byAGS.Store(ags, n)
	}
	return n, err
}

// works reports whether the offer can be used at now, as far as the settings say.
func (s Settings) works(o Offer, now time.Time) bool {
	return !o.Down && !slices.ContainsFunc(s.Maintenance, func(w Window) bool { return w.covers(o.Method, now) })
}

func (s Settings) offer(key string) (Offer, bool) {
	i := slices.IndexFunc(s.Methods, func(o Offer) bool { return o.Key == key })
	if i < 0 {
		return Offer{}, false
	}
	return s.Methods[i], true
}

// knows returns nil if the originator may ask for payments here.
// Error: unknown_originator.
func (s Settings) knows(originator string) error {
	if len(s.Originators) == 0 || originator == OwnOriginator || slices.ContainsFunc(s.Originators, func(o string) bool { return strings.EqualFold(o, originator) }) {
		return nil
	}
	return fault.NotFound("unknown_originator", "the originator is not set up for this municipality")
}

// takes returns nil if some method takes the order's amount, and holds it if it has to, working or not.
// Error: no_method_for_amount.
func (s Settings) takes(o Order) error {
	switch {
	case slices.ContainsFunc(s.Methods, func(m Offer) bool { return m.Takes(o.Amount, o.Delayed) }):
		return nil
	case o.Delayed:
		return fault.Invalid("no_method_for_amount", "this municipality has no payment method that holds %s EUR until it is captured", o.Amount)
	}
	return fault.Invalid("no_method_for_amount", "this municipality has no payment method for %s EUR", o.Amount)
}
