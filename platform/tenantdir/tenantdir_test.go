package tenantdir_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

func each(t *testing.T, f func(t *testing.T, d *db.DB, dir *tenantdir.Dir)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, []db.Set{tenantdir.Migrations()}, func(t *testing.T, d *db.DB) { f(t, d, tenantdir.New(d, time.Now)) })
}

func entry(slug string, version int64, keys ...string) tenantdir.Entry {
	return tenantdir.Entry{Tenant: tenant.Tenant{ID: id.New(), Slug: slug, Name: slug}, Status: tenantdir.Active, Version: version, Keys: keys}
}

func apply(t *testing.T, d *db.DB, dir *tenantdir.Dir, e tenantdir.Entry) {
	t.Helper()
	ctx := tenant.With(t.Context(), e.Tenant)
	if err := d.Tx(ctx, func(tx *db.Tx) error { return dir.Apply(ctx, tx, e) }); err != nil {
		t.Fatalf("Apply %s version %d: %v", e.Slug, e.Version, err)
	}
}

// found names the tenant that find returns, or the fault's code.
func found(e tenantdir.Entry, err error) string {
	if err != nil {
		return fault.From(err).Code
	}
	return fmt.Sprint(e.Slug, e.Version)
}

func TestApply_TakesTheNewestSnapshotWhateverTheOrder(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, dir *tenantdir.Dir) {
		ctx := t.Context()
		e := entry("erfurt", 2, "160510000000", "16051000")
		apply(t, d, dir, e)
		old := e
		old.Version, old.Slug, old.Keys = 1, "old-erfurt", []string{"160520000000"}
		apply(t, d, dir, old)
		for name, got := range map[string]string{
			"slug": found(dir.BySlug(ctx, "erfurt")), "id": found(dir.ByID(ctx, e.ID)),
			"ARS": found(dir.ByKey(ctx, "160510000000")), "AGS": found(dir.ByKey(ctx, "16051000")),
		} {
			if got != "erfurt2" {
				t.Errorf("by %s = %s, want erfurt2", name, got)
			}
		}
		newer := e
		newer.Version, newer.Slug, newer.Keys = 3, "stadt-erfurt", []string{"160510000000"}
		apply(t, d, dir, newer)
		for name, c := range map[string][2]string{
			"new slug": {found(dir.BySlug(ctx, "stadt-erfurt")), "stadt-erfurt3"},
			"old slug": {found(dir.BySlug(ctx, "erfurt")), "unknown_tenant"},
			"kept key": {found(dir.ByKey(ctx, "160510000000")), "stadt-erfurt3"},
			"lost key": {found(dir.ByKey(ctx, "16051000")), "unknown_tenant"},
		} {
			if c[0] != c[1] {
				t.Errorf("by %s = %s, want %s: at once, the cache notwithstanding", name, c[0], c[1])
			}
		}
	})
}

func TestByHost(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, dir *tenantdir.Dir) {
		const host = "service.erfurt.example"
		check := func(when string, want map[string]string) {
			t.Helper()
			for host, want := range want {
				if got := found(dir.ByHost(t.Context(), host)); got != want {
					t.Errorf("%s: ByHost(%q) = %s, want %s", when, host, got, want)
				}
			}
		}
		long := strings.Repeat("a.", 126) + "aa"
		check("nobody there", map[string]string{host: "unknown_tenant", "": "unknown_tenant", long: "unknown_tenant", "%": "unknown_tenant"})
		e := entry("erfurt", 1)
		e.Hosts = []string{host, "www.erfurt.example"}
		apply(t, d, dir, e)
		check("at once, though it was asked for before", map[string]string{host: "erfurt1", "www.erfurt.example": "erfurt1", "erfurt.example": "unknown_tenant"})
		e.Version, e.Hosts = 2, []string{"www.erfurt.example"}
		apply(t, d, dir, e)
		check("one taken away", map[string]string{host: "unknown_tenant", "www.erfurt.example": "erfurt2"})
		other := entry("jena", 1)
		other.Hosts = []string{host}
		apply(t, d, dir, other)
		check("given to another", map[string]string{host: "jena1", "www.erfurt.example": "erfurt2"})
		other.Version, other.Status = 2, tenantdir.Erased
		apply(t, d, dir, other)
		check("its tenant erased", map[string]string{host: "unknown_tenant"})
	})
}

