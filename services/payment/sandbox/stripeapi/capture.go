package stripeapi

import (
	"net/http"
	"slices"
	"time"
)

// holds is how long the money of a card is held.
const holds = 7 * 24 * time.Hour

// hold lets the bank hold the money of a card.
func (s *Server) hold(in *intent, ch *charge) {
	in.status, ch.status = "requires_capture", "succeeded"
	s.tell(in.session.account, "charge.succeeded", s.chargeDoc(ch, nil))
	s.tell(in.session.account, "payment_intent.amount_capturable_updated", s.intentDoc(in, nil))
}

// letGo releases money that is held; why is empty if nobody said.
func (s *Server) letGo(in *intent, why string) {
	in.status, in.canceled, in.why = "canceled", s.opts.Clock(), why
	in.latest().refunded = in.session.amount
	s.tell(in.session.account, "charge.refunded", s.chargeDoc(in.latest(), nil))
	s.tell(in.session.account, "payment_intent.canceled", s.intentDoc(in, nil))
}

// heldIntent finds a PaymentIntent whose money is held by now.
func (s *Server) heldIntent(c *call, refused string) (*intent, error) {
	in, ok := s.intents[c.path("id")]
	if !ok || in.session.account != c.account {
		return nil, missing("payment_intent", c.path("id"))
	}
	if s.lapse(in.session); in.status != "requires_capture" {
		return nil, invalid(http.StatusBadRequest, "payment_intent_unexpected_state", "", refused, in.status)
	}
	return in, nil
}

func (s *Server) captureIntent(c *call) (doc, error) {
	in, err := s.heldIntent(c, "This PaymentIntent could not be captured because it has a status of %s. "+
		"Only a PaymentIntent with one of the following statuses may be captured: requires_capture.")
	if err != nil {
		return nil, err
	}
	s.succeed(in, in.latest())
	return s.intentDoc(in, c.expand), nil
}

// cancelIntent releases money that is held. A PaymentIntent of a Checkout Session cannot be canceled
// in any other state: the session is expired instead.
func (s *Server) cancelIntent(c *call) (doc, error) {
	why := c.form.Get("cancellation_reason")
	if why != "" && !slices.Contains([]string{"duplicate", "fraudulent", "requested_by_customer", "abandoned"}, why) {
		return nil, invalid(http.StatusBadRequest, "", "cancellation_reason", "Invalid cancellation_reason: must be one of duplicate, fraudulent, requested_by_customer, or abandoned")
	}
	in, err := s.heldIntent(c, "You cannot cancel this PaymentIntent because it has a status of %s. "+
		"Only a PaymentIntent of a Checkout Session with one of the following statuses may be canceled: requires_capture.")
	if err != nil {
		return nil, err
	}
	s.letGo(in, why)
	return s.intentDoc(in, c.expand), nil
}
