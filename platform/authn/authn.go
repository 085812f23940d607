// Package authn knows who calls: it verifies the access tokens of our own issuers (RFC 9068,
// ES256) and builds the guards that routes are registered with. Who is not let in by a guard
// is refused.
package authn

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/go-kit/kit/endpoint"

	"basisdienste/platform/audit"
	"basisdienste/platform/certs"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

// Kind of a caller.
type Kind string

// The kinds.
const (
	Citizen Kind = "citizen"
	Staff   Kind = "staff"
	Client  Kind = "client"  // a program of a tenant or, by grants, of many
	Service Kind = "service" // one of our own; acts for every tenant
)

// Roles of staff.
const (
	RoleClerk       = "clerk"
	RoleTenantAdmin = "tenant-admin"
	RoleOperator    = "operator"
)

// Principal is who calls.
type Principal struct {
	Kind     Kind     `json:"kind"`
	Issuer   string   `json:"-"`
	Subject  string   `json:"-"` // of a citizen: pairwise, another one at each tenant
	ClientID string   `json:"client_id"`
	TenantID id.ID    `json:"tenant"` // empty: see Grants, or a service
	Grants   string   `json:"grants"` // "client:<id>": acts for the tenants in the directory
	Scopes   []string `json:"-"`
	Roles    []string `json:"roles"`
	Level    int      `json:"-"` // STORK-QAA level of the login: 0 (none), 1, 3, 4
	// What the token is bound to; empty: it is good for whoever bears it.
	KeyThumbprint  string `json:"-"` // of a key (RFC 9449)
	CertThumbprint string `json:"-"` // of a TLS client certificate (RFC 8705)
}

// HasScope reports whether the token carries the scope.
func (p Principal) HasScope(scope string) bool { return slices.Contains(p.Scopes, scope) }

// HasRole reports whether the person has the role.
func (p Principal) HasRole(role string) bool { return slices.Contains(p.Roles, role) }

// IsOperator reports whether this is the operator's staff, a program of the operator with the
// scope "operator", or one of our services.
func (p Principal) IsOperator() bool {
	return p.Kind == Service || (p.TenantID == tenant.Operator && (p.HasRole(RoleOperator) || p.HasScope("operator")))
}

type principalKey struct{}

// From returns the caller that a guard let in.
func From(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// With returns a context in which p acts: for guards, and for pages that have a session.
func With(ctx context.Context, p Principal) context.Context {
	return audit.WithActor(context.WithValue(ctx, principalKey{}, p), string(p.Kind)+":"+p.Subject)
}

// Guard lets in who has a valid token with all the scopes and may act for the tenant of the
// path. A token that is bound to a key or a certificate is good with a proof for this request
// (RFC 9449), or over a connection with that certificate (RFC 8705), alone.
// Errors: token_missing, token_invalid, token_expired, dpop_proof_missing, dpop_proof_invalid,
// token_not_bound, certificate_wrong, scope_missing, wrong_tenant.
func (v *Verifier) Guard(scopes ...string) kit.Guard {
	return v.guard(func(p Principal) error { return p.needScopes(scopes) })
}

// Role lets in staff that has one of the roles at the tenant of the path, and services. The
// operator runs the installation and does not read what citizens wrote to a municipality.
func (v *Verifier) Role(roles ...string) kit.Guard {
	return v.guard(func(p Principal) error { return p.NeedRole(roles...) })
}

// ScopeOrRole lets in programs whose token has the scope, and staff that has one of the roles
// at the tenant of the path: for what programs and people may do alike.
func (v *Verifier) ScopeOrRole(scope string, roles ...string) kit.Guard {
	return v.guard(func(p Principal) error {
		if p.Kind == Client || p.Kind == Service {
			return p.needScopes([]string{scope})
		}
		return p.NeedRole(roles...)
	})
}

// Operator lets in the operator's staff, its clients with the scope "operator", and services.
func (v *Verifier) Operator() kit.Guard {
	return v.guard(func(p Principal) error {
		if p.IsOperator() {
			return nil
		}
		return fault.Forbidden("operator_only", "only the operator may do this")
	})
}

func (p Principal) needScopes(scopes []string) error {
	if p.Kind == Service {
		return nil
	}
	for _, s := range scopes {
		if !p.HasScope(s) {
			return fault.Forbidden("scope_missing", "the access token lacks the scope %q; request it at the token endpoint", s)
		}
	}
	return nil
}

// NeedRole returns nil for staff with one of the roles and for services.
// Error: role_missing.
func (p Principal) NeedRole(roles ...string) error {
	if p.Kind == Service || (p.Kind == Staff && slices.ContainsFunc(roles, p.HasRole)) {
		return nil
	}
	return fault.Forbidden("role_missing", "this needs one of the roles %s at this municipality", strings.Join(roles, ", "))
}

func (v *Verifier) guard(allow func(Principal) error) kit.Guard {
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		return func(ctx context.Context, request any) (any, error) {
			r := request.(*http.Request)
			token, proven, err := accessToken(r)
			if err != nil {
				return nil, err
			}
			p, err := v.verify(ctx, token)
			if err != nil {
				return nil, err
			}
			if err := v.possesses(r, p, token, proven); err != nil {
				return nil, err
			}
			if err := allow(p); err != nil {
				return nil, err
			}
			if t, ok := tenant.From(ctx); ok {
				if err := v.MayActFor(ctx, p, t.ID); err != nil {
					return nil, err
				}
			}
			return next(With(ctx, p), request)
		}
	}
}

