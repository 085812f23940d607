// Package stripeapi stands for Stripe: a stateful fake of the part of its API, version
// 2024-06-20, that the adapter services/payment/stripe uses, as an http.Handler.
//
// It keeps what it is told in memory, for it is another company's system and lives as long as
// a test or a trial; nothing of a municipality depends on it. The clock is handed in. Who pays,
// with which card, and when money arrives, the caller says by methods: Pay, Authenticate,
// Settle, Dispute, Payout. What happened is told by signed webhooks when Deliver is called: at
// least once, and shuffled and repeated if the caller wants it so.
//
// Like Stripe it has Checkout Sessions as direct charges on connected accounts (header
// Stripe-Account), PaymentIntents, also such that hold the money for up to seven days until it is
// captured or released, Charges, Refunds that can still fail later, Disputes,
// Payouts and balance transactions; idempotency keys that live for a day; errors in Stripe's
// shape; and it refuses parameters that it does not know. Its answers are held against answers
// recorded from Stripe (testdata, see the LICENSE there) and against those of stripe-mock. What only
// Stripe's own servers can show is not here: rate limits by load, delays, Radar, and the pay page itself.
package stripeapi
