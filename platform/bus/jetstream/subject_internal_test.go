package jetstream

import (
	"strings"
	"testing"
)

func TestSubjectOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, topic, tenant, want string // want "": an error
	}{
		{"with tenant", "payment.transaction.payed.v1", "0192d3c4", "payment.transaction.payed.v1.0192d3c4"},
		{"without tenant", "payment.transaction.payed.v1", "", "payment.transaction.payed.v1._"},
		{"empty topic", "", "a", ""},
		{"empty token", "payment..v1", "a", ""},
		{"wildcard", "payment.*.v1", "a", ""},
		{"tail wildcard", "payment.>", "a", ""},
		{"space", "payment transaction", "a", ""},
		{"not ASCII", "zahlung.überwiesen", "a", ""},
		{"broker's own", "$JS.API.INFO", "a", ""},
		{"tenant of two tokens", "payment.v1", "a.b", ""},
		{"tenant with wildcard", "payment.v1", ">", ""},
		{"tenant with line break", "payment.v1", "a\r\nPUB x 0", ""},
	} {
		got, err := subjectOf(c.topic, c.tenant)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: subjectOf(%q, %q) = %q, %v, want %q", c.name, c.topic, c.tenant, got, err, c.want)
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		patterns, subject string
		want              bool
	}{
		{"payment.>", "payment.transaction.payed.v1.*", true},
		{"payment.>", "payment", false},
		{"forms.> payment.*", "payment.v1", true},
		{"forms.> payment.*", "payment.v1.*", false},
		{"payment.v1", "payment.v1", true},
		{"payment.v1", "payment.v1.*", false},
		{"payment.v1.a", "payment.v1.*", false},
		{"payment.v1.*", "payment.v1.*", true},
		{"payment.v1.*", "payment.v1.>", false},
		{"payment.*.*", "payment.>", false},
		{">", "payment.>", true},
		{"payment.v1.a", "payment.v1", false},
	} {
		if got := covers(strings.Fields(c.patterns), c.subject); got != c.want {
			t.Errorf("covers(%s, %s) = %t, want %t", c.patterns, c.subject, got, c.want)
		}
	}
}

func TestConsumerName(t *testing.T) {
	t.Parallel()
	got, err := consumerName("forms", "payment.transaction.created.v1")
	if want := "forms@payment_transaction_created_v1"; got != want || err != nil {
		t.Errorf("consumerName() = %q, %v, want %q", got, err, want)
	}
	for _, c := range [][2]string{{"", "payment.v1"}, {strings.Repeat("g", 250), "payment.v1"}} {
		if got, err := consumerName(c[0], c[1]); err == nil {
			t.Errorf("consumerName(%.10q…, %s) = %q, want an error", c[0], c[1], got)
		}
	}
}

// FuzzConsumerName: names are legal, and different for different groups and topics.
func FuzzConsumerName(f *testing.F) {
	f.Add("forms", "a.b", "forms", "a_b")
	f.Add("a@b", "c", "a", "b@c")
	f.Add("a=5f", "x", "a_", "x")
	f.Fuzz(func(t *testing.T, g1, t1, g2, t2 string) {
		n1, err1 := consumerName(g1, t1)
		n2, err2 := consumerName(g2, t2)
		if err1 != nil || err2 != nil {
			return
		}
		if strings.ContainsAny(n1, " \t\r\n\f.*>\\/") {
			t.Errorf("consumerName(%q, %q) = %q, which is no legal name", g1, t1, n1)
		}
		if (n1 == n2) != (g1 == g2 && t1 == t2) {
			t.Errorf("consumerName(%q, %q) = %q, and consumerName(%q, %q) = %q", g1, t1, n1, g2, t2, n2)
		}
	})
}
