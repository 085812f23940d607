// Package auth says who somebody is: it is the OpenID provider of every municipality and of
// the operator.
//
// It owns the issuers {base}/t/{slug}/auth and {base}/operator/auth with their signing keys,
// the clients (programs that ask for tokens), the accounts of staff, and the logins.
//
// Tables: signing_keys, clients, client_tenants, staff, password_failures, auth_requests,
// sessions, codes, revoked_tokens, used_assertions.
//
// Events out: auth.client.changed.v1, a snapshot whenever a client of the operator changes.
// Events in: none but those of the tenant directory.
//
// # Promises
//
//   - An issuer speaks for its tenant alone. Its key is made at the first use; a tenant that
//     nobody uses costs nothing. Private keys and what is known of people are stored sealed.
//   - Access tokens are JWTs of RFC 9068, signed with ES256, and not stored. A client of the
//     operator that acts for many municipalities has a token with grants "client:<id>", whose
//     size does not depend on their number; the services know for which it is switched on.
//   - A citizen has another subject at each municipality, so that nobody can put together
//     what belongs to one person at two of them.
//   - The acr of a token is what the identity provider said, never more. A client's floor
//     (min_level) cannot be lowered by a request.
//   - A token by client_credentials is bound to the key that the request proves (RFC 9449, DPoP);
//     a client that is registered for it gets no other. One that is registered for bound
//     certificates gets tokens for the TLS certificate that it shows (RFC 8705), alone.
//   - Codes are good once, for a minute, for the client, redirect URI and PKCE verifier that
//     they were asked for with. A code that comes twice revokes what it gave the first time.
//   - Client secrets are made here from 32 random bytes and kept as SHA-256; passwords are
//     kept as argon2id. A wrong password, an unknown name and a disabled account get the
//     same answer after the same work; ten wrong ones close the account for 15 minutes.
//   - While a municipality is suspended no citizen logs in; its staff does.
//
// # Choices where the standards leave one
//
// Only the code flow with PKCE S256 and client_credentials; no refresh tokens, no implicit
// flow, no public clients. Redirect URIs match exactly (RFC 9700). acr_values are a minimum
// here, as BundID's Comparison="minimum" is, and not a wish (OpenID Connect Core 3.1.2.1);
// who cannot meet them is told unmet_authentication_requirements. The answer of /authorize
// names its issuer (RFC 9207). A client may introspect its own tokens, our services all of
// their issuer. Revocation is seen by introspection and userinfo at once; services that verify
// tokens by themselves take a revoked token until it expires, half an hour at most for
// programs. Neither client assertions (RFC 7523) nor DPoP proofs may use RSASSA-PKCS1-v1_5. The
// certificate of a client is not looked at for who vouches for it: the client identifies itself by
// its secret or key, and the certificate binds what it gets. DPoP knows no nonces here; a proof is
// good for two minutes, and once at each process. Tokens of logins are not bound.
//
// zitadel/oidc reads and checks requests for tokens by code, userinfo, revocation, logout,
// discovery and keys. /authorize, /introspect and client_credentials are handled directly:
// see type server for why.
//
// # First steps on a new installation
//
// The operator gets in by the client basisctl with the scope "operator"; its secret is the
// content of DIR/secrets/operator-client, which the first start writes.
//
// # Never
//
// It never asks a citizen for a password, never stores a token, never logs a name, a token
// or a secret, and never decides what somebody may do in another service.
package auth
