package stripe

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	stripego "github.com/stripe/stripe-go/v79"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
)

// Name of the provider in a municipality's offers.
const Name = "stripe"

// Own is the account of a municipality whose key is its own.
const Own = "own"

// Bounds of a session's life at Stripe, with a minute for the way there.
const (
	shortest = 31 * time.Minute
	longest  = 24*time.Hour - time.Minute
)

// The keys of the metadata by which objects at Stripe name ours.
const (
	metaTenant      = "tenant"
	metaTransaction = "transaction"
	metaAttempt     = "attempt"
	metaRefund      = "refund"
)

// Gateway implements payment.Gateway. It is safe for concurrent use.
type Gateway struct {
	api      api
	livemode bool
	lives    time.Duration // most that an attempt lives
	clock    func() time.Time
	db       *db.DB // where accounts are kept that were made here; nil: nowhere
}

// NewGateway returns the provider behind the configuration.
func NewGateway(cfg payment.Config, clock func() time.Time) *Gateway {
	return &Gateway{api: newAPI(cfg.Stripe, cfg.ProviderTimeout), livemode: cfg.Stripe.Livemode, lives: cfg.SessionTime, clock: clock}
}

// tenantSettings are what of a tenant's payment settings is for Stripe.
type tenantSettings struct {
	Stripe struct {
		Account string `json:"account"`
	} `json:"stripe"`
}

var accountShape = regexp.MustCompile(`^(acct_[A-Za-z0-9_]{1,64}|` + Own + `)$`)

// accountOf returns the tenant's account at Stripe; "" if it has none. That of its settings goes
// before one that was made here.
func (g *Gateway) accountOf(ctx context.Context, e tenantdir.Entry) (acct string, err error) {
	acct, err = accountInSettings(e)
	if err != nil || acct != "" || g.db == nil {
		return acct, err
	}
	ctx = db.For(ctx, e.Tenant)
	err = g.db.Read(ctx, func(tx *db.Tx) error {
		acct, err = keptAccount(ctx, tx)
		return err
	})
	return acct, err
}

func accountInSettings(e tenantdir.Entry) (string, error) {
	s, err := tenantdir.Settings(e, "payment", tenantSettings{})
	if err == nil && s.Stripe.Account != "" && !accountShape.MatchString(s.Stripe.Account) {
		err = fmt.Errorf("account %q: want acct_… or %s", s.Stripe.Account, Own)
	}
	if err != nil {
		return "", fmt.Errorf("payment settings of %s: stripe: %w", e.Slug, err)
	}
	return s.Stripe.Account, nil
}

// account returns where the tenant of ctx takes money.
func (g *Gateway) account(ctx context.Context, tenant id.ID) (string, error) {
	e, ok := tenantdir.From(ctx)
	if !ok || e.ID != tenant {
		return "", fmt.Errorf("stripe: the context does not act for tenant %s", tenant)
	}
	a, err := g.accountOf(ctx, e)
	if err == nil && a == "" {
		err = fmt.Errorf("payment settings of %s: stripe: no account", e.Slug)
	}
	return a, err
}

// again ends the second key of a request, whose first one is stuck.
const again = ":again"

// never stands for a session that was not made, and will not be any more.
const never = "never"

// sessionID is how a session is named to the service: with its account.
func sessionID(account, session string) string { return account + "/" + session }

func splitID(s string) (account, session string, err error) {
	account, session, ok := strings.Cut(s, "/")
	if !ok || account == "" || session == "" {
		return "", "", fmt.Errorf("stripe: %q names no session of an account", s)
	}
	return account, session, nil
}

