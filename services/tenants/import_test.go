package tenants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/idem"
	"basisdienste/platform/outbox"
	"basisdienste/platform/page"
)

func sets() []db.Set {
	return []db.Set{outbox.Migrations(), idem.Migrations(), audit.Migrations(), Migrations()}
}

func service(t testing.TB, d *db.DB) *Service {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return &Service{db: d, cfg: DefaultConfig(), cursors: page.NewSigner(make([]byte, 32)), clock: time.Now, berlin: berlin}
}

const header = "ars,ags,name,district,association,association_kind,population,postcode\n"

// facts counts what an import leaves behind.
type facts struct {
	Tenants  int   `db:"tenants"`
	ARS      int   `db:"ars"`
	AGS      int   `db:"ags"`
	Events   int   `db:"events"`
	Versions int64 `db:"versions"`
}

func countAll(t testing.TB, d *db.DB) (f facts) {
	t.Helper()
	sys := db.System(t.Context())
	err := d.Read(sys, func(tx *db.Tx) error {
		return tx.Get(sys, &f, `SELECT (SELECT count(*) FROM tenants) AS tenants,
			(SELECT count(*) FROM tenant_keys WHERE length(key) = 12) AS ars, (SELECT count(*) FROM tenant_keys WHERE length(key) = 8) AS ags,
			(SELECT count(*) FROM outbox) AS events, (SELECT CAST(coalesce(sum(version), 0) AS BIGINT) FROM tenants) AS versions`)
	})
	if err != nil {
		t.Fatalf("count: %v", err)
	}
	return f
}

func importCSV(t testing.TB, s *Service, csv string, each bool) Imported {
	t.Helper()
	done, err := s.Import(t.Context(), ImportRequest{Body: strings.NewReader(csv), Each: each, Status: Trial})
	if err != nil {
		t.Fatalf("Import: %v", err)
	}
	return done
}

func show(t testing.TB, s *Service, slug string) *Tenant {
	t.Helper()
	sys := db.System(t.Context())
	var x *Tenant
	err := s.db.Read(sys, func(tx *db.Tx) error {
		tenantID, err := idBySlug(sys, tx, slug)
		if err != nil {
			return err
		}
		return tx.For(tenantID, func() error {
			x, err = tenantOf(sys, tx, "")
			return err
		})
	})
	if err != nil {
		t.Fatalf("tenant %s: %v", slug, err)
	}
	return x
}

func TestImport_Thueringen(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		s := service(t, d)
		want := facts{Tenants: 190, ARS: 633, AGS: 633, Events: 190, Versions: 190}
		got := importCSV(t, s, string(thueringen), false)
		if got.Created != 190 || got.Updated+got.Unchanged+got.Refused != 0 {
			t.Errorf("Import = %+v, want 190 created", got)
		}
		if f := countAll(t, d); f != want {
			t.Errorf("after Import: %+v, want %+v", f, want)
		}
		got = importCSV(t, s, string(thueringen), false)
		if got.Unchanged != 190 || got.Created+got.Updated+got.Refused != 0 {
			t.Errorf("Import again = %+v, want 190 unchanged", got)
		}
		if f := countAll(t, d); f != want {
			t.Errorf("after Import again: %+v, want %+v", f, want)
		}
		for _, tt := range []struct {
			slug, name string
			kind       Kind
			ars        string
			keys       int
		}{
			{"erfurt", "Erfurt, Stadt", Municipality, "160510000000", 2},
			{"kranichfeld", "Kranichfeld", Gemeinschaft, "160715007032", 12},
			{"bad-koestritz", "Bad Köstritz, Stadt", Serving, "160765051003", 6},
		} {
			x := show(t, s, tt.slug)
			if x.Name != tt.name || x.Kind != tt.kind || len(x.Keys) != tt.keys || x.Status != Trial {
				t.Errorf("tenant %s = %s, %s, %s, %d keys, want %s, %s, trial, %d keys", tt.slug, x.Name, x.Kind, x.Status, len(x.Keys), tt.name, tt.kind, tt.keys)
			}
			if x.ARS()[:9] != tt.ars[:9] {
				t.Errorf("first ARS of %s = %s, want one in %s", tt.slug, x.ARS(), tt.ars[:9])
			}
		}
	})
}

