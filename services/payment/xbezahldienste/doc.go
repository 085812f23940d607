// Package xbezahldienste speaks XBezahldienste 1.2.0, 1.1.0 and 1.0.0 (FITKO), the federal
// interface between online services and payment services, on top of package payment.
//
// One base URL serves all municipalities: endPointId is the ARS or AGS of any municipality
// that a tenant administers, originatorId the online service. The whole contract is in
// contracts/openapi/payment-xbezahldienste.yaml.
//
// Where the standard leaves something open, this is what we do:
//
//   - Who asks shows an OAuth2 access token with scope post or read: as Bearer; bound to a key, with
//     a DPoP proof (RFC 9449), by the scheme DPoP or as clients in the field do by Bearer; or bound to
//     the client's TLS certificate (RFC 8705). With payment.basic_auth it may show client_id and
//     secret by HTTP Basic instead, and may do what its tokens may. A missing or wrong token is
//     403 FORBIDDEN, for the standard knows no 401. The standard's third scope, admin, opens
//     nothing that it describes.
//   - All errors are SystemResponse documents that satisfy the schema, patterns included:
//     detail has no quotes, slashes or colons. Our stable error code is the last part of type.
//     An item is named by dots: items.0.id.
//   - Statuses are those that the standard lists (400, 403, 404, 503) and 500. What elsewhere
//     is 409, 413, 415 or 429 becomes 400 if the request has to change and 503 with
//     Retry-After if it has to wait. GET of an unknown transaction is 404 UNSPECIFIED.
//   - Amounts are exact decimals with two places at most, in any JSON notation. The sums must
//     agree to the cent: no tolerance.
//   - null is not a way to leave a field out: the schema has no nullable field, and we give
//     the request back as it came. Only of 1.0.0 it is taken, whose released clients send it.
//   - BOOKING_DATA_MISSING is what the municipality's settings say (payment.Settings), also for
//     booking data that are there but not as it needs them.
//   - NO_VALID_ORIGINATOR_OR_DESTINATION is deprecated and never sent.
//   - PAYMENT_EXISTS holds for originator, municipality and requestId, also if once the ARS
//     and once the AGS was used. With an Idempotency-Key the same bytes get the first answer
//     again for 24 hours.
//   - transactionRedirectUrl is there in every state; after the end it shows the result.
//   - An expired transaction is FAILED with statusDetail expired.
//
// # Versions
//
// All versions have the same address. A POST is read by its shape, for clients in the field
// send no X-XBezahldienste-Version: with grosAmount it is 1.0.0, with a requestor without
// requestorType 1.1.0. It is answered with the request as it came, and the header names the
// version that was understood. A GET gives the request back as it came; if the header names
// a version, in the words of that one: with the amount under its name, without a requestor
// that it cannot say. paymentInformation is the same in all versions. (1.1.0 requires in it a
// paymentRequest that it does not allow there; nobody can send that.) Another version than
// 1.x is refused.
package xbezahldienste
