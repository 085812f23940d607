package deploytest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// site is what the example for site.hcl leaves open, on loopback, and certificates.
func site(t *testing.T, certs authority, https, http string) string {
	t.Helper()
	port := func(address string) string {
		_, p, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	free := func() string { return port(freeAddress(t)) }
	return fmt.Sprintf(`
datacenter = "erfurt"
data_dir = %q
bind_addr = "127.0.0.1"
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvMwy7Cu5s="
ports {
  https = %s
  http = %s
  dns = -1
  server = %s
  serf_lan = %s
  serf_wan = -1
}
tls {
  defaults {
    ca_file = %q
    cert_file = %q
    key_file = %q
  }
}
`, t.TempDir(), port(https), port(http), free(), free(), certs.ca, certs.cert, certs.key)
}

// consulAPI speaks to the server by TLS.
type consulAPI struct {
	t      *testing.T
	client *http.Client
	base   string
}

func (c consulAPI) call(token, method, path string, body any) (int, string) {
	c.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(string(text)))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("X-Consul-Token", token)
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(answer)
}

// token makes a policy of a file and a token that has it.
func (c consulAPI) token(management, file string) string {
	c.t.Helper()
	name := strings.TrimSuffix(filepath.Base(file), ".hcl")
	type object map[string]any
	if status, text := c.call(management, http.MethodPut, "/v1/acl/policy", object{"Name": name, "Rules": read(c.t, file)}); status != 200 {
		c.t.Fatalf("policy %s: %d %s", name, status, text)
	}
	status, text := c.call(management, http.MethodPut, "/v1/acl/token", object{"Policies": []object{{"Name": name}}})
	var made struct{ SecretID string }
	if err := json.Unmarshal([]byte(text), &made); status != 200 || err != nil || made.SecretID == "" {
		c.t.Fatalf("token of %s: %d %s, %v", name, status, text, err)
	}
	return made.SecretID
}

func TestConsul_Policies(t *testing.T) {
	t.Parallel()
	bin, certs, https := built(t, "consul"), newAuthority(t), freeAddress(t)
	local := write(t, filepath.Join(t.TempDir(), "site.hcl"), site(t, certs, https, freeAddress(t))+"bootstrap_expect = 1\n")
	start(t, nil, bin, "agent", "-config-file="+shipped(t, "consul/server.hcl"), "-config-file="+local)
	c := consulAPI{t, &http.Client{Transport: &http.Transport{TLSClientConfig: certs.client()}, Timeout: 10 * time.Second}, "https://" + https}

	var management struct{ SecretID string }
	eventually(t, "the server leads and makes its first token", func() bool {
		status, text := c.call("", http.MethodPut, "/v1/acl/bootstrap", nil)
		return status == 200 && json.Unmarshal([]byte(text), &management) == nil
	})
	files, err := filepath.Glob("../consul/policies/*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	tokens := map[string]string{}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".hcl")
		names, tokens[name] = append(names, name), c.token(management.SecretID, f)
	}
	services := slices.Concat(owners, readers)
	if want := slices.Sorted(slices.Values(append(slices.Clone(services), "agent", "dns"))); !slices.Equal(names, want) {
		t.Fatalf("policies = %v, want %v", names, want)
	}
	type object map[string]any
	for i, s := range services {
		other := services[(i+1)%len(services)]
		registration := func(name string) object { return object{"Name": name, "ID": name + "-1", "Port": 8080} }
		for _, try := range []struct {
			what, token, method, path string
			body                      any
			want                      int
		}{
			{"registers itself", tokens[s], http.MethodPut, "/v1/agent/service/register", registration(s), 200},
			{"registers another", tokens[s], http.MethodPut, "/v1/agent/service/register", registration(other), 403},
			{"registers as nobody", "", http.MethodPut, "/v1/agent/service/register", registration(s), 403},
			{"writes keys", tokens[s], http.MethodPut, "/v1/kv/any", "x", 403},
			{"reads tokens", tokens[s], http.MethodGet, "/v1/acl/tokens", nil, 403},
		} {
			if status, text := c.call(try.token, try.method, try.path, try.body); status != try.want {
				t.Errorf("%s %s: %s %s = %d %s, want %d", s, try.what, try.method, try.path, status, text, try.want)
			}
		}
	}
	for i, s := range services { // all are there now
		other := services[(i+1)%len(services)]
		if status, text := c.call(tokens[s], http.MethodPut, "/v1/agent/service/deregister/"+other+"-1", nil); status != 403 {
			t.Errorf("%s takes away %s: %d %s, want 403", s, other, status, text)
		}
		eventually(t, s+" finds "+other, func() bool {
			_, text := c.call(tokens[s], http.MethodGet, "/v1/health/service/"+other, nil)
			return strings.Contains(text, `"`+other+`-1"`)
		})
		if status, text := c.call("", http.MethodGet, "/v1/health/service/"+other, nil); strings.Contains(text, other+"-1") {
			t.Errorf("without a token %s is found: %d %s", other, status, text)
		}
	}
	for service, want := range map[string]bool{"edge": true, "payment": false} {
		if _, text := c.call(tokens["dns"], http.MethodGet, "/v1/health/service/"+service, nil); strings.Contains(text, service+"-1") != want {
			t.Errorf("the token of DNS sees %s: %s, want %t", service, text, want)
		}
	}
	if status, text := c.call(tokens["payment"], http.MethodPut, "/v1/agent/service/deregister/payment-1", nil); status != 200 {
		t.Errorf("payment takes itself away: %d %s, want 200", status, text)
	}
}

// TestConsul_Validate is `consul validate` with what a site adds.
func TestConsul_Validate(t *testing.T) {
	t.Parallel()
	bin, certs := built(t, "consul"), newAuthority(t)
	for _, c := range []struct{ file, more, want string }{
		{"server.hcl", "bootstrap_expect = 3\n", "Configuration is valid"},
		{"agent.hcl", "", "Configuration is valid"},
		{"server.hcl", "bootstrap_expects = 3\n", "bootstrap_expects"},
	} {
		text := site(t, certs, freeAddress(t), freeAddress(t))
		if c.file == "agent.hcl" {
			text = strings.Replace(text, "  https = ", "  # https = ", 1)
		}
		local := write(t, filepath.Join(t.TempDir(), "site.hcl"), text+c.more)
		// What a site writes by the example is valid as well.
		example := strings.NewReplacer(`encrypt          = ""`, "").Replace(read(t, shipped(t, "consul/site.hcl.example")))
		if c.file == "agent.hcl" {
			example = strings.Replace(example, "bootstrap_expect", "# bootstrap_expect", 1)
		}
		first := write(t, filepath.Join(t.TempDir(), "example.hcl"), strings.Replace(example, "{{ GetPrivateIP }}", "127.0.0.1", 1))
		if out, err := output(t, nil, bin, "validate", shipped(t, "consul/"+c.file), first, local); !strings.Contains(out, c.want) {
			t.Errorf("consul validate %s %q = %v\n%s\nwant %s", c.file, c.more, err, out, c.want)
		}
	}
}
