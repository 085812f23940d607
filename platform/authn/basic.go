package authn

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	"github.com/go-kit/kit/endpoint"
	lru "github.com/hashicorp/golang-lru/v2"

	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
)

// keepBasic is how long a token is used for the credentials that it was got by: for so long a
// secret that was changed is still good.
const keepBasic = 5 * time.Minute

// Basic lets in clients that can do no better than HTTP Basic with their client_id and
// client_secret (RFC 7617): these are exchanged for an access token at the token endpoint, so
// that such a client may do what its tokens may, and one whose tokens are bound may do nothing.
// Secrets are neither kept nor logged. It is safe for concurrent use.
type Basic struct {
	services discover.Services
	clock    func() time.Time
	kept     *lru.Cache[[sha256.Size]byte, basicToken]
}

type basicToken struct {
	token string
	until time.Time
}

// NewBasic asks auth for tokens.
func NewBasic(services discover.Services, clock func() time.Time) *Basic {
	kept, err := lru.New[[sha256.Size]byte, basicToken](cacheSize)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return &Basic{services: services, clock: clock, kept: kept}
}

// Guard stands before a guard of the Verifier. issuers are the paths of those that may know the
// client, such as /operator/auth, in the order in which they are asked. Requests with another
// scheme pass untouched. Errors: basic_refused, token_unavailable.
func (b *Basic) Guard(issuers func(*http.Request) []string) kit.Guard {
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		return func(ctx context.Context, request any) (any, error) {
			r := request.(*http.Request)
			client, secret, ok := r.BasicAuth()
			if !ok {
				return next(ctx, request)
			}
			token, err := b.token(ctx, issuers(r), client, secret)
			if err != nil {
				return nil, err
			}
			with := r.WithContext(r.Context())
			with.Header = r.Header.Clone()
			with.Header.Set("Authorization", "Bearer "+token)
			return next(ctx, with)
		}
	}
}

func (b *Basic) token(ctx context.Context, issuers []string, client, secret string) (string, error) {
	keys := make([][sha256.Size]byte, len(issuers))
	for i, issuer := range issuers { // what is kept of any, before one is asked
		keys[i] = sha256.Sum256([]byte(issuer + "\x00" + client + "\x00" + secret))
		if k, ok := b.kept.Get(keys[i]); ok && b.clock().Before(k.until) {
			return k.token, nil
		}
	}
	for i, issuer := range issuers {
		token, lifetime, err := fetchToken(ctx, b.services, issuer, client, secret)
		switch {
		case err == nil:
			b.kept.Add(keys[i], basicToken{token, b.clock().Add(min(keepBasic, lifetime-renewBefore))})
			return token, nil
		case !fault.Is(err, "basic_refused"):
			return "", fault.Unavailable("token_unavailable", "the service could not identify itself; try again").After(time.Second).Because(err)
		}
	}
	return "", refusedBasic()
}

func refusedBasic() error {
	return fault.Unauthenticated("basic_refused", "client_id or secret is wrong, or the client may not identify itself so")
}
