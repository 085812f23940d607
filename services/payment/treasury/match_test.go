package treasury

import (
	"reflect"
	"strings"
	"testing"

	"basisdienste/services/payment"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		texts []string
		want  []string
	}{
		{[]string{"Kassenzeichen K16051000-2026 danke"}, []string{"K16051000-2026"}},
		{[]string{"KZ:16051000/20260000017."}, []string{"16051000", "20260000017"}},
		{[]string{"Kassenzeichen 160510002026\n0000017"}, []string{"160510002026", "0000017", "1605100020260000017"}},
		{[]string{"", "RF18K1605100"}, []string{"RF18K1605100", "K1605100"}},
		{[]string{"K1605100", "", "K1605100"}, []string{"K1605100"}},
		{[]string{"Miete Nr 1234", "ohne Ziffern"}, nil},
		{[]string{strings.Repeat("1", 36) + " " + strings.Repeat("1", 37)}, []string{strings.Repeat("1", 36)}},
	} {
		if got := words(c.texts...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("words(%q) = %q, want %q", c.texts, got, c.want)
		}
	}
	if got := len(words(strings.Repeat("a1234 b1234 ", 1) + manyWords())); got != maxWords {
		t.Errorf("words of a long text = %d, want %d", got, maxWords)
	}
}

func manyWords() string {
	var b strings.Builder
	for i := range 26 * 26 {
		b.WriteString(" x1234" + string(rune('a'+i/26)) + string(rune('a'+i%26)))
	}
	return b.String()
}

func TestNamed(t *testing.T) {
	t.Parallel()
	claims := map[string]payment.Claim{"K10001": {Kassenzeichen: "K10001"}, "K10002": {Kassenzeichen: "K10002"}}
	for _, c := range []struct {
		words []string
		claim string
		want  outcome
	}{
		{nil, "", unknown}, {[]string{"K10003"}, "", unknown}, {[]string{"x1234", "K10001"}, "K10001", open}, {[]string{"K10001", "K10002"}, "", ambiguous},
	} {
		if claim, got := named(c.words, claims); claim.Kassenzeichen != c.claim || got != c.want {
			t.Errorf("named(%q) = %q, %s, want %q, %s", c.words, claim.Kassenzeichen, got, c.claim, c.want)
		}
	}
}

func TestBecame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		was     payment.State
		did     payment.Transferred
		want    outcome
		surplus bool
	}{
		{payment.Initial, payment.TransferPaid, matched, false},
		{payment.Payed, payment.TransferPaid, matched, false}, // asked again
		{payment.Initial, payment.TransferDiffers, amountDiffers, false},
		{payment.Payed, payment.TransferDiffers, alreadyPaid, false},
		{payment.Payed, payment.TransferSurplus, alreadyPaid, true},
		{payment.Expired, payment.TransferSurplus, claimEnded, true},
		{payment.Canceled, payment.TransferDiffers, claimEnded, false},
	} {
		if got, surplus := became(c.was, c.did); got != c.want || surplus != c.surplus {
			t.Errorf("became(%s, %s) = %s, %t, want %s, %t", c.was, c.did, got, surplus, c.want, c.surplus)
		}
	}
}

func TestCell(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "K-1": "K-1", "=1+1": "'=1+1", "+49": "'+49", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "a=b": "a=b",
	} {
		if got := cell(in); got != want {
			t.Errorf("cell(%q) = %q, want %q", in, got, want)
		}
	}
}
