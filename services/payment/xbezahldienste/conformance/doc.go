// Package conformance holds a server against XBezahldienste: anyone's, over HTTP, as a client
// that knows nothing of how it is made.
//
// It asks what the standard says (OpenAPI 1.2.0 of FITKO, with what its texts add) clause by
// clause, and gives each a verdict:
//
//   - pass: the server does what the clause says;
//   - fail: it does not, and clients that rely on the standard break;
//   - warn: it does not, but the clause is one that the standard only suggests, or that
//     implementations read differently (patterns of texts, unknown fields, functional codes);
//   - n/a: the clause does not apply, such as maintenance windows at a server of 1.1.0.
//
// A server of 1.1.0 is asked with the requestor of that version, and what 1.2.0 brought does not
// apply. Of 1.0.0, which names the amount otherwise, one clause asks whether the server takes it too;
// a server that takes nothing else cannot be asked. One that takes no valid request at all fails by
// create.plain, whichever clauses are wanted.
//
// What a valid request is, the schema says: the cases of package conformance are made from it,
// each field missing, empty, at its limit, beyond it, of another type, with a sign that its
// pattern forbids. A server may be stricter where a clause is no must, and may know more
// (Idempotency-Key, older versions); neither is held against it.
//
// It changes nothing at the server but that it makes some dozens of payments that nobody pays;
// they end by themselves. Each has a requestId that begins with "check-". Payment pages are
// opened once, without the credential. The number of requests and the time are bounded, and
// the credential is sent to the server's own address alone.
package conformance
