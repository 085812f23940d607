package stripeapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// session is a Checkout Session in mode payment.
type session struct {
	id, account, status                          string // open, complete, expired
	created, expires                             time.Time
	amount                                       int64
	currency, reference, locale, success, cancel string
	description                                  string
	metadata, intentMetadata                     map[string]string
	methods                                      []string
	manual                                       bool    // the money is held until it is captured
	intent                                       *intent // made by the first try to pay
}

// methods that a session may name, of those that Stripe has.
func knownMethods() []string {
	return []string{"card", "sepa_debit", "paypal", "link", "klarna", "eps", "bancontact", "ideal", "p24", "twint"}
}

func (s *Server) createSession(c *call) (doc, error) {
	made := &session{
		id: s.newID("cs_test"), account: c.account, status: "open", created: c.now, currency: c.form.Get("line_items[0][price_data][currency]"),
		reference: c.form.Get("client_reference_id"), locale: c.form.Get("locale"), cancel: c.form.Get("cancel_url"),
		description: c.form.Get("payment_intent_data[description]"), metadata: c.pairs("metadata"), intentMetadata: c.pairs("payment_intent_data[metadata]"),
		expires: c.now.Add(24 * time.Hour),
	}
	if mode, err := c.text("mode"); err != nil {
		return nil, err
	} else if mode != "payment" {
		return nil, invalid(http.StatusBadRequest, "", "mode", "Invalid mode: must be payment here")
	}
	var err error
	if made.success, err = c.text("success_url"); err != nil {
		return nil, err
	}
	if u, err := url.Parse(made.success); err != nil || u.Host == "" {
		return nil, invalid(http.StatusBadRequest, "url_invalid", "success_url", "Not a valid URL")
	}
	if _, err = c.text("line_items[0][price_data][product_data][name]"); err != nil {
		return nil, err
	}
	unit, err := c.number("line_items[0][price_data][unit_amount]")
	if err != nil {
		return nil, err
	}
	quantity, err := c.number("line_items[0][quantity]")
	if err != nil {
		return nil, err
	}
	if made.amount = unit * quantity; made.amount < 50 {
		return nil, invalid(http.StatusBadRequest, "amount_too_small", "", "The Checkout Session's total amount must convert to at least 50 cents.")
	}
	if made.currency != "eur" {
		return nil, invalid(http.StatusBadRequest, "", "currency", "Invalid currency: %s", made.currency)
	}
	if c.form.Get("expires_at") != "" {
		at, err := c.number("expires_at")
		if err != nil {
			return nil, err
		}
		made.expires = time.Unix(at, 0)
		if made.expires.Before(c.now.Add(30*time.Minute)) || made.expires.After(c.now.Add(24*time.Hour)) {
			return nil, invalid(http.StatusBadRequest, "", "expires_at", "The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from Checkout Session creation.")
		}
	}
	for i := 0; c.form.Get("payment_method_types["+strconv.Itoa(i)+"]") != ""; i++ {
		m := c.form.Get("payment_method_types[" + strconv.Itoa(i) + "]")
		if !slices.Contains(knownMethods(), m) {
			return nil, invalid(http.StatusBadRequest, "", "payment_method_types["+strconv.Itoa(i)+"]", "The payment method type provided: %s is invalid.", m)
		}
		made.methods = append(made.methods, m)
	}
	if len(made.methods) == 0 {
		made.methods = []string{"card"}
	}
	if made.manual, err = captureMethod(c, made.methods); err != nil {
		return nil, err
	}
	s.sessions = append(s.sessions, made)
	return s.sessionDoc(made, c.expand), nil
}

// captureMethod reports whether the money of a session is to be held.
func captureMethod(c *call, methods []string) (manual bool, err error) {
	const name = "payment_intent_data[capture_method]"
	switch how := c.form.Get(name); how {
	case "", "automatic", "automatic_async":
		return false, nil
	case "manual":
	default:
		return false, invalid(http.StatusBadRequest, "", name, "Invalid capture_method: must be one of automatic, automatic_async, or manual")
	}
	for _, m := range methods {
		if !slices.Contains([]string{"card", "paypal", "link", "klarna"}, m) {
			return false, invalid(http.StatusBadRequest, "", name, "The payment method type %s does not support manual capture.", m)
		}
	}
	return true, nil
}

