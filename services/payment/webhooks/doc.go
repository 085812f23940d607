// Package webhooks tells a municipality's own systems what happens to its payments: signed
// messages over HTTP as Standard Webhooks 1.0.0 describes them.
//
// It is a part around the service payment, fed by the service's own events. It owns endpoints
// (where to, which events, which secrets) and deliveries (one message for one endpoint, with
// the tries made). Receivers are told what to do in docs/webhooks.md.
//
// # Promises
//
//   - Each event that an enabled endpoint wants becomes a delivery once, in one transaction
//     with the mark that the event was heard; none is missed that happened after the endpoint
//     was created. It is sent at least once: a process that dies between the receiver's answer
//     and our mark lets it go out again, with the same id.
//   - A failed try is repeated after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h,
//     each 10 % more or less. Retry-After makes it later, never sooner. 2xx alone is success;
//     no redirect is followed.
//   - An endpoint that answers 410, or of which nothing was heard but failures for five days,
//     is disabled and says so. What waits for a disabled endpoint is kept and goes out when it
//     is enabled again; what happens meanwhile is not kept for it.
//   - A slow or broken endpoint delays itself alone: tries at once are bounded for each
//     endpoint, each tenant and the process; a failing endpoint is tried one at a time.
//     Bounds are per process. No order is kept.
//   - No request goes to a private network. The address is checked when the connection is
//     made, after the name was resolved, so that a name that changes its address gains
//     nothing; proxies of the environment are ignored.
//   - Deliveries are kept for 30 days after their event and can be sent again meanwhile.
//
// # Never
//
// It sends no personal data: ids, states and amounts, as the events have them. It keeps nothing
// of an answer but its status, and shows a secret once. No network call happens inside a
// database transaction.
package webhooks
