// Command measure runs one k6 scenario and writes what it saw as a page of results: the machine,
// the commit, the command, latencies, thresholds, and what the requests cost the server. It loads
// a running installation, or one that it starts on a fresh folder and ends again. loadtest/run.sh
// builds what it needs and calls it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"basisdienste/loadtest/internal/host"
	"basisdienste/services/basis/process"
)

type options struct {
	Scenario       string        `arg:"" help:"Name of a script in the folder of scenarios."`
	K6             string        `name:"k6" help:"The program k6." required:"" type:"existingfile"`
	Scripts        string        `help:"Folder of the scenarios." default:"loadtest/k6" type:"existingdir"`
	Results        string        `help:"Folder for the page of results, the HTML report and the figures as JSON." default:"loadtest/results" type:"path"`
	URL            string        `help:"A running installation; without it one is started on a fresh folder." placeholder:"URL"`
	Data           string        `help:"Its data folder, where demo.json is." placeholder:"DIR"`
	Metrics        []string      `help:"Where its processes tell their metrics; default: URL/metrics." placeholder:"URL"`
	Basis          string        `help:"Program to start." default:"bin/basis" type:"path"`
	Basisctl       string        `help:"Operator's command, for --municipalities." default:"bin/basisctl" type:"path"`
	Municipalities string        `help:"CSV of municipalities that the started installation imports first." type:"existingfile" placeholder:"FILE"`
	Warm           time.Duration `help:"How long journey runs first, unmeasured; 0 for not at all." default:"5s"`
	Idle           time.Duration `help:"How long the resting server is watched first: its CPU time at rest is not the requests'." default:"5s"`
	AllowRemote    bool          `help:"The target is another machine, and it is mine to load."`
}

// errBroken says that k6 ran well and that a threshold was not kept.
var errBroken = errors.New("a threshold was not kept")

const brokenExit = 99 // as k6 itself

func main() {
	var o options
	kong.Parse(&o, kong.Name("measure"), kong.Description("Run a load scenario and write a page of results."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measure(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		if errors.Is(err, errBroken) {
			os.Exit(brokenExit) //nolint:gocritic // nothing is left to release
		}
		os.Exit(1)
	}
}

func measure(ctx context.Context, o options) (err error) {
	script := filepath.Join(o.Scripts, o.Scenario+".js")
	if _, err := os.Stat(script); err != nil {
		return fmt.Errorf("no scenario %s: there are %s", o.Scenario, strings.Join(scenarios(o.Scripts), ", "))
	}
	if (o.URL == "") != (o.Data == "") {
		return errors.New("a running installation needs both URL and DATA (the folder of its demo.json)")
	}
	if err := o.mayLoad(); err != nil {
		return err
	}
	if err := os.MkdirAll(o.Results, 0o750); err != nil {
		return err
	}
	r := run{o: o, began: time.Now(), machine: host.This()}
	if o.URL == "" {
		dir, err := os.MkdirTemp("", "basis-loadtest-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		r.o.Data = filepath.Join(dir, "data")
		if r.server, r.grown, err = freshBasis(ctx, &r.o); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.server.Stop()) }()
	}
	if len(r.o.Metrics) == 0 {
		r.o.Metrics = []string{strings.TrimRight(r.o.URL, "/") + "/metrics"}
	}
	if err := r.load(ctx, script); err != nil {
		return err
	}
	if err := os.WriteFile(r.file(".md"), r.page(), 0o644); err != nil {
		return err
	}
	fmt.Printf("results: %s\nreport:  %s\n", r.file(".md"), r.file(".html"))
	if !r.k6.OK {
		return errBroken
	}
	return nil
}

// mayLoad refuses other machines unless the caller says that they are his.
func (o options) mayLoad() error {
	if o.URL == "" || o.AllowRemote {
		return nil
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return fmt.Errorf("URL: %w", err)
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is another machine: a load test can take it down. If you run it, or have its operator's word, say so with ALLOW_REMOTE=1", o.URL)
}

func scenarios(dir string) []string {
	files, err := filepath.Glob(filepath.Join(dir, "*.js"))
	if err != nil {
		return nil // the pattern is ours and right
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".js")
	}
	return files
}

// run is one run of a scenario.
type run struct {
	o       options
	began   time.Time
	machine host.Machine
	server  *process.Process // nil if it was running before

	before, after usage
	idle          float64         // CPU seconds a second, at rest
	cores         host.Processors // between before and after
	k6CPU         float64         // seconds
	took          time.Duration
	grown         int64 // bytes of the data folder, first before the load, then by it; only of a server that was started
	k6            figures
}

// figures are what the scripts' lib/summary.js writes.
type figures struct {
	Scenario   string  `json:"scenario"`
	Seconds    float64 `json:"seconds"`
	Iterations float64 `json:"iterations"`
	Requests   float64 `json:"requests"`
	Dropped    float64 `json:"dropped"`
	Failed     float64 `json:"failed"`
	Received   float64 `json:"received"`
	Sent       float64 `json:"sent"`
	Checks     struct {
		Passed float64 `json:"passed"`
		Failed float64 `json:"failed"`
	} `json:"checks"`
	Operations []struct {
		Op    string  `json:"op"`
		Count float64 `json:"count"`
		P50   float64 `json:"p50"`
		P95   float64 `json:"p95"`
		P99   float64 `json:"p99"`
	} `json:"operations"`
	Thresholds []struct {
		What  string  `json:"what"`
		Rule  string  `json:"rule"`
		Value float64 `json:"value"`
		OK    bool    `json:"ok"`
	} `json:"thresholds"`
	OK bool `json:"ok"`
}

// file names a result of this run: the date, the scenario, and what it is.
func (r *run) file(suffix string) string {
	return filepath.Join(r.o.Results, r.began.UTC().Format(time.DateOnly)+"-"+r.o.Scenario+suffix)
}

// load warms the server up (keys are made, pages parsed on first use), watches it at rest, runs
// k6, and waits until all that the requests set going (events, mails) is done, so that it is
// counted.
func (r *run) load(ctx context.Context, script string) error {
	if r.o.Warm > 0 {
		if err := r.warmUp(ctx); err != nil {
			return err
		}
	}
	if err := settle(ctx, r.o.Metrics); err != nil {
		return err
	}
	rest, err := readUsage(ctx, r.o.Metrics)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, r.o.Idle); err != nil {
		return err
	}
	if r.before, err = readUsage(ctx, r.o.Metrics); err != nil {
		return err
	}
	r.idle = (r.before.cpu - rest.cpu) / time.Since(began).Seconds()
	began, cores := time.Now(), host.ReadProcessors()
	if err := r.runK6(ctx, script); err != nil {
		return err
	}
	if err := settle(ctx, r.o.Metrics); err != nil {
		return err
	}
	if r.after, err = readUsage(ctx, r.o.Metrics); err != nil {
		return err
	}
	r.cores = host.ReadProcessors().Since(cores)
	r.took = time.Since(began)
	if r.server == nil {
		return nil
	}
	if err := r.server.Stop(); err != nil { // what is in the journals goes into the tables
		return err
	}
	bytes, err := size(r.o.Data)
	r.grown = bytes - r.grown
	return err
}

