package auth

import (
	"strings"
	"testing"
	"time"

	"basisdienste/platform/id"
)

func TestLeastLevel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		acr   string
		floor int
		want  int
		ok    bool
	}{
		{"", 0, 0, true},
		{"", 3, 3, true},
		{"STORK-QAA-Level-1", 0, 1, true},
		{"STORK-QAA-Level-1", 4, 4, true}, // a request cannot lower the client's floor
		{"STORK-QAA-Level-2", 0, 3, true}, // no login gives level 2
		{"STORK-QAA-Level-4 STORK-QAA-Level-3", 0, 3, true},
		{"http://eidas.europa.eu/LoA/high", 0, 4, true},
		{"urn:example:gold STORK-QAA-Level-3", 0, 3, true},
		{"urn:example:gold", 0, 0, false},
		{"STORK-QAA-Level-5", 3, 3, false},
	} {
		got, ok := leastLevel(strings.Split(c.acr, " "), c.floor)
		if got != c.want || ok != c.ok {
			t.Errorf("leastLevel(%q, %d) = %d, %t; want %d, %t", c.acr, c.floor, got, ok, c.want, c.ok)
		}
	}
}

func TestCheckRedirect(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]bool{
		"https://app.example/cb": true, "https://app.example/cb?x=1": true, "http://127.0.0.1:9090/cb": true, "http://localhost/cb": true,
		"http://app.example/cb": false, "https://app.example/cb#x": false, "https://*.app.example/": false, "app://cb": false,
		"javascript:alert(1)": false, "/cb": false, "": false, "http://localhost.evil.example/": false,
	} {
		if err := checkRedirect(uri); (err == nil) != want {
			t.Errorf("checkRedirect(%q) = %v, want allowed = %t", uri, err, want)
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	s, err := newSecrets([]byte("master"))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.sealed("row 1", []byte("plain"))
	if err != nil || strings.Contains(string(sealed), "plain") {
		t.Fatalf("sealed = %q, %v", sealed, err)
	}
	if got, err := s.opened("row 1", sealed); err != nil || string(got) != "plain" {
		t.Errorf("opened = %q, %v; want plain", got, err)
	}
	if got, err := s.opened("row 2", sealed); err == nil {
		t.Errorf("opened as another row = %q, want an error", got)
	}
	other, err := newSecrets([]byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.opened("row 1", sealed); err == nil {
		t.Errorf("opened with another master = %q, want an error", got)
	}
	erfurt, jena := id.New(), id.New()
	if a, b := s.pairwise(erfurt, "sandbox", "erika"), s.pairwise(jena, "sandbox", "erika"); a == b || a != s.pairwise(erfurt, "sandbox", "erika") {
		t.Errorf("pairwise = %q and %q, want one for each tenant, always the same", a, b)
	}
}

func TestSession_Fresh(t *testing.T) {
	t.Parallel()
	age := func(n uint) *uint { return &n }
	s := session{}
	s.AuthTime.Time = noon
	for _, c := range []struct {
		maxAge *uint
		after  time.Duration
		want   bool
	}{{nil, 24 * time.Hour, true}, {age(0), 0, false}, {age(60), time.Minute, true}, {age(60), time.Minute + 1, false}, {age(1 << 40), time.Hour, true}} {
		if got := s.fresh(c.maxAge, noon.Add(c.after)); got != c.want {
			t.Errorf("fresh(%v) after %s = %t, want %t", c.maxAge, c.after, got, c.want)
		}
	}
}
