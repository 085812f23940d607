// Package console is what people of the administration click on: the staff's applications,
// claims, payments and refunds, and for its tenant-admins the treasury and webhooks; the operator's
// tenants, local mail and dead letters; and for everybody the start pages of the installation
// and of each municipality, with their legal pages.
//
// It owns no business tables, tells no events and decides nothing: each page asks the
// service that owns the matter, with the access token of the person who is logged in, so
// that the service's own guards and audit log apply. A service that is away takes its own
// pages down, no others.
package console
