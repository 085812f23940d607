// Package transfer lets payers transfer the money themselves, with a GiroCode that their bank's
// app reads. There is no provider: a session is a page of ours with the account, the amount
// and the Kassenzeichen, and nothing is stored for it.
//
// A session stays open until the transaction ends. The import of bank statements (package
// treasury) finds the money by its Kassenzeichen and pays the transaction; that ends the attempt.
// Nobody can keep a payer from transferring later: what comes for a transaction that ended,
// or was paid otherwise meanwhile, is booked as surplus.
//
// A municipality switches it on by an offer with the provider "transfer", and says where to:
//
//	"payment": {
//	  "methods": [{"key": "transfer", "method": "OTHER", "detail": "transfer", "provider": "transfer"}],
//	  "transfer": {"iban": "DE…", "bic": "", "holder": "Stadt Erfurt", "days": 14}
//	}
//
// Money cannot be given back by a session: a refund fails with the reason bank_transfer, and
// the treasury transfers it.
package transfer
