// Package booking lets citizens book a time with an official, by video or at a counter.
//
// It owns the appointments and closures of each municipality. Offices, services and opening
// hours are settings of the tenant ("booking"), over the operator's catalogue.
//
// Tables: appointments; grains (five minutes of a resource, taken); days (the same as
// bitmaps, for reading, and the lock of an office's day); closures.
//
// Events out: booking.appointment.held|confirmed|moved|canceled.v1. A hold that lapses tells
// nothing. Events in: its own, to send invitations through notify.
//
// Promises:
//
//   - A resource has one appointment at a time. The primary key of grains keeps it, on SQLite
//     and PostgreSQL alike, whatever the program does; the bitmaps in days are changed in the
//     same transaction and only save asking.
//   - A time that was shown and is taken meanwhile is refused with times nearby. A move to a
//     taken time leaves the appointment where it was.
//   - A hold lasts some minutes. When they are over it is free for others at once, and the
//     name behind it is forgotten within a minute.
//   - Confirming, moving, canceling twice has its effect and its mail once.
//   - All times are UTC; opening hours are Germany's, also on the two days a year on which
//     clocks change.
//   - The secret in a citizen's link is derived from the appointment with a key of the
//     installation (HMAC-SHA256, 128 bits) and compared in constant time: the database holds
//     neither it nor a hash of it. Wrong secrets and other tenants' appointments do not exist.
//   - Appointments are deleted some time after their end (configuration: keep, 30 days).
//
// What it never does: sell or overbook a time; log names, addresses, secrets or links; put
// them into events; call a conference server or notify inside a transaction.
//
// Left to staff: a closure does not cancel what is booked already; its answer lists it.
// Mails are sent in the order of the events of one kind; a calendar program goes by SEQUENCE.
package booking
