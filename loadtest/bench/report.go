package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// report collects what was measured.
type report struct {
	began       time.Time
	connections int
	duration    time.Duration
	rows        []row
	notes       []string
}

func (r *report) note(what, format string, args ...any) {
	line := what + ": " + fmt.Sprintf(format, args...)
	r.notes = append(r.notes, line)
	fmt.Println(line)
}

func (r *report) add(x row) {
	r.rows = append(r.rows, x)
	fmt.Printf("%-22s %8.0f/s  p50 %s  p99 %s  CPU %s  RSS %d MB\n", x.name, x.perSecond, ms(x.p50), ms(x.p99), ms(x.cpu), x.rss)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d)/float64(time.Millisecond)) }

func (r *report) finish(file string) error {
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "operation\treq/s\tp50\tp99\tserver CPU/request\tbudget\tRSS MB\t")
	for _, x := range r.rows {
		fmt.Fprintf(w, "%s\t%.0f\t%s\t%s\t%s\t%s\t%d\t\n", x.name, x.perSecond, ms(x.p50), ms(x.p99), ms(x.cpu), x.target, x.rss)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if file == "" {
		return nil
	}
	return os.WriteFile(file, r.markdown(), 0o644)
}

func (r *report) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Measured on %s\n\n", r.began.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "Machine: %s, %d cores, %s. Load client and server share them. %d keep-alive connections, %s for each operation.\n\n",
		cpuModel(), runtime.NumCPU(), runtime.Version(), r.connections, r.duration)
	fmt.Fprint(&b, "| operation | requests/s | p50 | p99 | server CPU per request | budget | RSS MB |\n| --- | ---: | ---: | ---: | ---: | --- | ---: |\n")
	for _, x := range r.rows {
		fmt.Fprintf(&b, "| %s | %.0f | %s | %s | %s | %s | %d |\n", x.name, x.perSecond, ms(x.p50), ms(x.p99), ms(x.cpu), x.target, x.rss)
	}
	fmt.Fprintln(&b)
	for _, n := range r.notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	return b.Bytes()
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name\t: "); ok {
			return strings.TrimSpace(name)
		}
	}
	return "unknown processor"
}

// ceiling measures a bare net/http JSON echo in a process of its own.
func (r *report) ceiling(ctx context.Context, o options, dir string) (err error) {
	if !wanted(o.Only, "echo") {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	addr, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "--echo") //nolint:noctx // ourselves; ended by stop
	cmd.Env = append(os.Environ(), "BENCH_ECHO="+addr)
	p, err := start(ctx, cmd, "http://"+addr, dir+"/echo", 10*time.Second)
	if err != nil {
		return err
	}
	o.Profile = ""
	x, err := r.measure(ctx, o, p, operation{name: "echo", target: "the ceiling", want: http.StatusOK, build: func(ctx context.Context, n int64) (*http.Request, error) {
		return jsonRequest(ctx, p.url+"/", "", map[string]any{"n": n, "text": "Bewohnerparkausweis"})
	}})
	if err == nil {
		r.add(x)
	}
	if serr := p.stop(); err == nil {
		err = serr
	}
	return err
}

func serveEcho(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", os.Getenv("BENCH_ECHO"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /", echo)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	if err := srv.Serve(l); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var v map[string]any
	if err := unmarshal(body, &v); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(marshal(v)) // the client went away
}
