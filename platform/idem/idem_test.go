package idem_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/idem"
	"basisdienste/platform/kit"
)

var effects = db.Set{Name: "effects", FS: fstest.MapFS{"migrations/00001_effects.sql": {Data: []byte(`-- +goose Up
CREATE TABLE effects (tenant_id TEXT NOT NULL, n {{.Serial}});
{{isolate "effects"}}
-- +goose Down
DROP TABLE effects;
`)}}}

func each(t *testing.T, f func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, []db.Set{idem.Migrations(), effects}, f)
}

// take has one effect and answers with what it was told.
func take[R any](ctx context.Context, d *db.DB, answer R) (R, error) {
	return idem.Tx(ctx, d, func(tx *db.Tx) (R, error) {
		_, err := tx.Exec(ctx, `INSERT INTO effects (tenant_id) VALUES (?)`, tx.Tenant())
		return answer, err
	})
}

func count(ctx context.Context, t *testing.T, d *db.DB, table string) (n int) {
	t.Helper()
	sys := db.System(ctx)
	if err := d.Read(sys, func(tx *db.Tx) error { return tx.Get(sys, &n, "SELECT count(*) FROM "+table) }); err != nil {
		t.Fatal(err)
	}
	return n
}

func with(ctx context.Context, t *testing.T, operation, key, path, body string) context.Context {
	t.Helper()
	ctx, err := idem.With(ctx, operation, key, path, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

func TestTx_ManyAtOnceHaveOneEffect(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := with(dbtest.Tenant(t, "erfurt"), t, "POST /x", "k", "/x", "{}")
		var wg sync.WaitGroup
		var good atomic.Int32
		answers := sync.Map{}
		for i := range 32 {
			wg.Go(func() {
				got, err := take(ctx, d, fmt.Sprint("answer ", i))
				switch {
				case err == nil:
					good.Add(1)
					answers.Store(got, true)
				case !fault.Is(err, "idempotency_key_in_use") || fault.From(err).Kind != fault.KindConflict || fault.From(err).RetryAfter == 0:
					t.Errorf("Tx = %v, want the first answer or idempotency_key_in_use with a time", err)
				}
			})
		}
		wg.Wait()
		different := 0
		answers.Range(func(any, any) bool { different++; return true })
		if n := count(ctx, t, d, "effects"); n != 1 || different != 1 || good.Load() < 1 {
			t.Errorf("%d effects, %d different answers of %d, want 1 and 1 of at least 1", n, different, good.Load())
		}
	})
}

func TestTx_FailureLeavesTheKeyFree(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := with(dbtest.Tenant(t, "erfurt"), t, "POST /x", "k", "/x", "{}")
		wrong := errors.New("wrong")
		got, err := idem.Tx(ctx, d, func(tx *db.Tx) (string, error) {
			_, err := tx.Exec(ctx, `INSERT INTO effects (tenant_id) VALUES (?)`, tx.Tenant())
			return "half", errors.Join(err, wrong)
		})
		if !errors.Is(err, wrong) || got != "" {
			t.Errorf("Tx = %q, %v, want nothing and %v", got, err, wrong)
		}
		if got, err := take(ctx, d, "second"); err != nil || got != "second" {
			t.Errorf("Tx after a failure = %q, %v, want second", got, err)
		}
		if n := count(ctx, t, d, "effects"); n != 1 {
			t.Errorf("effects = %d, want 1", n)
		}
	})
}

func TestTx_KeysBelongToTheirRequest(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
		first := with(erfurt, t, "POST /x/{id}", "k", "/x/1?a=1", "{}")
		if _, err := take(first, d, "first"); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			ctx        context.Context
			want, code string
		}{
			"the same":          {first, "first", ""},
			"other body":        {with(erfurt, t, "POST /x/{id}", "k", "/x/1?a=1", "{ }"), "", "idempotency_key_reused"},
			"other path":        {with(erfurt, t, "POST /x/{id}", "k", "/x/2?a=1", "{}"), "", "idempotency_key_reused"},
			"other query":       {with(erfurt, t, "POST /x/{id}", "k", "/x/1?a=2", "{}"), "", "idempotency_key_reused"},
			"path into body":    {with(erfurt, t, "POST /x/{id}", "k", "/x/1?a=1{", "}"), "", "idempotency_key_reused"},
			"other key":         {with(erfurt, t, "POST /x/{id}", "K", "/x/1?a=1", "{}"), "other key", ""},
			"other operation":   {with(erfurt, t, "PUT /x/{id}", "k", "/x/1?a=1", "{}"), "other operation", ""},
			"other actor":       {with(audit.WithActor(erfurt, "client:2"), t, "POST /x/{id}", "k", "/x/1?a=1", "{}"), "other actor", ""},
			"other tenant":      {with(jena, t, "POST /x/{id}", "k", "/x/1?a=1", "{}"), "other tenant", ""},
			"without any key":   {erfurt, "without any key", ""},
			"without any again": {erfurt, "without any again", ""},
		} {
			got, err := take(c.ctx, d, name)
			if got != c.want || (err == nil) != (c.code == "") || (err != nil && !fault.Is(err, c.code)) {
				t.Errorf("%s: Tx = %q, %v, want %q %s", name, got, err, c.want, c.code)
			}
		}
	})
}