func TestImport_Each(t *testing.T) {
	t.Parallel()
	s := service(t, dbtest.New(t, sets()...))
	if got := importCSV(t, s, string(thueringen), true); got.Created != 633 || got.Refused != 0 {
		t.Errorf("Import each = %+v, want 633 created", got)
	}
	if got := importCSV(t, s, string(thueringen), true); got.Unchanged != 633 {
		t.Errorf("Import each again = %+v, want 633 unchanged", got)
	}
	// Two places of one name: the second has its district in the slug.
	for slug, district := range map[string]string{"hartmannsdorf": "160745005", "hartmannsdorf-greiz": "160765051"} {
		if x := show(t, s, slug); x.ARS()[:9] != district {
			t.Errorf("tenant %s has ARS %s, want one in %s", slug, x.ARS(), district)
		}
	}
	// Administrations that have many tenants now cannot have one; the others are the same.
	got := importCSV(t, s, string(thueringen), false)
	if got.Unchanged != 108 || got.Created+got.Updated != 0 || got.Refused != 525 || got.Errors[0].Code != "several_tenants" {
		t.Errorf("Import per administration after each = %d created, %d updated, %d unchanged, %d refused (%+v), want 108 unchanged, 525 refused",
			got.Created, got.Updated, got.Unchanged, got.Refused, got.Errors[:1])
	}
}

func TestImport_EachAfterAdministrations(t *testing.T) {
	t.Parallel()
	s := service(t, dbtest.New(t, sets()...))
	importCSV(t, s, string(thueringen), false)
	got := importCSV(t, s, string(thueringen), true)
	if got.Unchanged != 108 || got.Created+got.Updated != 0 || got.Refused != 525 || got.Errors[0].Code != "shared_tenant" {
		t.Errorf("Import each after administrations = %d created, %d updated, %d unchanged, %d refused (%+v), want 108 unchanged, 525 refused",
			got.Created, got.Updated, got.Unchanged, got.Refused, got.Errors[:1])
	}
}

func TestImport_BadRows(t *testing.T) {
	t.Parallel()
	const erfurt = `160510000000,16051000,"Erfurt, Stadt","Erfurt, Stadt","Erfurt, Stadt",50,213981,99084`
	const jena = `160530000000,16053000,"Jena, Stadt","Jena, Stadt","Jena, Stadt",50,111343,07743`
	tests := []struct {
		name, row string
		code      string // "": the row is good
	}{
		{"eleven digits", `16051000000,16051000,X,X,X,50,1,1`, "invalid_ars"},
		{"zero cut off", `1001000000,01001000,X,X,X,50,1,1`, "invalid_ars"},
		{"letters", `16051000000A,16051000,X,X,X,50,1,1`, "invalid_ars"},
		{"other digits", `１６０５１０００００００,16051000,X,X,X,50,1,1`, "invalid_ars"},
		{"seven digits", `160510000000,1605100,X,X,X,50,1,1`, "invalid_ags"},
		{"AGS of another", `160510000000,16052000,X,X,X,50,1,1`, "ags_mismatch"},
		{"no name", `160510000000,16051000,,X,X,50,1,1`, "invalid_name"},
		{"long name", `160510000000,16051000,` + strings.Repeat("x", 201) + `,X,X,50,1,1`, "invalid_name"},
		{"kind", `160510000000,16051000,X,X,X,57,1,1`, "invalid_kind"},
		{"too few columns", `160510000000,16051000,X`, "wrong_columns"},
		{"too many columns", erfurt + `,extra`, "wrong_columns"},
		{"semicolons", `160510000000;16051000;X;X;X;50;1;1`, "wrong_columns"},
		{"bare quote", `160510000000,16051000,X"y,X,X,50,1,1`, "bad_quotes"},
		{"open quote", `160510000000,16051000,"X,X,X,50,1,1`, "bad_quotes"},
		{"Latin-1", "160510000000,16051000,K\xf6ln,X,X,50,1,1", "not_utf8"},
		{"very long line", `160510000000,16051000,` + strings.Repeat("x", 70<<10) + `,X,X,50,1,1`, "line_too_long"},
		{"duplicate ARS", jena, "duplicate_key"},
		{"quotes", erfurt, ""},
		{"quoted quotes", `160510000000,16051000,"Die ""Stadt""","X","X",50,1,1`, ""},
		{"CRLF", erfurt + "\r", ""},
		{"empty line before", "\n\r\n" + erfurt, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := service(t, dbtest.New(t, sets()...))
			got := importCSV(t, s, header+jena+"\n"+tt.row+"\n"+strings.ReplaceAll(jena, "053", "054")+"\n", false)
			if tt.code == "" {
				if got.Created != 3 || got.Refused != 0 {
					t.Errorf("Import with %s = %+v, want 3 created", tt.row, got)
				}
				return
			}
			if got.Created != 2 || got.Refused != 1 || len(got.Errors) != 1 || got.Errors[0].Code != tt.code || got.Errors[0].Line != 3 || got.Errors[0].Reason == "" {
				t.Errorf("Import with %.60s = %+v, want 2 created and line 3 refused as %s", tt.row, got, tt.code)
			}
		})
	}
}

