package main

import (
	"bytes"
	"fmt"
	"math"
)

// assumption is a number that the model needs and that no run of ours measured.
type assumption struct {
	name   string // in the formula
	value  float64
	unit   string
	what   string
	source string // "guess" if there is none
}

// model is the assumptions by what they are for.
type model struct {
	applications, mix, day, hour, burst    assumption
	pages, cluster, edge, database, target assumption
	proofs, proof, assets                  assumption
}

// assumed are the numbers to change when your own are known.
func assumed() model {
	return model{
		applications: assumption{"applications", 100_000.0 / 213_981, "a year and inhabitant", "online applications", "Erfurt: 100,000 a year (Thüringen's strategy for e-government, 2024), 213,981 inhabitants (GV-ISys)"},
		mix:          assumption{"mix", 0.6, "of 1", "share of arrivals that are applications", "guess: `loadtest/k6/lib/shares.js`"},
		day:          assumption{"day", 4, "times the mean day", "the busiest day of the year", "guess"},
		hour:         assumption{"hour", 0.12, "of 1", "share of that day in its busiest hour", "guess"},
		burst:        assumption{"burst", 2, "times that hour's mean", "the busiest minute", "guess"},
		pages:        assumption{"pages", 1.5, "times", "work that the scenario leaves out: clerks, uploads, visitors who only read", "guess"},
		cluster:      assumption{"cluster", 1, "times the CPU measured", "services on PostgreSQL", "measured, 0.69 to 1.00: loadtest/results/postgres.md"},
		edge:         assumption{"edge", 0.0001, "s of CPU a request", "the public entrance as a process", "measured: go test -bench Hop ./services/edge"},
		database:     assumption{"database", 1.1, "times the CPU measured", "PostgreSQL's own work", "measured, 0.2 to 1.09: loadtest/results/postgres.md"},
		target:       assumption{"target", 0.5, "of 1", "how busy cores may be at the peak", "choice: half of them may fail"},
		proofs:       assumption{"proofs", 0.3, "an application", "uploaded files", "guess"},
		proof:        assumption{"proof", 1e6, "bytes", "size of a file", "guess"},
		assets:       assumption{"assets", 300e3, "bytes an arrival", "style sheets, fonts, images, not in the browser's cache", "guess"},
	}
}

func (a model) all() []assumption {
	return []assumption{a.applications, a.mix, a.day, a.hour, a.burst, a.pages, a.cluster, a.edge, a.database, a.target, a.proofs, a.proof, a.assets}
}

// place is somebody to provide for.
type place struct {
	name        string
	inhabitants float64
}

// places are the worked examples (inhabitants: GV-ISys, end of 2019).
func places() []place {
	return []place{{"a town", 10_000}, {"Erfurt", 213_981}, {"Thüringen", 2_133_378}, {"Germany", 83_166_711}}
}

// need is what a place needs.
type need struct {
	arrivals float64 // a year
	peak     float64 // arrivals a second
	services float64 // cores, before rounding
	database float64 // cores
	storage  float64 // bytes a year
	network  float64 // bits a second at the peak
}

const (
	daysOfYear     = 365
	secondsOfHour  = 3600
	bitsOfByte     = 8
	fewestServices = 2  // machines, so that one may fail
	disturbed      = 20 // percent of the cores for other programs, from which on a measurement is not believed
)

// peak is how many of a year's events come in the busiest second.
func (a model) peak() float64 {
	return a.day.value * a.hour.value * a.burst.value / daysOfYear / secondsOfHour
}

// needs is the formula of docs/capacity.md.
func needs(inhabitants float64, m measured, a model) need {
	var n need
	n.arrivals = inhabitants * a.applications.value / a.mix.value
	n.peak = n.arrivals * a.peak()
	n.services = n.peak * a.pages.value * (m.cpu*a.cluster.value + m.requests*a.edge.value) / a.target.value
	n.database = n.peak * a.pages.value * m.cpu * a.database.value / a.target.value
	n.storage = n.arrivals * (m.stored + a.mix.value*a.proofs.value*a.proof.value)
	n.network = n.peak * bitsOfByte * (m.sent*a.pages.value + a.assets.value + a.mix.value*a.proofs.value*a.proof.value)
	return n
}

