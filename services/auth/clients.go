package auth

import (
	"context"
	"errors"
	"slices"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// CreateClient registers a client of the tenant; one of the operator may act for no
// municipality yet. The secret, if it has one, is in the answer and nowhere else.
// Errors: client_exists, invalid_client_metadata.
func (s *Service) CreateClient(ctx context.Context, q CreateClientRequest) (ClientAnswer, error) {
	c := &Client{
		TenantID: here(ctx).ID, ID: q.ID, Name: q.Name, Login: q.Login, AuthMethod: q.AuthMethod, MinLevel: q.MinLevel,
		Redirects: db.JSON[[]string]{V: orEmpty(q.Redirects)}, AfterLogout: db.JSON[[]string]{V: orEmpty(q.AfterLogout)},
		Grants: db.JSON[[]string]{V: q.Grants}, Scopes: db.JSON[[]string]{V: orEmpty(q.Scopes)}, Enabled: true, Version: 1,
		DPoPBound: q.DPoPBound, CertBound: q.CertBound,
	}
	if c.TenantID != tenant.Operator && slices.Contains(c.Scopes.V, scopeOperator) {
		return ClientAnswer{}, fault.Unprocessable("invalid_client_metadata", "the client cannot be registered like this").
			With(fault.Field{Name: "/scopes", Code: "reserved_scope", Detail: "operator is for clients of the operator"})
	}
	secret := ""
	if c.AuthMethod == authKey {
		var ok bool
		if c.Keys.V, ok = checkKeys(q.Keys); !ok {
			return ClientAnswer{}, fault.Unprocessable("invalid_client_metadata", "the client cannot be registered like this").
				With(fault.Field{Name: "/jwks", Code: "invalid_jwks", Detail: "a key set of 1 to 10 public keys: EC, Ed25519, or RSA of 3000 bits at least"})
		}
	} else {
		secret = id.Secret(32)
		c.SecretHash = hashSecret(secret)
	}
	return s.createClient(ctx, c, secret)
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (s *Service) createClient(ctx context.Context, c *Client, secret string) (ClientAnswer, error) {
	err := s.db.Tx(ctx, func(tx *db.Tx) error {
		c.CreatedAt = tx.Now()
		if err := insertClient(ctx, tx, c); err != nil {
			return err
		}
		if err := tellClient(ctx, tx, c); err != nil {
			return err
		}
		return audit.Record(ctx, tx, "client.registered", "client:"+c.ID, map[string]any{"scopes": c.Scopes.V, "grants": c.Grants.V})
	})
	s.forgetClient(c.ID)
	if db.IsUnique(err) {
		return ClientAnswer{}, fault.Conflict("client_exists", "there is a client %q already", c.ID)
	}
	a := clientAnswer(c, 0)
	a.Secret, a.created = secret, true
	return a, err
}

// forgetClient drops what is remembered of the client, at every issuer.
func (s *Service) forgetClient(clientID string) {
	for _, key := range s.clients.Keys() {
		if len(key) > 36 && key[36:] == clientID {
			s.clients.Remove(key)
		}
	}
}

// ListClients lists the tenant's own clients by their ids.
func (s *Service) ListClients(ctx context.Context, q ListRequest) (list ClientList, err error) {
	after, err := s.after(q)
	if err != nil {
		return list, err
	}
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		list = ClientList{Items: []ClientAnswer{}}
		rows, err := selectClients(ctx, tx, after, q.Limit+1)
		if err != nil {
			return err
		}
		if rows, list.Next, err = cut(s, rows, q.Limit, func(c *Client) string { return c.ID }); err != nil {
			return err
		}
		for _, c := range rows {
			n, err := countTargets(ctx, tx, c.ID)
			if err != nil {
				return err
			}
			list.Items = append(list.Items, clientAnswer(c, n))
		}
		return nil
	})
	return list, err
}

