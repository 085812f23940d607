package auth_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/services/auth"
	"basisdienste/services/auth/sandbox"
)

// TestSeed starts the demonstration twice on the same folder: the description is the same,
// and everything in it works.
func TestSeed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	type credential struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		TokenURL     string `json:"token_url"`
		Scope        string `json:"scope"`
		Tenant       string `json:"tenant"`
		Username     string `json:"username"`
		Password     string `json:"password"`
		Person       string `json:"person"`
		Level        int    `json:"level"`
	}
	var first map[string]credential
	for i := range 2 {
		t.Run([]string{"first start", "second start"}[i], func(t *testing.T) {
			app := auth.New(sandbox.Open)
			var seed func(d run.Demo) error
			open := app.Open
			app.Open = opened(open, &seed)
			env := runtest.Start(t, []run.App{app}, runtest.RealAuth(), runtest.Dir(dir), runtest.Set("auth.sandbox", "true"))
			if i == 0 {
				env.Tenant("erfurt", "160510000000")
				env.Tenant("jena", "160530000000")
			}
			d := run.Demo{"tenants": []map[string]any{{"slug": "erfurt"}, {"slug": "jena"}}}
			if err := seed(d); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(map[string]any{"efa_client": d["efa_client"], "operator": d["operator"], "staff": d["staff"], "second_staff": d["second_staff"], "citizen": d["citizen"]})
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]credential
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			w := &world{Env: env, t: t}
			for _, name := range []string{"efa_client", "operator"} {
				c := got[name]
				a, answer := w.clientToken(c.TokenURL, c.ClientID, c.ClientSecret, c.Scope)
				if a.Status != http.StatusOK || answer.Scope != c.Scope {
					t.Errorf("%s: token = %d %s, want the scope %q", name, a.Status, a.Body, c.Scope)
				}
				c.TokenURL = "" // another port after each start
				got[name] = c
			}
			if first == nil {
				first = got
			}
			for name, want := range first {
				if got[name] != want {
					t.Errorf("%s = %+v, want as at the first start %+v", name, got[name], want)
				}
			}
			if c := got["staff"]; c.Tenant != "erfurt" || c.Username == "" || len(c.Password) < 12 {
				t.Errorf("staff = %+v, want a login at erfurt", c)
			}
			if a, b := got["staff"], got["second_staff"]; b.Tenant != "erfurt" || a.Username == b.Username || a.Password == b.Password || len(b.Password) < 12 {
				t.Errorf("second_staff = %+v, want a login at erfurt other than %+v", b, a)
			}
			if c := got["citizen"]; c.Tenant != "erfurt" || c.Person != "erika" || c.Level != 3 {
				t.Errorf("citizen = %+v, want erika at erfurt with level 3", c)
			}
		})
	}
}

// opened lets the test call the seed that run would call in a demonstration.
func opened(open func(context.Context, *run.Host) (run.Unit, error), seed *func(run.Demo) error) func(context.Context, *run.Host) (run.Unit, error) {
	return func(ctx context.Context, h *run.Host) (run.Unit, error) {
		unit, err := open(ctx, h)
		*seed = func(d run.Demo) error { return unit.Seed(context.WithoutCancel(ctx), d) }
		return unit, err
	}
}