// most is how many inhabitants the cores can serve, service and database processes together.
func most(cores float64, m measured, a model) float64 {
	one := needs(1, m, a)
	return cores / (one.services + one.database)
}

// tables is the generated part of docs/capacity.md.
func tables(page string, m measured, a model, examples []place) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\nMeasured, on [%s](../loadtest/results/%s), at %.0f arrivals a second, in one process on SQLite:\n\n", page, page, m.rate)
	fmt.Fprintf(&b, "| name | value | what |\n| --- | ---: | --- |\n")
	fmt.Fprintf(&b, "| cpu | %.2f ms | of the server for one arrival, with all events and mails |\n", m.cpu*1e3)
	fmt.Fprintf(&b, "| requests | %.1f | HTTP requests of one arrival, redirects included |\n", m.requests)
	fmt.Fprintf(&b, "| stored | %.1f KB | on disk, with event log, audit and mails |\n", m.stored/1e3)
	fmt.Fprintf(&b, "| sent | %.1f KB | on the network, both ways |\n", m.sent/1e3)
	if m.others > disturbed {
		fmt.Fprintf(&b, "\n**Other programs took %.0f %% of the cores meanwhile: cpu is too high. Measure again on a quiet machine.**\n", m.others)
	}
	fmt.Fprintf(&b, "\nAssumed. Nobody measured these for base services; put in your own:\n\n| name | value | what | source |\n| --- | ---: | --- | --- |\n")
	for _, x := range a.all() {
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s |\n", x.name, short(x.value), x.unit, x.what, x.source)
	}
	fmt.Fprintf(&b, "\n| | inhabitants | arrivals a year | at the peak | cores busy: services | cores busy: database | disk a year | network at the peak |\n"+
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, p := range examples {
		n := needs(p.inhabitants, m, a)
		fmt.Fprintf(&b, "| %s | %s | %s | %.3g/s | %.2g | %.2g | %s GB | %s Mbit/s |\n", p.name, thousands(p.inhabitants), thousands(n.arrivals),
			n.peak, n.services, n.database, thousands(math.Ceil(n.storage/1e9)), short(n.network/1e6))
	}
	fmt.Fprintf(&b, "\n\"Cores busy\" already holds the reserve of `target`; buy at least %d machines for each part, so that one may fail.\n"+
		"Two cores for services and database together reach, by these numbers, to %s inhabitants.\n", fewestServices, thousands(math.Floor(most(2, m, a)/1000)*1000))
	return b.Bytes()
}

// stateMails are sent in Thüringen's network in a year, of every kind (strategy of 2024).
const stateMails = 25e6

// mails is the other end: all mails of the state through notify, where the mix has few.
func mails(page string, m measured, a model) []byte {
	peak := stateMails * a.peak()
	return fmt.Appendf(nil, "\nIf all %s mails that Thüringen's network carries in a year (of every kind; the strategy's figure) went through\n"+
		"notify: %.3g a second at the peak, each %.2f ms of CPU and %.1f KB on disk ([%s](../loadtest/results/%s)),\n"+
		"%.2g cores busy with the reserve, %s GB a year before they are deleted.\n\n",
		thousands(stateMails), peak, m.cpu*1e3, m.stored/1e3, page, page, peak*m.cpu*a.cluster.value/a.target.value, thousands(math.Ceil(stateMails*m.stored/1e9)))
}

// short writes an assumption as a person would.
func short(v float64) string {
	if v >= 1000 {
		return thousands(v)
	}
	return fmt.Sprintf("%.3g", v)
}

// thousands writes a whole number with commas.
func thousands(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
