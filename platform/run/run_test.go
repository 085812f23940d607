package run_test

import (
	"context"
	"net/http"
	"testing"
	"testing/fstest"

	"basisdienste/platform/authn"
	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/kit"
	"basisdienste/platform/outbox"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenant"
)

// notes is a whole small service: it takes notes, tells of them, and counts what it hears.
type notes struct {
	db *db.DB
}

type noteTaken struct {
	ID   string `json:"id"`
	Body string `json:"body"`
}

func (noteTaken) EventType() string { return "payment.note.taken.v1" }
func (e noteTaken) Subject() string { return e.ID }

type takeRequest struct {
	Body string `json:"body"`
}

func (q *takeRequest) Validate() error {
	if q.Body == "" {
		return fault.Invalid("note_empty", "a note has a body").With(fault.Field{Name: "/body", Code: "required", Detail: "must not be empty"})
	}
	return nil
}

type takeAnswer struct {
	ID string `json:"id"`
}

func (takeAnswer) StatusCode() int { return http.StatusCreated }

func (n *notes) take(ctx context.Context, q takeRequest) (takeAnswer, error) {
	return idem.Tx(ctx, n.db, func(tx *db.Tx) (takeAnswer, error) {
		key := id.New().String()
		if _, err := tx.Exec(ctx, `INSERT INTO notes (tenant_id, id, body) VALUES (?, ?, ?)`, tx.Tenant(), key, q.Body); err != nil {
			return takeAnswer{}, err
		}
		return takeAnswer{key}, outbox.Put(ctx, tx, noteTaken{key, q.Body})
	})
}

type countAnswer struct {
	Notes int `json:"notes"`
	Heard int `json:"heard"`
}

func (n *notes) count(ctx context.Context, _ struct{}) (a countAnswer, err error) {
	err = n.db.Read(ctx, func(tx *db.Tx) error {
		if err := tx.Get(ctx, &a.Notes, `SELECT count(*) FROM notes WHERE tenant_id = ?`, tx.Tenant()); err != nil {
			return err
		}
		return tx.Get(ctx, &a.Heard, `SELECT count(*) FROM heard WHERE tenant_id = ?`, tx.Tenant())
	})
	return a, err
}

func (n *notes) hear(ctx context.Context, tx *db.Tx, _ bus.Meta, e noteTaken) error {
	if e.Body == "poison" {
		return fault.Unprocessable("note_poisonous", "this note cannot be heard")
	}
	_, err := tx.Exec(ctx, `INSERT INTO heard (tenant_id, id) VALUES (?, ?)`, tx.Tenant(), e.ID)
	return err
}

func app() run.App {
	return run.App{
		Name: "payment",
		Migrations: []db.Set{{Name: "notes", FS: fstest.MapFS{"migrations/00001_notes.sql": {Data: []byte(`-- +goose Up
CREATE TABLE notes (tenant_id TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (tenant_id, id));
{{isolate "notes"}}
CREATE TABLE heard (tenant_id TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tenant_id, id));
{{isolate "heard"}}
-- +goose Down
DROP TABLE heard;
DROP TABLE notes;
`)}}}},
		Open: func(_ context.Context, h *run.Host) (run.Unit, error) {
			n := &notes{db: h.DB}
			kit.Route(h.Mux, "POST /t/{tenant}/payment/v1/notes", h.Verifier.Guard("payment:write"), n.take)
			kit.Route(h.Mux, "GET /t/{tenant}/payment/v1/notes", h.Verifier.Guard("payment:read"), n.count)
			bus.Handle(h.Bus, "hear", n.hear)
			return run.Unit{}, nil
		},
	}
}

func TestProcess_RequestToEvent(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]runtest.Option{"sqlite": nil, "postgres": {runtest.Postgres()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requestToEvent(t, runtest.Start(t, []run.App{app()}, options...))
		})
	}
}

