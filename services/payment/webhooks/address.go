package webhooks

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"basisdienste/platform/fault"
)

// maxURL bounds an endpoint's URL, in bytes.
const maxURL = 2000

// refused are the parts of the address space that no receiver on the internet has: the
// special-purpose registries of IANA (RFC 6890 and its updates), and one public address behind
// which a cloud keeps its machines' metadata. Of IPv6 all but global unicast is refused anyway
// (see public), with it loopback, link-local, unique local (fc00::/7), multicast, IPv4-mapped
// addresses (::ffff:0:0/96) and NAT64 (64:ff9b::/96, 64:ff9b:1::/48).
var refused = func() (list []netip.Prefix) {
	for _, p := range []string{
		"0.0.0.0/8",         // this network, RFC 791
		"10.0.0.0/8",        // private, RFC 1918
		"100.64.0.0/10",     // shared by carriers (CGNAT), RFC 6598
		"127.0.0.0/8",       // loopback, RFC 1122
		"168.63.129.16/32",  // metadata of Azure
		"169.254.0.0/16",    // link-local, RFC 3927; metadata of most clouds
		"172.16.0.0/12",     // private, RFC 1918
		"192.0.0.0/24",      // protocol assignments, RFC 6890
		"192.0.2.0/24",      // documentation, RFC 5737
		"192.88.99.0/24",    // 6to4 relays, RFC 7526
		"192.168.0.0/16",    // private, RFC 1918
		"198.18.0.0/15",     // measurements, RFC 2544
		"198.51.100.0/24",   // documentation, RFC 5737
		"203.0.113.0/24",    // documentation, RFC 5737
		"224.0.0.0/4",       // multicast, RFC 5771
		"240.0.0.0/4",       // reserved, RFC 1112, and broadcast
		"2001::/23",         // protocol assignments, RFC 2928; Teredo
		"2001:db8::/32",     // documentation, RFC 3849
		"2002::/16",         // 6to4: an IPv4 address inside, RFC 3056
		"2620:4f:8000::/48", // AS112, RFC 7534
		"3fff::/20",         // documentation, RFC 9637
	} {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}()

// globalUnicast is all of IPv6 that is routed on the internet, RFC 4291.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// public reports whether the address may be called.
func public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" || (!a.Is4() && !globalUnicast.Contains(a)) {
		return false
	}
	return !slices.ContainsFunc(refused, func(p netip.Prefix) bool { return p.Contains(a) })
}

// publicOrLocal is public for demonstrations and tests, whose receivers run beside us.
func publicOrLocal(a netip.Addr) bool { return a.IsLoopback() || public(a) }

// checkURL refuses what can be seen to be wrong without asking anybody: which addresses a name
// has is checked at each connection. local is for publicOrLocal. Errors: invalid_url,
// address_refused.
func checkURL(raw string, local bool) error {
	wrong := func(detail string) error {
		return fault.Invalid("invalid_url", "the URL of a webhook is absolute, begins with https:// and has at most %d characters", maxURL).
			With(fault.Field{Name: "/url", Code: "invalid_url", Detail: detail})
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return wrong("must be an absolute URL")
	case len(raw) > maxURL:
		return wrong("is too long")
	case u.User != nil || u.Fragment != "" || strings.Contains(raw, "#"):
		return wrong("must have neither user name nor fragment")
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return wrong("must have no spaces or control characters")
	}
	a, err := netip.ParseAddr(u.Hostname())
	here := local && (u.Hostname() == "localhost" || (err == nil && a.IsLoopback()))
	switch {
	case u.Scheme == "http" && here, u.Scheme == "https":
	default:
		return wrong("must begin with https://")
	}
	if err == nil && !here && !public(a) {
		return fault.Invalid("address_refused", "messages are sent to addresses on the internet alone, not into private networks").
			With(fault.Field{Name: "/url", Code: "address_refused", Detail: "is an address of a private or special network"})
	}
	return nil
}
