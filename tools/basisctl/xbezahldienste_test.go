package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"basisdienste/platform/authn"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/xbezahldienste"
	"basisdienste/services/payment/xbezahldienste/conformance"
)

func TestXBezahldiensteCheck(t *testing.T) {
	t.Parallel()
	e := runtest.Start(t, []run.App{payment.New(xbezahldienste.Part(), sandbox.Part())})
	erfurt := e.Tenant("erfurt", "160510000000")
	e.Grant("efa", erfurt)
	token := e.Token(authn.Principal{Kind: authn.Client, ClientID: "efa", Grants: "client:efa", Scopes: []string{"post", "read"}})
	at := []string{"--url", e.URL + "/xbezahldienste"}
	who := []string{"--originator", "bewohnerparken", "--endpoint", "160510000000"}
	for _, c := range []struct {
		name string
		args []string
		code int
		out  []string
	}{
		{
			"text", append(append(at, "xbezahldienste", "check", "--token", token, "--only", "create.sum", "--only", "status"), who...), 0,
			[]string{"pass  create.sum.cent-more\n", "expected  400 with CALCULATION_ERROR", "pass  status.place", "7 pass"},
		},
		{"a wrong token", append(append(at, "xbezahldienste", "check", "--token", "x", "--only", "create"), who...), 1, []string{"fail  create.plain", "403 FORBIDDEN"}},
		{"a wrong token, and clauses that need a right one", append(append(at, "xbezahldienste", "check", "--token", "x", "--only", "exists"), who...), 1, []string{"fail  create.plain"}},
		{"a clause that there is not", append(append(at, "xbezahldienste", "check", "--token", token, "--only", "creat."), who...), 1, []string{`no clause begins with "creat."`}},
		{"nobody answers", append([]string{"--url", "http://127.0.0.1:1", "xbezahldienste", "check", "--token", "x"}, who...), 1, []string{"cannot be asked"}},
		{"no credential", append(append(at, "xbezahldienste", "check"), who...), 2, []string{"the credential is missing"}},
		{"nowhere", []string{"xbezahldienste", "check", "--token", token}, 2, []string{"which server"}},
		{"not encrypted", []string{"--url", "http://payment.example", "xbezahldienste", "check", "--token", token, "--originator", "a", "--endpoint", "b"}, 2, []string{"not encrypted"}},
	} {
		var out bytes.Buffer
		code := start(t.Context(), c.args, nil, &out, &out)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d\n%s", c.name, code, c.code, out.String())
		}
		for _, want := range c.out {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: printed\n%s\nwant %q in it", c.name, out.String(), want)
			}
		}
	}
}

// The description of a demo says all that is needed.
func TestXBezahldiensteCheck_Demo(t *testing.T) {
	t.Parallel()
	e := runtest.Start(t, []run.App{payment.New(xbezahldienste.Part(), sandbox.Part()), checkFront()})
	e.Tenant("erfurt", "160510000000")
	file := filepath.Join(t.TempDir(), "demo.json")
	text, err := json.Marshal(map[string]any{
		"efa_client": map[string]string{"client_id": "efa", "client_secret": secret, "token_url": e.URL + "/operator/auth/token"},
		"payment":    map[string]string{"base_url": e.URL + "/xbezahldienste", "originator_id": "parken", "end_point_id": "160510000000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, wrong bytes.Buffer
	if code := start(t.Context(), []string{"--demo", file, "--json", "xbezahldienste", "check", "--only", "create.request.requestId"}, nil, &out, &wrong); code != 0 {
		t.Fatalf("exit code %d, want 0\n%s%s", code, out.String(), wrong.String())
	}
	var report conformance.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if len(report.Clauses) < 6 || report.Counts[conformance.Pass] != len(report.Clauses) || report.Originator != "parken" {
		t.Errorf("report = %+v, want some clauses, all passed", report)
	}
}

// checkFront stands where edge stands.
func checkFront() run.App {
	return run.App{Name: "front", Front: true, Open: func(_ context.Context, h *run.Host) (run.Unit, error) {
		mux := http.NewServeMux()
		mux.Handle("/operator/auth/token", h.Services.Handler("auth"))
		mux.Handle("/", h.Services.Handler("payment"))
		return run.Unit{Handler: mux}, nil
	}}
}
