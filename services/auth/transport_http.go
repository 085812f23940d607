package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"basisdienste/platform/authn"
	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
	"basisdienste/platform/tenantdir"
)

// maxForm bounds the body of every request but those of kit, in bytes.
const maxForm = 64 << 10

// endpoints are the protocol endpoints of all issuers.
type endpoints struct {
	s       *Service
	library http.Handler // zitadel/oidc, at paths without the issuer's
}

// routes registers everything that is not a page.
func (s *Service) routes(m *kit.Mux, v *authn.Verifier) {
	e := &endpoints{s: s, library: op.RegisterServer(server{s: s}, op.Endpoints{
		Token: op.NewEndpoint("token"), Userinfo: op.NewEndpoint("userinfo"), Revocation: op.NewEndpoint("revoke"),
		EndSession: op.NewEndpoint("end_session"), JwksURI: op.NewEndpoint("keys"),
	}, op.WithServerCORSOptions(nil))}

	m.Handle("GET /t/{tenant}/auth/.well-known/openid-configuration", e.pass(oidc.DiscoveryEndpoint))
	m.Handle("GET /t/{tenant}/auth/keys", e.pass("/keys"))
	m.Handle("POST /t/{tenant}/auth/token", e.withClient(e.token))
	m.Handle("POST /t/{tenant}/auth/introspect", e.withClient(e.introspect))
	m.Handle("POST /t/{tenant}/auth/revoke", e.withClient(e.pass("/revoke").ServeHTTP))
	m.Handle("GET /t/{tenant}/auth/userinfo", e.pass("/userinfo"))
	m.Handle("POST /t/{tenant}/auth/userinfo", e.pass("/userinfo"))
	m.Handle("GET /t/{tenant}/auth/end_session", e.pass("/end_session"))
	m.Handle("POST /t/{tenant}/auth/end_session", e.pass("/end_session"))

	m.Handle("GET /operator/auth/.well-known/openid-configuration", atOperator(e.pass(oidc.DiscoveryEndpoint)))
	m.Handle("GET /operator/auth/keys", atOperator(e.pass("/keys")))
	m.Handle("POST /operator/auth/token", atOperator(e.withClient(e.token)))
	m.Handle("POST /operator/auth/introspect", atOperator(e.withClient(e.introspect)))
	m.Handle("POST /operator/auth/revoke", atOperator(e.withClient(e.pass("/revoke").ServeHTTP)))
	m.Handle("GET /operator/auth/userinfo", atOperator(e.pass("/userinfo")))
	m.Handle("POST /operator/auth/userinfo", atOperator(e.pass("/userinfo")))
	m.Handle("GET /operator/auth/end_session", atOperator(e.pass("/end_session")))
	m.Handle("POST /operator/auth/end_session", atOperator(e.pass("/end_session")))

	// The operator: clients that act for many municipalities, its own staff, keys of all issuers.
	operator := kit.Chain(v.Operator(), operatorGuard)
	kit.Route(m, "POST /operator/auth/v1/clients", operator, s.CreateClient)
	kit.Route(m, "GET /operator/auth/v1/clients", operator, s.ListClients)
	kit.Route(m, "GET /operator/auth/v1/clients/{client}", operator, s.GetClient)
	kit.Route(m, "POST /operator/auth/v1/clients/{client}/enable", operator, s.EnableClient)
	kit.Route(m, "POST /operator/auth/v1/clients/{client}/disable", operator, s.DisableClient)
	kit.Route(m, "POST /operator/auth/v1/clients/{client}/secret", operator, s.RotateSecret)
	kit.Route(m, "GET /operator/auth/v1/clients/{client}/tenants", kit.Chain(v.Guard(), operatorGuard), s.ListTargets)
	kit.Route(m, "POST /operator/auth/v1/clients/{client}/tenants/enable", operator, s.EnableTargets)
	kit.Route(m, "POST /operator/auth/v1/clients/{client}/tenants/disable", operator, s.DisableTargets)
	kit.Route(m, "POST /operator/auth/v1/staff", operator, s.CreateStaff)
	kit.Route(m, "GET /operator/auth/v1/staff", operator, s.ListStaff)
	kit.Route(m, "POST /operator/auth/v1/staff/{staff}/enable", operator, s.EnableStaff)
	kit.Route(m, "POST /operator/auth/v1/staff/{staff}/disable", operator, s.DisableStaff)
	kit.Route(m, "POST /operator/auth/v1/staff/{staff}/roles", operator, s.SetRoles)
	kit.Route(m, "POST /operator/auth/v1/staff/{staff}/password", operator, s.ResetPassword)
	kit.Route(m, "POST /operator/auth/v1/issuers/{tenant}/rotate-keys", v.Operator(), s.RotateKeys)

	// A municipality: its own staff and clients, kept by its administrator; the operator
	// makes the first one.
	admin := kit.Chain(v.Guard(), adminGuard)
	kit.Route(m, "POST /t/{tenant}/auth/v1/staff", admin, s.CreateStaff)
	kit.Route(m, "GET /t/{tenant}/auth/v1/staff", admin, s.ListStaff)
	kit.Route(m, "POST /t/{tenant}/auth/v1/staff/{staff}/enable", admin, s.EnableStaff)
	kit.Route(m, "POST /t/{tenant}/auth/v1/staff/{staff}/disable", admin, s.DisableStaff)
	kit.Route(m, "POST /t/{tenant}/auth/v1/staff/{staff}/roles", admin, s.SetRoles)
	kit.Route(m, "POST /t/{tenant}/auth/v1/staff/{staff}/password", admin, s.ResetPassword)
	kit.Route(m, "POST /t/{tenant}/auth/v1/clients", admin, s.CreateClient)
	kit.Route(m, "GET /t/{tenant}/auth/v1/clients", admin, s.ListClients)
	kit.Route(m, "GET /t/{tenant}/auth/v1/clients/{client}", admin, s.GetClient)
	kit.Route(m, "POST /t/{tenant}/auth/v1/clients/{client}/enable", admin, s.EnableClient)
	kit.Route(m, "POST /t/{tenant}/auth/v1/clients/{client}/disable", admin, s.DisableClient)
	kit.Route(m, "POST /t/{tenant}/auth/v1/clients/{client}/secret", admin, s.RotateSecret)
}