func unknownClient(err error) error {
	if errors.Is(err, db.ErrNoRows) {
		return fault.NotFound("unknown_client", "no client is registered here under this id")
	}
	return err
}

// GetClient returns one of the tenant's own clients. Error: unknown_client.
func (s *Service) GetClient(ctx context.Context, q ClientRef) (a ClientAnswer, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		c, err := getClient(ctx, tx, q.Client, false)
		if err != nil {
			return unknownClient(err)
		}
		n, err := countTargets(ctx, tx, c.ID)
		a = clientAnswer(c, n)
		return err
	})
	return a, err
}

// changeClient changes a client, and tells the services of it. action and detail go into the
// audit log.
func (s *Service) changeClient(ctx context.Context, clientID, action string, detail any, change func(tx *db.Tx, c *Client) error) (a ClientAnswer, err error) {
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		c, err := getClient(ctx, tx, clientID, true)
		if err != nil {
			return unknownClient(err)
		}
		if err := change(tx, c); err != nil {
			return err
		}
		if err := updateClient(ctx, tx, c); err != nil {
			return err
		}
		n, err := countTargets(ctx, tx, clientID)
		if err != nil {
			return err
		}
		a = clientAnswer(c, n)
		if err := tellClient(ctx, tx, c); err != nil {
			return err
		}
		return audit.Record(ctx, tx, action, "client:"+c.ID, detail)
	})
	s.forgetClient(clientID)
	return a, err
}

// DisableClient gives the client no more tokens, and makes those that are out worthless
// wherever the client acts for municipalities by grants, or is introspected.
func (s *Service) DisableClient(ctx context.Context, q ClientRef) (ClientAnswer, error) {
	return s.changeClient(ctx, q.Client, "client.disabled", nil, func(_ *db.Tx, c *Client) error {
		c.Enabled = false
		return nil
	})
}

// EnableClient takes DisableClient back.
func (s *Service) EnableClient(ctx context.Context, q ClientRef) (ClientAnswer, error) {
	return s.changeClient(ctx, q.Client, "client.enabled", nil, func(_ *db.Tx, c *Client) error {
		c.Enabled = true
		return nil
	})
}

// RotateSecret gives the client a new secret; the old one stays good as long as asked.
// Errors: unknown_client, client_has_keys.
func (s *Service) RotateSecret(ctx context.Context, q SecretRequest) (ClientAnswer, error) {
	secret := id.Secret(32)
	a, err := s.changeClient(ctx, q.Client, "client.secret_rotated", map[string]int{"keep_previous_for": q.Keep}, func(tx *db.Tx, c *Client) error {
		if c.AuthMethod == authKey {
			return fault.Conflict("client_has_keys", "this client identifies itself by its own keys and has no secret")
		}
		until := db.NewTime(tx.Now().Add(time.Duration(q.Keep) * time.Second))
		c.PreviousHash, c.PreviousUntil, c.SecretHash = c.SecretHash, &until, hashSecret(secret)
		return nil
	})
	if err == nil {
		a.Secret = secret
	}
	return a, err
}

