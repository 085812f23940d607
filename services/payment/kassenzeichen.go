package payment

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"basisdienste/platform/fault"
)

// Numbering says what a municipality's Kassenzeichen look like: the reference under which
// its treasury books a claim, printed in every transfer.
type Numbering struct {
	// Pattern holds text and {prefix}, {ags}, {year}, {yy}, {number:N} with N digits,
	// {check} and {check97}. It has exactly one number; a check comes last. Text is letters,
	// digits, hyphen and underscore; all in all at most 36 characters.
	Pattern string `json:"pattern"`
	Prefix  string `json:"prefix"`
	// First and Last bound the range that the treasury set aside. Numbers are given out
	// upwards, each once; a request that fails may leave a gap. With a year in the pattern,
	// which is that of German time, the range begins anew each year. Last 0 means all that fit.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

const maxKassenzeichen = 36

var (
	patternPart = regexp.MustCompile(`\{([a-z0-9]+)(?::([0-9]{1,2}))?\}`)
	plainText   = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)
)

// kassenzeichen writes references of one pattern.
type kassenzeichen struct {
	parts       []patternField
	first, last int64
	yearly      bool
}

type patternField struct{ name, text string }

// compile checks the pattern for the municipality with that AGS.
func (n Numbering) compile(ags string) (kassenzeichen, error) {
	var k kassenzeichen
	width, checked, length := 0, false, 0
	add := func(name, text string, size int) error {
		if checked && size > 0 {
			return errors.New("nothing may follow the check digits")
		}
		if !plainText.MatchString(text) {
			return fmt.Errorf("%q: only letters, digits, hyphen and underscore", text)
		}
		k.parts = append(k.parts, patternField{name, text})
		length += size
		return nil
	}
	at := 0
	for _, m := range patternPart.FindAllStringSubmatchIndex(n.Pattern, -1) {
		text := n.Pattern[at:m[0]]
		name, digits := n.Pattern[m[2]:m[3]], ""
		if m[4] >= 0 {
			digits = n.Pattern[m[4]:m[5]]
		}
		at = m[1]
		err := add("", text, len(text))
		switch {
		case err != nil:
		case name != "number" && digits != "":
			err = fmt.Errorf("{%s} has no width", name)
		case name == "prefix":
			err = add("", n.Prefix, len(n.Prefix))
		case name == "ags":
			err = add("", ags, len(ags))
		case name == "year":
			k.yearly = true
			err = add(name, "", 4)
		case name == "yy":
			k.yearly = true
			err = add(name, "", 2)
		case name == "number":
			if width != 0 {
				return k, errors.New("only one {number:N}")
			}
			if width, _ = strconv.Atoi(digits); width < 1 || width > 15 {
				return k, errors.New("{number:N} needs a width from 1 to 15")
			}
			err = add(name, strconv.Itoa(width), width)
		case name == "check":
			err = add(name, "", 1)
			checked = true
		case name == "check97":
			err = add(name, "", 2)
			checked = true
		default:
			err = fmt.Errorf("{%s} is not known", name)
		}
		if err != nil {
			return k, fmt.Errorf("kassenzeichen pattern: %w", err)
		}
	}
	if err := add("", n.Pattern[at:], len(n.Pattern)-at); err != nil {
		return k, fmt.Errorf("kassenzeichen pattern: %w", err)
	}
	if width == 0 {
		return k, errors.New("kassenzeichen pattern: {number:N} is missing")
	}
	if length > maxKassenzeichen {
		return k, fmt.Errorf("kassenzeichen pattern: %d characters, at most %d", length, maxKassenzeichen)
	}
	most := int64(1)
	for range width {
		most *= 10
	}
	k.first, k.last = max(n.First, 1), n.Last
	if k.last == 0 {
		k.last = most - 1
	}
	if k.last >= most || k.first > k.last {
		return k, fmt.Errorf("kassenzeichen range: %d to %d does not fit into %d digits", k.first, k.last, width)
	}
	return k, nil
}

// counter names the row that counts: one a year where the year is part of the reference. The
// year is that of now in its own zone, as in write.
func (k kassenzeichen) counter(now time.Time) string {
	if k.yearly {
		return "kassenzeichen-" + now.Format("2006")
	}
	return "kassenzeichen"
}

// write returns the reference of the n-th number. Error: kassenzeichen_exhausted.
func (k kassenzeichen) write(n int64, now time.Time) (string, error) {
	if n < k.first || n > k.last {
		return "", fault.Unavailable("kassenzeichen_exhausted", "the municipality's range of Kassenzeichen is used up; its treasury must set a new one")
	}
	var b strings.Builder
	for _, p := range k.parts {
		switch p.name {
		case "year":
			b.WriteString(now.Format("2006"))
		case "yy":
			b.WriteString(now.Format("06"))
		case "number":
			width, _ := strconv.Atoi(p.text) // written by compile
			fmt.Fprintf(&b, "%0*d", width, n)
		case "check":
			b.WriteByte(check1110(b.String()))
		case "check97":
			b.WriteString(check97(b.String()))
		default:
			b.WriteString(p.text)
		}
	}
	return b.String(), nil
}

// check1110 is the check digit of ISO/IEC 7064:2003 MOD 11,10, the hybrid system of the
// German tax number, over the digits of s; other characters do not count. It finds every
// wrong digit and 44 of 45 exchanges of neighbours.
func check1110(s string) byte {
	p := 10
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			continue
		}
		sum := (p + int(s[i]-'0')) % 10
		if sum == 0 {
			sum = 10
		}
		p = sum * 2 % 11
	}
	return byte('0' + (11-p)%10)
}

// check97 are the check digits of ISO/IEC 7064:2003 MOD 97-10, the system of IBAN and
// creditor references, over letters (A is 10, as in ISO 13616) and digits. They find every
// wrong character and every exchange of neighbouring digits.
func check97(s string) string {
	m := 0
	for _, r := range strings.ToUpper(s) {
		switch {
		case r >= '0' && r <= '9':
			m = (m*10 + int(r-'0')) % 97
		case r >= 'A' && r <= 'Z':
			m = (m*100 + int(r-'A') + 10) % 97
		}
	}
	return fmt.Sprintf("%02d", 98-m*100%97)
}
