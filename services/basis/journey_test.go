package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/textbrowser"
	"basisdienste/services/basis/process"
)

// TestJourney drives the whole journey by the program demo, twice on one folder: the second
// life of the process finds everything as it was.
func TestJourney(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var described []map[string]any
	for range 2 {
		took := s.start(t)
		text, err := os.ReadFile(filepath.Join(s.dir, "demo.json"))
		if err != nil {
			t.Fatal(err)
		}
		var d map[string]any
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("demo.json: %v", err)
		}
		described = append(described, d)
		for _, who := range []string{"citizen", "staff", "operator"} {
			login, _ := d[who].(map[string]any)["login_url"].(string)
			if err := textbrowser.New().Open(t.Context(), login); err != nil {
				t.Errorf("%s.login_url %s: %v, want a page", who, login, err)
			}
		}
		out, err := exec.CommandContext(t.Context(), programs.Path(t, "demo"), "--url", s.url, "--data", s.dir).CombinedOutput()
		t.Logf("ready after %s; demo:\n%s", took.Round(time.Millisecond), out)
		if err != nil || !strings.Contains(string(out), "all 10 steps seen") {
			t.Fatalf("demo = %v, want all steps seen\n%s", err, s.LogTail())
		}
		if took := s.stop(t); took > 5*time.Second {
			t.Errorf("SIGTERM: ended after %s, want within 5 s", took)
		}
	}
	for _, section := range slices.Sorted(maps.Keys(described[0])) {
		if !reflect.DeepEqual(described[0][section], described[1][section]) {
			t.Errorf("demo.json: section %s is %v after the second start, was %v", section, described[1][section], described[0][section])
		}
	}
	for _, section := range []string{"base_url", "tenants", "efa_client", "operator", "payment", "notify", "forms", "booking", "staff", "citizen"} {
		if described[1][section] == nil {
			t.Errorf("demo.json: section %s is missing", section)
		}
	}
	if log := s.LogTail(); strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("the log of two clean lives has errors:\n%s", log)
	}
}

// TestDemo_StartsItsOwn is what `make demo` does.
func TestDemo_StartsItsOwn(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), programs.Path(t, "demo"), "--basis", programs.Path(t, "basis")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all 10 steps seen") {
		t.Errorf("demo = %v, want all steps seen\n%s", err, out)
	}
}

// TestSecondProcess: two processes on one address cannot be; the second says what to do.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start(t)
	cmd := exec.CommandContext(t.Context(), s.Program, "--data", t.TempDir(), "--listen", s.addr)
	cmd.Env = process.Environment()
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "choose another address with --listen") {
		t.Errorf("a second basis on %s = %v, %s, want to be told to choose another address", s.addr, err, out)
	}
}
