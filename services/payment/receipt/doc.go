// Package receipt gives payers a receipt of what they paid (Zahlungsbeleg), as a page under
// their pay link and as a PDF, and gives the PDF to programs of the municipality.
//
// A receipt proves a payment and is no invoice in the sense of § 14 UStG; it says so. It names
// the municipality and not the payer, whom we do not know. Nothing is stored for it: it is
// written from the transaction whenever somebody asks, in German or English. What was given
// back meanwhile stands on it.
//
// The PDF is the same to the byte for the same transaction with the same refunds: its date is
// that of the payment. Letters of Latin, Greek and Cyrillic scripts are shown by the embedded
// DejaVu Sans; those of others, and emoji, as an empty box. The PDF is not tagged: the page is
// the form for those who use assistive technology.
package receipt
