package webhooks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

func failing(status int, asked time.Duration) answer {
	return answer{Try{Status: status}, asked}
}

func TestTried_Schedule(t *testing.T) {
	t.Parallel()
	for chance, want := range map[float64]string{
		0:   "4.5s 4m30s 27m0s 1h48m0s 4h30m0s 9h0m0s 12h36m0s 18h0m0s 21h36m0s failed",
		0.5: "5s 5m0s 30m0s 2h0m0s 5h0m0s 10h0m0s 14h0m0s 20h0m0s 24h0m0s failed",
		1:   "5.5s 5m30s 33m0s 2h12m0s 5h30m0s 11h0m0s 15h24m0s 22h0m0s 26h24m0s failed",
	} {
		var got []string
		d, now := Delivery{State: Pending}, db.NewTime(november)
		for d.State == Pending {
			d.tried(now, failing(500, 0), chance)
			if d.State == Pending {
				got = append(got, d.DueAt.Sub(now.Time).Round(time.Millisecond).String())
			}
		}
		if got := strings.Join(append(got, string(d.State)), " "); got != want || len(d.Tries.V) != 10 || d.EndedAt == nil || d.DueAt != nil {
			t.Errorf("chance %g: pauses %s, %d tries, ended %v, due %v\nwant %s, 10 tries, ended", chance, got, len(d.Tries.V), d.EndedAt, d.DueAt, want)
		}
	}
}

func TestTried(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		failures int
		answer   answer
		state    State
		pause    time.Duration
	}{
		{"taken", 3, failing(204, 0), Delivered, 0},
		{"redirect", 0, failing(302, 0), Pending, 5 * time.Second},
		{"no answer", 1, answer{Try: Try{Error: "timeout"}}, Pending, 5 * time.Minute},
		{"asked to wait longer", 0, failing(503, time.Hour), Pending, time.Hour},
		{"asked to wait shorter", 2, failing(503, time.Second), Pending, 30 * time.Minute},
		{"asked to wait for ever", 0, failing(503, 1000*time.Hour), Pending, 24 * time.Hour},
		{"gone", 0, failing(410, 0), Failed, 0},
		{"last try", 9, failing(500, time.Hour), Failed, 0},
	} {
		d, now := Delivery{State: Pending, Failures: test.failures}, db.NewTime(november)
		d.tried(now, test.answer, 0.5)
		var pause time.Duration
		if d.DueAt != nil {
			pause = d.DueAt.Sub(now.Time)
		}
		if d.State != test.state || pause != test.pause {
			t.Errorf("%s: %s, next after %s; want %s, %s", test.name, d.State, pause, test.state, test.pause)
		}
	}
	d := Delivery{State: Pending}
	for i := range 30 {
		d.Failures = 0
		d.tried(db.NewTime(november), failing(400+i, 0), 0)
	}
	if n := len(d.Tries.V); n != maxTries || d.Tries.V[n-1].Status != 429 {
		t.Errorf("30 tries are remembered as %d, the last %+v; want the last %d", n, d.Tries.V[n-1], maxTries)
	}
}

func TestEndpoint_Failed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		since   time.Duration // failing for so long; 0: it was not
		answer  answer
		reason  string
		pause   time.Duration
		changed bool
	}{
		{"first failure", 0, failing(500, 0), "", 0, true},
		{"another", time.Hour, failing(500, 0), "", 0, false},
		{"five days but a minute", failingFor - time.Minute, failing(500, 0), "", 0, false},
		{"five days", failingFor, failing(500, 0), reasonFailing, 0, true},
		{"gone", 0, failing(410, 0), reasonGone, 0, true},
		{"asked to wait", time.Hour, failing(429, time.Minute), "", time.Minute, true},
		{"asked to wait long", time.Hour, failing(503, 20*time.Hour), "", maxPause, true},
		{"asked to wait for one message", time.Hour, failing(500, time.Minute), "", 0, false},
	} {
		now, e := db.NewTime(november), Endpoint{Enabled: true}
		if test.since > 0 {
			since := db.NewTime(november.Add(-test.since))
			e.FailingSince = &since
		}
		changed := e.failed(now, test.answer)
		var pause time.Duration
		if e.PausedUntil != nil {
			pause = e.PausedUntil.Sub(november)
		}
		if e.DisabledReason != test.reason || e.Enabled != (test.reason == "") || pause != test.pause || changed != test.changed {
			t.Errorf("%s: disabled %q, pause %s, changed %t; want %q, %s, %t", test.name, e.DisabledReason, pause, changed, test.reason, test.pause, test.changed)
		}
	}
}

// many is n endpoints for each tenant, in their order.
func many(tenants, n int) (list []Endpoint) {
	for i := range tenants {
		for j := range n {
			list = append(list, Endpoint{Tenant: id.ID(fmt.Sprintf("tenant-%03d", i)), ID: id.ID(fmt.Sprintf("endpoint-%03d-%03d", i, j))})
		}
	}
	return list
}

func TestShare(t *testing.T) {
	t.Parallel()
	sum := func(shares []int) (n, most int) {
		for _, s := range shares {
			n, most = n+s, max(most, s)
		}
		return n, most
	}
	for _, test := range []struct {
		tenants, endpoints int
		sum, most          int
	}{
		{0, 0, 0, 0},
		{1, 1, perEndpoint, perEndpoint},
		{1, 20, perTenant, 1},
		{3, 20, 3 * perTenant, 1},
		{10, 20, atOnce, 1},
		{100, 1, atOnce, 1},
	} {
		n, most := sum(newSender().share(many(test.tenants, test.endpoints)))
		if n != test.sum || most != test.most {
			t.Errorf("share of %d tenants with %d endpoints = %d in all, at most %d; want %d, %d", test.tenants, test.endpoints, n, most, test.sum, test.most)
		}
	}
	bad, since := many(1, 1), db.NewTime(november)
	bad[0].FailingSince = &since
	if got := newSender().share(bad); got[0] != 1 {
		t.Errorf("share of an endpoint that fails = %d, want 1", got[0])
	}
}

// However much each wants, with one place getting free at a time, everybody has a turn.
func TestShare_NobodyIsLeftOut(t *testing.T) {
	t.Parallel()
	list, b, served := many(100, 2), newSender(), map[id.ID]int{}
	var under []int
	for range 1000 {
		for i, n := range b.share(list) {
			for range n {
				b.begin(&list[i])
				served[list[i].ID]++
				under = append(under, i)
			}
		}
		b.end(&list[under[0]])
		under = under[1:]
	}
	for _, e := range list {
		if served[e.ID] < 3 {
			t.Errorf("%s had %d turns of 1063, want at least 3", e.ID, served[e.ID])
		}
	}
}