func TestImport_Header(t *testing.T) {
	t.Parallel()
	const row = "160510000000,16051000,Erfurt,Erfurt,Erfurt,50,1,1\n"
	tests := []struct {
		name, file string
		ok         bool
	}{
		{"byte order mark", "\ufeff" + header + row, true},
		{"CRLF", strings.ReplaceAll(header+row, "\n", "\r\n"), true},
		{"other order and more", "x,name,ars,ags,district,association,association_kind\n,Erfurt,160510000000,16051000,Erfurt,Erfurt,50\n", true},
		{"no newline at the end", header + strings.TrimSpace(row), true},
		{"empty", "", false},
		{"no header", row, false},
		{"semicolons", strings.ReplaceAll(header+row, ",", ";"), false},
		{"column missing", strings.Replace(header, "ags", "gemeinde", 1) + row, false},
		{"UTF-16", "\xff\xfea\x00r\x00s\x00", false},
		{"JSON", `{"ars":1}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := service(t, dbtest.New(t, sets()...))
			got, err := s.Import(t.Context(), ImportRequest{Body: strings.NewReader(tt.file), Status: Trial})
			if tt.ok && (err != nil || got.Created != 1) {
				t.Errorf("Import(%q) = %+v, %v, want 1 created", tt.file, got, err)
			}
			if !tt.ok && !fault.Is(err, "import_header") {
				t.Errorf("Import(%q) = %+v, %v, want import_header", tt.file, got, err)
			}
		})
	}
}

// cutOff is a body whose sender went away.
type cutOff struct{ io.Reader }

func (c cutOff) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestImport_BodyEndsEarly(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, sets()...)
	s := service(t, d)
	half := thueringen[:len(thueringen)/2]
	_, err := s.Import(t.Context(), ImportRequest{Body: cutOff{bytes.NewReader(half)}, Status: Trial})
	if !fault.Is(err, "body_unreadable") {
		t.Errorf("Import of half a file = %v, want body_unreadable", err)
	}
	if got := importCSV(t, s, string(thueringen), false); got.Created+got.Updated+got.Unchanged != 190 || got.Refused != 0 {
		t.Errorf("Import after half a file = %+v, want 190 tenants", got)
	}
	if f := countAll(t, d); f.Tenants != 190 || f.ARS != 633 {
		t.Errorf("after both: %+v, want 190 tenants with 633 ARS", f)
	}
	_, err = s.Import(t.Context(), ImportRequest{Body: http.MaxBytesReader(nil, io.NopCloser(bytes.NewReader(thueringen)), 1000), Status: Trial})
	if !fault.Is(err, "body_too_large") {
		t.Errorf("Import of a file over the bound = %v, want body_too_large", err)
	}
}

// The bound of a request's time is too short for all of Germany on a slow machine.
func TestImport_OutlivesTheRequestsContext(t *testing.T) {
	t.Parallel()
	s := service(t, dbtest.New(t, sets()...))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if done, err := s.Import(ctx, ImportRequest{Body: bytes.NewReader(thueringen), Status: Trial}); err != nil || done.Created != 190 {
		t.Errorf("Import after the request's context ended = %+v, %v, want 190 created", done, err)
	}
}

func TestImport_NewAndRenamed(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, sets()...)
	s := service(t, d)
	line := func(ars, ags, name, association string, kind int) string {
		return fmt.Sprintf("%s,%s,%s,Greiz,%s,%d,1,1\n", ars, ags, name, association, kind)
	}
	a := line("160765051003", "16076003", "Bad Köstritz", "Bad Köstritz", 58)
	b := line("160765051009", "16076009", "Caaschwitz", "Bad Köstritz", 58)
	c := line("160765052010", "16076010", "Crimla", "Weida", 58)
	// The same administration stands in two places of the file: one tenant, counted once.
	if got := importCSV(t, s, header+a+c+b, false); got.Created != 2 || got.Updated+got.Refused != 0 {
		t.Errorf("Import of an administration in two places = %+v, want 2 created", got)
	}
	if x := show(t, s, "bad-koestritz"); len(x.Keys) != 4 {
		t.Errorf("its keys = %+v, want 4", x.Keys)
	}
	// A municipality more, and a new name.
	a2 := strings.ReplaceAll(a, "Bad Köstritz,58", "Köstritz am Fluss,58")
	n := line("160765051020", "16076020", "Hartmannsdorf", "Köstritz am Fluss", 58)
	if got := importCSV(t, s, header+a2+n, false); got.Updated != 1 || got.Created+got.Unchanged != 0 {
		t.Errorf("Import of a new name = %+v, want 1 updated", got)
	}
	if x := show(t, s, "bad-koestritz"); x.Name != "Köstritz am Fluss" || len(x.Keys) != 6 || x.Version != 3 {
		t.Errorf("after it: %s, %d keys, version %d, want Köstritz am Fluss, 6, 3", x.Name, len(x.Keys), x.Version)
	}
	// A name given by hand stays.
	name := "Stadt Bad Köstritz"
	if _, err := s.Patch(operator(t), PatchRequest{Slug: "bad-koestritz", Name: &name}); err != nil {
		t.Fatalf("Patch: %v", err)
	}
	importCSV(t, s, header+a+b, false)
	if x := show(t, s, "bad-koestritz"); x.Name != name {
		t.Errorf("name given by hand, after an import = %q, want %q", x.Name, name)
	}
	// A key that somebody else has.
	keys := []string{"16076021"}
	if _, err := s.Patch(operator(t), PatchRequest{Slug: "weida", Keys: &keys}); err != nil {
		t.Fatalf("Patch: %v", err)
	}
	got := importCSV(t, s, header+line("160765051021", "16076021", "Berga", "Bad Köstritz", 58), false)
	if got.Refused != 1 || got.Errors[0].Code != "key_taken" {
		t.Errorf("Import of an AGS that weida has = %+v, want key_taken", got)
	}
}

func TestImport_AtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		s := service(t, d)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				done, err := s.Import(t.Context(), ImportRequest{Body: bytes.NewReader(thueringen), Status: Trial})
				if err != nil || done.Refused > 0 || done.Created+done.Unchanged != 190 {
					t.Errorf("one of four Imports at once = %+v, %v, want 190 created or unchanged", done, err)
				}
			})
		}
		wg.Wait()
		if f, want := countAll(t, d), (facts{190, 633, 633, 190, 190}); f != want {
			t.Errorf("after four Imports at once: %+v, want %+v", f, want)
		}
	})
}

func TestStore_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		s := service(t, d)
		importCSV(t, s, header+"160510000000,16051000,Erfurt,Erfurt,Erfurt,50,1,1\n", false)
		erfurt := show(t, s, "erfurt")
		own := db.For(t.Context(), erfurt.tenant())
		if err := d.Tx(own, func(tx *db.Tx) error {
			return addUsage(own, tx, []used{{meter{tx.Tenant(), "2026-11", "payment.transaction.payed"}, 1, 3070}})
		}); err != nil {
			t.Fatalf("addUsage: %v", err)
		}
		other := dbtest.Tenant(t, "jena")
		err := d.Tx(other, func(tx *db.Tx) error {
			if x, err := tenantOf(other, tx, ""); !fault.Is(err, "unknown_tenant") {
				t.Errorf("tenantOf as another tenant = %+v, %v, want unknown_tenant", x, err)
			}
			if err := addUsage(other, tx, []used{{meter{tx.Tenant(), "2026-11", "payment.transaction.payed"}, 1, 1}}); err != nil {
				return err
			}
			return updateTenant(other, tx, erfurt, erfurt.clone(), &Catalogue{})
		})
		if err != nil {
			t.Errorf("updateTenant as another tenant = %v, want nothing changed", err)
		}
		if d.Postgres() { // row-level security, whatever a query forgets
			var n int
			err := d.Read(other, func(tx *db.Tx) error {
				return tx.Get(other, &n, `SELECT (SELECT count(*) FROM tenants) + (SELECT count(*) FROM tenant_keys) + (SELECT count(*) FROM usage_slots WHERE amount > 1)`)
			})
			if err != nil || n != 0 {
				t.Errorf("rows that another tenant sees = %d, %v, want 0", n, err)
			}
		}
		if x := show(t, s, "erfurt"); x.Version != 1 {
			t.Errorf("version after another tenant's update = %d, want 1", x.Version)
		}
		u, err := s.Usage(operator(t), UsageRequest{Slug: "erfurt", Month: "2026-11"})
		if want := []Counter{{"payment.transaction.payed", 1, 3070}}; err != nil || !slices.Equal(u.Counters, want) {
			t.Errorf("Usage = %+v, %v, want %+v", u.Counters, err, want)
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(header + `160510000000,16051000,"Erfurt, Stadt","Erfurt, Stadt","Erfurt, Stadt",50,213981,99084`))
	f.Add([]byte("\ufeff" + header + "\r\n\"\xff\n160510000000,16051000,X,X,X,58,,\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := newReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		seen, last := map[string]bool{}, 1
		for {
			m, bad, err := r.row()
			if err != nil {
				return
			}
			line := m.line
			if bad != nil {
				line = bad.Line
			} else {
				if len(m.ars) != 12 || len(m.ags) != 8 || m.name == "" || seen[m.ars] {
					t.Fatalf("row() = %+v, want whole keys, a name, and each ARS once", m)
				}
				seen[m.ars] = true
				g := newGroup(m, false)
				if wrong := checkSlug(slugs(g.name, g.place, g.area)[0]); wrong != nil && wrong[0].Code != "reserved_slug" {
					t.Fatalf("slug of %q: %s", g.name, wrong[0].Detail)
				}
			}
			if line <= last {
				t.Fatalf("row() is at line %d after line %d", line, last)
			}
			last = line
		}
	})
}

// Those who count the same at once do not wait for each other, and nothing is counted twice or
// not at all.
func TestUsage_CountedAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		const workers, each, counter = 8, 40, "payment.transaction.payed"
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range each {
					if err := d.Tx(ctx, func(tx *db.Tx) error {
						return addUsage(ctx, tx, []used{{meter{tx.Tenant(), "2026-11", counter}, 1, 250}})
					}); err != nil {
						t.Errorf("addUsage: %v", err)
					}
				}
			})
		}
		wg.Wait()
		var got struct{ N, Amount, Slots int64 }
		err := d.Read(ctx, func(tx *db.Tx) error {
			return tx.Get(ctx, &got, `SELECT CAST(sum(n) AS BIGINT) AS n, CAST(sum(amount) AS BIGINT) AS amount, count(*) AS slots FROM usage_slots WHERE tenant_id = ?`, tx.Tenant())
		})
		if err != nil || got.N != workers*each || got.Amount != workers*each*250 || got.Slots > usageSlots {
			t.Errorf("counted = %+v, %v, want %d events of 2.50 in at most %d rows", got, err, workers*each, usageSlots)
		}
		if !d.Postgres() {
			return
		}
		// Who finds one row taken takes the other, without waiting.
		err = d.Tx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO usage_slots (tenant_id, month, counter, slot, n, amount) VALUES (?, ?, ?, 0, 0, 0), (?, ?, ?, 1, 0, 0)
				ON CONFLICT DO NOTHING`, tx.Tenant(), "2026-11", counter, tx.Tenant(), "2026-11", counter)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = d.Tx(ctx, func(held *db.Tx) error {
			if err := addUsage(ctx, held, []used{{meter{held.Tenant(), "2026-11", counter}, 1, 1}}); err != nil {
				return err
			}
			var rows int // what was sent is done now
			if err := held.Get(ctx, &rows, `SELECT count(*) FROM usage_slots WHERE tenant_id = ?`, held.Tenant()); err != nil {
				return err
			}
			return d.Tx(ctx, func(tx *db.Tx) error {
				return addUsage(ctx, tx, []used{{meter{tx.Tenant(), "2026-11", counter}, 1, 1}})
			})
		})
		if err != nil {
			t.Errorf("addUsage beside an open one: %v", err)
		}
	})
}