// session finds a session of the account, as it is by now.
func (s *Server) session(account, id string) (*session, error) {
	for _, cs := range s.sessions {
		if cs.id == id && cs.account == account {
			s.lapse(cs)
			return cs, nil
		}
	}
	return nil, missing("checkout.session", id)
}

// lapse expires an open session whose time is over, and releases money that was held for too long.
func (s *Server) lapse(cs *session) {
	if cs.status == "open" && !s.opts.Clock().Before(cs.expires) {
		s.close(cs)
	}
	if in := cs.intent; in != nil && in.status == "requires_capture" && !s.opts.Clock().Before(in.latest().created.Add(holds)) {
		s.tell(cs.account, "charge.expired", s.chargeDoc(in.latest(), nil))
		s.letGo(in, "automatic")
	}
}

func (s *Server) close(cs *session) {
	cs.status = "expired"
	if cs.intent != nil {
		cs.intent.status, cs.intent.action = "canceled", nil
	}
	s.tell(cs.account, "checkout.session.expired", s.sessionDoc(cs, nil))
}

func (s *Server) getSession(c *call) (doc, error) {
	cs, err := s.session(c.account, c.path("id"))
	if err != nil {
		return nil, err
	}
	return s.sessionDoc(cs, c.expand), nil
}

func (s *Server) listSessions(c *call) (doc, error) {
	from, until := int64(0), int64(1)<<62
	for name, dst := range map[string]*int64{"created[gte]": &from, "created[lte]": &until} {
		if c.form.Get(name) == "" {
			continue
		}
		n, err := c.number(name)
		if err != nil {
			return nil, err
		}
		*dst = n
	}
	var found []*session
	for _, cs := range slices.Backward(s.sessions) {
		if at := cs.created.Unix(); cs.account == c.account && at >= from && at <= until {
			s.lapse(cs)
			found = append(found, cs)
		}
	}
	return list(c, "/v1/checkout/sessions", found, func(cs *session) string { return cs.id }, func(cs *session) doc { return s.sessionDoc(cs, c.expand["data"]) })
}

func (s *Server) expireSession(c *call) (doc, error) {
	cs, err := s.session(c.account, c.path("id"))
	if err != nil {
		return nil, err
	}
	if cs.status != "open" {
		return nil, invalid(http.StatusBadRequest, "", "", "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of `%s`.", cs.status)
	}
	s.close(cs)
	return s.sessionDoc(cs, c.expand), nil
}

// paymentStatus is what of a session counts: complete alone is not paid.
func (cs *session) paymentStatus() string {
	if cs.intent != nil && cs.intent.status == "succeeded" {
		return "paid"
	}
	return "unpaid"
}

func (s *Server) sessionDoc(cs *session, x expand) doc {
	var intent, address any
	if cs.intent != nil {
		intent = x.ref("payment_intent", cs.intent.id, func(x expand) doc { return s.intentDoc(cs.intent, x) })
	}
	if cs.status == "open" {
		address = s.opts.BaseURL + "/c/pay/" + cs.id
	}
	return doc{
		"id": cs.id, "object": "checkout.session", "amount_subtotal": cs.amount, "amount_total": cs.amount,
		"automatic_tax": doc{"enabled": false, "liability": nil, "status": nil}, "cancel_url": null(cs.cancel), "client_reference_id": null(cs.reference),
		"created": cs.created.Unix(), "currency": cs.currency, "customer": nil, "customer_email": nil, "custom_fields": []any{},
		"custom_text": doc{"after_submit": nil, "shipping_address": nil, "submit": nil, "terms_of_service_acceptance": nil},
		"expires_at":  cs.expires.Unix(), "livemode": s.opts.Livemode, "locale": null(cs.locale), "metadata": cs.metadata, "mode": "payment",
		"payment_intent": intent, "payment_method_types": cs.methods, "payment_status": cs.paymentStatus(), "shipping_options": []any{},
		"status": cs.status, "submit_type": nil, "success_url": cs.success, "ui_mode": "hosted", "url": address,
		"total_details": doc{"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
	}
}

// Sessions lists the ids of the sessions that were made, the first first.
func (s *Server) Sessions() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cs := range s.sessions {
		ids = append(ids, cs.id)
	}
	return ids
}
