// Package discover finds the other services: in the same process (Local), at fixed addresses
// (Static) or through Consul (Consul). Callers name a service by the host of the URL:
// http://payment/xbezahldienste/…
//
// Static and Consul share one way of calling. Calls go round a service's instances. An instance
// that fails three times in succession is left out for a second, then one call tries it again.
// A call is repeated at another instance only if nothing of it can have had an effect: always
// where no connection came about, and after any other failure of the connection if the method
// is idempotent (GET, HEAD, OPTIONS, PUT, DELETE; or there is an Idempotency-Key) and its body
// is empty or can be read again. Answers, whatever their status, and time-outs are never repeated.
package discover

import (
	"net/http"
	"time"

	"basisdienste/platform/fault"
)

// Services finds services by their name. It is safe for concurrent use.
type Services interface {
	// Client returns a client whose requests to http://<service>/… reach the service. It
	// carries the trace on. A service that is away answers with fault service_unavailable.
	Client(service string) *http.Client
	// Handler passes a request on to the service, with its path as it is.
	Handler(service string) http.Handler
}

// clientTimeout bounds a call from service to service, the body included.
const clientTimeout = 30 * time.Second

func unavailable(service string) error {
	return fault.Unavailable("service_unavailable", "the service %s is not there at the moment; try again", service).After(5 * time.Second)
}

// closeBody does what http.RoundTripper promises, also on errors.
func closeBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	return r.Body.Close()
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