// atOperator lets a handler act for the operator, whose paths name no tenant.
func atOperator(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(tenantdir.With(r.Context(), tenantdir.Operator())))
	})
}

// operatorGuard is atOperator for kit.Route; it stands behind a guard that checks who calls.
func operatorGuard[E ~func(context.Context, any) (any, error)](next E) E {
	return func(ctx context.Context, request any) (any, error) {
		return next(tenantdir.With(ctx, tenantdir.Operator()), request)
	}
}

// adminGuard lets in the municipality's administrator and the operator; it stands behind a
// guard that checks who calls, and for which tenant.
func adminGuard[E ~func(context.Context, any) (any, error)](next E) E {
	return func(ctx context.Context, request any) (any, error) {
		p, _ := authn.From(ctx)
		if err := p.NeedRole(authn.RoleTenantAdmin); err != nil && !p.IsOperator() {
			return nil, err
		}
		return next(ctx, request)
	}
}

// pass hands a request to the library, at its path there.
func (e *endpoints) pass(path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !parseForm(w, r) {
			return
		}
		inner := r.WithContext(op.ContextWithIssuer(r.Context(), e.s.issuerOf(here(r.Context()))))
		if r.Method == http.MethodPost {
			inner.Form = r.PostForm // what stands in the URL does not count
		} else {
			inner.Form.Del("access_token") // tokens do not belong into URLs (RFC 9700 section 4.3.2)
		}
		u := *r.URL
		u.Path, u.RawPath = path, ""
		inner.URL = &u
		e.library.ServeHTTP(&careful{ResponseWriter: w}, inner)
	})
}

// careful adds to the library's answers what RFC 6749 section 5.1 and RFC 6750 section 3 ask for.
type careful struct{ http.ResponseWriter }

