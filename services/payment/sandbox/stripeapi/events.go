package stripeapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"

	"github.com/stripe/stripe-go/v79/webhook"
)

// Endpoint is where events are told: those of the platform itself, or with Connect those of the
// connected accounts.
type Endpoint struct {
	Handler http.Handler
	Path    string
	Secret  string
	Connect bool
}

// event is something that happened, until its endpoint has taken it.
type event struct {
	account string
	doc     doc
}

// Subscribe adds an endpoint. Events from before are told as well.
func (s *Server) Subscribe(e Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = append(s.endpoints, e)
}

// tell notes an event with its object as it is now.
func (s *Server) tell(account, kind string, object doc) {
	e := &event{account: account, doc: doc{
		"id": s.newID("evt"), "object": "event", "api_version": Version, "created": s.opts.Clock().Unix(), "data": doc{"object": object},
		"livemode": s.opts.Livemode, "pending_webhooks": 1, "request": doc{"id": nil, "idempotency_key": nil}, "type": kind,
	}}
	if account != "" {
		e.doc["account"] = account
	}
	s.events = append(s.events, e)
}

// Delivery says how events are told.
type Delivery struct {
	Shuffle *rand.Rand // nil: in the order in which they happened
	Times   int        // how often each is told; 0 means once
}

// Deliver tells what was not taken yet, and returns how many events are left because an endpoint
// did not answer 2xx. The endpoint is called while nothing is locked, so it may ask the API.
func (s *Server) Deliver(ctx context.Context, d Delivery) (left int, err error) {
	s.mu.Lock()
	var queue []*event
	for _, e := range s.events {
		for range max(1, d.Times) {
			queue = append(queue, e)
		}
	}
	s.events = nil
	endpoints, now := s.endpoints, s.opts.Clock()
	s.mu.Unlock()
	if d.Shuffle != nil {
		d.Shuffle.Shuffle(len(queue), func(i, j int) { queue[i], queue[j] = queue[j], queue[i] })
	}
	var kept []*event
	refused := map[*event]bool{}
	for _, e := range queue {
		body, err := json.Marshal(e.doc)
		if err != nil {
			return 0, err
		}
		for _, to := range endpoints {
			if to.Connect != (e.account != "") {
				continue
			}
			signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: to.Secret, Timestamp: now})
			status, err := post(ctx, to, signed)
			if err != nil {
				return 0, err
			}
			if status >= 300 && !refused[e] {
				refused[e], kept = true, append(kept, e)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(kept, s.events...)
	return len(kept), nil
}

func post(ctx context.Context, to Endpoint, signed *webhook.SignedPayload) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Path, bytes.NewReader(signed.Payload))
	if err != nil {
		return 0, fmt.Errorf("event for %s: %w", to.Path, err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Stripe-Signature", signed.Header)
	w := &statusOnly{header: http.Header{}, status: http.StatusOK}
	to.Handler.ServeHTTP(w, r)
	return w.status, nil
}

// statusOnly is an answer of which the status alone counts.
type statusOnly struct {
	header http.Header
	status int
}

func (w *statusOnly) Header() http.Header         { return w.header }
func (w *statusOnly) WriteHeader(status int)      { w.status = status }
func (w *statusOnly) Write(b []byte) (int, error) { return io.Discard.Write(b) }

// Forget drops the events that were not told: they are lost.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = nil
}
