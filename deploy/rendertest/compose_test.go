package rendertest_test

import (
	"crypto/x509"
	"encoding/pem"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const composeFile = "../compose/compose.yaml"

// makeSecrets runs deploy/compose/secrets.sh into a folder of the test.
func makeSecrets(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	cmd := exec.CommandContext(t.Context(), "../compose/secrets.sh", "basis.example.de")
	cmd.Env = append(os.Environ(), "BASIS_SECRETS="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
	return dir
}

// compose is `docker compose config`.
func compose(t *testing.T, secrets string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{composeFile}, cli.WithEnv([]string{"BASIS_SECRETS=" + secrets}),
		cli.WithInterpolation(true), cli.WithResolvedPaths(true), cli.WithConsistency(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("docker compose config: %v", err)
	}
	return project
}

func TestCompose(t *testing.T) {
	t.Parallel()
	p := compose(t, makeSecrets(t))
	want := []string{"haproxy", "postgres", "consul", "nats1", "nats2", "nats3"}
	for _, s := range services {
		want = append(want, s+"1", s+"2", s+"-migrate")
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(p.Services)); !slices.Equal(got, want) {
		t.Errorf("services = %v\nwant %v", got, want)
	}
	for name, s := range p.Services {
		migrates := strings.HasSuffix(name, "-migrate")
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: read_only %t, cap_drop %v, security_opt %v: want a container that can do nothing", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
		if s.User == "" || s.User == "root" || strings.HasPrefix(s.User, "0") {
			t.Errorf("%s: runs as %q, want a plain user", name, s.User)
		}
		if s.MemLimit == 0 {
			t.Errorf("%s: has no limit of memory", name)
		}
		if (s.HealthCheck == nil || len(s.HealthCheck.Test) < 2) != migrates {
			t.Errorf("%s: health check = %v", name, s.HealthCheck)
		}
		if len(s.Ports) > 0 && name != "haproxy" {
			t.Errorf("%s: is reached from outside: %v", name, s.Ports)
		}
		for _, secret := range s.Secrets {
			if _, err := os.Stat(p.Secrets[secret.Source].File); err != nil {
				t.Errorf("%s: secret %s: %v", name, secret.Source, err)
			}
		}
		for _, c := range s.Configs {
			if _, err := os.Stat(p.Configs[c.Source].File); err != nil {
				t.Errorf("%s: configuration %s: %v", name, c.Source, err)
			}
		}
		for variable, value := range s.Environment {
			if value != nil && strings.Contains(strings.ToLower(variable), "password") && !strings.HasPrefix(variable, "NATS_PASSWORD_") && !strings.HasSuffix(variable, "_FILE") {
				t.Errorf("%s: the secret %s is in the environment", name, variable)
			}
		}
	}
	for _, s := range services {
		for _, n := range []string{"1", "2"} {
			checkInstance(t, p, s, n)
		}
	}
}

// checkInstance: a process has its own secrets and address, waits for what it needs, and has
// time to drain.
func checkInstance(t *testing.T, p *types.Project, service, n string) {
	t.Helper()
	name := service + n
	s := p.Services[name]
	env := map[string]string{}
	for k, v := range s.Environment {
		env[k] = *v
	}
	if env["BASIS_SERVER__ADVERTISE"] != name+":8080" || env["BASIS_SERVER__BROKER__USER"] != service || s.Command[0] != "/bin/"+service+"d" {
		t.Errorf("%s: runs %v as %v, want its own program, address and user", name, s.Command, env)
	}
	var secrets []string
	for _, x := range s.Secrets {
		secrets = append(secrets, x.Source+">"+x.Target)
		if x.Source == "owner_url" {
			t.Errorf("%s: has the role that owns the tables", name)
		}
	}
	for _, want := range []string{service + "_database_url>database_url", service + "_broker_password>broker_password", "service_key>", "ca.crt>"} {
		if !slices.ContainsFunc(secrets, func(got string) bool { return strings.HasPrefix(got, want) }) {
			t.Errorf("%s: secrets %v, want %s", name, secrets, want)
		}
	}
	for _, other := range services {
		if other != service && slices.ContainsFunc(secrets, func(got string) bool { return strings.HasPrefix(got, other+"_") }) {
			t.Errorf("%s: has secrets of %s: %v", name, other, secrets)
		}
	}
	if got := s.DependsOn[service+"-migrate"].Condition; got != "service_completed_successfully" {
		t.Errorf("%s: waits for its migration until %q", name, got)
	}
	for _, dependency := range []string{"postgres", "consul", "nats1", "nats2", "nats3"} {
		if got := s.DependsOn[dependency].Condition; got != "service_healthy" {
			t.Errorf("%s: waits for %s until %q, want that it is healthy", name, dependency, got)
		}
	}
	if s.StopGracePeriod == nil || s.StopGracePeriod.String() != "1m0s" {
		t.Errorf("%s: is killed after %v, want 1m0s", name, s.StopGracePeriod)
	}
	if files := slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == "/files" }); files != (service == "forms") {
		t.Errorf("%s: has the folder of uploads: %t", name, files)
	}
}

