// Package tenants is the control plane: who is a tenant, how it is found, with which settings
// and limits, and what it used. A tenant is an administration: a municipality, a district, or
// a body that administers several municipalities, and then it has several regional keys.
//
// Tables: tenants, tenant_keys, tenant_hosts, catalogue, registry, usage.
//
// Events out: tenants.tenant.changed.v1, a snapshot with the catalogue's defaults merged in,
// in the transaction of each change. Events in: payment.transaction.created and payment.transaction.payed,
// forms.application.submitted, accepted and rejected, notify.message.accepted, delivered and
// failed, booking.appointment.confirmed and canceled, each counted once for the tenant's usage.
//
// Promises:
//
//   - A slug, a regional key and a host belong to one tenant. A slug is for good.
//   - Each change of a tenant, and none but a change, makes a new version and one snapshot.
//   - After a change of the catalogue every tenant's snapshot follows, also over a restart.
//   - An import can be repeated: what is there already is left alone.
//   - Who did what to a tenant is in its audit log; imports and the catalogue are in the
//     operator's.
//
// It never asks another service, and none needs it to serve: each keeps its own copy of the
// tenants (platform/tenantdir). It does not know what the settings mean that it merges.
package tenants
