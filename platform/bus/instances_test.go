package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/bus"
	"basisdienste/platform/bus/jetstream"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/outbox"
)

// Several processes of a service tell and handle together: each event once, those of one
// aggregate in the order in which they were told, whoever told them and whoever handles them.
func TestRun_InstancesShareTheWorkInOrder(t *testing.T) {
	t.Parallel()
	const instances, aggregates, each = 3, 30, 8
	log := slog.New(slog.DiscardHandler)
	srv, err := jetstream.StartServer(filepath.Join(t.TempDir(), "events"), jetstream.Listen("127.0.0.1:0"), jetstream.Log(log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	shared := dbtest.NewPostgres(t, outbox.Migrations(), heard)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	handled, all := make([]atomic.Int32, instances), atomic.Int32{}
	many := make(chan struct{}) // closed when a third is handled: until then, some first events take their time
	databases := make([]*db.DB, instances)
	for i := range instances {
		d := shared.WithProcess(fmt.Sprint("process-", i))
		databases[i] = d
		nc, err := jetstream.Connect(jetstream.Remote{URLs: []string{srv.URL()}, Name: d.Process(), Log: log})
		if err != nil {
			t.Fatal(err)
		}
		tr, err := jetstream.New(t.Context(), nc, jetstream.Config{
			Streams: bus.Streams(), Own: []string{"payment"}, OwnConn: true, Patient: true, Log: log,
			Prefetch: 8, // so that none takes everything
			Retry:    func(int) time.Duration { return 5 * time.Millisecond },
		})
		if err != nil {
			t.Fatal(err)
		}
		r := bus.New(bus.Config{Service: "payment", DB: d, Transport: tr, Log: log})
		bus.Handle(r, "hear", func(ctx context.Context, tx *db.Tx, _ bus.Meta, e event) error {
			if e.N == 0 && strings.HasSuffix(e.Of, "0") {
				<-many
			}
			var before int
			if err := tx.Get(ctx, &before, `SELECT count(*) FROM heard WHERE tenant_id = ? AND what LIKE ?`, tx.Tenant(), e.Of+"-%"); err != nil {
				return err
			}
			if before != e.N {
				t.Errorf("%s %d was handled after %d of its aggregate", e.Of, e.N, before)
			}
			tx.OnCommit(func() {
				handled[i].Add(1)
				if all.Add(1) == aggregates*each/3 {
					close(many)
				}
			})
			return note(ctx, tx, fmt.Sprint(e.Of, "-", e.N))
		})
		wg.Go(func() {
			if err := r.Run(ctx); err != nil {
				t.Errorf("Run = %v", err)
			}
			if err := tr.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
	}
	erfurt := dbtest.Tenant(t, "erfurt")
	for n := range each {
		for a := range aggregates {
			d := databases[(n+a)%instances] // one after the other of an aggregate
			if err := d.Tx(erfurt, func(tx *db.Tx) error { return outbox.Put(erfurt, tx, event{fmt.Sprint("a", a), n}) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "all events are handled", func() bool { return len(strings.Fields(notes(erfurt, t, shared))) == aggregates*each })
	for i := range handled {
		if handled[i].Load() == 0 {
			t.Errorf("process %d handled nothing of %d events", i, aggregates*each)
		}
	}
	if letters := dead(t, shared); len(letters) != 0 {
		t.Errorf("%d dead letters, want none: %s", len(letters), letters[0].Error)
	}
}
