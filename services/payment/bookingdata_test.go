package payment

import (
	"strings"
	"testing"

	"basisdienste/platform/fault"
)

func TestBookingData(t *testing.T) {
	t.Parallel()
	s := DefaultSettings()
	s.BookingData = map[string]BookingSchema{
		"*":        {"haushaltstelle": {Required: true, Pattern: `[0-9]\.[0-9]{4}`, Max: 6}, "objektnummer": {Max: 4}},
		"Hundeamt": {"marke": {Required: true}},
		"frei":     {},
	}
	if err := s.Validate(); err != nil {
		t.Fatalf("Validate() = %v", err)
	}
	settings := &tenantSettings{Settings: s, booking: map[string]bookingRules{}}
	for originator, schema := range s.BookingData {
		rules, err := schema.compile()
		if err != nil {
			t.Fatal(err)
		}
		settings.booking[strings.ToLower(originator)] = rules
	}
	for _, c := range []struct {
		name, originator string
		data             map[string]string
		wrong            []string
	}{
		{"all there", "parken", map[string]string{"haushaltstelle": "1.1200", "objektnummer": "4711"}, nil},
		{"more than wanted", "parken", map[string]string{"haushaltstelle": "1.1200", "href": "x"}, nil},
		{"what is optional is left out", "parken", map[string]string{"haushaltstelle": "1.1200"}, nil},
		{"what is required is missing", "parken", nil, []string{"/items/0/bookingData/haushaltstelle"}},
		{"what is required is empty", "hundeamt", map[string]string{"marke": ""}, []string{"/items/0/bookingData/marke"}},
		{"a pattern means the whole value", "parken", map[string]string{"haushaltstelle": "x1.120"}, []string{"/items/0/bookingData/haushaltstelle"}},
		{"too long", "parken", map[string]string{"haushaltstelle": "1.1200", "objektnummer": "47110"}, []string{"/items/0/bookingData/objektnummer"}},
		{"both", "parken", map[string]string{"haushaltstelle": "1.12000", "objektnummer": "47110"}, []string{"/items/0/bookingData/haushaltstelle", "/items/0/bookingData/objektnummer"}},
		{"an originator's own replace the common ones", "hundeamt", map[string]string{"marke": "7"}, nil},
		{"an originator's own are missing", "hundeamt", map[string]string{"haushaltstelle": "1.1200"}, []string{"/items/0/bookingData/marke"}},
		{"an originator that need not", "frei", nil, nil},
	} {
		o := order("r")
		o.OriginatorID, o.Items[0].BookingData = c.originator, c.data
		err := settings.checkBooking(o)
		var got []string
		if err != nil {
			for _, f := range fault.From(err).Fields {
				got = append(got, f.Name)
			}
		}
		if strings.Join(got, " ") != strings.Join(c.wrong, " ") || (err != nil && !fault.Is(err, "booking_data_missing")) {
			t.Errorf("%s: checkBooking() = %v, fields %v; want %v", c.name, err, got, c.wrong)
		}
	}
}

func TestBookingData_MistakesInSettings(t *testing.T) {
	t.Parallel()
	for _, schema := range []BookingSchema{{"": {}}, {"a": {Max: -1}}, {"a": {Pattern: "("}}} {
		s := DefaultSettings()
		s.BookingData = map[string]BookingSchema{"*": schema}
		if err := s.Validate(); err == nil {
			t.Errorf("Validate() with %v = nil, want an error", schema)
		}
	}
}
