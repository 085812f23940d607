package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"basisdienste/platform/authn"
)

// server is the OpenID provider as zitadel/oidc calls it, after it has read and checked a
// request. One server serves all issuers: the tenant is in the context.
//
// Three endpoints do not go through the library: /authorize, because it answers mistakes to
// browsers in JSON and adds no iss (RFC 9207), and /introspect and /token for
// client_credentials, because they are called for every request of a program and cost half
// when handled directly. See transport_http.go.
type server struct {
	op.UnimplementedServer
	s *Service
}

// clientKey carries the client that identified itself: see endpoints.withClient.
type clientKey struct{}

func clientOf(ctx context.Context) *knownClient {
	c, _ := ctx.Value(clientKey{}).(*knownClient)
	return c
}

// VerifyClient returns the client that was identified before, in whatever way. The
// library's own check does not let private_key_jwt through for every grant.
func (v server) VerifyClient(ctx context.Context, _ *op.Request[op.ClientCredentials]) (op.Client, error) {
	c := clientOf(ctx)
	if c == nil {
		return nil, errClient()
	}
	return opClient{c.Client}, nil
}

func (v server) Keys(ctx context.Context, _ *op.Request[struct{}]) (*op.Response, error) {
	ring, err := v.s.keys.ring(ctx)
	if err != nil {
		return nil, serverError(err)
	}
	answer := op.NewResponse(ring.published(v.s.clock()))
	answer.Header.Set("Cache-Control", "public, max-age=300")
	return answer, nil
}

// serverError is answered with 500, or 503 if it will pass, and logged by the library, with
// its cause.
func serverError(err error) error {
	var known *oidc.Error
	if errors.As(err, &known) {
		return err
	}
	if _, passes := passing(err); passes {
		away := &oidc.Error{ErrorType: temporarilyUnavailable, Description: "this cannot be done at the moment; try again"}
		return op.NewStatusError(away.WithParent(err), http.StatusServiceUnavailable)
	}
	return oidc.ErrServerError().WithParent(err).WithDescription("something went wrong here; try again")
}

// discovery adds what the library's type lacks.
type discovery struct {
	oidc.DiscoveryConfiguration
	IssParameter bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207
	Proofs       []string `json:"dpop_signing_alg_values_supported"`              // RFC 9449
	CertBound    bool     `json:"tls_client_certificate_bound_access_tokens"`     // RFC 8705
}

func (v server) Discovery(ctx context.Context, _ *op.Request[struct{}]) (*op.Response, error) {
	issuer := v.s.issuerOf(here(ctx))
	methods := []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost, oidc.AuthMethodPrivateKeyJWT}
	var algorithms []string
	for _, a := range authn.SignatureAlgorithms() {
		algorithms = append(algorithms, string(a))
	}
	answer := op.NewResponse(discovery{DiscoveryConfiguration: oidc.DiscoveryConfiguration{
		Issuer: issuer, AuthorizationEndpoint: issuer + "/authorize", TokenEndpoint: issuer + "/token",
		IntrospectionEndpoint: issuer + "/introspect", RevocationEndpoint: issuer + "/revoke", UserinfoEndpoint: issuer + "/userinfo",
		EndSessionEndpoint: issuer + "/end_session", JwksURI: issuer + "/keys",
		ScopesSupported:        []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeAddress},
		ResponseTypesSupported: []string{string(oidc.ResponseTypeCode)}, ResponseModesSupported: []string{string(oidc.ResponseModeQuery)},
		GrantTypesSupported: []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeClientCredentials},
		ACRValuesSupported:  supportedACR(), SubjectTypesSupported: []string{"pairwise"},
		IDTokenSigningAlgValuesSupported:                   []string{string(jose.ES256)},
		TokenEndpointAuthMethodsSupported:                  methods,
		TokenEndpointAuthSigningAlgValuesSupported:         algorithms,
		RevocationEndpointAuthMethodsSupported:             methods,
		RevocationEndpointAuthSigningAlgValuesSupported:    algorithms,
		IntrospectionEndpointAuthMethodsSupported:          methods,
		IntrospectionEndpointAuthSigningAlgValuesSupported: algorithms,
		ClaimsSupported: []string{
			"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid", "name", "given_name",
			"family_name", "birthdate", "email", "address", "preferred_username", "roles", "mailbox",
		},
		CodeChallengeMethodsSupported: []oidc.CodeChallengeMethod{oidc.CodeChallengeMethodS256},
		UILocalesSupported:            oidc.ParseLocales([]string{"de", "en"}),
	}, IssParameter: true, Proofs: algorithms, CertBound: true})
	answer.Header.Set("Cache-Control", "public, max-age=300")
	return answer, nil
}

func (v server) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	answer, err := v.s.Exchange(ctx, clientOf(ctx).Client, *r.Data)
	if err != nil {
		return nil, serverError(err)
	}
	return op.NewResponse(answer), nil
}