// methodTypes are Stripe's names of an offer's method; nil if Stripe does not have it. Apple Pay and
// Google Pay are cards in a wallet.
func methodTypes(m payment.Method, detail string) []string {
	switch m {
	case payment.CreditCard:
		return []string{"card"}
	case payment.PayPal:
		return []string{"paypal"}
	case payment.Other:
		switch strings.ToLower(detail) {
		case "sepa":
			return []string{"sepa_debit"}
		case "applepay", "googlepay":
			return []string{"card"}
		case "eps", "bancontact", "ideal", "p24", "klarna", "link", "twint":
			return []string{strings.ToLower(detail)}
		}
	case payment.Giropay, payment.Paydirect: // ended in 2024
	}
	return nil
}

// Create implements payment.Gateway.
func (g *Gateway) Create(ctx context.Context, c payment.Checkout) (payment.Session, error) {
	acct, err := g.account(ctx, c.Tenant)
	if err != nil {
		return payment.Session{}, err
	}
	if !g.clock().Before(c.ExpiresAt) { // too late to make one; perhaps there is one
		made, err := g.find(ctx, acct, c)
		if err == nil && made == nil {
			return payment.Session{ID: sessionID(acct, never), State: payment.SessionEnded}, nil
		}
		return g.answer(acct, made, err)
	}
	wanted, err := g.checkout(ctx, acct, c)
	if err != nil {
		return payment.Session{}, err
	}
	made, err := g.api.sessions.New(wanted)
	_, other := refused(err, stripego.ErrorTypeIdempotency)
	if other || stuck(err) { // it was made before, with other words such as another language, or perhaps
		found, lookErr := g.find(ctx, acct, c)
		switch {
		case found != nil || lookErr != nil:
			return g.answer(acct, found, lookErr)
		case other:
			return payment.Session{}, fmt.Errorf("stripe: attempt %s has a session that is not listed yet", c.Attempt)
		}
		wanted.IdempotencyKey = stripego.String(*wanted.IdempotencyKey + again)
		made, err = g.api.sessions.New(wanted)
	}
	if err != nil {
		return payment.Session{}, failed("create a session", acct, err)
	}
	if replayed(made.LastResponse) { // how it stood then, not now
		return g.Get(ctx, sessionID(acct, made.ID))
	}
	return g.answer(acct, made, nil)
}

// checkout writes the session that is wanted.
func (g *Gateway) checkout(ctx context.Context, acct string, c payment.Checkout) (*stripego.CheckoutSessionParams, error) {
	types := methodTypes(c.Method, c.Detail)
	if types == nil {
		return nil, fmt.Errorf("stripe: there is no %s %s; change the offer", c.Method, c.Detail)
	}
	now, ends := g.clock(), c.ExpiresAt
	if soonest := now.Add(shortest); ends.Before(soonest) {
		ends = soonest
	}
	if latest := now.Add(longest); ends.After(latest) {
		ends = latest
	}
	var capture *string
	if c.Hold {
		if types[0] != "card" {
			return nil, fmt.Errorf("stripe: money of %s %s cannot be held; change the offer", c.Method, c.Detail)
		}
		capture = stripego.String(string(stripego.PaymentIntentCaptureMethodManual))
	}
	names := map[string]string{metaTenant: c.Tenant.String(), metaTransaction: c.Transaction.String(), metaAttempt: c.Attempt.String()}
	return &stripego.CheckoutSessionParams{
		Params:            params(ctx, acct, "session:"+c.Attempt.String()),
		Mode:              stripego.String(string(stripego.CheckoutSessionModePayment)),
		SubmitType:        stripego.String("pay"),
		ClientReferenceID: stripego.String(c.Transaction.String()),
		Metadata:          names,
		Locale:            stripego.String(c.Language),
		SuccessURL:        stripego.String(c.ReturnURL), // carries no result
		CancelURL:         stripego.String(c.ReturnURL),
		ExpiresAt:         stripego.Int64(ends.Unix()),
		PaymentIntentData: &stripego.CheckoutSessionPaymentIntentDataParams{
			Description: stripego.String(c.Reference), Metadata: names, CaptureMethod: capture,
		},
		PaymentMethodTypes: stripego.StringSlice(types),
		LineItems: []*stripego.CheckoutSessionLineItemParams{{
			Quantity: stripego.Int64(1),
			PriceData: &stripego.CheckoutSessionLineItemPriceDataParams{
				Currency: stripego.String(strings.ToLower(c.Currency)), UnitAmount: stripego.Int64(int64(c.Amount)),
				ProductData: &stripego.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripego.String(c.Text)},
			},
		}},
	}, nil
}

