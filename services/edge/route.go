package edge

import (
	"net/url"
	"strings"

	"basisdienste/platform/tenant"
)

// ofTenant names the service of /t/{tenant}/<segment>/…; other segments are the console's.
var ofTenant = map[string]string{
	"auth": "auth", "forms": "forms", "payment": "payment", "notify": "notify", "mailbox": "notify", "booking": "booking",
}

// ofRoot names the service of /<segment>/…; other segments are the console's.
var ofRoot = map[string]string{
	"xbezahldienste": "payment", "pay": "payment", "payment": "payment", "notify": "notify", "tenants": "tenants",
	"auth": "auth", "forms": "forms", "booking": "booking", "console": "console",
}

// route returns the service and, for /t/{tenant}/…, the tenant's slug. The path is escaped,
// and its segments are told apart as the services' muxes do it: %2F is no slash.
func route(path string) (service, slug string) {
	first, rest := segment(path)
	switch first {
	case "t":
		slug, rest = segment(rest)
		second, _ := segment(rest)
		if s, ok := ofTenant[second]; ok {
			return s, slug
		}
		return "console", slug
	case tenant.OperatorSlug:
		if second, _ := segment(rest); second == "auth" {
			return "auth", ""
		}
		return "console", ""
	}
	if s, ok := ofRoot[first]; ok {
		return s, ""
	}
	return "console", ""
}

// segment cuts off the first segment of an escaped path and unescapes it; leading slashes do
// not count.
func segment(path string) (first, rest string) {
	first, rest, _ = strings.Cut(strings.TrimLeft(path, "/"), "/")
	if strings.Contains(first, "%") {
		if plain, err := url.PathUnescape(first); err == nil {
			first = plain
		}
	}
	return first, rest
}

// isAPI reports whether the path is one for programs: it names a version, or a standard.
func isAPI(path string) bool {
	for first := ""; path != ""; {
		first, path = segment(path)
		if first == "xbezahldienste" || (len(first) == 2 && first[0] == 'v' && first[1] >= '0' && first[1] <= '9') {
			return true
		}
	}
	return false
}

// hostname is a Host header as host names are stored: in lower case, without port and
// without the dot at the end that DNS allows.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