// TestCompose_Secrets: they are made once, are the owner's alone, and certificates hold for the
// names that are used.
func TestCompose_Secrets(t *testing.T) {
	t.Parallel()
	dir := makeSecrets(t)
	read := func() map[string]string {
		all := map[string]string{}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if len(text) == 0 {
				t.Errorf("%s is empty", f.Name())
			}
			all[f.Name()] = string(text)
		}
		return all
	}
	first := read()
	cmd := exec.CommandContext(t.Context(), "../compose/secrets.sh")
	cmd.Env = append(os.Environ(), "BASIS_SECRETS="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh again: %v\n%s", err, out)
	}
	if again := read(); !maps.Equal(first, again) {
		t.Error("secrets.sh has changed secrets that were there, want them kept")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the folder = %v, %v, want 0700", info.Mode(), err)
	}
	if n := len(strings.TrimSpace(first["service_key"])); n < 32 {
		t.Errorf("service_key has %d characters, want 32 or more", n)
	}
	for _, s := range services {
		if want := "NATS_PASSWORD_" + strings.ToUpper(s) + "=" + first[s+"_broker_password"]; !strings.Contains(first["nats.env"], want) {
			t.Errorf("nats.env has another password for %s than the service", s)
		}
		if !strings.HasPrefix(first[s+"_database_url"], "postgres://basis_"+s+":") {
			t.Errorf("%s_database_url = %s", s, first[s+"_database_url"])
		}
	}
	for file, c := range map[string]struct {
		ca    string
		names []string
	}{
		"nats.crt":         {"ca.crt", []string{"nats1", "nats2", "nats3"}},
		"nats-cluster.crt": {"cluster-ca.crt", []string{"nats1", "nats2", "nats3"}},
		"postgres.crt":     {"ca.crt", []string{"postgres"}},
		"site.crt":         {"ca.crt", []string{"basis.example.de"}},
	} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(first[c.ca]))
		block, _ := pem.Decode([]byte(first[file]))
		if block == nil {
			t.Errorf("%s is no certificate", file)
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for _, name := range c.names {
			usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: usages}); err != nil {
				t.Errorf("%s for %s: %v", file, name, err)
			}
		}
	}
}

// TestDockerfile: what it copies and builds is there, and the image has no user root.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../compose/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	last := string(text[strings.LastIndex(string(text), "\nFROM "):])
	if !strings.HasPrefix(last, "\nFROM scratch\n") || !strings.Contains(last, "\nUSER 65532:65532\n") || strings.Contains(last, "RUN ") {
		t.Errorf("the last stage is\n%s\nwant nothing but our files, and a plain user", last)
	}
	for word := range strings.FieldsSeq(string(text)) {
		path, ours := strings.CutPrefix(word, "./")
		if ours {
			if _, err := os.Stat(filepath.Join("../..", strings.TrimSuffix(path, "/..."))); err != nil {
				t.Errorf("it builds %s: %v", word, err)
			}
		}
	}
}
