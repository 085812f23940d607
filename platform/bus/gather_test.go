package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenant"
)

// Events that come together are handled in one transaction, each once; one that cannot be
// handled is given up alone.
func TestGather(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
		type item struct {
			of   bus.Meta
			what string
		}
		var mu sync.Mutex
		largest, spoiled := 0, 0
		n := start(t, d, t.TempDir(), bus.Config{Tries: 3}, func(r *bus.Router) {
			g := bus.Gather(r, 100*time.Millisecond, func(ctx context.Context, tx *db.Tx, batch []item) error {
				mu.Lock()
				largest = max(largest, len(batch))
				mu.Unlock()
				for _, i := range batch {
					if _, err := tx.Exec(ctx, `INSERT INTO heard (tenant_id, what) VALUES (?, ?)`, i.of.Tenant, i.what); err != nil {
						return err
					}
					if strings.HasPrefix(i.what, "poison") {
						mu.Lock()
						spoiled++
						mu.Unlock()
						return fault.Unprocessable("no_good", "no good")
					}
					if strings.HasPrefix(i.what, "panic") {
						panic("oh")
					}
				}
				return nil
			})
			bus.Into(g, "hear", func(m bus.Meta, e event) item { return item{m, fmt.Sprint(e.Of, "-", e.N)} })
		})
		var want []string
		for i := range 150 {
			n.put(erfurt, event{fmt.Sprint("e", i), 1})
			want = append(want, fmt.Sprint("e", i, "-1"))
		}
		n.put(jena, event{"j", 1}, event{"j", 2}, event{"poison", 1}, event{"panic", 1})
		sorted := func(ctx context.Context) []string {
			all := strings.Fields(notes(ctx, t, d))
			slices.Sort(all)
			return all
		}
		slices.Sort(want)
		eventually(t, "two are given up, the rest is heard", func() bool {
			return len(dead(t, d)) == 2 && len(sorted(erfurt)) >= len(want) && len(sorted(jena)) >= 2
		})
		if got := sorted(erfurt); !slices.Equal(got, want) {
			t.Errorf("heard of erfurt %v, want each once", got)
		}
		if got := sorted(jena); !slices.Equal(got, []string{"j-1", "j-2"}) {
			t.Errorf("heard of jena %v, want j-1 and j-2: nothing of what failed", got)
		}
		mu.Lock()
		if largest < 2 || spoiled < 2 {
			t.Errorf("largest batch %d, poison tried %d times; want several together, and the poison tried again alone", largest, spoiled)
		}
		mu.Unlock()
		// What is sent again had its effect.
		if err := outbox.Resend(t.Context(), d, time.Hour); err != nil {
			t.Fatal(err)
		}
		n.put(jena, event{"j", 3})
		eventually(t, "the last is heard", func() bool { return len(sorted(jena)) == 3 })
		if got := sorted(erfurt); !slices.Equal(got, want) {
			t.Errorf("heard of erfurt after sending again %v, want each once", got)
		}
	})
}

// Of what is not wanted nothing is kept, and what is wanted from now on is heard from now on. A
// question that fails for one of a batch holds up nobody else.
func TestGather_Only(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
		always, _ := tenant.From(erfurt)
		type item struct {
			of   id.ID
			what string
		}
		var wantsAll atomic.Bool
		n := start(t, d, t.TempDir(), bus.Config{Tries: 2}, func(r *bus.Router) {
			g := bus.Gather(r, 20*time.Millisecond, func(ctx context.Context, tx *db.Tx, batch []item) error {
				for _, i := range batch {
					if _, err := tx.Exec(ctx, `INSERT INTO heard (tenant_id, what) VALUES (?, ?)`, i.of, i.what); err != nil {
						return err
					}
				}
				return nil
			}).Only(func(_ context.Context, _ *db.Tx, batch []item) ([]bool, error) {
				want := make([]bool, len(batch))
				for i, it := range batch {
					if want[i] = wantsAll.Load() || it.of == always.ID; it.what == "poison-1" {
						return nil, errors.New("no answer")
					}
				}
				return want, nil
			})
			bus.Into(g, "hear", func(m bus.Meta, e event) item { return item{m.Tenant, fmt.Sprint(e.Of, "-", e.N)} })
		})
		marks := func() (n int) {
			sys := db.System(t.Context())
			if err := d.Read(sys, func(tx *db.Tx) error { return tx.Get(sys, &n, `SELECT count(*) FROM inbox`) }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		n.put(jena, event{"a", 1}, event{"poison", 1}, event{"b", 1})
		n.put(erfurt, event{"c", 1}, event{"d", 1})
		eventually(t, "erfurt's are heard and one is given up", func() bool { return len(strings.Fields(notes(erfurt, t, d))) == 2 && len(dead(t, d)) == 1 })
		if got := notes(jena, t, d); got != "" || marks() != 2 {
			t.Errorf("heard of jena %q, %d marks; want nothing, and erfurt's 2", got, marks())
		}
		wantsAll.Store(true)
		n.put(jena, event{"e", 1})
		eventually(t, "jena's next is heard", func() bool { return strings.Contains(notes(jena, t, d), "e-1") })
	})
}

// An event that is twice in one batch has its effect once.
func TestFirstOf(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		sys := db.System(t.Context())
		erfurt, jena := tenantID(t, "erfurt"), tenantID(t, "jena")
		mark := func(consumer string, i int) outbox.Mark {
			return outbox.Mark{Tenant: erfurt, Consumer: consumer, ID: eventID(i)}
		}
		var marks []outbox.Mark
		for i := range 77 {
			marks = append(marks, mark("a", i))
		}
		marks = append(marks, mark("a", 3), mark("b", 3), outbox.Mark{Tenant: jena, Consumer: "a", ID: eventID(3)})
		for _, want := range []int{79, 0} {
			err := d.Tx(sys, func(tx *db.Tx) error {
				first, err := outbox.FirstOf(sys, tx, marks)
				if len(first) != want {
					t.Errorf("FirstOf = %d new marks, want %d", len(first), want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func tenantID(t *testing.T, slug string) id.ID {
	t.Helper()
	of, ok := tenant.From(dbtest.Tenant(t, slug))
	if !ok {
		t.Fatalf("no tenant %s", slug)
	}
	return of.ID
}

func eventID(i int) id.ID { return id.ID(fmt.Sprintf("00000000-0000-7000-8000-%012d", i)) }
