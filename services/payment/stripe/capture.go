package stripe

import (
	"context"

	stripego "github.com/stripe/stripe-go/v79"

	"basisdienste/services/payment"
)

// held reports whether the money of a payment is held until it is captured.
func held(in *stripego.PaymentIntent) bool {
	return in != nil && in.CaptureMethod == stripego.PaymentIntentCaptureMethodManual
}

// Capture implements payment.Gateway. Stripe itself takes money that is held once; what it refuses
// to take, because it was taken or released before, is read again.
func (g *Gateway) Capture(ctx context.Context, session string) (payment.Session, error) {
	acct, cs, err := splitID(session)
	if err != nil || cs == never {
		return payment.Session{ID: session, State: payment.SessionEnded}, err
	}
	return g.decide(ctx, acct, cs, "capture", func(intent, key string) error {
		_, err := g.api.intents.Capture(intent, &stripego.PaymentIntentCaptureParams{Params: params(ctx, acct, key)})
		return err
	})
}

// release lets go of the money that a session holds, and returns how it stands.
func (g *Gateway) release(ctx context.Context, acct, cs string) (payment.Session, error) {
	return g.decide(ctx, acct, cs, "cancel", func(intent, key string) error {
		_, err := g.api.intents.Cancel(intent, &stripego.PaymentIntentCancelParams{Params: params(ctx, acct, key)})
		return err
	})
}

// decide acts on the money that a session holds, if it holds any, and returns how it stands then.
// What was done before counts as done: Stripe refuses to take or release twice.
func (g *Gateway) decide(ctx context.Context, acct, cs, what string, act func(intent, key string) error) (payment.Session, error) {
	found, err := g.read(ctx, acct, cs)
	s, err := g.answer(acct, found, err)
	if err != nil || s.State != payment.SessionAuthorised {
		return s, err
	}
	key := what + ":" + cs
	if err = act(found.PaymentIntent.ID, key); stuck(err) {
		err = act(found.PaymentIntent.ID, key+again)
	}
	if _, over := refused(err, stripego.ErrorTypeInvalidRequest); err != nil && !over {
		return payment.Session{}, failed(what+" session "+cs, acct, err)
	}
	s, lookErr := g.Get(ctx, sessionID(acct, cs))
	if err != nil && s.State == payment.SessionAuthorised {
		return payment.Session{}, failed(what+" session "+cs, acct, err)
	}
	return s, lookErr
}
