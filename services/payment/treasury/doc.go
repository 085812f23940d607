// Package treasury is what a municipality's treasury (Kasse) works with: it imports bank
// statements and finds the claims that were paid by transfer, closes each day, and exports
// claims (Sollstellungen), payments (Istbuchungen) and settlements. Every figure is a sum over the ledger.
//
// # Promises
//
//   - A statement is imported as a whole or not at all, and once: the account, the bank's id,
//     the sequence number and the page name it.
//   - Money that names one open claim by its Kassenzeichen, and has its amount, pays it, once,
//     however often a process dies in between. Whatever else came in stays in the list of what
//     did not match, with the reason: nobody has to guess, and nothing is guessed.
//   - Money for a claim that had ended is booked as surplus if it has the claim's amount.
//     A camt.054 and the camt.053 that follows it tell of the same money: it counts once.
//   - The closing of a day that is over is stored when it is first asked for, with the next
//     number, and is the same to the byte ever after. A day is over ten minutes after midnight
//     in Germany, so that what was begun before is in the books.
//   - An export of days that are over is the same to the byte whenever it is asked for, and so are
//     the lines of a settlement (package settlement), which add up to what the provider paid out.
//
// # Never
//
// Names, addresses and accounts of payers are not read from statements and stand in no export.
// The text of a transfer is kept only while it has not matched.
//
// # How money is matched
//
// Words of the remittance text, of the structured creditor reference and of the end-to-end id
// are compared with the Kassenzeichen of the tenant's claims, exactly, whatever their pattern. A
// word is letters, digits, hyphens and underscores, 5 to 36 of them with at least one digit. A
// bank may have broken a word at the end of a line, so lines are also read without a break.
// Money that names no claim, but a provider's payout by its id, and has its amount, is that
// settlement's: it has arrived. Where the provider does not write its id into the transfer the money stays in
// the list, and what a provider takes back from the bank is not looked for.
package treasury
