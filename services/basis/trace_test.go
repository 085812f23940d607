package main

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"basisdienste/platform/obs/obstest"
)

// TestTrace follows one citizen's journey at a collector: from the click that pays, through
// the events and calls that it causes, to the message that tells of it, all is one trace, in
// which each part has the part as its parent that caused it. Nothing that the citizen typed
// reaches the collector.
func TestTrace(t *testing.T) {
	t.Parallel()
	c := obstest.Start(t)
	s := newServer(t, "BASIS_SERVER__TELEMETRY__OTLP_ENDPOINT="+c.URL, "BASIS_SERVER__TELEMETRY__SAMPLE_RATIO=1")
	s.start(t)
	out, err := exec.CommandContext(t.Context(), programs.Path(t, "demo"), "--url", s.url, "--data", s.dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all 10 steps seen") {
		t.Fatalf("demo = %v, want all steps seen\n%s%s", err, out, s.LogTail())
	}
	s.stop(t) // sends the last spans

	spans := c.Spans()
	// From effect to cause, as kind, name and consumer.
	path := [][3]string{
		{"CONSUMER", "process notify.message.accepted.v1", "tenants-usage-notify-message-accepted"},
		{"PRODUCER", "send notify.message.accepted.v1", ""},
		{"SERVER", "POST /t/{tenant}/notify/v1/messages", ""},
		{"CLIENT", "call notify", ""},
		{"CONSUMER", "process forms.application.paid.v1", "forms-mail-paid"},
		{"PRODUCER", "send forms.application.paid.v1", ""},
		{"CONSUMER", "process payment.transaction.payed.v1", "forms-payment-payed"},
		{"PRODUCER", "send payment.transaction.payed.v1", ""},
		{"SERVER", "POST /pay/sandbox/{session}", ""},
	}
	byID := map[string]obstest.Span{}
	for _, sp := range spans {
		byID[sp.ID] = sp
	}
	is := func(sp obstest.Span, want [3]string) bool {
		return sp.Kind == want[0] && sp.Name == want[1] && sp.Attributes["messaging.consumer.group.name"] == want[2]
	}
	var trace string
	longest := 0
	for _, sp := range spans {
		n := 0
		for step := sp; n < len(path) && is(step, path[n]); n++ {
			next, known := byID[step.Parent]
			if !known || next.Trace != step.Trace {
				n++
				break
			}
			if next.Began > step.Began {
				t.Errorf("%v began before its cause %v", step, next)
			}
			step = next
		}
		if longest = max(longest, n); n == len(path) {
			trace = sp.Trace
		}
	}
	if trace == "" {
		var all []string
		for _, sp := range spans {
			if !strings.HasPrefix(sp.Name, "db.") && !strings.HasPrefix(sp.Name, "job ") {
				all = append(all, sp.String())
			}
		}
		t.Fatalf("no trace leads from %s back to %s: the longest way has %d of %d parts, up to %v; spans:\n%s",
			path[0][1], path[len(path)-1][1], longest, len(path), path[max(0, longest-1)], strings.Join(all, "\n"))
	}
	var mine []obstest.Span
	for _, sp := range spans {
		if sp.Trace != trace {
			continue
		}
		mine = append(mine, sp)
		if _, known := byID[sp.Parent]; !known && sp.Name != path[len(path)-1][1] {
			t.Errorf("the cause of %v was not sent", sp)
		}
	}
	if !slices.ContainsFunc(mine, func(sp obstest.Span) bool {
		return sp.Name == "db.tx" && is(byID[sp.Parent], path[6])
	}) {
		t.Errorf("the transaction of forms' handler is not part of the trace %v", mine)
	}
	if i := slices.IndexFunc(mine, func(sp obstest.Span) bool { return is(sp, path[2]) }); mine[i].Attributes["basis.tenant"] != "erfurt" {
		t.Errorf("%v, want basis.tenant erfurt", mine[i])
	}
	// What the program demo types; see its answers. The rest is in no span's name either.
	for _, personal := range []string{"Erika", "@example.org", "Fischmarkt", "99084", "1234567", "EF-AB", "fahrzeugschein"} {
		if c.Holds(personal) {
			t.Errorf("the collector was sent %q", personal)
		}
	}
	iban, query := regexp.MustCompile(`[A-Z]{2}\d{2} ?[0-9A-Z]{4} ?\d{4} ?\d{4}`), regexp.MustCompile(`[?&]\w+=`)
	for _, sp := range spans {
		for key, value := range sp.Attributes {
			if iban.MatchString(value) || query.MatchString(value) {
				t.Errorf("%s of %v looks like an IBAN or a query string", key, sp)
			}
		}
		if strings.ContainsAny(sp.Name, "?@") {
			t.Errorf("the name of %v holds more than a route", sp)
		}
	}
	t.Logf("%d spans in %s, %d of the payment's trace", len(spans), s.url, len(mine))
}