// EnableTargets switches a client of the operator on for municipalities, or for all, also
// those to come. Doing it twice changes nothing. Errors: unknown_client, unknown_tenant.
func (s *Service) EnableTargets(ctx context.Context, q TargetsRequest) (ClientAnswer, error) {
	targets, err := s.targets(ctx, q.Tenants)
	if err != nil {
		return ClientAnswer{}, err
	}
	return s.changeClient(ctx, q.Client, "client.tenants_enabled", targetDetail(q), func(tx *db.Tx, c *Client) error {
		c.AllTenants = c.AllTenants || q.All
		for _, t := range targets {
			if err := addTarget(ctx, tx, c.ID, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// DisableTargets switches it off again. Errors: unknown_client, unknown_tenant,
// client_on_for_all.
func (s *Service) DisableTargets(ctx context.Context, q TargetsRequest) (ClientAnswer, error) {
	targets, err := s.targets(ctx, q.Tenants)
	if err != nil {
		return ClientAnswer{}, err
	}
	return s.changeClient(ctx, q.Client, "client.tenants_disabled", targetDetail(q), func(tx *db.Tx, c *Client) error {
		if q.All {
			c.AllTenants = false
			return clearTargets(ctx, tx, c.ID)
		}
		if c.AllTenants {
			return fault.Conflict("client_on_for_all", "the client is switched on for all municipalities; switch it off for all, then on for those that shall have it")
		}
		for _, t := range targets {
			if err := removeTarget(ctx, tx, c.ID, t); err != nil {
				return err
			}
		}
		return nil
	})
}

func targetDetail(q TargetsRequest) map[string]any {
	return map[string]any{"all": q.All, "tenants": q.Tenants}
}

func (s *Service) targets(ctx context.Context, slugs []string) (ids []id.ID, err error) {
	for _, slug := range slugs {
		if slug == tenant.OperatorSlug {
			return nil, fault.NotFound("unknown_tenant", "no municipality is known here as %q", slug)
		}
		e, err := s.dir.BySlug(ctx, slug)
		if err != nil {
			return nil, err
		}
		ids = append(ids, e.ID)
	}
	return ids, nil
}

// ListTargets lists for which municipalities a client of the operator is switched on, to
// the operator and to the client itself. Errors: unknown_client, operator_only.
func (s *Service) ListTargets(ctx context.Context, q ListRequest) (list TargetList, err error) {
	p, _ := authn.From(ctx)
	if p.ClientID != q.Client && !p.IsOperator() {
		return list, fault.Forbidden("operator_only", "only the operator may do this")
	}
	after, err := s.after(q)
	if err != nil {
		return list, err
	}
	var ids []id.ID
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		c, err := getClient(ctx, tx, q.Client, false)
		if err != nil {
			return unknownClient(err)
		}
		list = TargetList{All: c.AllTenants, Items: []Target{}}
		if c.AllTenants {
			ids = nil
			return nil
		}
		ids, err = selectTargets(ctx, tx, q.Client, id.ID(after), q.Limit+1)
		return err
	})
	if err != nil {
		return list, err
	}
	if ids, list.Next, err = cut(s, ids, q.Limit, id.ID.String); err != nil {
		return list, err
	}
	for _, target := range ids {
		e, err := s.dir.ByID(ctx, target)
		if fault.Is(err, "unknown_tenant") {
			continue // erased meanwhile
		}
		if err != nil {
			return list, err
		}
		list.Items = append(list.Items, Target{ID: e.ID, Slug: e.Slug, Name: e.Name})
	}
	return list, nil
}

func clientAnswer(c *Client, targets int) ClientAnswer {
	return ClientAnswer{
		ID: c.ID, Name: c.Name, Login: c.Login, AuthMethod: c.AuthMethod, Redirects: c.Redirects.V, AfterLogout: c.AfterLogout.V,
		Grants: c.Grants.V, Scopes: c.Scopes.V, MinLevel: c.MinLevel, Enabled: c.Enabled, AllTenants: c.AllTenants,
		TenantCount: targets, PreviousUntil: c.PreviousUntil, Version: c.Version, CreatedAt: c.CreatedAt,
		DPoPBound: c.DPoPBound, CertBound: c.CertBound,
	}
}

// RotateKeys brings the next signing key of the tenant's issuer: see keyStore.rotate.
// Error: rotation_under_way.
func (s *Service) RotateKeys(ctx context.Context, q RotateRequest) (list KeyList, err error) {
	ring, err := s.keys.rotate(ctx, q.Immediately)
	if err != nil {
		return list, err
	}
	for _, k := range ring {
		if !k.gone(s.clock()) {
			list.Items = append(list.Items, KeyAnswer{KID: k.KID, CreatedAt: k.CreatedAt, SignsFrom: k.SignsFrom, GoneAt: k.GoneAt})
		}
	}
	return list, nil
}
