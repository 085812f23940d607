// Package request asks payers by mail for what they owe, and draws codes for letters.
//
// A clerk, or a specialist application, has created a transaction that is to be paid later, and
// names the payer's address. The payer gets a mail with the pay link through the service
// notify, and reminders on the wished days before the due date at nine o'clock in Germany.
//
// # Promises
//
//   - A request that was acknowledged is stored; its mail is handed to notify soon after. While
//     notify is away it is tried again with growing pauses, for 20 hours from the first try.
//   - No mail twice: a mail has an id that notify takes as Idempotency-Key, and each try says the
//     same. Notify remembers keys for 24 hours, which is why tries end before; what was not
//     taken by then is FAILED, and can be asked for anew after a DELETE.
//     After a restore from a backup what was sent since then may go out again.
//   - Several processes may sweep at once: each mail is claimed by one.
//   - Reminders go out only while the transaction is INITIAL and no money is held for it. Who pays
//     while the mail is on its way may still get it. A reminder whose day was over when its turn
//     came is SKIPPED.
//   - The address is deleted as soon as the transaction is final or money is held, or by DELETE;
//     what was sent when is deleted 30 days after that. The address is shown masked, and stands in
//     no event, log or audit entry. Neither does the pay link: who has it may pay and see the
//     payment.
//
// Codes for letters are QR codes of the pay link, and a GiroCode (package transfer) for those who
// rather transfer; both as SVG with a title and as PNG.
package request
