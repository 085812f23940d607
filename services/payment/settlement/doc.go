// Package settlement follows the money from providers to the municipality's bank: payouts with
// the payments, refunds, disputes and fees that each is made of, and payers' disputes. It keeps
// them as the providers tell, books what they mean, and knows no provider itself.
//
// # Promises
//
//   - A settlement and a dispute may be saved as often as they are read, in whatever order:
//     what was overtaken changes nothing, and nothing is booked twice.
//   - A settlement is complete once its lines are known. They sum up to its amount, to the cent
//     (Save refuses others), and neither they nor the amount change any more.
//   - What the provider kept of a line is booked as a fee; a disputed payment stays on the
//     account "disputed" until the dispute is won, and goes to "chargebacks" when it is lost; a
//     payout goes from the provider's clearing account to the bank, and back if it fails.
//     Payments and refunds are booked by the service when it hears of them, not here. So the
//     clearing account is 0 once all of a provider's payments are settled.
//   - Others are told once that a settlement is complete and paid, and of each new state of a
//     dispute, in the transaction that stores it.
//
// # What is left over
//
// Lines of payments and refunds that are none of ours, such as those that somebody made at the
// provider's own pages, are kept but not booked, for the service knows no claim of theirs: the
// clearing account then differs from 0 by what Sums calls Foreign. The books are in euros: what
// was settled in another currency is kept and told, and not booked.
//
// Save and SaveDispute take effect if and only if the transaction commits; they wait for others
// that save the same settlement or dispute.
package settlement