// MayActFor returns nil if p may act for the tenant. Error: wrong_tenant.
func (v *Verifier) MayActFor(ctx context.Context, p Principal, tenantID id.ID) error {
	switch {
	case p.Kind == Service, p.TenantID == tenantID && tenantID != "":
		return nil
	case p.IsOperator():
		return nil
	case p.Grants != "":
		ok, err := v.dir.Granted(ctx, p.ClientID, tenantID)
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		return fault.Forbidden("wrong_tenant", "the client is not switched on for this municipality; the operator can do that")
	}
	return fault.Forbidden("wrong_tenant", "the access token is of another municipality")
}

// Enter resolves a tenant that is named in the request and not in the path, as federal
// standards do: it returns a context that acts for the tenant if the caller in ctx may.
func (v *Verifier) Enter(ctx context.Context, e tenantdir.Entry) (context.Context, error) {
	p, ok := From(ctx)
	if !ok {
		return ctx, missing()
	}
	if err := v.MayActFor(ctx, p, e.ID); err != nil {
		return ctx, err
	}
	return tenantdir.With(ctx, e), nil
}

// accessToken returns the access token of the request, and whether the client wants to prove
// that it is its own: by the scheme DPoP (RFC 9449 section 7.1), or as clients in the field do by
// the scheme Bearer with a header DPoP. Error: token_missing.
func accessToken(r *http.Request) (token string, proven bool, err error) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	proven = strings.EqualFold(scheme, "DPoP")
	if !ok || token == "" || (!proven && !strings.EqualFold(scheme, "Bearer")) {
		return "", false, missing()
	}
	return token, proven || len(r.Header.Values(ProofHeader)) > 0, nil
}

// possesses checks that the caller holds what the token is bound to.
func (v *Verifier) possesses(r *http.Request, p Principal, token string, proven bool) error {
	switch {
	case p.KeyThumbprint == "" && proven:
		return fault.Unauthenticated("token_not_bound", "the access token is bound to no key; ask the token endpoint for one with a DPoP proof, or send it as Bearer without")
	case p.KeyThumbprint != "" && len(r.Header.Values(ProofHeader)) == 0:
		return fault.Unauthenticated("dpop_proof_missing", "the access token is bound to a key; send a DPoP proof with it (RFC 9449)")
	case p.KeyThumbprint != "":
		thumbprint, err := v.proofs.Check(r, v.baseURL+r.URL.EscapedPath(), token)
		if err != nil {
			return err
		}
		if thumbprint != p.KeyThumbprint {
			return badProof(errors.New("the key is not the token's"))
		}
	}
	if p.CertThumbprint != "" && p.CertThumbprint != certs.Shown(r.Context()) {
		return fault.Unauthenticated("certificate_wrong", "the access token is bound to a TLS certificate; connect with that one (RFC 8705)")
	}
	return nil
}

func missing() error {
	return fault.Unauthenticated("token_missing", "send an access token as Authorization: Bearer")
}
