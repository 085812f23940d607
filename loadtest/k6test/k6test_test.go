// Package k6test runs every load scenario for a moment against a real basis, so that scripts
// and APIs cannot grow apart, and proves that a broken threshold is told.
package k6test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"basisdienste/services/basis/clients"
	"basisdienste/services/basis/process"
)

const root = "../.."

// output runs a program of this repository from its root and returns its exit status and all
// that it said.
func output(t testing.TB, env []string, name string, args ...string) (status int, said string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// What the tests run is built once: basis for them; k6 in the user's cache, which takes some
// minutes the first time; and measure, so that run.sh, several times at once below, finds it.
var (
	programs = clients.Programs{Packages: []string{"basisdienste/services/basis"}}
	buildK6  = sync.OnceValues(func() (path string, err error) {
		cmd := exec.Command("sh", "-c", "go build -o bin/ ./loadtest/measure && exec tools/build.sh k6")
		cmd.Dir, cmd.Stderr = root, os.Stderr
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	})
)

func TestMain(m *testing.M) {
	code := m.Run()
	programs.Remove()
	os.Exit(code)
}

func build(t testing.TB) (basis, k6 string) {
	t.Helper()
	k6, err := buildK6()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return programs.Path(t, "basis"), k6
}

// start runs basis with demo content until the test ends; it returns address and folder.
func start(t testing.TB, program string) (url, data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	addr, err := process.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Basis(program, addr, data, process.Unlimited()...)
	if err == nil {
		err = p.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + addr, data
}

// summary is what lib/summary.js writes.
type summary struct {
	Iterations float64                          `json:"iterations"`
	Failed     float64                          `json:"failed"`
	Dropped    float64                          `json:"dropped"`
	Checks     struct{ Passed, Failed float64 } `json:"checks"`
	Operations []struct {
		Op    string
		Count float64
	} `json:"operations"`
	OK bool `json:"ok"`
}

// settings make a scenario short and its limits of latency wide: what is tested is that
// requests are understood, on a machine that may be busy.
func settings(rate string) []string {
	return []string{"RATE=" + rate, "DURATION=2s", "HOLD=1s", "RAMP=1s", "SLOWER=1000", "RATIO=1000"}
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	basis, k6 := build(t)
	url, data := start(t, basis)
	scripts, err := filepath.Glob("../k6/*.js")
	if err != nil || len(scripts) < 11 {
		t.Fatalf("Glob: got %d scripts, %v, want all eleven", len(scripts), err)
	}
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".js")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file, report := filepath.Join(dir, "summary.json"), filepath.Join(dir, "report.html")
			rate := "4"
			if name == "deadline-day" || name == "monday-morning" {
				rate = "1" // ten times that at the peak
			}
			status, said := output(t, append(settings(rate), "URL="+url, "DATA="+data, "SUMMARY="+file,
				"K6_WEB_DASHBOARD=true", "K6_WEB_DASHBOARD_PORT=-1", "K6_WEB_DASHBOARD_PERIOD=1s", "K6_WEB_DASHBOARD_EXPORT="+report),
				k6, "run", "--quiet", "--no-usage-report", "--address", "", "loadtest/k6/"+name+".js")
			if status != 0 {
				t.Fatalf("k6 run %s: exit %d, want 0\n%s", name, status, said)
			}
			var s summary
			text, err := os.ReadFile(file)
			if err == nil {
				err = json.Unmarshal(text, &s)
			}
			if err != nil {
				t.Fatalf("summary of %s: %v", name, err)
			}
			if s.Checks.Failed != 0 || s.Failed != 0 || s.Checks.Passed == 0 || s.Iterations < 2 || !s.OK {
				t.Errorf("%s: got %+v, want checks that all passed and no failed request\n%s", name, s, said)
			}
			if !bytes.Contains(html(t, report), []byte("</html>")) {
				t.Errorf("%s: the HTML report is not whole", name)
			}
			if want := operations()[name]; !slices.Equal(ops(s), want) && want != nil {
				t.Errorf("%s: operations measured: got %q, want %q", name, ops(s), want)
			}
		})
	}
}

