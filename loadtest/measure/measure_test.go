package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"basisdienste/loadtest/internal/host"
	"basisdienste/services/basis/process"
)

func TestMayLoad(t *testing.T) {
	t.Parallel()
	tests := []struct {
		url  string
		mine bool
		want bool
	}{
		{"", false, true}, // an own one
		{"http://127.0.0.1:8080", false, true},
		{"http://127.1.2.3", false, true},
		{"http://[::1]:8080", false, true},
		{"http://localhost:8080", false, true},
		{"http://192.0.2.1:8080", false, false},
		{"https://basis.example.org", false, false},
		{"http://localhost.example.org", false, false},
		{"http://127.0.0.1.example.org", false, false},
		{"http://127.0.0.1@basis.example.org", false, false},
		{"https://basis.example.org", true, true},
	}
	for _, test := range tests {
		err := options{URL: test.url, AllowRemote: test.mine}.mayLoad()
		if (err == nil) != test.want {
			t.Errorf("mayLoad of %q, mine %v: got %v, want allowed: %v", test.url, test.mine, err, test.want)
		}
	}
}

// metrics shows them as one of ours does.
func metrics(t *testing.T, cpu float64) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# HELP process_cpu_seconds_total Total.\nprocess_cpu_seconds_total %g\nprocess_resident_memory_bytes 1e+08\ngo_goroutines 50\nother{a=\"b\"} 7\n", cpu)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestReadUsage(t *testing.T) {
	t.Parallel()
	hidden := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(hidden.Close)
	one, two := metrics(t, 1.5), metrics(t, 2.25)
	tests := []struct {
		name      string
		addresses []string
		want      usage
	}{
		{"one", []string{one}, usage{true, 1.5, 1e8, 50}},
		{"all together", []string{one, two}, usage{true, 3.75, 2e8, 100}},
		{"one does not tell", []string{one, hidden.URL}, usage{}},
	}
	for _, test := range tests {
		got, err := readUsage(t.Context(), test.addresses)
		if err != nil || got != test.want {
			t.Errorf("readUsage, %s: got %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
}

func TestPage_Costs(t *testing.T) {
	t.Parallel()
	// 10 s of load cost 3 s of CPU, of which half a second would have been used anyway.
	r := run{
		o: options{Scenario: "forms"}, server: &process.Process{}, began: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), took: 10 * time.Second, idle: 0.05,
		before: usage{true, 1, 100e6, 40}, after: usage{true, 4, 120e6, 41}, grown: 500_000,
		cores: host.Processors{Idle: 8, Stolen: 1, All: 20}, k6CPU: 2,
		k6: figures{Iterations: 50, Requests: 100, Seconds: 10, OK: true},
	}
	page := string(r.page())
	for _, want := range []string{
		"# forms on 2026-11-22 10:00 UTC: all thresholds kept",
		"| its cores meanwhile | server 15 %, k6 10 %, other programs 30 %, taken by the host 5 %, idle 40 % |",
		"| server CPU above rest per request | 25.000 ms |", "| server CPU above rest per iteration | 50.000 ms |",
		"| server memory before and after | 100 MB, 120 MB |", "| bytes stored per iteration | 10000 |", "| requests a second | 10.0 |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("page: %q is not on it:\n%s", want, page)
		}
	}
	r.before.known, r.k6.OK = false, false
	page = string(r.page())
	for _, want := range []string{"**a threshold was not kept**", "| server CPU | not measured"} {
		if !strings.Contains(page, want) {
			t.Errorf("page without metrics: %q is not on it:\n%s", want, page)
		}
	}
}