func (c *careful) WriteHeader(status int) {
	h := c.Header()
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	c.ResponseWriter.WriteHeader(status)
}

// parseForm reads the form, or answers that it cannot be read. Parameters must not come
// twice (RFC 6749 section 3.1 and 3.2).
func parseForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	err := r.ParseForm()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeOAuthError(w, http.StatusRequestEntityTooLarge, oidc.ErrInvalidRequest().WithDescription("the body has at most %d bytes", maxForm))
		return false
	case err != nil:
		writeOAuthError(w, http.StatusBadRequest, oidc.ErrInvalidRequest().WithDescription("the body is not application/x-www-form-urlencoded"))
		return false
	}
	for name, values := range r.Form {
		if len(values) > 1 {
			writeOAuthError(w, http.StatusBadRequest, oidc.ErrInvalidRequest().WithDescription("the parameter %q comes more than once", clip(name)))
			return false
		}
	}
	return true
}

// withClient lets only clients through that identify themselves, and notes who it is.
func (e *endpoints) withClient(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !parseForm(w, r) {
			return
		}
		credentials, err := readCredentials(r)
		if err != nil {
			e.refuse(w, r, err)
			return
		}
		c, err := e.s.identify(r.Context(), credentials)
		if err != nil {
			e.refuse(w, r, err)
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, c)))
	})
}

func (e *endpoints) token(w http.ResponseWriter, r *http.Request) {
	switch grant := r.PostForm.Get("grant_type"); grant {
	case grantClient:
		c := clientOf(r.Context()).Client
		b, err := e.s.bind(r, c)
		if err != nil {
			e.refuse(w, r, err)
			return
		}
		answer, err := e.s.ClientToken(r.Context(), c, r.PostForm.Get("scope"), b)
		if err != nil {
			e.refuse(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	default: // also what is not supported
		e.pass("/token").ServeHTTP(w, r)
	}
}

func (e *endpoints) introspect(w http.ResponseWriter, r *http.Request) {
	token := r.PostForm.Get("token")
	if token == "" {
		e.refuse(w, r, oidc.ErrInvalidRequest().WithDescription("the parameter token is missing"))
		return
	}
	answer, err := e.s.Introspect(r.Context(), clientOf(r.Context()).Client, token)
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// refuse answers an error as RFC 6749 section 5.2 wants it. What is our fault is logged here.
// What will pass by itself is answered with 503 and Retry-After, and with the code that the RFC
// has for it at the authorization endpoint: the token endpoint's codes blame the client.
func (e *endpoints) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var known *oidc.Error
	if !errors.As(err, &known) {
		if after, passes := passing(err); passes {
			e.s.log.WarnContext(r.Context(), "request refused", "error", err)
			w.Header().Set("Retry-After", strconv.Itoa(after))
			writeOAuthError(w, http.StatusServiceUnavailable, &oidc.Error{ErrorType: temporarilyUnavailable, Description: "this cannot be done at the moment; try again"})
			return
		}
		if r.Context().Err() == nil {
			e.s.log.ErrorContext(r.Context(), "request failed", "error", err)
		}
		writeOAuthError(w, http.StatusInternalServerError, oidc.ErrServerError().WithDescription("something went wrong here; try again"))
		return
	}
	status := http.StatusBadRequest
	if known.ErrorType == oidc.InvalidClient {
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="`+e.s.issuerOf(here(r.Context()))+`"`)
	}
	writeOAuthError(w, status, known)
}

const temporarilyUnavailable = "temporarily_unavailable"

// passing reports whether the error is that something is away that will be back, and after how
// many seconds to try again.
func passing(err error) (after int, passes bool) {
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.KindUnavailable {
		return 0, false
	}
	return max(1, int(f.RetryAfter.Seconds())), true
}

func writeOAuthError(w http.ResponseWriter, status int, err *oidc.Error) {
	writeJSON(w, status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{string(err.ErrorType), strings.ReplaceAll(err.Description, `"`, "'")}) // RFC 6749 allows no quotation mark
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client went away
}
