package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"basisdienste/platform/authn"
	"basisdienste/platform/tenant"
)

func asError[E error](err error, target *E) bool { return errors.As(err, target) }

const password = "correct horse battery staple"

type account struct {
	ID       string   `json:"id"`
	Username string   `json:"username"`
	Password string   `json:"password"`
	Roles    []string `json:"roles"`
	Disabled bool     `json:"disabled"`
}

// account makes an account below base, as the operator.
func (w *world) account(base, username string, roles []string) account {
	w.t.Helper()
	a := w.Do(http.MethodPost, base+"/auth/v1/staff", w.operator(), map[string]any{"username": username, "name": "Name", "roles": roles, "password": password})
	if a.Status != http.StatusCreated {
		w.t.Fatalf("create %s at %s = %d %s", username, base, a.Status, a.Body)
	}
	var got account
	a.JSON(w.t, &got)
	return got
}

func TestStaffLogin(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.account("/t/erfurt", "Amt.Leitung", []string{"clerk", "tenant-admin"})
	w.account("/operator", "betrieb", []string{"operator"})
	a := w.app("erfurt", map[string]any{"client_id": "fach", "login": "staff"})
	b := w.browser()
	p := b.open(a.start())
	if !strings.Contains(p.Text, "Anmeldung für Beschäftigte") || strings.Contains(p.Text, "Testumgebung") {
		t.Fatalf("login page of staff = %s\n%s", p.URL, p.Text)
	}
	wrong := p.submit("username", "amt.leitung", "password", "wrong")
	unknown := p.submit("username", "nobody", "password", "wrong")
	if wrong.Status != 401 || unknown.Status != 401 || strings.ReplaceAll(wrong.Text, "amt.leitung", "nobody") != unknown.Text {
		t.Errorf("wrong password = %d, unknown name = %d; want the same page with 401", wrong.Status, unknown.Status)
	}
	token, idToken := a.finish(p.submit("username", "AMT.leitung", "password", password))
	principal, err := w.principal(token.AccessToken)
	if err != nil || principal.Kind != authn.Staff || principal.TenantID != w.erfurt.ID || fmt.Sprint(principal.Roles) != "[clerk tenant-admin]" || principal.Level != 0 {
		t.Errorf("access token = %+v, %v; want staff of erfurt with both roles", principal, err)
	}
	var claims map[string]any
	if err := idToken.Claims(&claims); err != nil || claims["name"] != "Name" || claims["preferred_username"] != "amt.leitung" || fmt.Sprint(claims["amr"]) != "[pwd]" {
		t.Errorf("ID token = %v, %v; want name, user name, amr pwd", claims, err)
	}
	// The administrator makes accounts at erfurt, and nowhere else.
	made := w.Do(http.MethodPost, "/t/erfurt/auth/v1/staff", token.AccessToken, map[string]any{"username": "neu", "name": "Neu", "roles": []string{"clerk"}})
	var neu account
	made.JSON(t, &neu)
	if made.Status != 201 || len(neu.Password) < 12 {
		t.Errorf("tenant-admin creates = %d %s, want 201 with a made password", made.Status, made.Body)
	}
	if r := w.Do(http.MethodPost, "/t/jena/auth/v1/staff", token.AccessToken, map[string]any{"username": "neu", "name": "Neu", "roles": []string{"clerk"}}); r.Status != 403 {
		t.Errorf("tenant-admin of erfurt creates at jena = %d %s, want 403", r.Status, r.Body)
	}
	clerk, _ := a.finish(w.browser().open(a.start()).submit("username", "neu", "password", neu.Password))
	if r := w.Do(http.MethodGet, "/t/erfurt/auth/v1/staff", clerk.AccessToken, nil); r.Status != 403 {
		t.Errorf("a clerk lists the staff = %d %s, want 403", r.Status, r.Body)
	}
	if r := w.Do(http.MethodPost, "/operator/auth/v1/staff", token.AccessToken, map[string]any{"username": "x1", "name": "X", "roles": []string{"operator"}}); r.Status != 403 {
		t.Errorf("tenant-admin creates an operator = %d %s, want 403", r.Status, r.Body)
	}

	op := w.app("operator", nil)
	opToken, _ := op.finish(w.browser().open(op.start()).submit("username", "betrieb", "password", password))
	if principal, err := w.principal(opToken.AccessToken); err != nil || !principal.IsOperator() || principal.TenantID != tenant.Operator {
		t.Errorf("operator's token = %+v, %v; want the operator", principal, err)
	}
	// acr_values do not fit staff.
	if got := refusal(b.open(a.start(acr("STORK-QAA-Level-3")))); got != "unmet_authentication_requirements" {
		t.Errorf("staff at level 3 = %q, want unmet_authentication_requirements", got)
	}
}