// runK6 runs the script; a broken threshold is not an error here, for it belongs on the page.
func (r *run) runK6(ctx context.Context, script string) error {
	data, err := filepath.Abs(r.o.Data)
	if err != nil {
		return err
	}
	summary, err := filepath.Abs(r.file(".json"))
	if err != nil {
		return err
	}
	if err := os.Remove(summary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // an older one must not be taken for this run's
	}
	period := "1s"
	if r.o.Scenario == "soak" {
		period = "10s"
	}
	cmd := r.command(ctx, script, data)
	cmd.Stdout = os.Stdout
	cmd.Env = append(cmd.Env, "SUMMARY="+summary, "K6_WEB_DASHBOARD=true", "K6_WEB_DASHBOARD_PORT=-1",
		"K6_WEB_DASHBOARD_PERIOD="+period, "K6_WEB_DASHBOARD_EXPORT="+r.file(".html"))
	ran := cmd.Run()
	if cmd.ProcessState != nil {
		r.k6CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	var exit *exec.ExitError
	if ran != nil && (!errors.As(ran, &exit) || exit.ExitCode() != brokenExit) {
		return fmt.Errorf("k6: %w", ran)
	}
	text, err := os.ReadFile(summary)
	if err != nil {
		return errors.Join(err, ran)
	}
	if err := json.Unmarshal(text, &r.k6); err != nil {
		return fmt.Errorf("%s: %w", summary, err)
	}
	if ran != nil {
		r.k6.OK = false
	}
	return nil
}

// warmUp runs the mix at ten arrivals a second. Its figures are nobody's.
func (r *run) warmUp(ctx context.Context) error {
	data, err := filepath.Abs(r.o.Data)
	if err != nil {
		return err
	}
	cmd := r.command(ctx, filepath.Join(r.o.Scripts, "journey.js"), data)
	cmd.Env = append(cmd.Env, "RATE=10", "DURATION="+r.o.Warm.String(), "SLOWER=1000", "SUMMARY=")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("k6, warming up: %w", err)
	}
	return nil
}

// command is k6 with a script and the caller's settings. It talks to the target alone.
func (r *run) command(ctx context.Context, script, data string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.o.K6, "run", "--quiet", "--no-usage-report", "--address", "", script)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "URL="+r.o.URL, "DATA="+data)
	if r.o.AllowRemote {
		cmd.Env = append(cmd.Env, "ALLOW_REMOTE=1")
	}
	return cmd
}
