package obs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"basisdienste/platform/obs"
	"basisdienste/platform/tenant"
)

// line decodes one JSON log line.
func line(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("log line %q is not JSON: %v", text, err)
	}
	return m
}

func TestLogger_AddsWhatTheContextKnows(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := obs.Logger(&out, slog.LevelInfo, obs.JSON)
	ctx := tenant.With(context.Background(), tenant.Tenant{ID: "1", Slug: "erfurt", Name: "Erfurt"})
	ctx = obs.WithTraceParent(ctx, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

	log.With("service", "payment").WithGroup("outer").With("a", 1).WithGroup("").WithGroup("inner").InfoContext(ctx, "hello", "b", 2)
	got := line(t, out.String())
	for key, want := range map[string]string{
		"msg": "hello", "level": "INFO", "service": "payment", "tenant": "erfurt", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
	} {
		if got[key] != want {
			t.Errorf("line[%q] = %v, want %q (line %s)", key, got[key], want, out.String())
		}
	}
	if _, has := got["request_id"]; has {
		t.Errorf("line has a request_id outside of a request: %s", out.String())
	}
	outer, _ := got["outer"].(map[string]any)
	inner, _ := outer["inner"].(map[string]any)
	if outer["a"] != 1.0 || inner["b"] != 2.0 || len(outer) != 2 || len(inner) != 1 {
		t.Errorf("line[outer] = %v, want a=1 and inner.b=2 only", got["outer"])
	}
	if stamp, _ := got["time"].(string); !strings.HasSuffix(stamp, "Z") {
		t.Errorf("line[time] = %q, want UTC", stamp)
	}
}

func TestLogger_LevelAndFormat(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	obs.Logger(&out, slog.LevelWarn, obs.Text).Info("quiet")
	if out.Len() != 0 {
		t.Errorf("Info at level WARN wrote %q, want nothing", out.String())
	}
	obs.Logger(&out, slog.LevelWarn, obs.Text).Warn("loud")
	if !strings.Contains(out.String(), "level=WARN msg=loud") {
		t.Errorf("text line = %q, want level=WARN msg=loud", out.String())
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	obs.Logger(f, slog.LevelInfo, "").Info("to a file")
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got := line(t, string(text)); got["msg"] != "to a file" {
		t.Errorf("Auto to a file wrote %q, want JSON", text)
	}
	var format obs.Format
	if err := format.UnmarshalText([]byte("xml")); err == nil || err.Error() != "want auto, json or text" {
		t.Errorf(`Format("xml") = %v, want "want auto, json or text"`, err)
	}
	if err := format.UnmarshalText([]byte("text")); err != nil || format != obs.Text {
		t.Errorf(`Format("text") = %q, %v, want text`, format, err)
	}
}

func TestTraceParent_RoundTrip(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	tests := []struct{ name, in, wantTrace string }{
		{"well formed", parent, "4bf92f3577b34da6a3ce929d0e0e4736"},
		{"future version", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", "4bf92f3577b34da6a3ce929d0e0e4736"},
		{"empty", "", ""},
		{"forbidden version", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""},
		{"zero trace", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""},
		{"upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", ""},
		{"cut off", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			outside := obs.WithTraceParent(context.Background(), "00-11111111111111111111111111111111-2222222222222222-00")
			got := obs.TraceParent(obs.WithTraceParent(outside, test.in))
			parts := strings.Split(got, "-")
			if len(parts) != 4 || parts[0] != "00" || len(parts[1]) != 32 || len(parts[2]) != 16 {
				t.Fatalf("TraceParent after WithTraceParent(%q) = %q, want the W3C form", test.in, got)
			}
			if test.wantTrace != "" && parts[1] != test.wantTrace {
				t.Errorf("trace after WithTraceParent(%q) = %q, want %q", test.in, parts[1], test.wantTrace)
			}
			if test.wantTrace == "" && parts[1] == strings.Repeat("1", 32) {
				t.Errorf("WithTraceParent(%q) went on with the surrounding trace, want a new one", test.in)
			}
			if parts[2] == "00f067aa0ba902b7" || parts[2] == "2222222222222222" {
				t.Errorf("span after WithTraceParent(%q) = %q, want one of its own", test.in, parts[2])
			}
		})
	}
	if got := obs.TraceParent(context.Background()); got != "" {
		t.Errorf("TraceParent(background) = %q, want nothing", got)
	}
	h := http.Header{}
	obs.Inject(context.Background(), h)
	if len(h) != 0 {
		t.Errorf("Inject(background) set %v, want nothing", h)
	}
}
