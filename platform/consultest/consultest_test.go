package consultest_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
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

// The test binary runs itself with this variable set, as the one that is killed.
const victim = "CONSULTEST_VICTIM"

func TestAgent_EndsWithTheTestBinary(t *testing.T) {
	t.Parallel()
	if os.Getenv(victim) != "" {
		a := consultest.Start(t)
		_, _ = fmt.Fprintln(os.Stderr, "agent", a.Address)
		<-t.Context().Done() // killed before
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAgent_EndsWithTheTestBinary$")
	cmd.Env = append(os.Environ(), victim+"=1")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var a consultest.Agent
	_, errScan := fmt.Fscanf(out, "agent %s\n", &a.Address)
	if status, _, err := call(t, &a, http.MethodGet, "/v1/agent/self", ""); status != 200 || errScan != nil {
		t.Errorf("the other binary's agent %q answers %d, %v, %v, want 200", a.Address, status, err, errScan)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	eventually(t, soon, "the agent ended with the test binary that started it", func() bool {
		_, _, err := call(t, &a, http.MethodGet, "/v1/agent/self", "")
		return err != nil
	})
}
