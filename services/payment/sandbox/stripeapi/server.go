package stripeapi

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Version of the API.
const Version = "2024-06-20"

// keepKeys is how long an idempotency key is remembered.
const keepKeys = 24 * time.Hour

// doc is an object of the API as JSON.
type doc = map[string]any

// Options of a Server.
type Options struct {
	Key      string // the platform's secret key
	Livemode bool
	Clock    func() time.Time
	BaseURL  string // where its pay pages would be
}

// Server is the fake. It is safe for concurrent use.
type Server struct {
	opts Options
	mux  *http.ServeMux

	mu        sync.Mutex
	ids       int
	accounts  map[string]*account
	sessions  []*session
	intents   map[string]*intent
	charges   map[string]*charge
	refunds   []*refund
	disputes  map[string]*dispute
	payouts   map[string]*payout
	txns      []*txn
	keys      map[string]*answer // by account and idempotency key
	faults    []fault
	endpoints []Endpoint
	events    []*event
}

// New returns a Server with no accounts.
func New(o Options) *Server {
	s := &Server{
		opts: o, mux: http.NewServeMux(), accounts: map[string]*account{}, intents: map[string]*intent{}, charges: map[string]*charge{},
		disputes: map[string]*dispute{}, payouts: map[string]*payout{}, keys: map[string]*answer{},
	}
	s.handle("POST /v1/checkout/sessions", s.createSession, "cancel_url", "client_reference_id", "expires_at", "line_items[][price_data][currency]",
		"line_items[][price_data][product_data][name]", "line_items[][price_data][unit_amount]", "line_items[][quantity]", "locale", "metadata[*]", "mode",
		"payment_intent_data[capture_method]", "payment_intent_data[description]", "payment_intent_data[metadata][*]", "payment_method_types[]", "submit_type", "success_url")
	s.handle("GET /v1/checkout/sessions", s.listSessions, "created[gte]", "created[lte]", "limit", "starting_after")
	s.handle("GET /v1/checkout/sessions/{id}", s.getSession)
	s.handle("POST /v1/checkout/sessions/{id}/expire", s.expireSession)
	s.handle("GET /v1/payment_intents/{id}", s.getIntent)
	s.handle("POST /v1/payment_intents/{id}/capture", s.captureIntent)
	s.handle("POST /v1/payment_intents/{id}/cancel", s.cancelIntent, "cancellation_reason")
	s.handle("GET /v1/charges/{id}", s.getCharge)
	s.handle("POST /v1/refunds", s.createRefund, "amount", "metadata[*]", "payment_intent", "reason")
	s.handle("GET /v1/refunds", s.listRefunds, "payment_intent", "limit", "starting_after")
	s.handle("GET /v1/refunds/{id}", s.getRefund)
	s.handle("GET /v1/disputes", s.listDisputes, "created[gte]", "limit", "starting_after")
	s.handle("GET /v1/disputes/{id}", s.getDispute)
	s.handle("GET /v1/payouts", s.listPayouts, "created[gte]", "limit", "starting_after")
	s.handle("GET /v1/payouts/{id}", s.getPayout)
	s.handle("GET /v1/balance_transactions", s.listTxns, "payout", "limit", "starting_after")
	s.handle("POST /v1/accounts", s.createAccount, "type", "country", "email", "business_type", "metadata[*]", "business_profile[name]", "business_profile[mcc]",
		"business_profile[url]", "capabilities[*][requested]")
	s.handle("GET /v1/accounts/{id}", s.getAccount)
	s.handle("POST /v1/account_links", s.createLink, "account", "refresh_url", "return_url", "type")
	return s
}

// call is one request of the API.
type call struct {
	path    func(name string) string
	form    url.Values
	account string // whom it acts for; "" is the platform
	now     time.Time
	expand  expand
	shorten bool
}

// refusal is an error as the API answers it.
type refusal struct {
	status int
	body   doc
	extra  http.Header
}

func (r *refusal) Error() string { return fmt.Sprint(r.body["message"]) }

func invalid(status int, code, param, format string, args ...any) *refusal {
	body := doc{"type": "invalid_request_error", "message": fmt.Sprintf(format, args...)}
	if code != "" {
		body["code"], body["doc_url"] = code, "https://stripe.com/docs/error-codes/"+strings.ReplaceAll(code, "_", "-")
	}
	if param != "" {
		body["param"] = param
	}
	return &refusal{status: status, body: body}
}

func missing(kind, id string) *refusal {
	return invalid(http.StatusNotFound, "resource_missing", "id", "No such %s: '%s'", kind, id)
}

func broken() *refusal {
	return &refusal{status: http.StatusInternalServerError, body: doc{"type": "api_error", "message": "Sorry! There was an error while talking to one of our backends."}}
}

