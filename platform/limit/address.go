package limit

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"basisdienste/platform/problem"
)

type addressKey struct{}

// Address returns the network of the client as ByAddress found it, to be used with
// AllowKey: an IPv4 address, or the /64 of an IPv6 address. It is personal data: it is not
// to be stored or logged.
func Address(ctx context.Context) string {
	a, _ := ctx.Value(addressKey{}).(string)
	return a
}

// ByAddress bounds the requests of each client address; one customer's IPv6 addresses (a
// /64) count as one. Every call counts on its own. Error: the problem rate_limited.
//
// The address is the one that connects. Only if that belongs to the trusted proxies,
// X-Forwarded-For is read, from its end back to the first address that is not theirs:
// whatever stands before it, a client may have made up. What a trusted network sends without
// the header comes from the installation itself, as a call from service to service, and is not
// bounded.
func (l *Limiter) ByAddress(q Quota, trusted ...netip.Prefix) func(http.Handler) http.Handler {
	prefix := "address" + strconv.FormatInt(l.byAddress.Add(1), 10) + "\x00"
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.Header.Values("X-Forwarded-For")) == 0 && within(parse(r.RemoteAddr), trusted) {
				next.ServeHTTP(w, r)
				return
			}
			address := network(clientAddress(r, trusted))
			if err := l.note(byAddress, count(r.Context(), l.keys, "this address", prefix+address, q)); err != nil {
				problem.Write(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), addressKey{}, address)))
		})
	}
}

// clientAddress is invalid for a request that came through no network, such as a Unix socket.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	client := parse(r.RemoteAddr)
	if !within(client, trusted) {
		return client
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		address := parse(strings.TrimSpace(hop))
		if !address.IsValid() {
			break
		}
		client = address
		if !within(address, trusted) {
			break
		}
	}
	return client
}

// parse reads an address with or without port.
func parse(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

func network(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr().String()
		}
	}
	return a.String()
}
