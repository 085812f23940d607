package xbezahldienste

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
)

// Base is where the standard's paths begin.
const Base = "/xbezahldienste"

// Scopes of the standard.
const (
	ScopePost = "post"
	ScopeRead = "read"
)

// Part adds the standard to the service.
func Part() payment.Part {
	return payment.Part{Open: func(_ context.Context, h *run.Host, s *payment.Service) (payment.Opened, error) {
		cfg := payment.DefaultConfig()
		if err := h.Config.Decode(&cfg); err != nil {
			return payment.Opened{}, err
		}
		a := &api{payments: s, dir: h.Dir, verifier: h.Verifier, base: h.BaseURL + Base}
		guard := func(scope string) kit.Guard { return h.Verifier.Guard(scope) }
		if cfg.BasicAuth {
			basic := authn.NewBasic(h.Services, h.Clock).Guard(a.issuers)
			guard = func(scope string) kit.Guard { return kit.Chain(basic, h.Verifier.Guard(scope)) }
		}
		a.routes(h.Mux.WithErrors(writeError), guard)
		return payment.Opened{Seed: a.seed}, nil
	}}
}

type api struct {
	payments *payment.Service
	dir      *tenantdir.Dir
	verifier *authn.Verifier
	base     string
}

func (a *api) routes(m *kit.Mux, guard func(scope string) kit.Guard) {
	kit.Route(m, "POST "+Base+"/paymenttransaction/{originatorId}/{endPointId}", guard(ScopePost), a.create)
	kit.Route(m, "GET "+Base+"/paymenttransaction/{originatorId}/{endPointId}/{transactionId}", guard(ScopeRead), a.read)
	kit.Route(m, "GET "+Base+"/payment-methods/{originatorId}/{endPointId}", guard(ScopeRead), a.methods)
	kit.Route(m, "GET "+Base+"/maintenance/{originatorId}/{endPointId}", guard(ScopeRead), a.maintenance)
	kit.Route(m, "GET "+Base+"/status", guard(ScopeRead), a.status)
	kit.Route(m, "GET "+Base+"/status/{originatorId}/{endPointId}", guard(ScopeRead), a.statusByIDs)
}

// issuers are those that may know a client by name and secret: the operator's, and that of the
// municipality which the path names.
func (a *api) issuers(r *http.Request) []string {
	paths := []string{"/operator/auth"}
	if e, err := a.dir.ByKey(r.Context(), r.PathValue("endPointId")); err == nil {
		paths = append(paths, "/t/"+e.Slug+"/auth")
	}
	return paths
}

// place is what every request says: which online service, which municipality, and maybe which
// version of the standard.
type place struct {
	Originator, EndPoint string
	asked                version // 0: not said
}

// FromHTTP reads path and header. Errors: unknown_tenant, unsupported_version.
func (p *place) FromHTTP(r *http.Request) (err error) {
	p.Originator, p.EndPoint = r.PathValue("originatorId"), r.PathValue("endPointId")
	for _, s := range []string{p.Originator, p.EndPoint} {
		if len(s) > 36 || !charset(idRune).holds(s) {
			return fault.NotFound("unknown_tenant", "originatorId and endPointId have at most 36 letters, digits and hyphens")
		}
	}
	p.asked, err = askedVersion(r)
	return err
}

// enter finds the municipality and lets the caller act for it.
func (a *api) enter(ctx context.Context, p place) (context.Context, error) {
	e, err := a.dir.ByKey(ctx, p.EndPoint)
	if err != nil {
		return ctx, err
	}
	return a.verifier.Enter(ctx, e)
}

// CreateRequest is a POST. The body is kept as it came, to be given back so.
type CreateRequest struct {
	place
	body   []byte
	order  payment.Order
	spoken version
}

// UnmarshalJSON keeps the body for FromHTTP.
func (q *CreateRequest) UnmarshalJSON(b []byte) error {
	q.body = append([]byte(nil), b...)
	return nil
}

// FromHTTP reads path and body.
func (q *CreateRequest) FromHTTP(r *http.Request) error {
	if err := q.place.FromHTTP(r); err != nil {
		return err
	}
	var body PaymentRequest
	if err := kit.Strict(q.body, &body); err != nil {
		return err
	}
	if q.spoken = body.version(q.asked); q.spoken != v100 {
		if err := noNulls(q.body); err != nil {
			return err
		}
	}
	var err error
	q.order, err = body.order()
	q.order.OriginatorID, q.order.EndPointID, q.order.Document = q.Originator, q.EndPoint, q.body
	return err
}

// PaymentTransaction is the answer.
type PaymentTransaction struct {
	PaymentInformation PaymentInformation `json:"paymentInformation"`
	PaymentRequest     json.RawMessage    `json:"paymentRequest,omitempty"`

	version version
}

// Headers implements what kit asks of answers: it names the version, if the client did.
func (p PaymentTransaction) Headers() http.Header {
	if p.version == 0 {
		return nil
	}
	return http.Header{versionHeader: {p.version.String()}}
}

// PaymentInformation is what became of a request.
type PaymentInformation struct {
	TransactionURL         string `json:"transactionUrl"`
	TransactionRedirectURL string `json:"transactionRedirectUrl"`
	TransactionID          string `json:"transactionId"`
	TransactionReference   string `json:"transactionReference,omitempty"`
	TransactionTimestamp   string `json:"transactionTimestamp,omitempty"`
	PaymentMethod          string `json:"paymentMethod,omitempty"`
	PaymentMethodDetail    string `json:"paymentMethodDetail,omitempty"`
	Status                 string `json:"status"`
	StatusDetail           string `json:"statusDetail,omitempty"`
}

