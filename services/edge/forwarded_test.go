package edge

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"basisdienste/platform/run"
)

// headers answers which of the named headers the service got.
func headers(names ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range names {
			_, _ = fmt.Fprintf(w, "%s=%s;", name, strings.Join(r.Header.Values(name), ","))
		}
	})
}

func trust(networks ...string) option {
	return func(s *run.Settings, _ map[string]any) { s.TrustedProxy = networks }
}

func TestForwardedHeaders(t *testing.T) {
	t.Parallel()
	names := []string{"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded", "X-Real-Ip"}
	sent := []string{"X-Forwarded-For", "203.0.113.9, 198.51.100.7", "X-Forwarded-Port", "443", "X-Forwarded-Prefix", "/x", "Forwarded", "for=203.0.113.9", "X-Real-Ip", "203.0.113.9"}
	for name, tt := range map[string]struct {
		opt  option
		want string
	}{
		"untrusted": {trust(), "X-Forwarded-For=127.0.0.1;X-Forwarded-Port=;X-Forwarded-Prefix=;Forwarded=;X-Real-Ip=;"},
		"others":    {trust("10.0.0.0/8"), "X-Forwarded-For=127.0.0.1;X-Forwarded-Port=;X-Forwarded-Prefix=;Forwarded=;X-Real-Ip=;"},
		"trusted": {trust("127.0.0.0/8"), "X-Forwarded-For=203.0.113.9, 198.51.100.7, 127.0.0.1;" +
			"X-Forwarded-Port=443;X-Forwarded-Prefix=/x;Forwarded=;X-Real-Ip=203.0.113.9;"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := begin(t, map[string]http.Handler{"payment": headers(names...)}, tt.opt)
			if g := f.get("/pay/x", sent...); g.body != tt.want {
				t.Errorf("the service got %s, want %s", g.body, tt.want)
			}
			// A client may not make the edge take its own headers away either.
			if g := f.get("/pay/x", append([]string{"Connection", "X-Forwarded-For"}, sent...)...); !strings.HasPrefix(g.body, strings.SplitAfter(tt.want, ";")[0]) {
				t.Errorf("with Connection: X-Forwarded-For the service got %s, want it as without", g.body)
			}
		})
	}
}

func TestSameNetwork(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		network, peer string
		want          bool
	}{
		{"192.0.2.1", "192.0.2.1:5", true},
		{"192.0.2.1", "192.0.2.2:5", false},
		{"192.0.2.1", "[::ffff:192.0.2.1]:5", true},
		{"2001:db8:1:2::", "[2001:db8:1:2:3::4]:5", true},
		{"2001:db8:1:2::", "[2001:db8:1:3:3::4]:5", false},
		{"2001:db8:1:2::", "192.0.2.1:5", false},
		{"fe80::", "[fe80::1%eth0]:5", true},
		{"", "192.0.2.1:5", false},
		{"invalid IP", "@", false},
	} {
		if got := sameNetwork(tt.network, tt.peer); got != tt.want {
			t.Errorf("sameNetwork(%q, %q) = %v, want %v", tt.network, tt.peer, got, tt.want)
		}
	}
}

// TestAddressLimit counts the clients that a trusted proxy names, and the peer where none is trusted.
func TestAddressLimit(t *testing.T) {
	t.Parallel()
	limited := func(s *run.Settings, _ map[string]any) { s.AddressLimit = 20 } // 2 at once
	statuses := func(f *front, addresses ...string) string {
		var out []string
		for _, a := range addresses {
			out = append(out, fmt.Sprint(f.get("/pay/x", "X-Forwarded-For", a).StatusCode))
		}
		return strings.Join(out, " ")
	}
	t.Run("behind a trusted proxy", func(t *testing.T) {
		t.Parallel()
		f := begin(t, map[string]http.Handler{"payment": says("payment")}, limited, frozen, trust("127.0.0.0/8"))
		if got, want := statuses(f, "203.0.113.9", "203.0.113.9", "203.0.113.9", "203.0.113.10", "1.1.1.1, 203.0.113.9"), "200 200 429 200 429"; got != want {
			t.Errorf("statuses = %s, want %s: each client for itself, by the address that the proxy saw", got, want)
		}
	})
	t.Run("without", func(t *testing.T) {
		t.Parallel()
		f := begin(t, map[string]http.Handler{"payment": says("payment")}, limited, frozen)
		if got, want := statuses(f, "203.0.113.9", "203.0.113.10", "203.0.113.11"), "200 200 429"; got != want {
			t.Errorf("statuses = %s, want %s: made-up addresses do not help", got, want)
		}
	})
}

func TestRequestIDAndTrace_GoOn(t *testing.T) {
	t.Parallel()
	f := begin(t, map[string]http.Handler{"payment": headers("X-Request-Id", "Traceparent", "Tracestate")})
	const trace = "0af7651916cd43dd8448eb211c80319c"
	for _, tt := range []struct {
		name    string
		headers []string
		want    string
	}{
		{"both given", []string{"X-Request-Id", "abc-1", "Traceparent", "00-" + trace + "-b7ad6b7169203331-01", "Tracestate", "a=b"}, `^X-Request-Id=abc-1;Traceparent=00-` + trace + `-[0-9a-f]{16}-01;Tracestate=a=b;$`},
		{"none given", nil, `^X-Request-Id=[0-9a-f-]{36};Traceparent=00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3];Tracestate=;$`},
		{"not well-formed", []string{"X-Request-Id", "a b", "Traceparent", "00-zz"}, `^X-Request-Id=[0-9a-f-]{36};Traceparent=00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3];Tracestate=;$`},
	} {
		g := f.get("/pay/x", tt.headers...)
		if !regexp.MustCompile(tt.want).MatchString(g.body) || strings.Contains(g.body, "b7ad6b7169203331") {
			t.Errorf("%s: the service got %s, want %s in a span of the edge", tt.name, g.body, tt.want)
		}
		if requestID := g.Header.Get("X-Request-Id"); !strings.HasPrefix(g.body, "X-Request-Id="+requestID+";") {
			t.Errorf("%s: the client was told %s, the service got %s", tt.name, requestID, g.body)
		}
	}
}
