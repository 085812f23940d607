package monitoring_test

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"basisdienste/platform/config"
	"basisdienste/platform/run"
	"basisdienste/services/edge"
	"basisdienste/services/forms"
	"basisdienste/services/tenants"
)

type labels map[string]bool

// target are the labels that Prometheus adds, see prometheus.yml.
func target() labels { return labels{"job": true, "instance": true, "service": true} }

// exporters' metrics are named as their documentation does.
func exporters() map[string]labels {
	disk := labels{"mountpoint": true, "device": true, "fstype": true, "job": true, "instance": true}
	return map[string]labels{
		"up":                             {"job": true, "instance": true},
		"node_filesystem_avail_bytes":    disk,
		"node_filesystem_size_bytes":     disk,
		"probe_ssl_earliest_cert_expiry": {"job": true, "instance": true},
	}
}

// told is what running processes tell: metrics, and the labels that they have. One process
// finds its neighbours at fixed addresses, the other through a Consul that is away.
func told(t *testing.T) map[string]labels {
	t.Helper()
	out := exporters()
	for _, change := range []func(*run.Settings){
		func(s *run.Settings) { s.ServiceURLs = map[string]string{"payment": "http://127.0.0.1:1"} },
		func(s *run.Settings) {
			s.Consul.Address, s.ServiceSecret = "127.0.0.1:1", strings.Repeat("s", 32)
		},
	} {
		s := run.Defaults()
		s.DataDir, s.Listen, s.Log.Access, s.DrainTime = t.TempDir(), "127.0.0.1:0", false, time.Second
		change(&s)
		cfg, err := config.Load("", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := run.Start(t.Context(), cfg, s, slog.New(slog.DiscardHandler), tenants.New(), forms.New(), edge.New())
		if err != nil {
			t.Fatalf("run.Start: %v", err)
		}
		get(t, p.BaseURL+"/nowhere").Body.Close()
		resp := get(t, p.BaseURL+"/metrics")
		text := expfmt.NewTextParser(model.UTF8Validation)
		families, err := text.TextToMetricFamilies(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("GET /metrics = %s, %v, want 200 and metrics", resp.Status, err)
		}
		if err := p.Stop(); err != nil && s.Consul.Address == "" { // else it cannot deregister
			t.Errorf("Stop: %v", err)
		}
		for name, f := range families {
			have := target()
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					have[l.GetName()] = true
				}
			}
			out[name] = have
			if f.GetMetric()[0].GetHistogram() != nil {
				out[name+"_count"], out[name+"_sum"] = have, have
				buckets := maps.Clone(have)
				buckets["le"] = true
				out[name+"_bucket"] = buckets
			}
		}
	}
	return out
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// dashboard is what we need to know of Grafana's model.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
	Panels []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ RefID, Expr string }
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("dashboards/*.json: %v, %v, want some", files, err)
	}
	out := map[string]dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[filepath.Base(file)] = d
	}
	return out
}

// TestQueries_NameWhatProcessesTell: each query of rules and dashboards parses, and the metrics
// and labels in it are there.
func TestQueries_NameWhatProcessesTell(t *testing.T) {
	t.Parallel()
	known := told(t)
	all := rules(t)
	for _, r := range all {
		if r.Record != "" {
			known[r.Record] = labels{"service": true}
		}
	}
	for _, r := range all {
		check(t, r.Record+r.Alert, r.Expr, known)
	}
	variable := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)
	for file, d := range dashboards(t) {
		names := []string{"__rate_interval"}
		for _, v := range d.Templating.List {
			names = append(names, v.Name)
			if q, ok := v.Query.(map[string]any); ok {
				m := variable.FindStringSubmatch(q["query"].(string))
				if m == nil || !known[m[1]][m[2]] {
					t.Errorf("%s: the variable %s asks for %v, which no process tells", file, v.Name, q["query"])
				}
			}
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				expr := target.Expr
				for _, name := range names {
					expr = strings.ReplaceAll(expr, "$"+name, map[bool]string{true: "5m", false: "x"}[name == "__rate_interval"])
				}
				check(t, file+", "+p.Title, expr, known)
			}
		}
	}
}

// check reports what of the query is not known.
func check(t *testing.T, where, query string, known map[string]labels) {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %s: %v", where, query, err)
		return
	}
	var walk func(parser.Node) labels
	walk = func(n parser.Node) labels {
		below := labels{}
		for child := range parser.ChildrenIter(n) {
			maps.Copy(below, walk(child))
		}
		var wanted []string
		switch n := n.(type) {
		case *parser.VectorSelector:
			have, ok := known[n.Name]
			if !ok {
				t.Errorf("%s: no process tells %s", where, n.Name)
				return below
			}
			below = maps.Clone(have)
			for _, m := range n.LabelMatchers {
				if m.Name != model.MetricNameLabel {
					wanted = append(wanted, m.Name)
				}
			}
		case *parser.AggregateExpr:
			wanted = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				wanted = n.VectorMatching.MatchingLabels
			}
		}
		for _, l := range wanted {
			if !below[l] {
				t.Errorf("%s: %s has no label %s, only %v", where, n, l, slices.Sorted(maps.Keys(below)))
			}
		}
		return below
	}
	walk(expr)
}

// TestDashboards_AreWhole: Grafana can show them side by side.
func TestDashboards_AreWhole(t *testing.T) {
	t.Parallel()
	uids := map[string]bool{}
	for file, d := range dashboards(t) {
		if d.UID+".json" != file || uids[d.UID] || d.Title == "" || d.SchemaVersion < 36 {
			t.Errorf("%s: uid %q, title %q, schema %d; want the file's name, a title, 36 or newer", file, d.UID, d.Title, d.SchemaVersion)
		}
		uids[d.UID] = true
		used := map[[2]int]string{}
		ids := map[int]bool{}
		for _, p := range d.Panels {
			if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 || !slices.Contains([]string{"timeseries", "stat", "table"}, p.Type) {
				t.Errorf("%s: panel %d %q of type %s with %d queries: want an id of its own, a title, a query", file, p.ID, p.Title, p.Type, len(p.Targets))
			}
			ids[p.ID] = true
			refs := map[string]bool{}
			for _, q := range p.Targets {
				if q.Expr == "" || q.RefID == "" || refs[q.RefID] {
					t.Errorf("%s: %s: query %q %q, want a name of its own and an expression", file, p.Title, q.RefID, q.Expr)
				}
				refs[q.RefID] = true
			}
			g := p.GridPos
			if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
				t.Errorf("%s: %s stands at %+v, want it within 24 columns", file, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := used[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: %s covers %s", file, p.Title, other)
					}
					used[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}
