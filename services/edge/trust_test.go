package edge

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"basisdienste/platform/certs/certstest"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
)

// TestServicesWithTLS calls a service whose certificate is of the installation's own authority,
// as the edge passes requests on and as services call each other.
func TestServicesWithTLS(t *testing.T) {
	t.Parallel()
	ca, other := certstest.New(t), certstest.New(t)
	files := ca.Server("forms")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	forms := httptest.NewUnstartedServer(says("forms"))
	forms.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	forms.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // it is not trusted at first
	forms.StartTLS()
	t.Cleanup(forms.Close)
	put := func(file, to string) {
		t.Helper()
		pem, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exchanged := filepath.Join(t.TempDir(), "ca.pem")
	put(other.CA, exchanged)
	call := func(f *front) (passed, called int) {
		t.Helper()
		passed = f.get("/t/erfurt/forms/x").StatusCode
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://forms/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := f.process.Host("edge").Services.Client("forms").Do(r)
		if err != nil {
			return passed, 0
		}
		_ = resp.Body.Close()
		return passed, resp.StatusCode
	}
	calls := func(file string) *front {
		t.Helper()
		return begin(t, nil, func(s *run.Settings, _ map[string]any) {
			s.ServiceURLs["forms"], s.TLS.CAFile = forms.URL, file
		})
	}
	for _, tt := range []struct {
		name, file     string
		passed, called int
	}{
		{"its authority", ca.CA, 200, 200},
		{"another authority", other.CA, 503, 0},
		{"the system's authorities", "", 503, 0},
	} {
		if passed, called := call(calls(tt.file)); passed != tt.passed || called != tt.called {
			t.Errorf("%s: passed on %d, called %d, want %d and %d", tt.name, passed, called, tt.passed, tt.called)
		}
	}
	f := calls(exchanged)
	if passed, called := call(f); passed != 503 || called != 0 {
		t.Errorf("before its authority is in the file: passed on %d, called %d, want 503 and 0", passed, called)
	}
	put(ca.CA, exchanged)
	runtest.Eventually(t, "the new file is trusted", func() bool { passed, called := call(f); return passed == 200 && called == 200 })
}
