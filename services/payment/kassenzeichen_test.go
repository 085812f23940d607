package payment

import (
	"strings"
	"testing"
	"time"

	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
)

var november = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

func TestNumbering(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n    Numbering
		no   int64
		want string
	}{
		{Numbering{Pattern: "{prefix}{year}{number:07}{check}", Prefix: "EF"}, 17, "EF202600000179"},
		{Numbering{Pattern: "{prefix}-{year}-{number:7}-{check97}", Prefix: "EF"}, 17, "EF-2026-0000017-51"},
		{Numbering{Pattern: "{ags}{yy}{number:05}"}, 99999, "160510002699999"},
		{Numbering{Pattern: "K{number:3}_{check}", First: 5, Last: 9}, 5, "K005_7"},
		{DefaultSettings().Kassenzeichen, 1, "16051000202600000016"},
	} {
		k, err := c.n.compile("16051000")
		if err != nil {
			t.Errorf("compile(%q) = %v", c.n.Pattern, err)
			continue
		}
		if got, err := k.write(c.no, november); got != c.want || err != nil {
			t.Errorf("%q: write(%d) = %q, %v; want %q", c.n.Pattern, c.no, got, err, c.want)
		}
	}
}

func TestNumberingMistakes(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"":                                      "missing",
		"{prefix}{year}":                        "missing",
		"{number}":                              "width",
		"{number:16}":                           "width",
		"{number:07}{number:07}":                "only one",
		"{number:07}{check}x":                   "nothing may follow",
		"{number:07} {check}":                   "only letters",
		"{number:07}{kasse}":                    "not known",
		"{year:4}{number:07}":                   "no width",
		"{number:07}" + strings.Repeat("x", 30): "at most 36",
	} {
		if _, err := (Numbering{Pattern: pattern}).compile("16051000"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("compile(%q) = %v, want an error with %q", pattern, err, want)
		}
	}
	for _, n := range []Numbering{{Pattern: "{number:3}", First: 10, Last: 9}, {Pattern: "{number:3}", Last: 1000}} {
		if _, err := n.compile(""); err == nil {
			t.Errorf("compile(%+v) = nil, want an error about the range", n)
		}
	}
	k, err := Numbering{Pattern: "{number:3}", Last: 20}.compile("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.write(21, november); !fault.Is(err, "kassenzeichen_exhausted") {
		t.Errorf("write(21) of a range up to 20 = %v, want kassenzeichen_exhausted", err)
	}
}

func TestCounterIsYearly(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{"{year}{number:7}": "kassenzeichen-2026", "{yy}{number:7}": "kassenzeichen-2026", "{number:7}": "kassenzeichen"} {
		k, err := Numbering{Pattern: pattern}.compile("")
		if got := k.counter(november); err != nil || got != want {
			t.Errorf("%q: counter = %q, %v; want %q", pattern, got, err, want)
		}
	}
}

// The year of a Kassenzeichen is that of the municipality's clock, also in the hour in which UTC is
// behind.
func TestCreate_YearOfTheKassenzeichen(t *testing.T) {
	t.Parallel()
	s := newShop(t, dbtest.New(t, serviceSets...))
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 12, 31, 22, 59, 59, 0, time.UTC), "1605100020260000001"},
		{time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC), "1605100020270000001"},
		{time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC), "1605100020270000002"},
	} {
		s.pass(c.at.Sub(s.clock()))
		if got := s.create(t, c.at.Format("r-20060102-150405")).Kassenzeichen; len(got) != 20 || got[:19] != c.want {
			t.Errorf("Kassenzeichen at %s = %s, want %s and a check digit", c.at, got, c.want)
		}
	}
}

// The published examples: ISO/IEC 7064 names 0794 with 5 (MOD 11,10) and 794 with 44 (MOD 97-10).
func TestCheckDigitsOfTheStandard(t *testing.T) {
	t.Parallel()
	if got := check1110("0794"); got != '5' {
		t.Errorf("check1110(0794) = %c, want 5", got)
	}
	if got := check97("794"); got != "44" {
		t.Errorf("check97(794) = %s, want 44", got)
	}
}

// slips calls yield with every text that has one other digit or two neighbouring digits exchanged.
func slips(s string, yield func(wrong string, exchanged bool)) {
	for i := range len(s) {
		for d := byte('0'); d <= '9'; d++ {
			if s[i] != d {
				yield(s[:i]+string(d)+s[i+1:], false)
			}
		}
		if i+1 < len(s) && s[i] != s[i+1] {
			yield(s[:i]+string(s[i+1])+string(s[i])+s[i+2:], true)
		}
	}
}

func TestCheckDigitsFindSlips(t *testing.T) {
	t.Parallel()
	missed := map[string]int{}
	total := map[string]int{}
	for n := int64(1); n <= 9973; n += 7 {
		for name, pattern := range map[string]string{"11,10": "2026{number:07}{check}", "97-10": "2026{number:07}{check97}"} {
			k, err := Numbering{Pattern: pattern}.compile("")
			if err != nil {
				t.Fatal(err)
			}
			right, err := k.write(n, november)
			if err != nil {
				t.Fatal(err)
			}
			slips(right, func(wrong string, exchanged bool) {
				kind := name + map[bool]string{false: " digit", true: " exchange"}[exchanged]
				total[kind]++
				accepted := wrong[len(wrong)-1] == check1110(wrong[:len(wrong)-1])
				if name == "97-10" {
					accepted = wrong[len(wrong)-2:] == check97(wrong[:len(wrong)-2])
				}
				if accepted {
					missed[kind]++
				}
			})
		}
	}
	for _, kind := range []string{"11,10 digit", "97-10 digit", "97-10 exchange"} {
		if missed[kind] > 0 || total[kind] == 0 {
			t.Errorf("%s: %d of %d slips are not found, want none", kind, missed[kind], total[kind])
		}
	}
	// MOD 11,10 cannot find them all: 1 in 45 on average.
	if kind := "11,10 exchange"; missed[kind]*25 > total[kind] {
		t.Errorf("%s: %d of %d slips are not found, want less than 1 in 25", kind, missed[kind], total[kind])
	}
}
