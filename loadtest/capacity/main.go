// Command capacity works out what a provider with so many inhabitants needs, from the newest
// measured page of the scenario journey and from assumptions that it names. With --write it puts
// its tables between the marks in docs/capacity.md, so that the figures there stay true.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/alecthomas/kong"
)

type options struct {
	Results     string  `help:"Folder with pages of results." default:"loadtest/results" type:"existingdir"`
	Write       string  `help:"Page whose generated part is written anew." placeholder:"FILE"`
	Inhabitants float64 `help:"A provider of your own, besides the worked examples."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("capacity"), kong.Description("Work out cores, storage and bandwidth for a number of inhabitants."))
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "capacity:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	page, m, err := newest(o.Results, "journey")
	if err != nil {
		return err
	}
	mailPage, mail, err := newest(o.Results, "notify")
	if err != nil {
		return err
	}
	examples := places()
	if o.Inhabitants > 0 {
		examples = append(examples, place{"yours", o.Inhabitants})
	}
	text := slices.Concat(tables(page, m, assumed(), examples), mails(mailPage, mail, assumed()))
	if o.Write == "" {
		_, err := os.Stdout.Write(text)
		return err
	}
	old, err := os.ReadFile(o.Write)
	if err != nil {
		return err
	}
	now, err := between(old, text)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Write, err)
	}
	return os.WriteFile(o.Write, now, 0o644)
}

const (
	beginMark = "<!-- begin: written by go run ./loadtest/capacity --write docs/capacity.md -->\n"
	endMark   = "<!-- end -->\n"
)

// between puts text between the marks of a page.
func between(page, text []byte) ([]byte, error) {
	begin, end := bytes.Index(page, []byte(beginMark)), bytes.Index(page, []byte(endMark))
	if begin < 0 || end < begin {
		return nil, errors.New("the marks of the generated part are not there")
	}
	return slices.Concat(page[:begin+len(beginMark)], text, page[end:]), nil
}

// measured is what a page of results says of one iteration: an arrival of the mix, or a mail.
type measured struct {
	cpu      float64 // seconds of the server
	requests float64
	stored   float64 // bytes on disk
	sent     float64 // bytes on the network, both ways
	rate     float64 // arrivals a second at which it was measured
	others   float64 // percent of the cores that other programs took meanwhile
}

// newest reads the last page of a scenario that measured the server.
func newest(dir, scenario string) (name string, m measured, err error) {
	pages, err := filepath.Glob(filepath.Join(dir, "*-"+scenario+".md"))
	if err != nil {
		return "", m, err
	}
	slices.Sort(pages) // their names begin with the date
	slices.Reverse(pages)
	for _, p := range pages {
		text, err := os.ReadFile(p)
		if err != nil {
			return "", m, err
		}
		if m, err = read(text); err == nil {
			return filepath.Base(p), m, nil
		}
	}
	return "", m, fmt.Errorf("no page in %s measured the server's CPU and storage: run loadtest/run.sh %s without URL", dir, scenario)
}

func read(page []byte) (m measured, err error) {
	value := func(line string) float64 {
		found := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(line) + ` \| (-?[0-9.]+)(?: ms)? \|$`).FindSubmatch(page)
		if found == nil {
			err = errors.Join(err, fmt.Errorf("the line %q is not there", line))
			return 0
		}
		v, perr := strconv.ParseFloat(string(found[1]), 64)
		err = errors.Join(err, perr)
		return v
	}
	iterations := value("iterations")
	m = measured{
		cpu: value("server CPU above rest per iteration") / 1e3, requests: value("requests, redirects included") / max(iterations, 1),
		stored: value("bytes stored per iteration"), sent: value("bytes on the network per iteration"), rate: value("iterations a second"),
	}
	if found := regexp.MustCompile(`other programs ([0-9]+) %`).FindSubmatch(page); found != nil && err == nil {
		m.others, err = strconv.ParseFloat(string(found[1]), 64)
	}
	if err == nil && (m.cpu <= 0 || m.stored <= 0) {
		err = errors.New("CPU and storage are not above zero")
	}
	return m, err
}
