package payment

import (
	"strings"
	"testing"
	"time"

	"basisdienste/platform/money"
)

func TestSettings_MistakesAreNamed(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	card := Offer{Key: "card", Method: CreditCard, Provider: "sandbox"}
	for _, c := range []struct {
		what   string
		change func(*Settings)
		want   string
	}{
		{"the defaults", func(*Settings) {}, ""},
		{"a window", func(s *Settings) { s.Maintenance = []Window{{Until: new(noon), Methods: []Method{PayPal}}} }, ""},
		{"no key", func(s *Settings) { s.Methods = []Offer{{Method: CreditCard}} }, "key"},
		{"a key twice", func(s *Settings) { s.Methods = []Offer{card, card} }, "key"},
		{"a method that is none", func(s *Settings) { s.Methods[0].Method = "BITCOIN" }, "BITCOIN"},
		{"a long detail", func(s *Settings) { s.Methods[0].Detail = strings.Repeat("x", 37) }, "detail"},
		{"itself as fallback", func(s *Settings) { s.Methods[0].Fallback = s.Methods[0].Provider }, "fallback"},
		{"the least above the most", func(s *Settings) { s.Methods[0].Min, s.Methods[0].Max = 200, 100 }, "amounts"},
		{"five budget keys", func(s *Settings) { s.BudgetKeys = strings.Split("a,b,c,d,e", ",") }, "budget_keys"},
		{"a limit below zero", func(s *Settings) { s.Refunds.FourEyesAbove = new(money.Amount(-1)) }, "four_eyes_above"},
		{"no time to pay", func(s *Settings) { s.ExpireHours = 0 }, "expire_hours"},
		{"no try", func(s *Settings) { s.MaxDeclined = 0 }, "max_declined"},
		{"a pattern that is none", func(s *Settings) { s.BookingData = map[string]BookingSchema{"*": {"k": {Pattern: "("}}} }, "booking_data"},
		{"a window that ends before it begins", func(s *Settings) { s.Maintenance = []Window{{From: new(noon), Until: new(noon)}} }, "maintenance"},
		{"a window of a method that is none", func(s *Settings) { s.Maintenance = []Window{{Methods: []Method{"CASH"}}} }, "CASH"},
	} {
		s := DefaultSettings()
		c.change(&s)
		if err := s.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("Validate with %s = %v, want %q", c.what, err, c.want)
		}
	}
}
