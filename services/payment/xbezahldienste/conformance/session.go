package conformance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"basisdienste/platform/id"
)

// Target is the server, and as whom it is asked.
type Target struct {
	URL        string // what stands before /paymenttransaction
	Originator string // an online service that may take payments there
	EndPoint   string // an authority that it may take them for
	Version    string // the newest that the server speaks, from 1.1.0 on; default 1.2.0
	// Authorize adds the credential to a request. Nil: the connection has it, by Client.
	Authorize func(*http.Request)
	// BookingData are what the authority wants to have of each item.
	BookingData map[string]string
	// Only are beginnings of the ids of the clauses that are asked; empty: all.
	Only []string
	// Client is for mutual TLS and the like; default: one with the system's authorities.
	Client *http.Client
	// Clock stamps the requests.
	Clock func() time.Time
}

// The bounds of a run.
const (
	maxRequests = 600
	maxTime     = 15 * time.Minute
	askTime     = 20 * time.Second // for one request
	maxAnswer   = 4 << 20          // bytes that are read of an answer
	maxWait     = 10 * time.Second // that a server may ask for by Retry-After
	maxWaits    = 5                // how often
)

// session is a run under way.
type session struct {
	Target
	ctx     context.Context
	http    *http.Client
	schemas openapi3.Schemas
	tell    func(Clause)
	prefix  string          // of the requestIds
	older   bool            // the server speaks nothing newer than 1.1.0
	usable  bool            // a plain request is accepted
	plainly *Clause         // that it is not, until that is told
	met     map[string]bool // which of Only a clause began with

	mu     sync.Mutex
	report Report
	made   int // requestIds
	waits  int
	seen   cross
}

// Run asks the server clause by clause and tells each verdict as soon as it is known. The
// error says that nothing could be asked; what the server does wrong stands in the report.
func Run(ctx context.Context, t Target, tell func(Clause)) (Report, error) {
	base, err := url.Parse(t.URL)
	if err != nil || base.Host == "" || (base.Scheme != "https" && base.Scheme != "http") || base.User != nil {
		return Report{}, fmt.Errorf("%q is no address of a server; it looks like https://payment.example.de/xbezahldienste", t.URL)
	}
	if t.Originator == "" || t.EndPoint == "" {
		return Report{}, errors.New("originator and end point are missing: the server's operator gives them out")
	}
	t.URL, t.Version = strings.TrimSuffix(t.URL, "/"), cmp.Or(t.Version, "1.2.0")
	if !regexp.MustCompile(`^1\.[1-9][0-9]?(\.[0-9]+)?$`).MatchString(t.Version) {
		return Report{}, fmt.Errorf("no server of version %q can be asked; want 1.1.0 or 1.2.0", t.Version)
	}
	schemas, err := loadSchemas()
	if err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	client := &http.Client{}
	if t.Client != nil {
		*client = *t.Client
	}
	client.Timeout = askTime
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &session{
		Target: t, ctx: ctx, http: client, schemas: schemas, tell: tell, prefix: "check-" + strings.ReplaceAll(id.New().String(), "-", "")[16:],
		older: t.Version == "1.1" || strings.HasPrefix(t.Version, "1.1."), met: map[string]bool{},
		report: Report{URL: t.URL, Originator: t.Originator, EndPoint: t.EndPoint, Version: t.Version, Counts: map[Verdict]int{}},
	}
	if err := s.begin(); err != nil {
		return Report{}, err
	}
	for _, part := range []func(){s.fields, s.amounts, s.texts, s.addresses, s.bodies, s.versions, s.twice, s.reading, s.readings, s.access, s.answers} {
		part()
		if ctx.Err() != nil {
			return s.report, fmt.Errorf("the check was ended early: %w", context.Cause(ctx))
		}
	}
	for _, beginning := range t.Only {
		if !s.met[beginning] {
			return s.report, fmt.Errorf("no clause begins with %q", beginning)
		}
	}
	return s.report, nil
}

// begin asks the one thing without which nothing else makes sense.
func (s *session) begin() error {
	body := s.plain()
	r := s.create(body)
	if r.err != nil {
		return fmt.Errorf("%s cannot be asked: %w", s.URL, r.err)
	}
	s.usable = r.status == http.StatusOK
	c := clause{"create.plain", postPath, "a request with every field of the schema", "200 with a PaymentTransaction in state INITIAL", true}
	if !s.usable {
		done := c.done(finding{Fail, r.brief() + "; what needs a valid request is not asked"})
		s.plainly = &done
		if s.wanted(c.id) {
			s.unknown()
		}
		return nil
	}
	s.judge(c, func() finding { return s.accepted(c, body, r) })
	return nil
}

