package payment

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"basisdienste/platform/fault"
)

// BookingSchema is what the booking data of an item must hold, by key. Other keys may be there.
type BookingSchema map[string]BookingRule

// BookingRule is for the value of one key.
type BookingRule struct {
	Required bool   `json:"required"`
	Pattern  string `json:"pattern"`    // RE2; the whole value has to match; empty: any
	Max      int    `json:"max_length"` // characters; 0: no bound
}

// bookingRules are a schema with its patterns compiled, in the order of the keys.
type bookingRules []bookingRule

type bookingRule struct {
	BookingRule
	key   string
	whole *regexp.Regexp // nil: any
}

// compile returns the rules, or names the mistake.
func (s BookingSchema) compile() (bookingRules, error) {
	var rules bookingRules
	for key, rule := range s {
		r := bookingRule{BookingRule: rule, key: key}
		if key == "" || rule.Max < 0 {
			return nil, fmt.Errorf("%q: want a key, and a max_length of 0 or more", key)
		}
		if rule.Pattern != "" {
			var err error
			if r.whole, err = regexp.Compile(`^(?:` + rule.Pattern + `)$`); err != nil {
				return nil, fmt.Errorf("%s: pattern: %w", key, err)
			}
		}
		rules = append(rules, r)
	}
	slices.SortFunc(rules, func(a, b bookingRule) int { return strings.Compare(a.key, b.key) })
	return rules, nil
}

// wrong says what is wrong with the item's value, or "".
func (r bookingRule) wrong(i Item) string {
	value := i.BookingData[r.key] // an empty one books nothing
	switch {
	case value == "" && r.Required:
		return "is missing, the municipality books by it"
	case value == "":
		return ""
	case r.Max > 0 && utf8.RuneCountInString(value) > r.Max:
		return "has more than " + strconv.Itoa(r.Max) + " characters"
	case r.whole != nil && !r.whole.MatchString(value):
		return "is not written as the municipality wants it"
	}
	return ""
}

// mostWrong bounds the fields that one answer names.
const mostWrong = 20

// checkBooking holds the items against what the municipality wants of the originator.
// Error: booking_data_missing, with each wrong field.
func (t *tenantSettings) checkBooking(o Order) error {
	rules, own := t.booking[strings.ToLower(o.OriginatorID)]
	if !own {
		rules = t.booking["*"]
	}
	var fields []fault.Field
	for n, item := range o.Items {
		for _, rule := range rules {
			if text := rule.wrong(item); text != "" && len(fields) < mostWrong {
				name := "/items/" + strconv.Itoa(n) + "/bookingData/" + rule.key
				fields = append(fields, fault.Field{Name: name, Code: "booking_data_missing", Detail: text})
			}
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return fault.Invalid("booking_data_missing", "the booking data lack what this municipality needs to book the payment").With(fields...)
}
