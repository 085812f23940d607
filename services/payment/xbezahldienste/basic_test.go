package xbezahldienste_test

import (
	"encoding/base64"
	"net/http"
	"testing"

	"basisdienste/platform/authn"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/xbezahldienste"
)

// HTTP Basic is let in where the configuration says so, and nowhere else.
func TestBasic(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		want := http.StatusForbidden
		if on {
			want = http.StatusOK
		}
		e := &env{Env: runtest.Start(t, []run.App{payment.New(xbezahldienste.Part())}, runtest.Set("payment.basic_auth", on)), router: contract(t)}
		e.Tenant("erfurt", erfurtARS)
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("efa:secret"))
		if a := e.call(t, "POST", postPath(erfurtARS), "", request("r-1"), true, "Authorization", basic); a.Status != want {
			t.Errorf("POST with Basic, basic_auth %t = %d %s, want %d", on, a.Status, a.Body, want)
		}
		if a := e.call(t, "GET", "/xbezahldienste/status", "", "", true, "Authorization", basic); a.Status != want {
			t.Errorf("GET of the status with Basic, basic_auth %t = %d %s, want %d", on, a.Status, a.Body, want)
		}
		token := e.Token(authn.Principal{Kind: authn.Client, ClientID: "efa", Grants: "client:efa", Scopes: []string{"read"}})
		if a := e.call(t, "GET", "/xbezahldienste/status", token, "", true); a.Status != http.StatusOK {
			t.Errorf("GET with a token, basic_auth %t = %d, want 200", on, a.Status)
		}
	}
}
