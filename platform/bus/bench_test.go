package bus

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"basisdienste/platform/bus/jetstream"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/outbox"
)

// told is an event of the aggregate that it names.
type told string

func (told) EventType() string { return "payment.test.happened.v1" }
func (t told) Subject() string { return string(t) }

// BenchmarkRelay is one event of a hundred tenants from the outbox into the stream and marked
// as sent: its inverse is what a process relays in a second.
func BenchmarkRelay(b *testing.B) {
	for name, open := range map[string]func() *db.DB{
		"sqlite":   func() *db.DB { return dbtest.New(b, outbox.Migrations()) },
		"postgres": func() *db.DB { return dbtest.NewPostgres(b, outbox.Migrations()).WithProcess("bench") },
	} {
		b.Run(name, func(b *testing.B) {
			log := slog.New(slog.DiscardHandler)
			srv, err := jetstream.StartServer(filepath.Join(b.TempDir(), "events"), jetstream.Log(log))
			if err != nil {
				b.Fatal(err)
			}
			nc, err := srv.Client()
			if err != nil {
				b.Fatal(err)
			}
			tr, err := jetstream.New(b.Context(), nc, jetstream.Config{Streams: Streams(), OwnConn: true, Log: log})
			if err != nil {
				b.Fatal(err)
			}
			d := open()
			put := 0
			for tenant := range 100 {
				ctx := dbtest.Tenant(b, fmt.Sprint("tenant-", tenant))
				if err := d.Tx(ctx, func(tx *db.Tx) error {
					for n := 0; put < b.N*(tenant+1)/100; n++ {
						if err := outbox.Put(ctx, tx, told(fmt.Sprint(tenant, "-", n))); err != nil {
							return err
						}
						put++
					}
					return nil
				}); err != nil {
					b.Fatal(err)
				}
			}
			relay := New(Config{Service: "payment", DB: d, Transport: tr, EventsPerTenant: 1 << 30, Log: log}).relay()
			b.ResetTimer()
			for sent := 0; sent < b.N; {
				n, err := relay.Once(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				sent += n
			}
			b.StopTimer()
			for _, err := range []error{tr.Close(), srv.Close()} {
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
}