func (v server) Revocation(ctx context.Context, r *op.ClientRequest[oidc.RevocationRequest]) (*op.Response, error) {
	if err := v.s.Revoke(ctx, clientOf(ctx).Client, r.Data.Token); err != nil {
		return nil, serverError(err)
	}
	return op.NewResponse(nil), nil
}

func (v server) UserInfo(ctx context.Context, r *op.Request[oidc.UserInfoRequest]) (*op.Response, error) {
	claims, ok, err := v.s.Userinfo(ctx, r.Data.AccessToken)
	if err != nil {
		return nil, serverError(err)
	}
	if !ok {
		return nil, op.NewStatusError(oidc.ErrAccessDenied().WithDescription("the access token is not good for this"), http.StatusUnauthorized)
	}
	return op.NewResponse(claims), nil
}

// EndSession is OpenID Connect RP-Initiated Logout 1.0. Who proves to know the login (by the
// ID token of it) or comes from our own pages is logged out at once; else the person is
// asked, so that no other page can log people out.
func (v server) EndSession(ctx context.Context, r *op.Request[oidc.EndSessionRequest]) (*op.Redirect, error) {
	q := logoutRequest{ClientID: r.Data.ClientID, Redirect: r.Data.PostLogoutRedirectURI, State: r.Data.State}
	hr := &http.Request{Header: r.Header, URL: r.URL}
	own := r.Header.Get("Sec-Fetch-Site") == "same-origin"
	if r.Data.IdTokenHint != "" {
		hint, err := v.s.idTokenHint(ctx, r.Data.IdTokenHint)
		if err != nil {
			return nil, serverError(err)
		}
		if hint.Subject != "" && (q.ClientID == "" || q.ClientID == hint.ClientID) {
			q.ClientID = hint.ClientID
			for _, kind := range []authn.Kind{authn.Citizen, authn.Staff} {
				ss, err := v.s.sessionOf(ctx, kind, v.s.cookie(hr, sessionCookie(kind)))
				if err != nil {
					return nil, serverError(err)
				}
				own = own || (ss != nil && ss.ID.String() == hint.Session)
			}
		}
	}
	if !own && v.s.hasSession(hr) {
		return op.NewRedirect(v.s.issuerOf(here(ctx)) + "/logout?" + q.values().Encode()), nil
	}
	target, err := v.s.endSession(ctx, hr, q)
	if err != nil {
		return nil, serverError(err)
	}
	answer := op.NewRedirect(target)
	for _, kind := range []authn.Kind{authn.Citizen, authn.Staff} {
		answer.Header.Add("Set-Cookie", v.s.forget(here(ctx), sessionCookie(kind)).String())
	}
	return answer, nil
}

// hint is what an ID token of ours says of the login it was given for.
type hint struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	ClientID string `json:"azp"`
	Session  string `json:"sid"`
}

// idTokenHint reads an ID token that this issuer signed, also an expired one. Of any other
// it returns nothing.
func (s *Service) idTokenHint(ctx context.Context, token string) (hint, error) {
	if len(token) > maxToken {
		return hint{}, nil
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(jws.Signatures) != 1 || jws.Signatures[0].Header.ExtraHeaders[jose.HeaderType] != "JWT" {
		return hint{}, nil
	}
	ring, err := s.keys.ring(ctx)
	if err != nil {
		return hint{}, err
	}
	key := ring.byID(jws.Signatures[0].Header.KeyID, s.clock())
	if key == nil {
		return hint{}, nil
	}
	var h hint
	payload, err := jws.Verify(key.public)
	if err != nil || json.Unmarshal(payload, &h) != nil || h.Issuer != s.issuerOf(here(ctx)) {
		return hint{}, nil
	}
	return h, nil
}

func scopesOf(s string) []string { return strings.Fields(s) }

// opClient is a client as zitadel/oidc asks for it.
type opClient struct{ c *Client }

func (o opClient) GetID() string                       { return o.c.ID }
func (o opClient) RedirectURIs() []string              { return o.c.Redirects.V }
func (o opClient) PostLogoutRedirectURIs() []string    { return o.c.AfterLogout.V }
func (o opClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (o opClient) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethod(o.c.AuthMethod) }
func (o opClient) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}

func (o opClient) GrantTypes() []oidc.GrantType {
	var grants []oidc.GrantType
	for _, g := range o.c.Grants.V {
		grants = append(grants, oidc.GrantType(g))
	}
	return grants
}
func (o opClient) LoginURL(string) string              { return "" }
func (o opClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
func (o opClient) IDTokenLifetime() time.Duration      { return 0 }
func (o opClient) DevMode() bool                       { return false }

func (o opClient) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}

func (o opClient) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}

func (o opClient) IsScopeAllowed(scope string) bool     { return slices.Contains(o.c.Scopes.V, scope) }
func (o opClient) IDTokenUserinfoClaimsAssertion() bool { return true }
func (o opClient) ClockSkew() time.Duration             { return 0 }
