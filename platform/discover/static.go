package discover

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"basisdienste/platform/certs"
)

// Static is services at fixed base URLs, several for each. It is safe for concurrent use.
type Static struct {
	pools map[string]*pool
	base  *http.Transport
}

// NewStatic reads the base URLs of each service. Those that begin with https are trusted by
// trust's word, or by that of the system's authorities if it is nil.
func NewStatic(addresses map[string][]string, trust *certs.Authorities) (*Static, error) {
	s := &Static{pools: map[string]*pool{}, base: newTransport(trust)}
	for service, urls := range addresses {
		var list []address
		for _, a := range urls {
			u, err := url.Parse(a)
			if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
				return nil, fmt.Errorf("service %s: %q is no base URL, want for example http://10.0.0.5:8080, without a path", service, a)
			}
			list = append(list, address{u.Scheme, u.Host})
		}
		s.pools[service] = newPool(service, s.base, slog.New(slog.DiscardHandler))
		s.pools[service].set(list)
	}
	return s, nil
}

func (s *Static) pool(service string) *pool {
	if p := s.pools[service]; p != nil {
		return p
	}
	return newPool(service, s.base, slog.New(slog.DiscardHandler)) // with nobody in it
}

// Client implements Services.
func (s *Static) Client(service string) *http.Client { return s.pool(service).client() }

// Handler implements Services. Bodies stream both ways.
func (s *Static) Handler(service string) http.Handler { return newProxy(s.pool(service)) }
