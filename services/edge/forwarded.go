package edge

import (
	"net/http"
	"net/netip"
	"strings"

	"basisdienste/platform/limit"
)

// dropForged takes away what the client itself says about its way here. The process knows
// whom to believe (server.trusted_proxies): where the one that connects is the client that
// it found, no trusted proxy stands between.
func dropForged(r *http.Request) {
	if client := limit.Address(r.Context()); client == "" || !sameNetwork(client, r.RemoteAddr) {
		return
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded" || name == "X-Real-Ip" {
			delete(r.Header, name)
		}
	}
}

// sameNetwork reports whether the peer belongs to the network that limit.Address returns.
func sameNetwork(network, peer string) bool {
	n, err := netip.ParseAddr(network)
	if err != nil {
		return false
	}
	p, err := netip.ParseAddrPort(peer)
	if err != nil {
		return false
	}
	address := p.Addr().Unmap().WithZone("")
	if n.Is6() {
		return netip.PrefixFrom(n, 64).Contains(address)
	}
	return n == address
}
