package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
)

const (
	firstClientID     = "basisctl"
	firstClientSecret = "operator-client" // file in DIR/secrets
	demoClientID      = "efa-demo"
)

// firstClient lets the operator in on a new installation: by the client basisctl, whose
// secret is the content of DIR/secrets/operator-client. Once the client exists, the file is
// no longer read; a secret that was rotated is not in it.
func (s *Service) firstClient(ctx context.Context, secret func(string) ([]byte, error)) error {
	ctx = operatorContext(ctx)
	_, err := s.GetClient(ctx, ClientRef{Client: firstClientID})
	if !fault.Is(err, "unknown_client") {
		return err
	}
	key, err := secret(firstClientSecret)
	if err != nil {
		return err
	}
	_, err = s.createClient(ctx, &Client{
		TenantID: here(ctx).ID, ID: firstClientID, Name: "basisctl", Login: authn.Staff, AuthMethod: authBasic,
		SecretHash: hashSecret(hex.EncodeToString(key)), Redirects: list(), AfterLogout: list(),
		Grants: list(grantClient), Scopes: list(scopeOperator), Enabled: true, Version: 1,
	}, "")
	if fault.Is(err, "client_exists") { // another process was first
		return nil
	}
	return err
}

func list(values ...string) db.JSON[[]string] { return db.JSON[[]string]{V: orEmpty(values)} }

// demoScopes are what the demonstration's EfA service may do at the municipalities.
func demoScopes() []string {
	return []string{
		"post", "read", "forms:read", "forms:write", "notify:write", "notify:read", "booking:read", "booking:write",
		"payment:read", "payment:write", "payment:refund", "payment:treasury", "payment:webhooks",
	}
}

// seed makes the demonstration's clients and accounts, if they are not there yet, and says
// how to use them. Secrets and passwords are made from the file DIR/secrets/demo, so that
// they are the same after a restart and others in each installation.
func (s *Service) seed(ctx context.Context, secret func(string) ([]byte, error), d run.Demo) error {
	key, err := secret("demo")
	if err != nil {
		return err
	}
	made := func(what string, n int) string {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(what))
		return base64.RawURLEncoding.EncodeToString(m.Sum(nil))[:n]
	}
	first, err := secret(firstClientSecret)
	if err != nil {
		return err
	}
	erfurt, err := s.dir.Await(ctx, "erfurt")
	if err != nil {
		return fmt.Errorf("demo tenant: %w", err)
	}
	slugs, err := s.demoTenants(ctx, d)
	if err != nil {
		return err
	}
	efa := made("efa-client", 43)
	if err := s.seedClient(operatorContext(ctx), efa, slugs); err != nil {
		return err
	}
	staff, second, operator := made("staff-password", 16), made("second-staff-password", 16), made("operator-password", 16)
	atErfurt := tenantdir.With(ctx, erfurt)
	if err := s.seedStaff(atErfurt, "sachbearbeitung", "Sabine Sachbearbeitung", staff, authn.RoleClerk, authn.RoleTenantAdmin); err != nil {
		return err
	}
	// What one of them asks for, the other one approves.
	if err := s.seedStaff(atErfurt, "kasse", "Karin Kasse", second, authn.RoleClerk, authn.RoleTenantAdmin); err != nil {
		return err
	}
	if err := s.seedStaff(operatorContext(ctx), "betrieb", "Bernd Betrieb", operator, authn.RoleOperator); err != nil {
		return err
	}
	tokenURL := s.baseURL + "/operator/auth/token"
	d["efa_client"] = map[string]any{"client_id": demoClientID, "client_secret": efa, "token_url": tokenURL, "scope": strings.Join(demoScopes(), " ")}
	d["operator"] = map[string]any{
		"client_id": firstClientID, "client_secret": hex.EncodeToString(first), "token_url": tokenURL, "scope": scopeOperator,
		"username": "betrieb", "password": operator, "login_url": s.baseURL + "/operator",
	}
	login := s.baseURL + "/t/" + erfurt.Slug + "/staff"
	d["staff"] = map[string]any{"tenant": erfurt.Slug, "username": "sachbearbeitung", "password": staff, "login_url": login}
	d["second_staff"] = map[string]any{"tenant": erfurt.Slug, "username": "kasse", "password": second, "login_url": login}
	d["citizen"] = map[string]any{
		"tenant": erfurt.Slug, "person": "erika", "level": 3, "issuer": s.issuerOf(erfurt.Tenant), "login_url": s.baseURL + "/t/" + erfurt.Slug + "/forms/",
	}
	return nil
}

// demoTenants waits for the tenants that the service tenants has put into the description.
func (s *Service) demoTenants(ctx context.Context, d run.Demo) ([]string, error) {
	var known []struct {
		Slug string `json:"slug"`
	}
	text, err := json.Marshal(d["tenants"])
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &known); err != nil {
		return nil, fmt.Errorf("demo tenants: %w", err)
	}
	slugs := []string{"erfurt"}
	for _, t := range known {
		if t.Slug == "erfurt" {
			continue
		}
		if _, err := s.dir.Await(ctx, t.Slug); err != nil {
			return nil, fmt.Errorf("demo tenant %s: %w", t.Slug, err)
		}
		slugs = append(slugs, t.Slug)
	}
	return slugs, nil
}

func (s *Service) seedClient(ctx context.Context, secret string, slugs []string) error {
	_, err := s.createClient(ctx, &Client{
		TenantID: here(ctx).ID, ID: demoClientID, Name: "EfA-Dienst (Vorführung)", Login: authn.Citizen, AuthMethod: authBasic,
		SecretHash: hashSecret(secret), Redirects: list("http://127.0.0.1:9090/callback"), AfterLogout: list("http://127.0.0.1:9090/"),
		Grants: list(grantClient, grantCode), Scopes: list(demoScopes()...), Enabled: true, Version: 1,
	}, "")
	if fault.Is(err, "client_exists") {
		c, err := s.GetClient(ctx, ClientRef{Client: demoClientID})
		if err != nil || c.Version > 1 {
			return err // it was switched on then; who switched it off since meant it
		}
	} else if err != nil {
		return err
	}
	_, err = s.EnableTargets(ctx, TargetsRequest{Client: demoClientID, Tenants: slugs})
	return err
}

func (s *Service) seedStaff(ctx context.Context, username, name, password string, roles ...string) error {
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		_, err := staffByUsername(ctx, tx, username)
		return err
	})
	if !errors.Is(err, db.ErrNoRows) {
		return err
	}
	_, err = s.CreateStaff(ctx, CreateStaffRequest{Username: username, Name: name, Roles: roles, Password: password})
	if fault.Is(err, "staff_exists") {
		return nil
	}
	return err
}