func TestStaff_DisableAndReset(t *testing.T) {
	t.Parallel()
	w := start(t)
	who := w.account("/t/erfurt", "clerk", []string{"clerk"})
	a := w.app("erfurt", map[string]any{"client_id": "fach", "login": "staff"})
	b := w.browser()
	token, _ := a.finish(b.open(a.start()).submit("username", "clerk", "password", password))
	base := "/t/erfurt/auth/v1/staff/" + who.ID
	var got account
	w.Do(http.MethodPost, base+"/password", w.operator(), map[string]any{}).JSON(t, &got)
	if got.Password == "" {
		t.Fatalf("reset = %+v, want a made password", got)
	}
	if p := b.open(a.start()); p.Left {
		t.Error("after a reset the session is still there")
	}
	if _, err := a.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token)); err == nil {
		t.Error("after a reset the token is still good for userinfo")
	}
	if p := b.open(a.start()).submit("username", "clerk", "password", password); p.Status != 401 {
		t.Errorf("old password = %d, want 401", p.Status)
	}
	a.finish(b.open(a.start()).submit("username", "clerk", "password", got.Password))
	if r := w.Do(http.MethodPost, base+"/disable", w.operator(), nil); r.Status != 200 {
		t.Fatalf("disable = %d %s", r.Status, r.Body)
	}
	if p := w.browser().open(a.start()).submit("username", "clerk", "password", got.Password); p.Status != 401 {
		t.Errorf("disabled account = %d, want 401", p.Status)
	}
	for path, want := range map[string]int{
		"/t/jena/auth/v1/staff/" + who.ID + "/disable": 404, "/operator/auth/v1/staff/" + who.ID + "/disable": 404,
		"/t/erfurt/auth/v1/staff/x/disable": 400,
	} {
		if r := w.Do(http.MethodPost, path, w.operator(), nil); r.Status != want {
			t.Errorf("POST %s = %d %s, want %d", path, r.Status, r.Body, want)
		}
	}
}

func TestBruteForce(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.account("/t/erfurt", "clerk", []string{"clerk"})
	a := w.app("erfurt", map[string]any{"client_id": "fach", "login": "staff"})
	p := w.browser().open(a.start())
	for _, name := range []string{"clerk", "nobody"} {
		for i := range 10 {
			if got := p.submit("username", name, "password", "wrong"); got.Status != 401 {
				t.Fatalf("%s, attempt %d = %d, want 401", name, i+1, got.Status)
			}
		}
		if got := p.submit("username", name, "password", password); got.Status != 429 || got.Left {
			t.Errorf("%s, attempt 11 with the right password = %d, want 429", name, got.Status)
		}
	}
	w.clock.Add(15*time.Minute + time.Second)
	a.finish(p.submit("username", "clerk", "password", password))
}

func TestBruteForce_Address(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", map[string]any{"client_id": "fach", "login": "staff"})
	p := w.browser().open(a.start())
	limited := 0
	for i := range 70 {
		got := p.submit("username", fmt.Sprintf("name%d", i), "password", "wrong")
		if got.Status == 429 {
			limited++
		}
	}
	if limited == 0 {
		t.Error("70 attempts of one address at 70 names: none was limited")
	}
}

func TestStaff_BadInput(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.account("/t/erfurt", "clerk", []string{"clerk"})
	token := w.operator()
	for _, c := range []struct {
		name, path string
		body       any
		status     int
		code       string
	}{
		{"exists", "/t/erfurt", map[string]any{"username": "CLERK", "name": "x", "roles": []string{"clerk"}}, 409, "staff_exists"},
		{"operator at a municipality", "/t/erfurt", map[string]any{"username": "op", "name": "x", "roles": []string{"operator"}}, 422, "unknown_role"},
		{"clerk at the operator", "/operator", map[string]any{"username": "op", "name": "x", "roles": []string{"clerk"}}, 422, "unknown_role"},
		{"no role", "/t/erfurt", map[string]any{"username": "op", "name": "x"}, 422, "unknown_role"},
		{"short password", "/t/erfurt", map[string]any{"username": "op", "name": "x", "roles": []string{"clerk"}, "password": "short"}, 422, "invalid_password"},
		{"user name", "/t/erfurt", map[string]any{"username": "a b", "name": "x", "roles": []string{"clerk"}}, 422, "invalid_username"},
		{"unknown field", "/t/erfurt", map[string]any{"username": "op", "tenant": "jena"}, 400, "unknown_field"},
	} {
		r := w.Do(http.MethodPost, c.path+"/auth/v1/staff", token, c.body)
		var got struct{ Code string }
		r.JSON(t, &got)
		if r.Status != c.status || got.Code != c.code {
			t.Errorf("%s: create = %d %s, want %d %s", c.name, r.Status, r.Body, c.status, c.code)
		}
	}
	if r := w.Do(http.MethodPost, "/t/erfurt/auth/v1/staff", "", map[string]any{}); r.Status != 401 {
		t.Errorf("create without token = %d, want 401", r.Status)
	}
}