// expanded are the objects that an answer brings along.
func expanded(prefix string) []*string {
	return stripego.StringSlice([]string{prefix + "payment_intent.latest_charge"})
}

// find looks for the attempt's session among those of its time; nil if there is none.
func (g *Gateway) find(ctx context.Context, acct string, c payment.Checkout) (*stripego.CheckoutSession, error) {
	const slack = 10 * time.Minute // between Stripe's clock and ours
	list := g.api.sessions.List(&stripego.CheckoutSessionListParams{
		ListParams: listParams(ctx, acct), Expand: expanded("data."),
		CreatedRange: &stripego.RangeQueryParams{GreaterThanOrEqual: c.ExpiresAt.Add(-g.lives - slack).Unix(), LesserThanOrEqual: c.ExpiresAt.Add(slack).Unix()},
	})
	for list.Next() {
		if s := list.CheckoutSession(); s.Metadata[metaAttempt] == c.Attempt.String() {
			return s, nil
		}
	}
	if err := list.Err(); err != nil {
		return nil, failed("list sessions", acct, err)
	}
	return nil, nil
}

// Get implements payment.Gateway.
func (g *Gateway) Get(ctx context.Context, session string) (payment.Session, error) {
	acct, cs, err := splitID(session)
	if err != nil {
		return payment.Session{}, err
	}
	if cs == never {
		return payment.Session{ID: session, State: payment.SessionEnded}, nil
	}
	found, err := g.read(ctx, acct, cs)
	return g.answer(acct, found, err)
}

func (g *Gateway) read(ctx context.Context, acct, session string) (*stripego.CheckoutSession, error) {
	found, err := g.api.sessions.Get(session, &stripego.CheckoutSessionParams{Params: params(ctx, acct, ""), Expand: expanded("")})
	if err != nil {
		return nil, failed("read session "+session, acct, err)
	}
	return found, nil
}

// End implements payment.Gateway.
func (g *Gateway) End(ctx context.Context, session string) (payment.Session, error) {
	acct, cs, err := splitID(session)
	if err != nil || cs == never {
		return payment.Session{ID: session, State: payment.SessionEnded}, err
	}
	ended, err := g.api.sessions.Expire(cs, &stripego.CheckoutSessionExpireParams{Params: params(ctx, acct, ""), Expand: expanded("")})
	if _, over := refused(err, stripego.ErrorTypeInvalidRequest); over { // it is not open any more
		return g.release(ctx, acct, cs)
	}
	if err != nil {
		return payment.Session{}, failed("expire session "+cs, acct, err)
	}
	return g.answer(acct, ended, nil)
}

