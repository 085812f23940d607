package payment_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"basisdienste/platform/authn"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/xbezahldienste"
)

// handler starts the service and returns what serves it, without the network.
func handler(b *testing.B) (h http.Handler, token string) {
	b.Helper()
	e := runtest.Start(b, []run.App{payment.New(xbezahldienste.Part(), sandbox.Part(), payment.Part{
		Open: func(_ context.Context, host *run.Host, _ *payment.Service) (payment.Opened, error) {
			h = host.Mux
			return payment.Opened{}, nil
		},
	})})
	erfurt := e.Tenant("erfurt", "160510000000")
	e.Grant("efa", erfurt)
	return h, e.Token(authn.Principal{Kind: authn.Client, ClientID: "efa", Grants: "client:efa", Scopes: []string{"post", "read"}})
}

func body(requestID string) string {
	return fmt.Sprintf(`{"requestId":%q,"requestTimestamp":"2026-11-23T09:30:00Z","currency":"EUR","grossAmount":30.70,"purpose":"Bewohnerparken",
"description":"Bewohnerparkausweis","redirectUrl":"https://dienst.example/zurueck","items":[{"id":"1","reference":"BPA","description":"Ausweis",
"taxRate":0,"quantity":1,"totalNetAmount":30.70,"totalTaxAmount":0,"singleNetAmount":30.70,"singleTaxAmount":0,"bookingData":{"haushaltstelle":"1.1200.1000"}}],
"requestor":{"requestorType":"INDIVIDUAL","name":"Muster","firstName":"Anna","address":{"addressType":"POSTAL_ADDRESS","addressLine1":"Fischmarkt 1",
"city":"Erfurt","postalCode":"99084","countryCode":"DE"}}}`, requestID)
}

// drive serves requests from 32 clients at once and reports processor time for each.
func drive(b *testing.B, h http.Handler, request func(i int64) *http.Request) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(16)
	var n atomic.Int64
	began := runtest.CPU(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, request(n.Add(1))); w.Code != http.StatusOK {
				b.Errorf("answer %d %s", w.Code, w.Body)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((runtest.CPU(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

func BenchmarkPOST(b *testing.B) {
	for _, key := range []bool{false, true} {
		b.Run("idempotency_key="+strconv.FormatBool(key), func(b *testing.B) {
			h, token := handler(b)
			drive(b, h, func(i int64) *http.Request {
				r := httptest.NewRequest("POST", "/xbezahldienste/paymenttransaction/bewohnerparken/160510000000", bytes.NewBufferString(body("r-"+strconv.FormatInt(i, 10))))
				r.Header.Set("Authorization", "Bearer "+token)
				if key {
					r.Header.Set("Idempotency-Key", "k-"+strconv.FormatInt(i, 10))
				}
				return r
			})
		})
	}
}

func BenchmarkGET(b *testing.B) {
	h, token := handler(b)
	const path = "/xbezahldienste/paymenttransaction/bewohnerparken/160510000000"
	r := httptest.NewRequest("POST", path, bytes.NewBufferString(body("r-1")))
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	id := w.Body.String()
	id = id[bytes.Index([]byte(id), []byte(`"transactionId":"`))+17:][:36]
	drive(b, h, func(int64) *http.Request {
		r := httptest.NewRequest("GET", path+"/"+id, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return r
	})
}