func idempotency(status int, code, message string) *refusal {
	body := doc{"type": "idempotency_error", "message": message}
	if code != "" {
		body["code"] = code
	}
	return &refusal{status: status, body: body}
}

// answer is what was answered to an idempotency key.
type answer struct {
	hash   [sha256.Size]byte
	status int
	body   []byte
	at     time.Time
}

// handle registers an operation with the parameters that it knows besides expand[]: [] stands
// for an index, [*] for any key.
func (s *Server) handle(pattern string, op func(c *call) (doc, error), known ...string) {
	known = append(known, "expand[]")
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f := s.nextFault(r.Method + " " + r.URL.Path)
		status, body, header := s.answer(r, op, known, f)
		if f == LoseAnswer {
			panic(http.ErrAbortHandler) // the connection is cut
		}
		maps.Copy(w.Header(), header)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Request-Id", s.newID("req"))
		w.WriteHeader(status)
		_, _ = w.Write(body) //nolint:gosec // JSON; and an error says that the client went away
	})
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.mux.Handler(r); pattern == "" {
		status, body, _ := refuse(invalid(http.StatusNotFound, "", "", "Unrecognized request URL (%s: %s).", r.Method, r.URL.Path))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body) // the client went away
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) answer(r *http.Request, op func(c *call) (doc, error), known []string, f Fault) (int, []byte, http.Header) {
	c, err := s.accept(r, known)
	if err != nil {
		return refuse(err)
	}
	c.shorten = f == Shorten
	switch f {
	case Refuse:
		return refuse(broken())
	case Busy:
		return refuse(invalid(http.StatusTooManyRequests, "rate_limit", "", "Request rate limit exceeded."))
	case InFlight:
		return refuse(idempotency(http.StatusConflict, "idempotency_key_in_use",
			"There is currently another in-progress request using this Stripe-Idempotent-Key."))
	case none, LoseAnswer, Shorten, Stuck, StuckAfter:
	}
	key := r.Header.Get("Idempotency-Key")
	if r.Method != http.MethodPost || key == "" {
		return s.run(c, op)
	}
	key = c.account + " " + key
	hash := sha256.Sum256([]byte(r.URL.Path + "?" + c.form.Encode()))
	if before, ok := s.keys[key]; ok && c.now.Sub(before.at) < keepKeys {
		if before.hash != hash {
			return refuse(idempotency(http.StatusBadRequest, "", fmt.Sprintf("Keys for idempotent requests can only be used with the same parameters they were first used with. "+
				"Try using a key other than '%s' if you meant to execute a different request.", r.Header.Get("Idempotency-Key"))))
		}
		return before.status, before.body, http.Header{"Idempotent-Replayed": {"true"}}
	}
	if f == Stuck {
		op = func(*call) (doc, error) { return nil, broken() }
	}
	status, body, header := s.run(c, op)
	if f == StuckAfter {
		status, body, header = refuse(broken())
	}
	if status < 300 || status >= 500 { // a request that was refused before it began is not kept
		s.keys[key] = &answer{hash: hash, status: status, body: body, at: c.now}
	}
	return status, body, header
}

func (s *Server) run(c *call, op func(c *call) (doc, error)) (int, []byte, http.Header) {
	d, err := op(c)
	if err != nil {
		return refuse(err)
	}
	body, err := json.Marshal(d)
	if err != nil {
		return refuse(err)
	}
	return http.StatusOK, body, nil
}

func refuse(err error) (int, []byte, http.Header) {
	r, ok := err.(*refusal) //nolint:errorlint // only refusals, never wrapped
	if !ok {
		r = &refusal{status: http.StatusInternalServerError, body: doc{"type": "api_error", "message": err.Error()}}
	}
	body, _ := json.Marshal(doc{"error": r.body}) // strings only
	return r.status, body, r.extra
}

// accept checks key, version, account and parameters.
func (s *Server) accept(r *http.Request, known []string) (*call, error) {
	if r.Header.Get("Authorization") != "Bearer "+s.opts.Key {
		return nil, invalid(http.StatusUnauthorized, "", "", "Invalid API Key provided.")
	}
	if v := r.Header.Get("Stripe-Version"); v != Version {
		return nil, invalid(http.StatusBadRequest, "", "", "Invalid Stripe API version: %s.", v)
	}
	c := &call{path: r.PathValue, account: r.Header.Get("Stripe-Account"), now: s.opts.Clock(), expand: expand{}}
	if _, ok := s.accounts[c.account]; c.account != "" && !ok {
		return nil, invalid(http.StatusForbidden, "account_invalid", "", "The provided key does not have access to account '%s' (or that account does not exist).", c.account)
	}
	if err := r.ParseForm(); err != nil {
		return nil, invalid(http.StatusBadRequest, "", "", "Invalid form.")
	}
	c.form = r.Form
	for name, values := range c.form {
		shape := index.ReplaceAllString(name, "[]")
		if shape == "expand[]" {
			for _, v := range values {
				c.expand.add(v)
			}
			continue
		}
		if !slices.ContainsFunc(known, func(k string) bool { return matches(k, shape) }) {
			return nil, invalid(http.StatusBadRequest, "parameter_unknown", name, "Received unknown parameter: %s", name)
		}
	}
	return c, nil
}

