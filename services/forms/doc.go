// Package forms lets citizens apply for something at their municipality, and lets the
// municipality decide.
//
// It owns form definitions by version, drafts and applications with their answers, uploaded
// files, the attempts to pay a fee, and an event log for each application.
//
// # Tables
//
// definitions (the operator's catalogue; a version never changes), applications (drafts
// too), application_events, files (rows; the bytes are below DATA/forms/files), payments.
//
// # An application's way
//
//	draft → submitted → delivered → accepted | rejected
//	            ↘ awaiting_payment → paid ↗
//	withdrawn: from every state between draft and the decision
//
// Answers are checked against a JSON Schema 2020-12 and against the pages. Members that the
// FIM catalogue knows bear its numbers (F60000227, G60000083, …); the others have plain
// names, as no official number exists that we could vouch for.
//
// # Events
//
// Out: forms.application.submitted, paid, delivered, accepted, rejected, withdrawn (v1).
// In: payment.transaction.payed, failed, canceled, expired (v1), matched by request id; and
// its own events, for which it has notify write to the applicant.
//
// # Promises
//
//   - A submitted application is there, with its event, or it was not submitted. Submitting
//     twice submits once. No application gets lost because another service is away: the
//     payment service is asked again until it answers, and the link to pay goes by mail.
//   - A payment moves an application on once, whatever arrives how often. Money for an
//     application that needs none shows up in the event log as paid_in_vain.
//   - The first payment's request id is the application's id; each further attempt has its
//     own, so a late event of an earlier attempt still finds its application.
//   - A draft keeps the version of the form that it began with. It is seen by its citizen
//     alone and is deleted 30 days after its last edit (§ 8a OZG, § 9b EGovG).
//   - A file exists once its row does: bytes are streamed to a temporary file while size,
//     hash and type are taken, then synced, renamed, and told to the database, in this
//     order. What a crash leaves behind is never served and is swept away.
//   - Every page works without JavaScript. What was typed is kept, also when it is wrong.
//
// # What it never does
//
// It puts no answer, name or address into an event or a log line. It changes no application
// after it was submitted, but for its state. It does not scan files for malware.
// Deliveries go to the municipality's staff pages; FIT-Connect is not spoken here yet, and
// files are kept on the disk of one machine.
package forms
