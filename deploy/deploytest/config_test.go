package deploytest_test

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"basisdienste/platform/config"
	"basisdienste/platform/run"
)

// TestConfig_ExampleHasEveryKey: a setting that is added to the code is added to the example.
func TestConfig_ExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	text := read(t, shipped(t, "config/basisdienste.yaml"))
	var walk func(of reflect.Type, path string)
	walk = func(of reflect.Type, path string) {
		for f := range of.Fields() {
			key, rest, _ := strings.Cut(f.Tag.Get("config"), ",")
			if key == "" {
				continue
			}
			if rest == "secret" {
				key += "_file"
			}
			if !strings.Contains(text, "\n  "+key+":") && !strings.Contains(text, "\n    "+key+":") &&
				!strings.Contains(text, "# "+key+":") {
				t.Errorf("the example has no %s%s", path, key)
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, path+key+".")
			}
		}
	}
	walk(reflect.TypeFor[run.Settings](), "server.")
}

// withSecrets are the variables that name a secret file which is there, for every key of the
// YAML text that names one.
func withSecrets(t *testing.T, text string) []string {
	t.Helper()
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	secret := write(t, t.TempDir()+"/secret", strings.Repeat("k", 32)+"\n")
	var env []string
	var walk func(node any, path string)
	walk = func(node any, path string) {
		if m, ok := node.(map[string]any); ok {
			for key, v := range m {
				walk(v, path+"__"+strings.ToUpper(key))
			}
			return
		}
		own := []string{"SERVICE_KEY_FILE", "URL_FILE", "PASSWORD_FILE", "TOKEN_FILE"}
		if slices.ContainsFunc(own, func(s string) bool { return strings.HasSuffix(path, s) }) {
			env = append(env, "BASIS"+strings.TrimPrefix(path, "_")+"="+secret)
		}
	}
	walk(tree, "")
	return env
}

// TestConfig_IsInOrder reads the files as the processes do: unknown keys and wrong values fail.
func TestConfig_IsInOrder(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"config/basisdienste.yaml", "compose/basisdienste.yaml"} {
		path := shipped(t, name)
		cfg, err := config.Load(path, withSecrets(t, read(t, path)), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := run.Defaults()
		if err := cfg.Section("server").Decode(&s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := cfg.Unused(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.Broker.URLs) != 3 || s.Broker.Replicas != 3 || s.Consul.Address == "" || s.Database.OwnerURL != "" {
			t.Errorf("%s: broker %v, consul %v, owner %t, want three nodes, Consul and no owner", name, s.Broker.URLs, s.Consul.Address, s.Database.OwnerURL != "")
		}
	}
}

// TestConfig_CheckConfig is `paymentd --check-config --config FILE` without a service in it.
func TestConfig_CheckConfig(t *testing.T) {
	t.Parallel()
	path := shipped(t, "config/basisdienste.yaml")
	for name, c := range map[string]struct{ old, changed, want string }{
		"as it is":    {"", "", ""},
		"unknown key": {"drain_delay:", "drain_dilay:", "drain_dilay"},
		"wrong value": {"connections: 20", "connections: many", "connections"},
	} {
		text := strings.Replace(read(t, path), c.old, c.changed, 1)
		file := write(t, t.TempDir()+"/basisdienste.yaml", text)
		var out bytes.Buffer
		env := append(withSecrets(t, text), "BASIS_SERVER__LOG__LEVEL=error")
		err := run.Run(t.Context(), "paymentd", []string{"--check-config", "--config", file, "--data", t.TempDir()}, env, &out)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: paymentd --check-config = %v, %s, want %q named", name, err, out.String(), c.want)
		}
	}
	if _, err := os.Stat("data"); err == nil {
		t.Error("the check left a data folder behind")
	}
}