// unknown is the finding where a valid request is needed and none is known. If that is so because
// the server takes none at all, this is told first, whichever clauses are wanted.
func (s *session) unknown() finding {
	if s.plainly != nil {
		s.record(*s.plainly)
		s.plainly = nil
	}
	return finding{NotApplicable, "no valid request is known"}
}

// clause is what is asked next.
type clause struct {
	id, standard, sent, expected string
	must                         bool
}

// finding is what came out.
type finding struct {
	verdict Verdict
	got     string
}

// broken is the verdict on a clause that does not hold.
func (c clause) broken(got string) finding {
	if c.must {
		return finding{Fail, got}
	}
	return finding{Warn, got}
}

// judge asks a clause, if it is wanted.
func (s *session) judge(c clause, look func() finding) {
	if !s.wanted(c.id) || s.ctx.Err() != nil {
		return
	}
	if s.older && since120(c.id) {
		s.record(c.done(finding{NotApplicable, "since 1.2.0"}))
		return
	}
	s.record(c.done(look()))
}

func (c clause) done(f finding) Clause {
	return Clause{ID: c.id, Standard: c.standard, Sent: c.sent, Expected: c.expected, Got: f.got, Verdict: f.verdict}
}

func (s *session) record(done Clause) {
	s.report.Clauses = append(s.report.Clauses, done)
	s.report.Counts[done.Verdict]++
	if s.tell != nil {
		s.tell(done)
	}
}

func (s *session) wanted(clauseID string) bool {
	is := len(s.Only) == 0
	for _, beginning := range s.Only {
		if strings.HasPrefix(clauseID, beginning) {
			is, s.met[beginning] = true, true
		}
	}
	return is
}

// since120 reports whether the clause is about what 1.2.0 brought: another requestor, and lists.
func since120(clauseID string) bool {
	return slices.ContainsFunc([]string{"create.individual.", "create.organization", "create.address.", "methods.", "maintenance."}, func(beginning string) bool {
		return strings.HasPrefix(clauseID, beginning)
	})
}

// question is a request.
type question struct {
	method, path string
	body         io.Reader
	headers      map[string]string // over those that every request has
	anonymous    bool              // without the credential
}

// reply is an answer, or why there is none.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// ask sends a request, and once more if the server asks for a short wait.
func (s *session) ask(q question) reply {
	var text []byte
	if q.body != nil {
		if b, ok := q.body.(*bytes.Reader); ok {
			text, _ = io.ReadAll(b) // a bytes.Reader has no errors
		}
	}
	for {
		if text != nil {
			q.body = bytes.NewReader(text)
		}
		r := s.once(q)
		wait, err := strconv.Atoi(r.header.Get("Retry-After"))
		asked := time.Duration(wait) * time.Second
		if (r.status != http.StatusTooManyRequests && r.status != http.StatusServiceUnavailable) || err != nil || asked > maxWait || s.waits >= maxWaits {
			return r
		}
		s.waits++
		select {
		case <-time.After(asked):
		case <-s.ctx.Done():
			return r
		}
	}
}

func (s *session) once(q question) reply {
	s.mu.Lock()
	s.report.Requests++
	over := s.report.Requests > maxRequests
	s.mu.Unlock()
	if over {
		return reply{err: fmt.Errorf("more than %d requests", maxRequests)}
	}
	address := q.path
	if !strings.HasPrefix(address, "http") {
		address = s.URL + address
	}
	req, err := http.NewRequestWithContext(s.ctx, q.method, address, q.body)
	if err != nil {
		return reply{err: err}
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range q.headers {
		req.Header.Set(name, value)
	}
	if !q.anonymous && s.Authorize != nil {
		s.Authorize(req)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	r := reply{resp.StatusCode, resp.Header, body, err}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.method == http.MethodPost && r.status == http.StatusOK {
		s.report.Payments++
	}
	s.seen.note(s.schemas, q, r)
	return r
}

// problem is the answer as the standard's document of errors.
func (r reply) problem() (p struct {
	Status         int    `json:"status"`
	Detail         string `json:"detail"`
	FunctionalCode string `json:"functionalCode"`
},
) {
	_ = json.Unmarshal(r.body, &p) // what is none has no code
	return p
}

// brief says what came.
func (r reply) brief() string {
	if r.err != nil {
		var u *url.Error
		if errors.As(r.err, &u) {
			return "no answer: " + u.Err.Error()
		}
		return "no answer: " + r.err.Error()
	}
	text := strconv.Itoa(r.status)
	if p := r.problem(); p.FunctionalCode != "" {
		text += " " + p.FunctionalCode
		if p.Detail != "" {
			text += ": " + clip(p.Detail)
		}
	}
	return text
}

func clip(s string) string {
	if r := []rune(s); len(r) > 160 {
		return string(r[:160]) + "…"
	}
	return s
}
