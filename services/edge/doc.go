// Package edge is the one public address: it finds the service of a request by its path and
// passes it on as it is.
//
// It owns no business tables (only the directory of tenants, as every service does), hears no
// other events and tells none. It never changes paths or bodies of requests, and authorises
// nobody: that is each service's own. It promises
//
//   - security headers on every answer that comes through it, and an icon for browsers;
//   - a limit for each tenant that protects the others;
//   - 503 with Retry-After for a service that is away, while the others go on;
//   - that bodies stream both ways, for as long as they move (see obs.Timeout);
//   - that a person with a browser, who opens a page, never gets problem+json: such an answer
//     is shown as a page in words of German or English, with the same status;
//   - that what X-Forwarded-For and the like say of a request comes from trusted proxies.
//
// A tenant may have host names of its own. Such a host leads to the tenant's start page and
// knows no other tenant (404); all else is as at the public address, where logins happen and
// those who are logged in go on. Host names that nobody owns are as the public address.
package edge
