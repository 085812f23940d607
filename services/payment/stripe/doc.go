// Package stripe lets payers pay by Stripe: a Checkout Session, with Stripe's own pay page, for
// each attempt, as a direct charge on the municipality's connected account. The municipality is the
// merchant; the operator never holds the money, and no card number comes near us. It speaks API
// version 2024-06-20.
//
// # Settings
//
// The process: payment.stripe.secret_key (or secret_key_file), livemode, and the signing secrets of
// the two webhook endpoints, each a list so that secrets can be rolled. Without a key Stripe is not
// offered; with one an attempt lasts 23 hours at most (payment.session_time), for Stripe knows
// idempotency keys for a day.
//
// A tenant: {"stripe": {"account": "acct_…"}} in its payment settings, which goes before an account
// that its administrator opened here, or "own" where the key is the municipality's own and there is
// no platform; and offers with provider "stripe": CREDITCARD, PAYPAL, or OTHER with detail SEPA and
// the like (see methodTypes). An account is one tenant's.
//
// # Promises
//
//   - One attempt has at most one session: the attempt is the idempotency key. A lost answer is
//     found again by the same key, or, where Stripe would not take it (another language, a day
//     later, a failure of its own), by listing the account's sessions of that time.
//   - What counts is payment_status, read from Stripe; neither the payer's return nor an event is
//     believed. The amount and currency given back are those that Stripe received.
//   - Money that is to be held is authorised only (PaymentIntent with manual capture, cards alone). It
//     is captured once and released once, however often either is asked for; there the state of
//     the PaymentIntent counts, not payment_status.
//   - A session remembers its account, so it can be read after the municipality changed to
//     another one. Test and live mode are never mixed: a session or event of the other is refused.
//   - A refund is made once, however often it is asked for and however late.
//   - An event is taken when its signature fits one of the secrets and its time is within
//     300 seconds of ours, before or after. It is stored before it is answered, once; what it is
//     about is then read again, until that works. Events of unknown objects are answered 200.
//   - Disputes and payouts are read as Stripe's objects stand, whatever the event was called, and
//     handed to package settlement, which keeps and books them. A payout has lines only once Stripe
//     has put it together and they sum up to it; each names the transaction that it is of. One that is
//     not put together, or not paid, is read again every six hours for a month.
//   - A refund of a disputed charge has failed: charge_disputed if Stripe refuses it,
//     charge_for_pending_refund_disputed if it was on its way. It is not asked for again.
//   - Errors of Stripe are passing ones to the caller and never a state. Their text holds type, code
//     and request id, no payer's data. Telemetry is off, and what stripe-go tells of the machine is removed.
//
// # Limits
//
// Stripe takes 0.50 EUR or more, so offers want a minimum. Its sessions live 30 minutes to 24 hours: one
// of an attempt that ends sooner lives on until it is ended. A card that is declined leaves the session open,
// for the payer may try another on the same page. A refund made in Stripe's dashboard is not seen.
// Money is held for seven days at most, of which the service uses five.
package stripe
