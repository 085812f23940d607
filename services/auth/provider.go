package auth

import (
	"io/fs"
	"net/http"

	"basisdienste/platform/web"
)

// Provider logs citizens in, outside of this service: BundID, or the sandbox. It is served
// below {issuer}/idp/{name}/.
type Provider interface {
	// Name is part of every pairwise subject and of addresses: it stays for good.
	Name() string
	// ServeHTTP shows the login to a browser that comes with the parameter "request", the
	// id of the attempt, and takes whatever belongs to it. In the end it calls Broker.Done
	// or Broker.Cancel.
	http.Handler
}

// OpenProvider opens an adapter. It returns nil if the adapter is switched off.
type OpenProvider func(d ProviderDeps) (Provider, error)

// ProviderDeps is what an adapter gets.
type ProviderDeps struct {
	Broker  *Broker
	Sandbox bool // logins may be made up
	// Site makes the adapter's pages, in the frame of the others.
	Site func(templates fs.FS, texts web.Texts) (*web.Site, error)
}

// Attempt is a login that a provider has to bring about.
type Attempt struct {
	ID          string
	Level       int    // STORK-QAA level that is needed at least; 0 for any
	ClientName  string // who asks for the login
	RedirectURI string // where the browser will go in the end
}

// Identity is a person as the provider knows them.
type Identity struct {
	Subject string // of the provider: never leaves this service
	Level   int    // STORK-QAA level of the login: 1, 3 or 4
	Profile Profile
}

// Broker takes the results of providers.
type Broker struct{ s *Service }

// Attempt returns the login that the request's parameter "request" names, if it was begun
// in this browser. Error: login_stale.
func (b *Broker) Attempt(r *http.Request) (Attempt, error) {
	requestID := r.FormValue("request")
	q, err := b.s.pendingLogin(r, requestID)
	return Attempt{ID: requestID, Level: q.Level, ClientName: q.ClientName, RedirectURI: q.RedirectURI}, err
}

// Done says who logged in, and answers the browser: with the way back to where it came
// from, or a page that explains that the level is too low.
func (b *Broker) Done(w http.ResponseWriter, r *http.Request, provider Provider, attemptID string, who Identity) {
	b.s.citizenDone(w, r, provider.Name(), attemptID, who)
}

// Cancel says that the person gave up, and sends the browser back with access_denied.
func (b *Broker) Cancel(w http.ResponseWriter, r *http.Request, attemptID string) {
	b.s.loginRefused(w, r, attemptID, "access_denied", "the person cancelled the login")
}