func TestTable_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	d := dbtest.NewPostgres(t, idem.Migrations(), effects)
	if _, err := take(with(dbtest.Tenant(t, "erfurt"), t, "POST /x", "k", "/x", "{}"), d, "x"); err != nil {
		t.Fatal(err)
	}
	jena := dbtest.Tenant(t, "jena")
	var n int
	if err := d.Read(jena, func(tx *db.Tx) error { return tx.Get(jena, &n, "SELECT count(*) FROM idempotency") }); err != nil || n != 0 {
		t.Errorf("Jena sees %d keys of Erfurt, %v", n, err)
	}
}

func TestPurge_DeletesWhatIsOld(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		d = d.WithClock(func() time.Time { return now })
		if _, err := take(with(ctx, t, "POST /x", "old", "/x", "{}"), d, "x"); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Hour)
		for i := range 60 {
			if _, err := take(with(ctx, t, "POST /x", fmt.Sprint(i), "/x", "{}"), d, "x"); err != nil {
				t.Fatal(err)
			}
		}
		before := count(ctx, t, d, "idempotency")
		now = now.Add(idem.Keep - time.Hour)
		if err := idem.Purge(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if n := count(ctx, t, d, "idempotency"); n != before-1 {
			t.Errorf("keys after Purge = %d of %d, want all but the old one", n, before)
		}
		now = now.Add(2 * time.Hour)
		if err := idem.Purge(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if n := count(ctx, t, d, "idempotency"); n != 0 {
			t.Errorf("keys after another Purge = %d, want 0", n)
		}
	})
}

func TestWith_RefusesKeysThatAreNone(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"k": true, `"quoted-key"`: true, strings.Repeat("x", 255): true, strings.Repeat("x", 256): false,
		"a b": false, "a\tb": false, "ä": false, "a\x7f": false, "a\x00": false,
	} {
		ctx, err := idem.With(t.Context(), "op", key, "/", nil)
		if (err == nil) != want || (err != nil && !fault.Is(err, "invalid_idempotency_key")) {
			t.Errorf("With(%.20q) = %v, want good: %v", key, err, want)
		}
		if err == nil && idem.Key(ctx) != key {
			t.Errorf("Key = %q, want %q", idem.Key(ctx), key)
		}
	}
}

type answer struct {
	ID    string          `json:"id"`
	At    time.Time       `json:"at"`
	Raw   json.RawMessage `json:"raw"`
	Empty []string        `json:"empty"`
	Any   map[string]any  `json:"any"`
	Big   int64           `json:"big"`
}

func (answer) StatusCode() int { return http.StatusCreated }

func TestRoute_ReplayIsByteIdentical(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		m := kit.NewMux(slog.New(slog.DiscardHandler), func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r.WithContext(ctx)) })
		})
		calls := 0
		kit.Route(m, "POST /x", kit.Public, func(ctx context.Context, _ struct{}) (answer, error) {
			calls++
			return take(ctx, d, answer{
				ID: fmt.Sprint("<&>\u2028ä\x00", calls), At: time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.FixedZone("CET", 3600)),
				Raw: json.RawMessage(`{ "b":"<a>&amp;" , "a":1.0}`), Any: map[string]any{"z": []any{"<", nil, true}, "a": 0.1}, Big: 1<<63 - 1,
			})
		})
		var bodies []string
		for range 3 {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", strings.NewReader("{}"))
			r.Header.Set(idem.Header, "k")
			w := httptest.NewRecorder()
			m.ServeHTTP(w, r)
			b, _ := io.ReadAll(w.Body)
			bodies = append(bodies, fmt.Sprint(w.Code, " ", string(b)))
		}
		if bodies[0] != bodies[1] || bodies[1] != bodies[2] || !strings.HasPrefix(bodies[0], "201 ") {
			t.Errorf("answers differ:\n%s", strings.Join(bodies, "\n"))
		}
	})
}
