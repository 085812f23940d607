package govuk

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"basisdienste/platform/audit"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenantdir"
)

// tolerance is how far the clock of a client may be off, either way: the Node client rounds
// to the nearest second, so its tokens may be from the future.
const tolerance = 30 * time.Second

// actorPrefix begins the actor of what an API key does.
const actorPrefix = "api-key:"

func denied(message string) error { return refuse(http.StatusForbidden, "AuthError", message) }

// authenticate checks the token that a client makes from its API key: a JWT (HS256) of the
// service id and the time. It returns the request with a context that acts for the tenant.
func (a *api) authenticate(r *http.Request) (*http.Request, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, refuse(http.StatusUnauthorized, "AuthError", "Unauthorized: authentication token must be provided")
	}
	scheme, text, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, refuse(http.StatusUnauthorized, "AuthError", "Unauthorized: authentication bearer scheme must be used")
	}
	token, err := jwt.ParseSigned(strings.TrimSpace(text), []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		if algorithm(text) != "" && algorithm(text) != string(jose.HS256) {
			return nil, denied("Invalid token: algorithm used is not HS256")
		}
		return nil, denied("Invalid token: signature, api token is not valid")
	}
	var claims jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return nil, denied("Invalid token: signature, api token is not valid")
	}
	if claims.Issuer == "" {
		return nil, denied("Invalid token: iss field not provided")
	}
	service, err := id.Parse(claims.Issuer)
	if err != nil {
		return nil, denied("Invalid token: service id is not the right data type")
	}
	entry, err := a.dir.ByID(r.Context(), service)
	if fault.Is(err, "unknown_tenant") {
		return nil, denied("Invalid token: service not found")
	}
	if err != nil {
		return nil, err
	}
	ctx := tenantdir.With(r.Context(), entry)
	keys, err := a.service.APIKeys(ctx)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, denied("Invalid token: service has no API keys")
	}
	for _, key := range keys {
		if token.Claims([]byte(key.Secret)) != nil { // another key's signature
			continue
		}
		now := a.clock()
		if claims.IssuedAt == nil || claims.IssuedAt.Time().Before(now.Add(-tolerance)) || claims.IssuedAt.Time().After(now.Add(tolerance)) {
			return nil, denied("Error: Your system clock must be accurate to within 30 seconds")
		}
		if key.Revoked {
			return nil, denied("Invalid token: API key revoked")
		}
		return r.WithContext(audit.WithActor(ctx, actorPrefix+key.ID.String())), nil
	}
	return nil, denied("Invalid token: API key not found")
}

// algorithm reads the header of a token that was not accepted.
func algorithm(token string) string {
	head, _, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return ""
	}
	var h struct {
		Alg string `json:"alg"`
	}
	if json.Unmarshal(b, &h) != nil {
		return ""
	}
	return h.Alg
}
