// Package notify sends messages of municipalities to citizens: by e-mail, or into the
// citizen's mailbox at the municipality.
//
// It owns the tables messages, attachments, local_mails, templates and api_keys.
//
// It hears no events of others: who wants a message sent calls the API, with an
// Idempotency-Key. It tells notify.message.accepted.v1, .delivered.v1 and .failed.v1, which
// hold ids and states and neither addresses nor texts.
//
// What it promises:
//
//   - An answer 201 means that the message is stored and that its sending will go on after
//     any crash, until it is delivered or reported as failed; tries go on for 48 hours.
//   - Towards an SMTP server at least once: a mail whose acceptance was not noted is sent
//     again, byte for byte the same and with the same Message-ID. Into the local outbox (no
//     SMTP server configured) and into the mailbox exactly once.
//   - No message leaves with a gap: a placeholder without a value is refused when the message
//     is posted. Values are text; they never become markup, links or header fields.
//   - Tenants take turns; one's backlog does not hold up another's.
//   - Recipient, text and files are deleted after the retention time (30 days by default);
//     the rest of the row stays, for figures.
//   - In the mailbox the time at which a message became available (completed_at) and that of
//     its first retrieval (read_at) are kept, as § 9 (1) OZG has them matter.
//
// It never logs or tells addresses, names, subjects or texts, never follows links, and
// never changes a version of a template.
//
// "delivered" means that the next system took the message. Notices of non-delivery that
// come back later (DSN) are not read.
package notify
