package consultest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/consultest"
)

// call asks the agent itself; headers are names and values in turn.
func call(t testing.TB, a *consultest.Agent, method, path, body string, headers ...string) (int, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.Address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// eventually waits until f returns true, for at most d.
func eventually(t testing.TB, d time.Duration, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(d)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen within %s: %s", d, what)
		}
		<-tick.C
	}
}

func TestAgent_ForgetsWhenItIsRestarted(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	if status, _, err := call(t, a, http.MethodPut, "/v1/agent/service/register", `{"ID":"x","Name":"x"}`); status != 200 || err != nil {
		t.Fatalf("register = %d, %v, want 200", status, err)
	}
	for name, end := range map[string]func(){"Stop": a.Stop, "Kill": a.Kill, "Restart": func() {}} {
		end()
		if name != "Restart" {
			if status, _, err := call(t, a, http.MethodGet, "/v1/agent/self", ""); err == nil {
				t.Errorf("after %s the agent answers %d, want nobody there", name, status)
			}
		}
		a.Restart()
		if status, _, err := call(t, a, http.MethodGet, "/v1/agent/service/x", ""); status != 404 || err != nil {
			t.Errorf("after %s and Restart the service is %d, %v, want 404", name, status, err)
		}
	}
}
