package webhooks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/xbezahldienste"
)

// BenchmarkDeliver sends b.N messages of one municipality to five endpoints in turn, from the
// row to the mark: claim, sign, POST to a server on this machine, store.
func BenchmarkDeliver(b *testing.B) {
	for engine, open := range map[string]func(testing.TB, ...db.Set) *db.DB{"sqlite": dbtest.New, "postgres": dbtest.NewPostgres} {
		b.Run(engine, func(b *testing.B) {
			var got atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				got.Add(1)
				w.WriteHeader(http.StatusNoContent)
			}))
			defer server.Close()
			g := newRig(b, open(b, sets()...))
			const endpoints = 5
			for i := range endpoints {
				g.register(g.ctx, fmt.Sprintf("%s/%d", server.URL, i))
			}
			for range (b.N + endpoints - 1) / endpoints {
				g.payed(g.ctx)
			}
			ctx, stop := context.WithCancel(b.Context())
			ended, began := make(chan error, 1), runtest.CPU(b)
			b.ResetTimer()
			go func() { ended <- g.Deliver(ctx) }()
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for got.Load() < int64(b.N) {
				<-tick.C
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(float64((runtest.CPU(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			stop()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkHear tells b.N events through the broker and waits until the process rests: what an
// event costs where nobody listens, where somebody wants other ones, and where it is sent.
func BenchmarkHear(b *testing.B) {
	for name, types := range map[string]string{"endpoint=none": "", "endpoint=other": `["payment.refund.failed.v1"]`, "endpoint=one": `[]`} {
		b.Run(name, func(b *testing.B) {
			r := newReceiver(b, nil)
			e := runtest.Start(b, []run.App{payment.New(xbezahldienste.Part(), part(options{local: true, limit: tryTime, chance: rand.Float64}))})
			erfurt := e.Tenant("erfurt", "160510000000")
			if types != "" {
				token := e.Token(authn.Principal{Kind: authn.Staff, TenantID: erfurt.ID, Roles: []string{authn.RoleTenantAdmin}})
				if a := e.Do("POST", api, token, fmt.Sprintf(`{"url":%q,"events":%s}`, r.URL, types)); a.Status != http.StatusCreated {
					b.Fatalf("POST = %d %s", a.Status, a.Body)
				}
			}
			began := runtest.CPU(b)
			b.SetParallelism(16)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					e.Tell("payment", erfurt.Tenant, events.TransactionPayed{TransactionID: id.New().String(), At: november})
				}
			})
			tick := time.NewTicker(300 * time.Millisecond)
			defer tick.Stop()
			end := runtest.CPU(b)
			for rest := 0; rest < 3; { // three looks at which next to nothing was done
				<-tick.C
				if now := runtest.CPU(b); now-end > 15*time.Millisecond {
					end, rest = now, 0
				} else {
					rest++
				}
			}
			b.ReportMetric(float64((end-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(len(r.all()))/float64(b.N), "sent/op")
			b.ReportMetric(0, "ns/op")
		})
	}
}