func requestToEvent(t *testing.T, env *runtest.Env) {
	t.Helper()
	erfurt, jena := env.Tenant("erfurt", "160510000000"), env.Tenant("jena", "160530000000")
	scopes := []string{"payment:read", "payment:write"}
	token := env.Token(authn.Principal{Kind: authn.Client, ClientID: "c", TenantID: erfurt.ID, Scopes: scopes})
	const path = "/t/erfurt/payment/v1/notes"

	for _, c := range []struct {
		name, path, token, body, key string
		want                         int
		code                         string
	}{
		{"no token", path, "", `{"body":"x"}`, "", 401, "token_missing"},
		{"no JWT", path, "nonsense", `{"body":"x"}`, "", 401, "token_invalid"},
		{"other tenant's path", "/t/jena/payment/v1/notes", token, `{"body":"x"}`, "", 403, "wrong_tenant"},
		{"unknown tenant", "/t/nowhere/payment/v1/notes", token, `{"body":"x"}`, "", 404, "unknown_tenant"},
		{"scope missing", path, env.Token(authn.Principal{Kind: authn.Client, TenantID: erfurt.ID}), `{"body":"x"}`, "", 403, "scope_missing"},
		{"unknown field", path, token, `{"body":"x","extra":1}`, "", 400, "unknown_field"},
		{"duplicate field", path, token, `{"body":"x","body":"y"}`, "", 400, "duplicate_field"},
		{"wrong type", path, token, `{"body":1}`, "", 400, "wrong_type"},
		{"trailing data", path, token, `{"body":"x"} {}`, "", 400, "invalid_json"},
		{"byte order mark", path, token, "\ufeff{\"body\":\"x\"}", "", 400, "invalid_json"},
		{"empty", path, token, ``, "", 400, "invalid_json"},
		{"rule broken", path, token, `{"body":""}`, "", 400, "note_empty"},
		{"no such address", path + "/nothing/here", token, `{}`, "", 404, "no_such_address"},
		{"good", path, token, `{"body":"first"}`, "k1", 201, ""},
		{"again with the key", path, token, `{"body":"first"}`, "k1", 201, ""},
		{"the key for another request", path, token, `{"body":"second"}`, "k1", 422, "idempotency_key_reused"},
	} {
		got := env.Do(http.MethodPost, c.path, c.token, c.body, "Idempotency-Key", c.key)
		var p struct {
			Code string `json:"code"`
		}
		got.JSON(t, &p)
		if got.Status != c.want || p.Code != c.code {
			t.Errorf("%s: POST %s = %d %s, want %d %s", c.name, c.path, got.Status, got.Body, c.want, c.code)
		}
	}
	if got := env.Do(http.MethodDelete, path, token, nil); got.Status != 405 || got.Header.Get("Allow") == "" {
		t.Errorf("DELETE = %d, Allow %q, want 405 and the methods", got.Status, got.Header.Get("Allow"))
	}
	count := func() (a countAnswer) {
		env.Do(http.MethodGet, path, token, nil).JSON(t, &a)
		return a
	}
	runtest.Eventually(t, "the note is heard once", func() bool { return count() == countAnswer{1, 1} })

	// A poisonous event becomes a dead letter; the next one is heard.
	env.Do(http.MethodPost, path, token, `{"body":"poison"}`)
	env.Do(http.MethodPost, path, token, `{"body":"third"}`)
	runtest.Eventually(t, "the third note is heard", func() bool { return count() == countAnswer{3, 2} })
	operator := env.Token(authn.Principal{Kind: authn.Client, TenantID: tenant.Operator, Scopes: []string{"operator"}})
	var dead struct {
		Items []outbox.DeadLetter `json:"items"`
	}
	runtest.Eventually(t, "the poison is a dead letter", func() bool {
		env.Do(http.MethodGet, "/payment/v1/events/dead", operator, nil).JSON(t, &dead)
		return len(dead.Items) == 1 && dead.Items[0].Consumer == "hear"
	})
	if got := env.Do(http.MethodGet, "/payment/v1/events/dead", token, nil); got.Status != 403 {
		t.Errorf("dead letters for a tenant's client = %d, want 403", got.Status)
	}
	got := env.Do(http.MethodPost, "/payment/v1/events/dead/hear/"+dead.Items[0].ID.String()+"/replay", operator, nil)
	if got.Status != 409 {
		t.Errorf("replay of what still fails = %d %s, want 409", got.Status, got.Body)
	}
	if jena.ID == erfurt.ID {
		t.Fatal("two tenants, one id")
	}
}

func TestProcess_StartsAgainOnItsData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var tenants []string
	for range 2 {
		t.Run("start", func(t *testing.T) {
			env := runtest.Start(t, []run.App{app()}, runtest.Dir(dir))
			entry, err := env.Process.Host("payment").Dir.BySlug(t.Context(), "erfurt")
			if err != nil {
				entry = env.Tenant("erfurt", "160510000000")
			}
			tenants = append(tenants, entry.ID.String())
		})
	}
	if tenants[0] != tenants[1] {
		t.Errorf("Erfurt was %s before the restart and %s after", tenants[0], tenants[1])
	}
}
