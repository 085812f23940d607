// Package edge is the one public address: it finds the service of a request by its path and
// passes it on as it is.
//
// It owns no business tables (only the directory of tenants, as every service does), hears
// no other events and tells none. It promises security headers on every answer, a limit for
// each tenant that protects the others, and an answer 503 with Retry-After for a service
// that is away, while the others go on. It never reads bodies, never changes paths, and
// authorises nobody: that is each service's own.
package edge
