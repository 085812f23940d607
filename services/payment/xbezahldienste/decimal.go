package xbezahldienste

import (
	"strconv"
	"strings"

	"basisdienste/platform/fault"
	"basisdienste/platform/money"
)

// Decimal is a JSON number as it was written. It never passes through a float.
type Decimal struct{ text string }

// UnmarshalJSON takes numbers only. Error: wrong_type.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || (b[0] != '-' && (b[0] < '0' || b[0] > '9')) {
		return fault.Invalid("wrong_type", "must be a number")
	}
	d.text = string(b)
	return nil
}

func (d Decimal) missing() bool { return d.text == "" }

// String returns the number as it was written.
func (d Decimal) String() string { return d.text }

// maxDigits bounds what is looked at; a longer number is over every limit or has more places
// than any allows.
const maxDigits = 64

// scaled returns the number times 10^places if that is a whole number that fits into 15
// digits.
func (d Decimal) scaled(places int) (int64, bool) {
	if len(d.text) > maxDigits {
		return 0, false
	}
	digits, negative := strings.CutPrefix(d.text, "-")
	exp := 0
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		var err error
		if exp, err = strconv.Atoi(digits[i+1:]); err != nil || exp < -maxDigits || exp > maxDigits {
			return 0, false
		}
		digits = digits[:i]
	}
	whole, frac, _ := strings.Cut(digits, ".")
	digits = strings.TrimLeft(whole+frac, "0")
	if digits == "" {
		return 0, true
	}
	switch shift := exp - len(frac) + places; {
	case shift >= 0:
		digits += strings.Repeat("0", shift)
	case len(digits) <= -shift || strings.Trim(digits[len(digits)+shift:], "0") != "":
		return 0, false
	default:
		digits = digits[:len(digits)+shift]
	}
	if len(digits) > 15 {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if negative {
		n = -n
	}
	return n, err == nil
}

// Cents returns an amount of euros in cents; false if it has a fraction of a cent or is
// beyond all bounds.
func (d Decimal) Cents() (money.Amount, bool) {
	n, ok := d.scaled(2)
	return money.Amount(n), ok
}