// answer says how a session stands.
func (g *Gateway) answer(acct string, cs *stripego.CheckoutSession, err error) (payment.Session, error) {
	if err != nil {
		return payment.Session{}, err
	}
	if cs.Livemode != g.livemode {
		return payment.Session{}, fmt.Errorf("stripe: session %s has livemode %t; this installation has %t", cs.ID, cs.Livemode, g.livemode)
	}
	s := payment.Session{
		ID: sessionID(acct, cs.ID), URL: cs.URL, Amount: money.Amount(cs.AmountTotal), Currency: strings.ToUpper(string(cs.Currency)),
	}
	intent := cs.PaymentIntent
	switch {
	case cs.PaymentStatus == stripego.CheckoutSessionPaymentStatusPaid || held(intent) && intent.Status == stripego.PaymentIntentStatusSucceeded:
		if intent == nil || intent.Status != stripego.PaymentIntentStatusSucceeded {
			return s, fmt.Errorf("stripe: session %s is paid, but by no payment intent that succeeded", cs.ID)
		}
		s.State = payment.SessionPaid
		s.Amount, s.Currency = money.Amount(intent.AmountReceived), strings.ToUpper(string(intent.Currency))
		if charge := intent.LatestCharge; charge != nil {
			s.Detail, s.PaidAt = methodDetail(charge.PaymentMethodDetails), time.Unix(charge.Created, 0)
		}
	case cs.Status == stripego.CheckoutSessionStatusOpen:
		s.State = payment.SessionOpen
	case cs.Status == stripego.CheckoutSessionStatusExpired:
		s.State = payment.SessionEnded
	case cs.Status == stripego.CheckoutSessionStatusComplete && held(intent) && intent.Status == stripego.PaymentIntentStatusRequiresCapture:
		s.State = payment.SessionAuthorised
		s.Amount, s.Currency = money.Amount(intent.AmountCapturable), strings.ToUpper(string(intent.Currency))
	case cs.Status == stripego.CheckoutSessionStatusComplete && held(intent) && intent.Status == stripego.PaymentIntentStatusCanceled:
		s.State = payment.SessionEnded // released by us, or the hold has lapsed
	case cs.Status == stripego.CheckoutSessionStatusComplete && intent != nil:
		switch intent.Status {
		case stripego.PaymentIntentStatusRequiresPaymentMethod, stripego.PaymentIntentStatusCanceled: // a debit that came back
			s.State, s.Reason = payment.SessionDeclined, declineReason(intent.LastPaymentError)
		case stripego.PaymentIntentStatusProcessing, stripego.PaymentIntentStatusRequiresAction, stripego.PaymentIntentStatusRequiresCapture,
			stripego.PaymentIntentStatusRequiresConfirmation, stripego.PaymentIntentStatusSucceeded: // of the last the session has not heard yet
			s.State = payment.SessionProcessing
		default:
			return s, fmt.Errorf("stripe: session %s has a payment intent in state %q", cs.ID, intent.Status)
		}
	default:
		return s, fmt.Errorf("stripe: session %s is in state %q and %q", cs.ID, cs.Status, cs.PaymentStatus)
	}
	return s, nil
}

// declineReason is why a bank refused, in the service's words.
func declineReason(e *stripego.Error) string {
	if e == nil {
		return "declined"
	}
	switch {
	case e.DeclineCode == stripego.DeclineCodeInsufficientFunds || e.Code == stripego.ErrorCodeInsufficientFunds:
		return "insufficient_funds"
	case e.Code == stripego.ErrorCodeExpiredCard:
		return "expired_card"
	case e.Code == stripego.ErrorCodePaymentIntentAuthenticationFailure || e.Code == stripego.ErrorCodeAuthenticationRequired:
		return "authentication_failed"
	case e.Code == stripego.ErrorCodeCardDeclined:
		return "card_declined"
	}
	return "declined"
}

// methodDetail says what the payer paid with: "Visa", "Apple Pay", "SEPA".
func methodDetail(d *stripego.ChargePaymentMethodDetails) string {
	switch {
	case d == nil:
		return ""
	case d.Card != nil && d.Card.Wallet != nil && d.Card.Wallet.ApplePay != nil:
		return "Apple Pay"
	case d.Card != nil && d.Card.Wallet != nil && d.Card.Wallet.GooglePay != nil:
		return "Google Pay"
	case d.Card != nil:
		return cardBrand(d.Card.Brand)
	case d.SEPADebit != nil:
		return "SEPA"
	case d.Paypal != nil:
		return "PayPal"
	}
	return string(d.Type)
}

func cardBrand(b stripego.PaymentMethodCardBrand) string {
	switch b {
	case stripego.PaymentMethodCardBrandVisa:
		return "Visa"
	case stripego.PaymentMethodCardBrandMastercard:
		return "Mastercard"
	case stripego.PaymentMethodCardBrandAmex:
		return "American Express"
	default:
		return string(b) // as Stripe calls it
	}
}
