// Package money counts euro cents. An amount is exact: it never passes through a float.
package money

import (
	"fmt"
	"strconv"
	"strings"

	"basisdienste/platform/fault"
)

// Amount is a number of euro cents. In JSON it is a decimal number with two places (30.70);
// in SQL a BIGINT of cents.
type Amount int64

// Max bounds what Parse takes: 999,999,999,999.99 €.
const Max Amount = 99_999_999_999_999

// Parse reads a decimal of at most two places: "30.7", "30.70", "-1", "1e3" is refused.
// Error: invalid_amount.
func Parse(s string) (Amount, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, frac, dotted := strings.Cut(digits, ".")
	if whole == "" || len(whole) > 12 || len(frac) > 2 || (dotted && frac == "") || !allDigits(whole) || !allDigits(frac) {
		return 0, fault.Invalid("invalid_amount", "an amount is a decimal number of euros with at most two places, for example 30.70")
	}
	cents, err := strconv.ParseInt(whole+(frac + "00")[:2], 10, 64)
	if err != nil {
		return 0, fault.Invalid("invalid_amount", "an amount is a decimal number of euros with at most two places, for example 30.70").Because(err)
	}
	if negative {
		cents = -cents
	}
	return Amount(cents), nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// String returns "30.70".
func (a Amount) String() string {
	sign, n := "", int64(a)
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%02d", sign, n/100, n%100)
}

// German returns "1.030,70 €" with a no-break space before the sign.
func (a Amount) German() string {
	s := a.String()
	sign := ""
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = "-", rest
	}
	whole, frac, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "." + whole[i:]
	}
	return sign + whole + "," + frac + "\u00a0€"
}

// MarshalJSON writes a JSON number with two places.
func (a Amount) MarshalJSON() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalJSON reads a JSON number; a string is refused. Trailing zeros after the second
// place are taken (1.500 is 1.50), other further places are not.
func (a *Amount) UnmarshalJSON(b []byte) error {
	s := string(b)
	if whole, frac, ok := strings.Cut(s, "."); ok && len(frac) > 2 {
		s = whole + "." + frac[:2] + strings.TrimRight(frac[2:], "0")
	}
	v, err := Parse(s)
	if err != nil {
		return err
	}
	*a = v
	return nil
}
