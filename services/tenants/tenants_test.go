package tenants

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"basisdienste/platform/fault"
)

func TestLifecycle(t *testing.T) {
	t.Parallel()
	moves := map[string]func(*Tenant) error{
		"activate": (*Tenant).Activate, "suspend": (*Tenant).Suspend, "resume": (*Tenant).Resume,
		"close": (*Tenant).Close, "erase": (*Tenant).Erase,
	}
	// What is not named is refused.
	allowed := map[Status]map[string]Status{
		Trial:     {"activate": Active, "close": Closing},
		Active:    {"suspend": Suspended, "close": Closing},
		Suspended: {"resume": Active, "close": Closing},
		Closing:   {"erase": Erased},
		Erased:    {},
	}
	for from, want := range allowed {
		for name, move := range moves {
			x := &Tenant{Slug: "erfurt", Status: from, Keys: []Key{{Key: "16051000"}}, Hosts: []string{"erfurt.example"}}
			err := move(x)
			to, ok := want[name]
			switch {
			case ok && (err != nil || x.Status != to):
				t.Errorf("%s of a tenant that is %s = %v, now %s; want %s", name, from, err, x.Status, to)
			case !ok && (!fault.Is(err, "wrong_status") || x.Status != from):
				t.Errorf("%s of a tenant that is %s = %v, now %s; want wrong_status, still %s", name, from, err, x.Status, from)
			}
			if ok && to == Erased && (x.Keys != nil || x.Hosts != nil) {
				t.Errorf("erase left keys %v and hosts %v, want none", x.Keys, x.Hosts)
			}
		}
	}
}

func TestSlugs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, district, area string
		want                 []string
	}{
		{"Erfurt, Stadt", "Erfurt, Stadt", "160510000", []string{"erfurt", "erfurt-160510000"}},
		{"Bad Köstritz, Stadt", "Greiz", "160765051", []string{"bad-koestritz", "bad-koestritz-greiz", "bad-koestritz-160765051"}},
		{"Weißensee", "Sömmerda", "1", []string{"weissensee", "weissensee-soemmerda", "weissensee-1"}},
		{"Altenstadt (VGem)", "Neustadt a.d.Waldnaab", "1", []string{"altenstadt-vgem", "altenstadt-vgem-neustadt-a-d-waldnaab", "altenstadt-vgem-1"}},
		{"Lübbenau/Spreewald / Lubnjow/Błota, Stadt", "Oberspreewald-Lausitz", "1", []string{
			"luebbenau-spreewald-lubnjow-blota", "luebbenau-spreewald-lubnjow-blota-oberspreewald-lausitz", "luebbenau-spreewald-lubnjow-blota-1",
		}},
		{"Vetschau / Wětošow", "", "1", []string{"vetschau-wetosow", "vetschau-wetosow-1"}},
		{"Ko\u0308ln", "", "1", []string{"koeln", "koeln-1"}}, // letter and mark apart
		{"东京", "", "160510000", []string{"tenant", "tenant-160510000"}},
		{
			"Verwaltungsgemeinschaft der Gemeinden am langen Fluss und seinen vielen Auen", "Saale-Holzland-Kreis", "1",
			[]string{
				"verwaltungsgemeinschaft-der-gemeinden-am-langen-fluss-und-seine",
				"verwaltungsgemeinschaft-der-gemeinden-am-l-saale-holzland-kreis",
				"verwaltungsgemeinschaft-der-gemeinden-am-langen-fluss-und-sei-1",
			},
		},
	}
	for _, tt := range tests {
		got := slugs(tt.name, tt.district, tt.area)
		if !slices.Equal(got, tt.want) {
			t.Errorf("slugs(%q, %q, %q)\n got %q\nwant %q", tt.name, tt.district, tt.area, got, tt.want)
		}
		for _, s := range got {
			if wrong := checkSlug(s); wrong != nil {
				t.Errorf("slugs(%q, …) has %q: %s", tt.name, s, wrong[0].Detail)
			}
		}
	}
}

// The examples of RFC 7396, appendix A.
func TestMerge(t *testing.T) {
	t.Parallel()
	tests := []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{``, `{"a":1}`, `{"a":1}`},
		{`{"a":12345678901234567890.10}`, `{"b":"<&>"}`, `{"a":12345678901234567890.10,"b":"<&>"}`},
	}
	for _, tt := range tests {
		got, err := merge(json.RawMessage(tt.target), json.RawMessage(tt.patch))
		if err != nil || string(got) != tt.want {
			t.Errorf("merge(%s, %s) = %s, %v, want %s", tt.target, tt.patch, got, err, tt.want)
		}
	}
}

func TestChangedMembers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		before, after string
		want          []string
	}{
		{``, ``, nil},
		{``, `{"a":1}`, []string{"a"}},
		{`{"a":1,"b":2}`, `{"b":2}`, []string{"a"}},
		{`{"a":{"x":1},"b":2}`, `{"a":{"x":2},"b":2,"c":null}`, []string{"a", "c"}},
	}
	for _, tt := range tests {
		got, err := changedMembers(json.RawMessage(tt.before), json.RawMessage(tt.after))
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("changedMembers(%s, %s) = %q, %v, want %q", tt.before, tt.after, got, err, tt.want)
		}
	}
}

func TestCheckLimits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		doc       string
		overrides bool
		ok        bool
	}{
		{`{"payment.create":{"rate":600,"burst":100}}`, false, true},
		{`{}`, false, true},
		{`{"payment.create":null}`, true, true},
		{`{"payment.create":null}`, false, false},
		{`{"payment.create":{"rate":600}}`, false, false},
		{`{"payment.create":{"rate":null,"burst":1}}`, false, false},
		{`{"payment.create":{"rate":-1,"burst":1}}`, false, false},
		{`{"payment.create":{"rate":1.5,"burst":1}}`, false, false},
		{`{"payment.create":{"rate":1,"burst":1,"bust":1}}`, false, false},
		{`{"Payment Create":{"rate":1,"burst":1}}`, false, false},
	}
	for _, tt := range tests {
		_, err := checkLimits(json.RawMessage(tt.doc), tt.overrides)
		if (err == nil) != tt.ok || (err != nil && !fault.Is(err, "invalid_limits")) {
			t.Errorf("checkLimits(%s, %v) = %v, want ok %v", tt.doc, tt.overrides, err, tt.ok)
		}
	}
}

func TestParseHosts(t *testing.T) {
	t.Parallel()
	got, wrong := parseHosts([]string{"Service.Erfurt.example", "a.example", "erfurt", "erfurt.example:8080", "https://erfurt.example", "-a.example", "a.example", "*.example.de", ""})
	if want := []string{"a.example", "service.erfurt.example"}; !slices.Equal(got, want) || len(wrong) != 7 {
		t.Errorf("parseHosts = %q with %d wrong ones, want %q with 7", got, len(wrong), want)
	}
}

// Who has none is told so by an empty list: a program need not know another way to say it.
func TestView_EmptyLists(t *testing.T) {
	t.Parallel()
	v, err := view(&Tenant{}, &Catalogue{})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"keys":[]`, `"hosts":[]`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("view of a tenant without keys and hosts = %s, want %s in it", body, want)
		}
	}
}
