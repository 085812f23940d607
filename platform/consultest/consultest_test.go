package consultest_test

import (
	"net/http"
	"strings"
	"testing"

	"basisdienste/platform/consultest"
)

func call(t *testing.T, a *consultest.Agent, method, path, body string) (int, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.Address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func TestAgent_ForgetsWhenItIsRestarted(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	if status, err := call(t, a, http.MethodPut, "/v1/agent/service/register", `{"ID":"x","Name":"x"}`); status != 200 || err != nil {
		t.Fatalf("register = %d, %v, want 200", status, err)
	}
	for name, end := range map[string]func(){"Stop": a.Stop, "Kill": a.Kill, "Restart": func() {}} {
		end()
		if name != "Restart" {
			if status, err := call(t, a, http.MethodGet, "/v1/agent/self", ""); err == nil {
				t.Errorf("after %s the agent answers %d, want nobody there", name, status)
			}
		}
		a.Restart()
		if status, err := call(t, a, http.MethodGet, "/v1/agent/service/x", ""); status != 404 || err != nil {
			t.Errorf("after %s and Restart the service is %d, %v, want 404", name, status, err)
		}
	}
}
