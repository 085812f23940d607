package monitoring_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rule is a recording or an alert.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

// ruleFiles are those that prometheus.yml names.
var ruleFiles = []string{"slo.yml", "alerts.yml"}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	for _, file := range ruleFiles {
		var f struct{ Groups []struct{ Rules []rule } }
		read(t, file, &f)
		for _, g := range f.Groups {
			all = append(all, g.Rules...)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%v hold no rules", ruleFiles)
	}
	return all
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("promtool is missing (%v): make setup installs it; Debian: apt-get install prometheus", err)
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s = %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRules_Promtool(t *testing.T) {
	t.Parallel()
	promtool(t, append([]string{"check", "rules"}, ruleFiles...)...)
	promtool(t, "test", "rules", "alerts_test.yml")
}

// TestConfig checks prometheus.yml. Debian's promtool is built without Consul, so that section is
// checked as static targets.
func TestConfig(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	consul := regexp.MustCompile(`(?m)^    consul_sd_configs:\n(      .*\n)+`)
	if n := len(consul.FindAll(text, -1)); n != 1 {
		t.Fatalf("prometheus.yml has %d sections consul_sd_configs, want 1", n)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, consul.ReplaceAll(text, []byte("    static_configs: [{targets: [\"a:1\"]}]\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range ruleFiles {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	promtool(t, "check", "config", file)
	var c struct {
		RuleFiles []string `yaml:"rule_files"`
	}
	if read(t, "prometheus.yml", &c); !slices.Equal(c.RuleFiles, ruleFiles) {
		t.Errorf("prometheus.yml names the rules %v, want %v", c.RuleFiles, ruleFiles)
	}
}

// TestAlerts_AreWhole: each alert is tested to fire, says how bad it is, and leads to its page;
// each page belongs to an alert and has its parts.
func TestAlerts_AreWhole(t *testing.T) {
	t.Parallel()
	var tests struct {
		Tests []struct {
			Alerts []struct {
				Name string `yaml:"alertname"`
				Exp  []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	read(t, "alerts_test.yml", &tests)
	fires := map[string]bool{}
	for _, test := range tests.Tests {
		for _, a := range test.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Exp) > 0
		}
	}
	const runbook = "../../docs/runbook"
	pages, err := filepath.Glob(filepath.Join(runbook, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, p := range pages {
		left[strings.TrimSuffix(filepath.Base(p), ".md")] = true
	}
	links := regexp.MustCompile(`\b(?:see|See|as for) ([A-Z][A-Za-z]+[A-Z][A-Za-z]+)`)
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		if !fires[r.Alert] {
			t.Errorf("no test in alerts_test.yml wants %s to fire", r.Alert)
		}
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s has severity %q, want page or ticket", r.Alert, s)
		}
		if r.For == "" || r.Annotations["summary"] == "" {
			t.Errorf("%s wants a duration (for) and a summary", r.Alert)
		}
		if got, want := r.Annotations["runbook_url"], "{{ $externalLabels.runbooks }}/"+r.Alert+".md"; got != want {
			t.Errorf("%s has the runbook_url %q, want %q", r.Alert, got, want)
		}
		text, err := os.ReadFile(filepath.Join(runbook, r.Alert+".md"))
		if err != nil {
			t.Errorf("%s has no page: %v", r.Alert, err)
			continue
		}
		delete(left, r.Alert)
		for _, part := range []string{"# " + r.Alert + "\n", "**What it means.** ", "**What users notice.** ", "\n## Look at\n", "\n## Do\n", "\n## Verify\n"} {
			if strings.Count(string(text), part) != 1 {
				t.Errorf("docs/runbook/%s.md wants the part %q once", r.Alert, part)
			}
		}
		for _, l := range links.FindAllStringSubmatch(string(text), -1) {
			if !fires[l[1]] {
				t.Errorf("docs/runbook/%s.md leads to %s, which is no alert", r.Alert, l[1])
			}
		}
	}
	for p := range left {
		t.Errorf("docs/runbook/%s.md belongs to no alert", p)
	}
}
