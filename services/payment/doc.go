// Package payment takes payments for municipalities: a claim comes in, the payer is led to a
// provider, the money is booked once, and who asked is told.
//
// It owns transactions (claims, from INITIAL to PAYED, FAILED, CANCELED or EXPIRED), attempts
// (tries to pay one at a provider), refunds, history (what happened to each), numbers (the
// ranges of Kassenzeichen), the ledger (package ledger), and what providers paid out and payers
// disputed (package settlement). Adapters have tables of their own with their name as prefix.
//
// # Events
//
// Out: payment.transaction.created, authorised, payed, failed, canceled, expired,
// payment.refund.requested, succeeded, failed, payment.settlement.completed and
// payment.dispute.changed (v1), each written in the transaction that changes the state. In: those
// of the tenant directory; and its own, for the parts webhooks and request.
//
// # Promises
//
//   - A transaction that was acknowledged is stored, numbered and told; asking for it twice
//     makes one. No provider has to be there for that.
//   - A final state never changes. An expired transaction is told as FAILED with the reason
//     "expired", for XBezahldienste has no word for it: the service ended it, not the payer.
//   - Nobody pays twice: a transaction has at most one open attempt (the database sees to it),
//     the attempt is stored before the provider hears of it and is the provider's idempotency
//     key, and another method is offered only after the session before was closed there.
//   - Where a provider does not answer, the offer's fallback takes over, as long as nobody has
//     the address of a pay page; a method without a provider that answers shows as down.
//   - Nothing that was paid is lost: notifications, the returning browser and the sweep all
//     make us read the session again, and a transaction expires only after its provider said
//     that no money can come in any more. Money that comes in for an ended transaction all the
//     same is kept as an attempt in state surplus, with an entry in the history.
//   - A claim of the municipality with a day on which it is due is ended by the municipality
//     alone, or by its time: a payer who breaks off may come back.
//   - Where the municipality wants it so, a card's money is held first, and taken or released
//     when it decides, at the latest after five days; a decision to take it is carried out
//     however often the provider's answer is lost.
//   - Refunds of a payment never exceed it, however many are asked for at once; where they come
//     above a tenant's limit, in one or in parts, a second person has to approve. A refund that
//     succeeded may still fail: then it is booked back, and the money can be given back again.
//   - Every claim and what becomes of it is booked in the transaction that changes the state:
//     the claim (Sollstellung) by budget line, money that came in, a claim that was dropped, a
//     surplus, a refund, what a provider kept, paid out or took back. Every booking sums to zero, and
//     a provider's clearing account is 0 once all that it took in is settled.
//   - The browser goes back to the client's redirectUrl and carries no result. The address of
//     a pay page cannot be guessed and shows one transaction; opening it again does no harm.
//   - Kassenzeichen are unique within a municipality and counted up in its range. A request
//     that fails, or a process that ends after a busy time, may leave a gap.
//
// # Never
//
// It never sees card numbers or accounts, keeps no payer's data but the request as the client
// sent it (given back by the standard's GET) and, until it is paid, the address of one who is to
// be asked by mail (package request), puts none of it into events or logs, and makes
// no network call inside a database transaction.
//
// # Parts
//
// main hands them in, each with its tables and routes: xbezahldienste speaks the federal
// standard; sandbox and stripe are providers behind the interface Gateway, both held to what
// package paymenttest says that a Gateway promises; transfer (bank transfer with GiroCode) is a
// Gateway without a provider; treasury imports bank statements (package camt reads them), closes
// days and exports; webhooks tells other systems; request asks payers by mail and draws codes for
// letters; receipt gives receipts of what was paid. Originators are not yet bound to clients: a
// client that a municipality switched on may read all of its transactions whose ids it knows.
package payment