// TestHosts_KnownBeforeTheTable brings a directory of the first release to this one.
func TestHosts_KnownBeforeTheTable(t *testing.T) {
	t.Parallel()
	first, err := fs.ReadFile(tenantdir.Migrations().FS, "migrations/00001_tenantdir.sql")
	if err != nil {
		t.Fatal(err)
	}
	before := []db.Set{{Name: tenantdir.Migrations().Name, FS: fstest.MapFS{"migrations/00001_tenantdir.sql": {Data: first}}}}
	dbtest.Each(t, before, func(t *testing.T, d *db.DB) {
		for slug, hosts := range map[string][]string{"erfurt": {"a.example", "b.example"}, "jena": {}, "gera": nil, "gone": {"c.example"}} {
			e := entry(slug, 1)
			e.Hosts = hosts
			ctx := tenant.With(t.Context(), e.Tenant)
			err := d.Tx(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO tenant_directory (tenant_id, slug, entry, version, erased) VALUES (?, ?, ?, 1, ?)`,
					e.ID, slug, db.JSON[tenantdir.Entry]{V: e}, slug == "gone")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Migrate(t.Context(), tenantdir.Migrations()); err != nil {
			t.Fatalf("Migrate: %v", err)
		}
		dir := tenantdir.New(d, time.Now)
		for host, want := range map[string]string{"a.example": "erfurt1", "b.example": "erfurt1", "c.example": "unknown_tenant"} {
			if got := found(dir.ByHost(t.Context(), host)); got != want {
				t.Errorf("ByHost(%s) = %s, want %s", host, got, want)
			}
		}
	})
}

func TestByKey_KeysMoveBetweenTenants(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, dir *tenantdir.Dir) {
		const key = "160715012034"
		before, after := entry("vg-alt", 1, key), entry("vg-neu", 1)
		apply(t, d, dir, before)
		apply(t, d, dir, after)
		if got := found(dir.ByKey(t.Context(), key)); got != "vg-alt1" {
			t.Errorf("ByKey = %s, want vg-alt1", got)
		}
		after.Version, after.Keys = 2, []string{key}
		apply(t, d, dir, after) // the new owner's event may come first
		before.Version, before.Keys = 2, nil
		apply(t, d, dir, before)
		if got := found(dir.ByKey(t.Context(), key)); got != "vg-neu2" {
			t.Errorf("ByKey after the move = %s, want vg-neu2", got)
		}
	})
}

func TestErased_GivesSlugAndKeysFree(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, dir *tenantdir.Dir) {
		ctx := t.Context()
		gone := entry("erfurt", 1, "160510000000")
		apply(t, d, dir, gone)
		gone.Version, gone.Status = 2, tenantdir.Erased
		apply(t, d, dir, gone)
		for name, got := range map[string]string{
			"slug": found(dir.BySlug(ctx, "erfurt")), "id": found(dir.ByID(ctx, gone.ID)), "key": found(dir.ByKey(ctx, "160510000000")),
		} {
			if got != "unknown_tenant" {
				t.Errorf("an erased tenant by %s = %s, want unknown_tenant", name, got)
			}
		}
		apply(t, d, dir, entry("erfurt", 7, "160510000000"))
		for name, got := range map[string]string{"slug": found(dir.BySlug(ctx, "erfurt")), "key": found(dir.ByKey(ctx, "160510000000"))} {
			if got != "erfurt7" {
				t.Errorf("its successor by %s = %s, want erfurt7", name, got)
			}
		}
		var all []string
		if err := dir.Each(ctx, func(e tenantdir.Entry) bool { all = append(all, found(e, nil)); return true }); err != nil || fmt.Sprint(all) != "[erfurt7]" {
			t.Errorf("Each = %v, %v, want the successor alone", all, err)
		}
	})
}

func TestBySlug_RefusesWhatIsNone(t *testing.T) {
	each(t, func(t *testing.T, _ *db.DB, dir *tenantdir.Dir) {
		ctx := t.Context()
		for _, slug := range []string{"", "Erfurt", "erfurt ", "a/b", "../x", strings.Repeat("a", 64), "\x00", "ü", "%"} {
			if _, err := dir.BySlug(ctx, slug); !fault.Is(err, "unknown_tenant") {
				t.Errorf("BySlug(%q) = %v, want unknown_tenant", slug, err)
			}
			if _, err := dir.ByKey(ctx, slug); !fault.Is(err, "unknown_tenant") {
				t.Errorf("ByKey(%q) = %v, want unknown_tenant", slug, err)
			}
		}
		if e, err := dir.BySlug(ctx, "operator"); err != nil || e.ID != tenant.Operator {
			t.Errorf("BySlug(operator) = %v, %v, want the operator", e, err)
		}
	})
}

// TestCache_NeverHoldsWhatAChangeReplaced reads all the time while versions come in: after each
// commit the next reader has to see it.
func TestCache_NeverHoldsWhatAChangeReplaced(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, dir *tenantdir.Dir) {
		ctx, stop := context.WithCancel(t.Context())
		e := entry("erfurt", 1)
		apply(t, d, dir, e)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, _ = dir.BySlug(ctx, "erfurt")
					_, _ = dir.Granted(ctx, "efa", e.ID)
				}
			})
		}
		for v := int64(2); v < 120; v++ {
			e.Version = v
			apply(t, d, dir, e)
			if got, err := dir.BySlug(t.Context(), "erfurt"); err != nil || got.Version != v {
				t.Errorf("BySlug after version %d = version %d, %v", v, got.Version, err)
			}
			sys := db.System(t.Context())
			if err := d.Tx(sys, func(tx *db.Tx) error { return dir.ApplyGrants(sys, tx, "efa", true, v%2 == 0, nil, v) }); err != nil {
				t.Fatal(err)
			}
			if got, err := dir.Granted(t.Context(), "efa", e.ID); err != nil || got != (v%2 == 0) {
				t.Errorf("Granted after version %d = %v, %v", v, got, err)
			}
		}
		stop()
		wg.Wait()
	})
}

func TestGranted(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, dir *tenantdir.Dir) {
		sys := db.System(t.Context())
		erfurt, jena := id.New(), id.New()
		put := func(enabled, all bool, version int64, tenants ...string) {
			t.Helper()
			if err := d.Tx(sys, func(tx *db.Tx) error { return dir.ApplyGrants(sys, tx, "efa", enabled, all, tenants, version) }); err != nil {
				t.Fatal(err)
			}
		}
		check := func(when string, wantErfurt, wantJena bool) {
			t.Helper()
			for tenantID, want := range map[id.ID]bool{erfurt: wantErfurt, jena: wantJena} {
				if got, err := dir.Granted(t.Context(), "efa", tenantID); err != nil || got != want {
					t.Errorf("%s: Granted = %v, %v, want %v", when, got, err, want)
				}
			}
		}
		check("unknown client", false, false)
		put(true, false, 2, erfurt.String())
		check("one tenant", true, false)
		put(true, true, 1)
		check("an older snapshot", true, false)
		put(true, true, 3)
		check("all tenants", true, true)
		put(false, true, 4)
		check("disabled", false, false)
	})
}

func TestDirectory_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	d := dbtest.NewPostgres(t, tenantdir.Migrations())
	dir := tenantdir.New(d, time.Now)
	erfurt, jena := entry("erfurt", 1, "160510000000"), entry("jena", 1, "160530000000")
	erfurt.Hosts, jena.Hosts = []string{"erfurt.example"}, []string{"jena.example"}
	apply(t, d, dir, erfurt)
	apply(t, d, dir, jena)
	ctx := tenant.With(t.Context(), jena.Tenant)
	var slugs, keys, hosts []string
	err := d.Read(ctx, func(tx *db.Tx) error {
		if err := tx.Select(ctx, &slugs, `SELECT slug FROM tenant_directory`); err != nil {
			return err
		}
		if err := tx.Select(ctx, &hosts, `SELECT host FROM tenant_directory_hosts`); err != nil {
			return err
		}
		return tx.Select(ctx, &keys, `SELECT key FROM tenant_directory_keys`)
	})
	if err != nil || fmt.Sprint(slugs, keys, hosts) != "[jena] [160530000000] [jena.example]" {
		t.Errorf("Jena sees %v %v %v, %v, want its own", slugs, keys, hosts, err)
	}
	if err := d.Tx(ctx, func(tx *db.Tx) error { e := erfurt; e.Version = 2; return dir.Apply(ctx, tx, e) }); err == nil {
		t.Error("Jena's transaction changed Erfurt's entry")
	}
}

func TestEach_WalksEverybodyOnce(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, tenantdir.Migrations())
	dir := tenantdir.New(d, time.Now)
	const n = 1203
	sys := db.System(t.Context())
	err := d.Tx(sys, func(tx *db.Tx) error {
		for i := range n {
			e := entry(fmt.Sprintf("t%d", i/2), 1) // two under each slug, for a moment
			if err := tx.For(e.ID, func() error { return dir.Apply(sys, tx, e) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[id.ID]int{}
	if err := dir.Each(t.Context(), func(e tenantdir.Entry) bool { seen[e.ID]++; return true }); err != nil || len(seen) != n {
		t.Errorf("Each = %d tenants, %v, want %d", len(seen), err, n)
	}
	calls := 0
	if err := dir.Each(t.Context(), func(tenantdir.Entry) bool { calls++; return calls < 3 }); err != nil || calls != 3 {
		t.Errorf("Each went on after false: %d calls, %v", calls, err)
	}
}

func TestAwait(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, dir *tenantdir.Dir) {
		got := make(chan string, 1)
		go func() { got <- found(dir.Await(t.Context(), "erfurt")) }()
		apply(t, d, dir, entry("erfurt", 1))
		if g := <-got; g != "erfurt1" {
			t.Errorf("Await = %s, want erfurt1", g)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		if _, err := dir.Await(ctx, "nowhere"); err == nil {
			t.Error("Await of nobody = nil, want an error")
		}
	})
}

func TestOpenAndSettings(t *testing.T) {
	t.Parallel()
	for status, want := range map[tenantdir.Status]string{
		tenantdir.Trial: "", tenantdir.Active: "", tenantdir.Suspended: "tenant_suspended", tenantdir.Closing: "tenant_closing", tenantdir.Erased: "tenant_closing", "odd": "tenant_closing",
	} {
		err := tenantdir.Entry{Status: status}.Open()
		if (err == nil) != (want == "") || (err != nil && !fault.Is(err, want)) {
			t.Errorf("Open of a tenant that is %s = %v, want %q", status, err, want)
		}
	}
	type settings struct{ A, B int }
	e := tenantdir.Entry{Settings: map[string]json.RawMessage{"payment": json.RawMessage(`{"A":1}`), "forms": json.RawMessage(`{"A":"x"}`)}}
	if got, err := tenantdir.Settings(e, "payment", settings{5, 6}); err != nil || got != (settings{1, 6}) {
		t.Errorf("Settings = %v, %v, want what is set over the defaults", got, err)
	}
	if got, err := tenantdir.Settings(e, "notify", settings{5, 6}); err != nil || got != (settings{5, 6}) {
		t.Errorf("Settings of a service without = %v, %v, want the defaults", got, err)
	}
	if _, err := tenantdir.Settings(e, "forms", settings{}); err == nil {
		t.Error("Settings of the wrong type = nil, want an error")
	}
}

func TestPath(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, dir *tenantdir.Dir) {
		apply(t, d, dir, entry("erfurt", 1))
		var as string
		mux := http.NewServeMux()
		h := dir.Path(nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			of, _ := tenant.From(r.Context())
			e, _ := tenantdir.From(r.Context())
			as = of.Slug + "/" + e.Slug
		}))
		mux.Handle("/t/{tenant}/x", h)
		mux.Handle("/x", h)
		for target, want := range map[string]string{"/t/erfurt/x": "200 erfurt/erfurt", "/t/nowhere/x": "404 ", "/x": "200 /", "/t/%00/x": "404 "} {
			as = ""
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
			if got := fmt.Sprint(w.Code, " ", as); got != want {
				t.Errorf("GET %s = %q, want %q", target, got, want)
			}
		}
	})
}