var index = regexp.MustCompile(`\[\d*\]`)

// matches compares a known parameter with the name of one; [*] is any key.
func matches(known, name string) bool {
	before, after, any := strings.Cut(known, "[*]")
	if !any {
		return known == name
	}
	rest, ok := strings.CutPrefix(name, before+"[")
	if !ok {
		return false
	}
	_, rest, ok = strings.Cut(rest, "]")
	return ok && rest == after
}

// text returns a parameter that has to be there.
func (c *call) text(name string) (string, error) {
	if v := c.form.Get(name); v != "" {
		return v, nil
	}
	return "", invalid(http.StatusBadRequest, "parameter_missing", name, "Missing required param: %s.", name)
}

func (c *call) number(name string) (int64, error) {
	v, err := c.text(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, invalid(http.StatusBadRequest, "parameter_invalid_integer", name, "Invalid integer: %s", v)
	}
	return n, nil
}

// pairs returns the parameters name[key].
func (c *call) pairs(name string) map[string]string {
	m := map[string]string{}
	for k, v := range c.form {
		if key, ok := strings.CutPrefix(k, name+"["); ok && strings.HasSuffix(key, "]") {
			m[strings.TrimSuffix(key, "]")] = v[0]
		}
	}
	return m
}

// expand names the fields that are given as objects instead of ids.
type expand map[string]expand

func (e expand) add(path string) {
	first, rest, more := strings.Cut(path, ".")
	if e[first] == nil {
		e[first] = expand{}
	}
	if more {
		e[first].add(rest)
	}
}

// ref is an id, or the object if the field is expanded.
func (e expand) ref(field, id string, object func(expand) doc) any {
	if id == "" {
		return nil
	}
	if inner, ok := e[field]; ok {
		return object(inner)
	}
	return id
}

// newID returns an id that says what kind of object it names.
func (s *Server) newID(kind string) string {
	s.ids++
	return fmt.Sprintf("%s_%08d", kind, s.ids)
}

// list answers a page of what is newest first.
func list[T any](c *call, path string, all []T, id func(T) string, object func(T) doc) (doc, error) {
	limit := 10
	if c.form.Get("limit") != "" {
		n, err := c.number("limit")
		if err != nil {
			return nil, err
		}
		if n < 1 || n > 100 {
			return nil, invalid(http.StatusBadRequest, "parameter_invalid_integer", "limit", "This value must be between 1 and 100.")
		}
		limit = int(n)
	}
	if after := c.form.Get("starting_after"); after != "" {
		i := slices.IndexFunc(all, func(v T) bool { return id(v) == after })
		if i < 0 {
			return nil, missing("object", after)
		}
		all = all[i+1:]
	}
	if c.shorten && len(all) > 0 {
		all = all[:len(all)-1]
	}
	data := []doc{}
	for _, v := range all[:min(limit, len(all))] {
		data = append(data, object(v))
	}
	return doc{"object": "list", "data": data, "has_more": len(all) > limit, "url": path}, nil
}

// Fault is something that goes wrong with a request.
type Fault int

// The faults.
const (
	none Fault = iota
	// Refuse: 500, and nothing was done.
	Refuse
	// Busy: 429, and nothing was done.
	Busy
	// InFlight: 409, as if another request with the key were still running.
	InFlight
	// LoseAnswer: it is done, but the connection is cut before the answer.
	LoseAnswer
	// Stuck and StuckAfter: 500, before or after it is done, and again for each request with the key.
	Stuck
	StuckAfter
	// Shorten: a list lacks its last entry, the oldest.
	Shorten
)

type fault struct {
	path  string
	fault Fault
	times int
}

// Fail lets the next requests go wrong whose method and path, as in "POST /v1/refunds",
// contain the text.
func (s *Server) Fail(path string, f Fault, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fault{path, f, times})
}

func (s *Server) nextFault(path string) Fault {
	for i := range s.faults {
		if f := &s.faults[i]; f.times > 0 && strings.Contains(path, f.path) {
			f.times--
			return f.fault
		}
	}
	return none
}

// null writes an empty text as null.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Recover ends all faults.
func (s *Server) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}
