package deploytest_test

import (
	"context"
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

// consulPorts are of one agent, each free.
type consulPorts struct{ https, http, dns, server, serf string }

func freePorts(t *testing.T) consulPorts {
	t.Helper()
	free := func() string {
		_, p, err := net.SplitHostPort(freeAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	return consulPorts{free(), free(), free(), free(), free()}
}

// site is what the example for site.hcl leaves open, on loopback, and where this machine has
// certificates and room.
func site(t *testing.T, name string, certs authority, p consulPorts, more ...string) string {
	t.Helper()
	text := fmt.Sprintf(`
node_name = %q
datacenter = "erfurt"
data_dir = %q
bind_addr = "127.0.0.1"
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvMwy7Cu5s="
ports {
  https = %s
  http = %s
  dns = %s
  server = %s
  serf_lan = %s
  serf_wan = -1
}
`, name, t.TempDir(), p.https, p.http, p.dns, p.server, p.serf)
	cert := ""
	if p.https != "-1" { // agents get theirs from the servers
		cert = fmt.Sprintf(", cert_file = %q, key_file = %q", certs.cert, certs.key)
	}
	text += fmt.Sprintf("tls { defaults { ca_file = %q%s } }\n", certs.ca, cert)
	return write(t, filepath.Join(t.TempDir(), "site.hcl"), text+strings.Join(more, "\n")+"\n")
}

// startConsul starts a server with deploy/consul and returns its API and its first token.
func startConsul(t *testing.T, certs authority, ports consulPorts) (api consulAPI, management string) {
	t.Helper()
	local := site(t, "server", certs, ports, "bootstrap_expect = 1")
	start(t, nil, built(t, "consul"), "agent", "-config-file="+shipped(t, "consul/server.hcl"), "-config-file="+local)
	transport := &http.Transport{TLSClientConfig: certs.client()}
	t.Cleanup(transport.CloseIdleConnections)
	api = consulAPI{t, &http.Client{Transport: transport, Timeout: 10 * time.Second}, "https://127.0.0.1:" + ports.https}
	var first struct{ SecretID string }
	eventually(t, "the server leads and makes its first token", func() bool {
		status, text := api.call("", http.MethodPut, "/v1/acl/bootstrap", nil)
		return status == 200 && json.Unmarshal([]byte(text), &first) == nil
	})
	return api, first.SecretID
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
	c, management := startConsul(t, newAuthority(t), freePorts(t))
	files, err := filepath.Glob("../consul/policies/*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	tokens := map[string]string{}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".hcl")
		names, tokens[name] = append(names, name), c.token(management, f)
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

// TestConsul_Agent: an agent with deploy/consul joins the server, gets its certificate there, takes
// a service with the service's token, and answers HAProxy's questions for edges by DNS.
func TestConsul_Agent(t *testing.T) {
	t.Parallel()
	certs, ports := newAuthority(t), freePorts(t)
	server, management := startConsul(t, certs, ports)
	policy := func(name string) string { return server.token(management, shipped(t, "consul/policies/"+name+".hcl")) }
	edge, agent, dns := policy("edge"), policy("agent"), policy("dns")

	own := freePorts(t)
	own.https, own.server = "-1", ports.server // where it asks the servers for its certificate
	local := site(t, "machine", certs, own, `retry_join = ["127.0.0.1:`+ports.serf+`"]`,
		fmt.Sprintf("acl { tokens { agent = %q, default = %q } }", agent, dns))
	start(t, nil, built(t, "consul"), "agent", "-config-file="+shipped(t, "consul/agent.hcl"), "-config-file="+local)
	here := consulAPI{t, &http.Client{Timeout: 10 * time.Second}, "http://127.0.0.1:" + own.http}

	registration := map[string]any{"Name": "edge", "ID": "edge-1", "Address": "127.0.0.7", "Port": 8080}
	eventually(t, "the agent takes the edge", func() bool {
		status, _ := here.call(edge, http.MethodPut, "/v1/agent/service/register", registration)
		return status == 200
	})
	eventually(t, "the server knows the edge", func() bool {
		_, text := server.call(edge, http.MethodGet, "/v1/health/service/edge", nil)
		return strings.Contains(text, `"Node":"machine"`) && strings.Contains(text, "127.0.0.7")
	})
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+own.dns)
	}}
	eventually(t, "edge.service.consul has an address", func() bool {
		found, err := resolver.LookupHost(t.Context(), "edge.service.erfurt.consul.")
		return err == nil && slices.Equal(found, []string{"127.0.0.7"})
	})
}

// TestConsul_Validate is `consul validate` with what a site adds by the example.
func TestConsul_Validate(t *testing.T) {
	t.Parallel()
	bin, certs := built(t, "consul"), newAuthority(t)
	for _, c := range []struct{ file, more, want string }{
		{"server.hcl", "", "Configuration is valid"},
		{"agent.hcl", "", "Configuration is valid"},
		{"server.hcl", "bootstrap_expects = 3", "bootstrap_expects"},
	} {
		example, ports := read(t, shipped(t, "consul/site.hcl.example")), freePorts(t)
		if c.file == "agent.hcl" {
			example, ports.https = strings.Replace(example, "bootstrap_expect", "# bootstrap_expect", 1), "-1"
		}
		example = strings.NewReplacer(`encrypt          = ""`, "", "{{ GetPrivateIP }}", "127.0.0.1").Replace(example)
		first := write(t, filepath.Join(t.TempDir(), "example.hcl"), example)
		if out, err := output(t, nil, bin, "validate", shipped(t, "consul/"+c.file), first, site(t, "any", certs, ports, c.more)); !strings.Contains(out, c.want) {
			t.Errorf("consul validate %s with %q = %v\n%s\nwant %s", c.file, c.more, err, out, c.want)
		}
	}
}