// answer tells the transaction to a client that reads the version, or with 0 the one it was
// sent in.
func (a *api) answer(ctx context.Context, p place, t *payment.Transaction, v version) (PaymentTransaction, error) {
	info := PaymentInformation{
		TransactionURL:         a.base + "/paymenttransaction/" + url.PathEscape(p.Originator) + "/" + url.PathEscape(p.EndPoint) + "/" + t.ID.String(),
		TransactionRedirectURL: a.payments.PayURL(ctx, t.ID), TransactionID: t.ID.String(), TransactionReference: t.Kassenzeichen,
		Status: string(t.State.Told()), StatusDetail: t.Reason,
	}
	if t.State == payment.Payed {
		info.PaymentMethod, info.PaymentMethodDetail = string(t.Method), word(t.MethodDetail)
		info.TransactionTimestamp = t.EndedAt.Format(time.RFC3339Nano)
	}
	request, err := inVersion(t.Document, v)
	return PaymentTransaction{info, request, v}, err
}

// word writes a provider's text in the characters and length of a paymentMethodDetail.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if idRune(r) {
			return r
		}
		return '-'
	}, s)
	return s[:min(len(s), 36)]
}

func (a *api) create(ctx context.Context, q CreateRequest) (PaymentTransaction, error) {
	ctx, err := a.enter(ctx, q.place)
	if err != nil {
		return PaymentTransaction{}, err
	}
	t, err := a.payments.Create(ctx, q.order)
	if err != nil {
		return PaymentTransaction{}, err
	}
	made, err := a.answer(ctx, q.place, &t, 0)
	made.version = q.spoken
	return made, err
}

// ReadRequest names a transaction.
type ReadRequest struct {
	place
	Transaction string
}

// FromHTTP reads the path.
func (q *ReadRequest) FromHTTP(r *http.Request) error {
	q.Transaction = r.PathValue("transactionId")
	return q.place.FromHTTP(r)
}

func (a *api) read(ctx context.Context, q ReadRequest) (PaymentTransaction, error) {
	ctx, err := a.enter(ctx, q.place)
	if err != nil {
		return PaymentTransaction{}, err
	}
	t, err := a.payments.Find(ctx, q.Originator, q.EndPoint, q.Transaction)
	if err != nil {
		return PaymentTransaction{}, err
	}
	return a.answer(ctx, q.place, &t, q.asked)
}

// Methods by whether they work.
type Methods struct {
	Up   []payment.Method `json:"up,omitempty"`
	Down []payment.Method `json:"down,omitempty"`
}

type methodsAnswer struct {
	PaymentMethods Methods `json:"paymentMethods"`
}

func (a *api) methods(ctx context.Context, q place) (methodsAnswer, error) {
	ctx, err := a.enter(ctx, q)
	if err != nil {
		return methodsAnswer{}, err
	}
	up, down, err := a.payments.Methods(ctx, q.Originator)
	return methodsAnswer{Methods{up, down}}, err
}

type window struct {
	StartTime      *time.Time `json:"startTime,omitempty"`
	EndTime        *time.Time `json:"endTime,omitempty"`
	Description    string     `json:"description,omitempty"`
	PaymentMethods *Methods   `json:"paymentMethods,omitempty"`
}

type maintenanceAnswer struct {
	MaintenanceWindows []window `json:"maintenanceWindows"`
}

func (a *api) maintenance(ctx context.Context, q place) (maintenanceAnswer, error) {
	answer := maintenanceAnswer{MaintenanceWindows: []window{}}
	ctx, err := a.enter(ctx, q)
	if err != nil {
		return answer, err
	}
	list, err := a.payments.Maintenance(ctx, q.Originator)
	for _, w := range list {
		v := window{StartTime: w.From, EndTime: w.Until, Description: clipped(w.Description)}
		if len(w.Methods) > 0 {
			v.PaymentMethods = &Methods{Down: w.Methods}
		}
		answer.MaintenanceWindows = append(answer.MaintenanceWindows, v)
	}
	return answer, err
}

// maxDescription of a window, in characters.
const maxDescription = 250

func clipped(s string) string {
	if r := []rune(s); len(r) > maxDescription {
		return string(r[:maxDescription-1]) + "…"
	}
	return s
}

func healthy() SystemResponse {
	return SystemResponse{
		Type: "urn:basisdienste:status:ok", Status: http.StatusOK, Title: "OK", Detail: "Everything is up and running",
	}
}

type nothing struct{}

func (a *api) status(context.Context, nothing) (SystemResponse, error) { return healthy(), nil }

func (a *api) statusByIDs(ctx context.Context, q place) (SystemResponse, error) {
	ctx, err := a.enter(ctx, q)
	if err != nil {
		return SystemResponse{}, err
	}
	_, _, err = a.payments.Methods(ctx, q.Originator)
	return healthy(), err
}

// seed says where a client finds the demo municipality.
func (a *api) seed(ctx context.Context, d run.Demo) error {
	e, err := a.dir.Await(ctx, "erfurt")
	if err != nil {
		return err
	}
	d["payment"] = map[string]string{"base_url": a.base, "originator_id": "demo-onlinedienst", "end_point_id": e.Keys[0]}
	return nil
}
