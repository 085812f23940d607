package conformance

import (
	"fmt"
	"io"
	"strings"
)

// Verdict on a clause.
type Verdict string

// The verdicts.
const (
	Pass          Verdict = "pass"
	Fail          Verdict = "fail"
	Warn          Verdict = "warn"
	NotApplicable Verdict = "n/a"
)

// Clause is one thing that the standard says, and what the server did.
type Clause struct {
	ID       string  `json:"id"`       // stable: "create.requestId.missing"
	Standard string  `json:"standard"` // where it says so
	Sent     string  `json:"sent"`
	Expected string  `json:"expected"`
	Got      string  `json:"got"`
	Verdict  Verdict `json:"verdict"`
}

// Report is the outcome of a run.
type Report struct {
	URL        string          `json:"url"`
	Originator string          `json:"originator"`
	EndPoint   string          `json:"end_point"`
	Version    string          `json:"version"`
	Clauses    []Clause        `json:"clauses"`
	Counts     map[Verdict]int `json:"counts"`
	Requests   int             `json:"requests"`
	Payments   int             `json:"payments"` // that were made, and that nobody pays
}

// Conforms reports whether no clause failed.
func (r Report) Conforms() bool { return r.Counts[Fail] == 0 }

// Write prints the clause as a line; what is no pass is explained below it.
func (c Clause) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%-4s  %s\n", c.Verdict, c.ID)
	if err != nil {
		return err
	}
	for _, line := range [][2]string{{"standard", c.Standard}, {"sent", c.Sent}, {"expected", c.Expected}, {"got", c.Got}} {
		if _, err := fmt.Fprintf(w, "      %-8s  %s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	return nil
}

// Summary is the outcome in one sentence.
func (r Report) Summary() string {
	var counts []string
	for _, v := range []Verdict{Pass, Fail, Warn, NotApplicable} {
		counts = append(counts, fmt.Sprintf("%d %s", r.Counts[v], v))
	}
	return fmt.Sprintf("%d clauses: %s; %d requests, %d payments made", len(r.Clauses), strings.Join(counts, ", "), r.Requests, r.Payments)
}
