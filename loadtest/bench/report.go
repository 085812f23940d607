package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"basisdienste/loadtest/internal/host"
	proc "basisdienste/services/basis/process"
)

// row is a measured operation. Times of processors are per request.
type row struct {
	name, target, on, database string
	perSecond                  float64
	p50, p99                   time.Duration
	cpu, postgres              time.Duration // of basis, and of PostgreSQL's processes, while it was loaded
	all, postgresAll           time.Duration // until all that the requests set going was done
	rss                        int64
	limit                      string
	many                       bool // an installation of all municipalities
}

// median of each figure.
func median(rows []row) row {
	x := rows[len(rows)-1]
	middle := func(f func(row) float64) float64 {
		values := make([]float64, len(rows))
		for i, r := range rows {
			values[i] = f(r)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	x.perSecond = middle(func(r row) float64 { return r.perSecond })
	x.p50 = time.Duration(middle(func(r row) float64 { return float64(r.p50) }))
	x.p99 = time.Duration(middle(func(r row) float64 { return float64(r.p99) }))
	x.cpu = time.Duration(middle(func(r row) float64 { return float64(r.cpu) }))
	x.all = time.Duration(middle(func(r row) float64 { return float64(r.all) }))
	x.postgres = time.Duration(middle(func(r row) float64 { return float64(r.postgres) }))
	x.postgresAll = time.Duration(middle(func(r row) float64 { return float64(r.postgresAll) }))
	return x
}

// report collects what was measured.
type report struct {
	began       time.Time
	connections int
	rate        float64
	duration    time.Duration
	rounds      int
	from        int64 // numbers of requests
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
	c := r.cells(x)
	fmt.Printf("%-22s %s\n    limited by %s\n", x.name, strings.Join(c[1:], "  "), x.limit)
}

// like is the operation's row on that database, with many tenants or few, if it was measured.
func (r *report) like(name, database string, many bool) (row, bool) {
	i := slices.IndexFunc(r.rows, func(y row) bool { return y.name == name && y.database == database && y.many == many })
	if i < 0 {
		return row{}, false
	}
	return r.rows[i], true
}

func headings() []string {
	return []string{"operation", "on", "req/s", "p50", "p99", "p99 × few tenants", "CPU/request", "× SQLite", "with what follows", "× SQLite", "PostgreSQL's CPU/request", "with what follows", "budget of CPU", "RSS MB"}
}

// cells are a row as text. PostgreSQL is compared with SQLite of as many tenants, many tenants
// with few on the same database.
func (r *report) cells(x row) []string {
	var slower, dearer, dearerAll string
	ratio := func(a, b time.Duration) string { return fmt.Sprintf("%.2f", float64(a)/float64(max(b, 1))) }
	if few, ok := r.like(x.name, x.database, false); ok && x.many {
		slower = ratio(x.p99, few.p99)
	}
	if sqlite, ok := r.like(x.name, "sqlite", x.many); ok && x.database == "postgres" {
		dearer, dearerAll = ratio(x.cpu, sqlite.cpu), ratio(x.all, sqlite.all)
	}
	budget := x.target
	if x.database == "postgres" {
		budget = "≤ 1.6 × SQLite"
	}
	if r.rate > 0 {
		budget = "" // they are for most speed
	}
	postgres, postgresAll := "", ""
	if x.database == "postgres" {
		postgres, postgresAll = ms(x.postgres), ms(x.postgresAll)
	}
	return []string{
		x.name, x.on, fmt.Sprintf("%.0f", x.perSecond), ms(x.p50), ms(x.p99), slower, ms(x.cpu), dearer, ms(x.all), dearerAll,
		postgres, postgresAll, budget, fmt.Sprint(x.rss),
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d)/float64(time.Millisecond)) }

func (r *report) finish(file string) error {
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.Join(headings(), "\t")+"\t")
	for _, x := range r.rows {
		fmt.Fprintln(w, strings.Join(r.cells(x), "\t")+"\t")
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
	m := host.This()
	asked := "as many requests as they can carry"
	if r.rate > 0 {
		asked = fmt.Sprintf("%g requests a second, latency from when each was due", r.rate)
	}
	fmt.Fprintf(&b, "# Measured on %s\n\n", r.began.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "Machine: %s, %d cores, %s; commit %s. Load client, server and database share them. %d keep-alive connections, %s, %s for each operation, %d rounds (medians).\n"+
		"CPU is the time of basis, user and system; PostgreSQL's is that of its first process and all its children.\n\n",
		m.Processor, m.Cores, runtime.Version(), m.Commit, r.connections, asked, r.duration, r.rounds)
	fmt.Fprintf(&b, "| %s |\n| --- | --- |%s\n", strings.Join(headings(), " | "), strings.Repeat(" ---: |", len(headings())-2))
	for _, x := range r.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r.cells(x), " | "))
	}
	fmt.Fprint(&b, "\nWhat limited each, by samples of its last round:\n\n")
	for _, x := range r.rows {
		fmt.Fprintf(&b, "- %s, %s: %s\n", x.name, x.on, x.limit)
	}
	fmt.Fprintln(&b)
	for _, n := range r.notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	fmt.Fprintf(&b, "\nCommand: `make bench BENCHFLAGS=\"%s\"`\n", strings.Join(os.Args[1:], " "))
	return b.Bytes()
}

// ceiling measures a bare net/http JSON echo in a process of its own.
func (r *report) ceiling(ctx context.Context, o options, dir string) (err error) {
	if len(o.Only) > 0 && !slices.Contains(o.Only, "echo") {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	addr, err := proc.FreeAddress(ctx)
	if err != nil {
		return err
	}
	url := "http://" + addr
	p, err := start(ctx, &proc.Process{
		Name: "echo", Program: self, Args: []string{"--echo"}, Env: []string{"BENCH_ECHO=" + addr}, Dir: dir, Ready: proc.Answers(url + "/readyz"),
	}, url, "")
	if err != nil {
		return err
	}
	o.Profile = ""
	x, err := r.measure(ctx, o, &target{name: "net/http", p: p}, operation{name: "echo", target: "the ceiling", want: http.StatusOK, build: func(ctx context.Context, n int64) (*http.Request, error) {
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