// operations are what a scenario of one service must have done; the mixes draw theirs.
func operations() map[string][]string {
	return map[string][]string{
		"tokens": {"token"}, "introspection": {"introspection"}, "payments": {"payment create", "payment read"},
		"forms": {"application submit", "form read"}, "notify": {"notify e-mail"},
		"citizens": {"form pages", "log-in pages"},
		"booking":  {"booking confirm", "booking give back", "booking hold", "booking slots"},
	}
}

func ops(s summary) (names []string) {
	for _, o := range s.Operations {
		names = append(names, o.Op)
	}
	return names
}

func html(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	return text
}

// TestRun has run.sh start an installation of its own, and reads the page of results.
func TestRun(t *testing.T) {
	t.Parallel()
	basis, _ := build(t)
	tests := []struct {
		name, scenario string
		env            []string
		status         int
		want           []string // on the page
	}{
		{"kept", "tokens", settings("5"), 0, []string{
			"all thresholds kept", "| machine | ", " cores, ", "| commit | ", "`make loadtest SCENARIO=tokens RATE=5 DURATION=2s", "| server CPU above rest per request | ", "| token | ",
		}},
		{"broken threshold of k6", "introspection", append(settings("2"), "SLOWER=0.00001"), 99, []string{"**a threshold was not kept**", "| introspection | `p(95)<0.001` | ", " | **no** |"}},
		{"broken ratio", "deadline-day", append(settings("1"), "RATIO=0.000001"), 99, []string{"**a threshold was not kept**", "| p99 of the others, flood to quiet (", "| `ratio<=0.000001` | "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			env := append([]string{"URL=", "DATA=", "BASIS=" + basis, "RESULTS=" + dir, "IDLE=500ms", "WARM=0s"}, test.env...)
			status, said := output(t, env, "loadtest/run.sh", test.scenario)
			if status != test.status {
				t.Fatalf("run.sh %s: exit %d, want %d\n%s", test.scenario, status, test.status, said)
			}
			pages, err := filepath.Glob(filepath.Join(dir, "*-"+test.scenario+".md"))
			if err != nil || len(pages) != 1 {
				t.Fatalf("pages of results: got %q, %v, want one", pages, err)
			}
			page := string(html(t, pages[0]))
			for _, want := range test.want {
				if !strings.Contains(page, want) {
					t.Errorf("%s: %q is not on the page:\n%s", test.scenario, want, page)
				}
			}
			html(t, strings.TrimSuffix(pages[0], ".md")+".html")
		})
	}
}

// TestOtherMachine: nobody loads an installation of others by mistake. 192.0.2.1 is nobody's
// (RFC 5737), and nothing is sent there.
func TestOtherMachine(t *testing.T) {
	t.Parallel()
	_, k6 := build(t)
	dir := t.TempDir()
	demo := `{"base_url":"http://192.0.2.1:8080","efa_client":{},"tenants":[]}`
	if err := os.WriteFile(filepath.Join(dir, "demo.json"), []byte(demo), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"URL=http://192.0.2.1:8080", "DATA=" + dir, "RESULTS=" + dir, "ALLOW_REMOTE="}
	status, said := output(t, env, "loadtest/run.sh", "tokens")
	if status != 1 || !strings.Contains(said, "ALLOW_REMOTE=1") {
		t.Errorf("run.sh on another machine: exit %d, %q; want 1 and what to say", status, said)
	}
	status, said = output(t, env, k6, "run", "--quiet", "--no-usage-report", "--address", "", "loadtest/k6/tokens.js")
	if status == 0 || !strings.Contains(said, "ALLOW_REMOTE=1") {
		t.Errorf("k6 on another machine: exit %d, %q; want an error and what to say", status, said)
	}
}
