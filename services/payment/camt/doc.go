// Package camt reads bank statements: CAMT.053 (account statement) and CAMT.054 (notification
// of bookings) of ISO 20022, in the versions 001.02 and 001.08 that German banks send (DFÜ-
// Abkommen of Die Deutsche Kreditwirtschaft, annex 3).
//
// # Promises
//
//   - A file is read as a stream, in constant memory, whatever its size.
//   - It is right as a whole or refused as a whole, with the line and the reason (Error). Who
//     acts on entries reads twice: first without a callback for the verdict, then for the
//     entries.
//   - Amounts are exact cents. What is not in euros is refused.
//   - Opening balance, booked entries and closing balance agree; so do all sums and numbers
//     that the file gives: of the statement, of a batch, of the transactions of an entry.
//   - No document type, no entities but XML's own five, no encoding but UTF-8; depth, length
//     of a text, number of statements and size are bounded.
//   - Names, addresses and accounts of payers are never read: they are passed over.
//
// What the promises do not cover: the order and the cardinality of elements that are passed
// over, and code lists; a bank's file is not validated against the schema.
package camt
