package stripeapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Test cards and accounts, as Stripe has them.
const (
	CardOK            = "4242424242424242"
	Card3DS           = "4000002500003155" // asks the payer to authenticate
	CardDeclined      = "4000000000000002"
	CardFunds         = "4000000000009995" // insufficient_funds
	CardExpired       = "4000000000000069"
	CardCVC           = "4000000000000127"
	CardError         = "4000000000000119" // processing_error
	CardRefundFails   = "4000000000005126" // a refund succeeds and fails later
	CardRefundPending = "4000000000007726" // a refund is pending and succeeds later
	IBANOK            = "DE89370400440532013000"
	IBANFails         = "DE62370400440532013001"
)

func declines() map[string]decline {
	const declined = "Your card was declined."
	return map[string]decline{
		CardDeclined: {"card_declined", "generic_decline", declined},
		CardFunds:    {"card_declined", "insufficient_funds", "Your card has insufficient funds."},
		CardExpired:  {"expired_card", "", "Your card has expired."},
		CardCVC:      {"incorrect_cvc", "", "Your card's security code is incorrect."},
		CardError:    {"processing_error", "", "An error occurred while processing your card. Try again in a little bit."},
	}
}

// Pay lets the payer of an open session pay with the card, or with the account of a SEPA debit,
// and returns how the PaymentIntent stands afterwards: succeeded, requires_capture,
// requires_action, requires_payment_method, processing.
func (s *Server) Pay(sessionID, number string) (status string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cs, err := s.open(sessionID)
	if err != nil {
		return "", err
	}
	method := "card"
	if strings.HasPrefix(number, "DE") {
		method = "sepa_debit"
	}
	if !slices.Contains(cs.methods, method) {
		return "", fmt.Errorf("session %s does not take %s but %v", sessionID, method, cs.methods)
	}
	if cs.intent == nil {
		cs.intent = &intent{id: s.newID("pi"), session: cs, created: s.opts.Clock(), status: "requires_payment_method"}
		s.intents[cs.intent.id] = cs.intent
		s.tell(cs.account, "payment_intent.created", s.intentDoc(cs.intent, nil))
	}
	in := cs.intent
	in.method, in.lastError, in.action = method, nil, nil
	switch {
	case number == Card3DS:
		in.status = "requires_action"
		in.action = doc{"type": "redirect_to_url", "redirect_to_url": doc{"return_url": cs.success, "url": s.opts.BaseURL + "/3ds/" + in.id}}
		s.tell(cs.account, "payment_intent.requires_action", s.intentDoc(in, nil))
	case method == "sepa_debit":
		in.status, cs.status = "processing", "complete"
		ch := s.charge(in, number, "pending")
		s.tell(cs.account, "payment_intent.processing", s.intentDoc(in, nil))
		s.tell(cs.account, "charge.pending", s.chargeDoc(ch, nil))
		s.tell(cs.account, "checkout.session.completed", s.sessionDoc(cs, nil))
	default:
		s.collect(in, number)
	}
	return in.status, nil
}

// Authenticate ends the 3-D Secure step of a session's payment.
func (s *Server) Authenticate(sessionID string, ok bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cs, err := s.open(sessionID)
	if err != nil {
		return err
	}
	if cs.intent == nil || cs.intent.status != "requires_action" {
		return fmt.Errorf("session %s does not wait for an authentication", sessionID)
	}
	cs.intent.action = nil
	if ok {
		s.collect(cs.intent, Card3DS)
		return nil
	}
	s.fail(cs.intent, nil, decline{
		"payment_intent_authentication_failure", "",
		"We are unable to authenticate your payment method. Please choose a different payment method and try again.",
	})
	return nil
}

func (s *Server) open(sessionID string) (*session, error) {
	i := slices.IndexFunc(s.sessions, func(cs *session) bool { return cs.id == sessionID })
	if i < 0 {
		return nil, missing("checkout.session", sessionID)
	}
	cs := s.sessions[i]
	if s.lapse(cs); cs.status != "open" {
		return nil, invalid(http.StatusBadRequest, "", "", "the session is %s: its page shows nothing to pay", cs.status)
	}
	return cs, nil
}

func (s *Server) charge(in *intent, number, status string) *charge {
	ch := &charge{id: s.newID("ch"), intent: in, created: s.opts.Clock(), status: status, number: number}
	in.charges = append(in.charges, ch)
	s.charges[ch.id] = ch
	return ch
}

// collect asks the bank for the money of a card, or to hold it.
func (s *Server) collect(in *intent, number string) {
	if why, refused := declines()[number]; refused {
		s.fail(in, s.charge(in, number, "failed"), why)
		return
	}
	ch := s.charge(in, number, "pending")
	in.session.status = "complete"
	if in.session.manual {
		s.hold(in, ch)
	} else {
		s.succeed(in, ch)
	}
	s.tell(in.session.account, "checkout.session.completed", s.sessionDoc(in.session, nil))
}

func (s *Server) succeed(in *intent, ch *charge) {
	cs := in.session
	arrived := "charge.succeeded"
	if ch.status == "succeeded" { // it was held
		arrived = "charge.captured"
	}
	in.status, ch.status, ch.captured = "succeeded", "succeeded", true
	kind, fee := "charge", cs.amount*15/1000+25 // 1.5 % and 25 cents
	if in.method != "card" {
		kind, fee = "payment", 35
	}
	ch.txn = s.book(txn{account: cs.account, kind: kind, source: ch.id, amount: cs.amount, fee: fee, feeText: "Stripe processing fees"})
	s.tell(cs.account, arrived, s.chargeDoc(ch, nil))
	s.tell(cs.account, "payment_intent.succeeded", s.intentDoc(in, nil))
}

// fail lets a try fail: the payment can be tried again while the session is open.
func (s *Server) fail(in *intent, ch *charge, why decline) {
	in.status = "requires_payment_method"
	in.lastError = doc{"type": "card_error", "code": why.code, "message": why.message, "doc_url": "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(why.code, "_", "-")}
	if why.declineCode != "" {
		in.lastError["decline_code"] = why.declineCode
	}
	account := in.session.account
	if ch != nil {
		in.lastError["charge"] = ch.id
		ch.status, ch.failure = "failed", why
		s.tell(account, "charge.failed", s.chargeDoc(ch, nil))
	}
	s.tell(account, "payment_intent.payment_failed", s.intentDoc(in, nil))
}

// Settle lets everything arrive that is on its way: debits succeed or fail, refunds end, and
// sessions whose time is over expire.
func (s *Server) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cs := range s.sessions {
		s.lapse(cs)
		in := cs.intent
		if in == nil || in.status != "processing" {
			continue
		}
		ch := in.latest()
		if ch.number == IBANFails {
			s.fail(in, ch, decline{"charge_exceeds_source_limit", "insufficient_funds", "The customer's account has insufficient funds to cover this payment."})
			s.tell(cs.account, "checkout.session.async_payment_failed", s.sessionDoc(cs, nil))
			continue
		}
		s.succeed(in, ch)
		s.tell(cs.account, "checkout.session.async_payment_succeeded", s.sessionDoc(cs, nil))
	}
	for _, r := range s.refunds {
		s.settleRefund(r)
	}
}
