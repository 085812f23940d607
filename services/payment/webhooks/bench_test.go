package webhooks

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/runtest"
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
