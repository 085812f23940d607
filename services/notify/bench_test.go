package notify_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/services/notify"
)

// BenchmarkPOST accepts messages from 32 clients at once, without the network, while they
// are already being sent into the local outbox and told by the broker. cpu-ms/op is
// processor time until the last answer, all-cpu-ms/op until the last mail lies in the outbox.
func BenchmarkPOST(b *testing.B) {
	for _, key := range []bool{false, true} {
		b.Run("idempotency_key="+strconv.FormatBool(key), func(b *testing.B) {
			var h http.Handler
			e := runtest.Start(b, []run.App{notify.New(noMailer, func(_ *notify.Service, host *run.Host) error {
				h = host.Mux
				return nil
			})})
			erfurt := e.Tenant("erfurt")
			token := e.Token(authn.Principal{Kind: authn.Client, ClientID: "c", TenantID: erfurt.ID, Scopes: []string{"notify:read", "notify:write"}})
			body, err := json.Marshal(received("erika@example.org"))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetParallelism(16)
			var n atomic.Int64
			began := runtest.CPU(b)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := httptest.NewRequest(http.MethodPost, messages, bytes.NewReader(body))
					r.Header.Set("Authorization", "Bearer "+token)
					if key {
						r.Header.Set("Idempotency-Key", "k-"+strconv.FormatInt(n.Add(1), 10))
					}
					w := httptest.NewRecorder()
					if h.ServeHTTP(w, r); w.Code != http.StatusCreated {
						b.Errorf("answer %d %s", w.Code, w.Body)
						return
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64((runtest.CPU(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			for { // until nothing waits any more
				r := httptest.NewRequest(http.MethodGet, messages+"?limit=1&status=created&status=sending", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if bytes.Contains(w.Body.Bytes(), []byte(`"items":[]`)) {
					break
				}
				<-time.After(20 * time.Millisecond)
			}
			b.ReportMetric(float64((runtest.CPU(b)-began).Microseconds())/1000/float64(b.N), "all-cpu-ms/op")
		})
	}
}
