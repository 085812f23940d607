package config_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/config"
)

type gateway struct {
	Name   string   `config:"name"`
	URL    url.URL  `config:"url"`
	Secret string   `config:"secret,secret"`
	Hosts  []string `config:"hosts"`
}

func (g gateway) Validate() error {
	if g.Name == "" {
		return errors.New("name: must be set")
	}
	return nil
}

type base struct {
	Level slog.Level `config:"level"`
}

type settings struct {
	base
	Timeout  time.Duration  `config:"timeout"`
	Keep     time.Duration  `config:"keep"`
	Upload   config.Size    `config:"upload"`
	Workers  int            `config:"workers"`
	Port     uint16         `config:"port"`
	Ratio    float64        `config:"ratio"`
	Demo     bool           `config:"demo"`
	Prefix   string         `yaml:"prefix"`
	Key      string         `config:"key,secret"`
	Pepper   []byte         `config:"pepper,secret"`
	TLSKey   string         `config:"tls,secret"`
	TLSFile  string         `config:"tls_file"`
	Database string         `config:"database"`
	Issuer   *url.URL       `config:"issuer"`
	Gateway  gateway        `config:"gateway"`
	Others   []gateway      `config:"others"`
	Fees     map[string]int `config:"fees"`
	Limit    *int           `config:"limit"`
	Skipped  string
}

func defaults() settings {
	return settings{
		Timeout: 90 * time.Second, Keep: 30 * 24 * time.Hour, Upload: 10 * config.MiB, Workers: 4,
		Gateway: gateway{Name: "sandbox", Hosts: []string{"a.example"}}, Fees: map[string]int{"default": 3070},
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, text string, env []string, flags map[string]any) *config.Config {
	t.Helper()
	c, err := config.Load(write(t, "basis.yaml", text), env, flags)
	if err != nil {
		t.Fatalf("Load(%q) = %v, want no error", text, err)
	}
	return c
}

func mustURL(t *testing.T, s string) url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return *u
}

func TestDecode_LaterLayerWins(t *testing.T) {
	t.Parallel()
	secret := write(t, "secret", "s3cret\n")
	c := load(t, `
payment:
  timeout: 5m
  keep: 7d
  upload: 64KiB
  workers: 8
  port: 8443
  ratio: 0.5
  demo: true
  prefix: 007
  key_file: `+secret+`
  database: postgres://basis@db/basis
  issuer: https://erfurt.example/auth
  level: WARN
  gateway:
    url: https://pay.example/v1
    secret: from-file
  others:
    - {name: one, url: "http://one.example/", hosts: [x, y]}
  fees: {www.erfurt.example: 1000}
  limit: 5
empty:
`, []string{
		"BASIS_PAYMENT__WORKERS=16", "BASIS_PAYMENT__GATEWAY__SECRET=from-env", "PATH=/bin",
		"BASIS_PAYMENT__GATEWAY__HOSTS=b.example, c.example", "BASIS_PAYMENT__TIMEOUT=6m", "BASIS_PAYMENT__PEPPER=a=b",
	}, map[string]any{"payment.timeout": 7 * time.Minute, "payment.gateway": map[string]any{"name": "stripe"}})

	want := defaults()
	five := 5
	issuer := mustURL(t, "https://erfurt.example/auth")
	want.Level = slog.LevelWarn
	want.Timeout, want.Keep, want.Upload = 7*time.Minute, 7*24*time.Hour, 64*config.KiB
	want.Workers, want.Port, want.Ratio, want.Demo, want.Prefix = 16, 8443, 0.5, true, "007"
	want.Key, want.Pepper, want.Database, want.Issuer, want.Limit = "s3cret", []byte("a=b"), "postgres://basis@db/basis", &issuer, &five
	want.Gateway = gateway{Name: "stripe", URL: mustURL(t, "https://pay.example/v1"), Secret: "from-env", Hosts: []string{"b.example", "c.example"}}
	want.Others = []gateway{{Name: "one", URL: mustURL(t, "http://one.example/"), Hosts: []string{"x", "y"}}}
	want.Fees = map[string]int{"default": 3070, "www.erfurt.example": 1000}

	got := defaults()
	if err := c.Section("payment").Decode(&got); err != nil {
		t.Fatalf("Decode = %v, want no error", err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Decode gave\n%+v\nwant\n%+v", got, want)
	}
	if err := c.Unused("empty"); err != nil {
		t.Errorf("Unused(empty) = %v, want nil", err)
	}
}

func TestDecode_WithoutAnySettingKeepsDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := defaults()
	if err := c.Section("payment").Decode(&got); err != nil {
		t.Fatalf("Decode = %v, want no error", err)
	}
	if !reflect.DeepEqual(got, defaults()) {
		t.Errorf("Decode gave %+v, want the defaults %+v", got, defaults())
	}
}

func TestDecode_TellsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	empty := write(t, "secret", "\n")
	c := load(t, `payment:
  timeout: soon
  keep: 7 days
  upload: many
  workers: 3.5
  port: 70000
  ratio: half
  demo: yes
  prefix: [a]
  key: one
  key_file: two
  pepper_file: /nowhere/pepper
  tls: three
  tls_file: four
  database: postgres://basis:hunter2@db/basis
  issuer: erfurt.example
  level: loud
  gateway: stripe
  others:
    - name: one
      utl: http://one.example/
    - {name: ""}
  fees: [1]
  tiemout: 1s
`, []string{"BASIS_PAYMENT__GATWAY__SECRET_FILE=" + empty, "BASIS_PAYMENT__SKIPPED=1"}, nil)
	got := defaults()
	err := c.Section("payment").Decode(&got)
	if err == nil {
		t.Fatal("Decode = nil, want an error")
	}
	text := err.Error()
	for _, want := range []string{
		`payment.timeout = "soon" (basis.yaml:2): want a duration such as 90s, 5m, 2h or 30d`,
		`payment.keep = "7 days" (basis.yaml:3): want a duration such as 90s, 5m, 2h or 30d`,
		`payment.upload = "many" (basis.yaml:4): want a size such as 512, 64KiB or 10MiB`,
		`payment.workers = "3.5" (basis.yaml:5): want a whole number`,
		`payment.port = "70000" (basis.yaml:6): want a whole number that is not negative; this one is too large`,
		`payment.ratio = "half" (basis.yaml:7): want a number`,
		`payment.demo = "yes" (basis.yaml:8): want true or false`,
		`payment.prefix (basis.yaml:9): want one value, not a list or section`,
		`payment.key_file (basis.yaml:11): set either this or payment.key, not both`,
		`payment.pepper_file = "/nowhere/pepper" (basis.yaml:12): cannot be read: no such file or directory`,
		`payment.issuer = "erfurt.example" (basis.yaml:16): want a URL such as https://example.org/path`,
		`payment.level = "loud" (basis.yaml:17): slog: level string "loud": unknown name`,
		`payment.gateway (basis.yaml:18): this is a section with keys of its own, not a value`,
		`payment.others[0].utl (basis.yaml:21): there is no such key; did you mean "url"?`,
		`payment.others[1]: name: must be set`,
		`payment.fees (basis.yaml:23): want a section with keys and values`,
		`payment.gatway (BASIS_PAYMENT__GATWAY__SECRET_FILE): there is no such key; did you mean "gateway"?`,
		`payment.skipped (BASIS_PAYMENT__SKIPPED): there is no such key`,
		`payment.tiemout (basis.yaml:24): there is no such key; did you mean "timeout"?`,
	} {
		if !containsLine(text, want) {
			t.Errorf("Decode's error lacks the line\n%s\nit says\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n") + 1; n != 19 {
		t.Errorf("Decode told %d mistakes, want 19:\n%s", n, text)
	}
	for _, secret := range []string{"hunter2", "one\"", "three"} {
		if strings.Contains(text, secret) {
			t.Errorf("Decode's error gives the secret %q away:\n%s", secret, text)
		}
	}
}

// containsLine compares without the folder of the file, which differs from run to run.
func containsLine(text, line string) bool {
	for got := range strings.SplitSeq(text, "\n") {
		if before, after, ok := strings.Cut(got, " ("+os.TempDir()); ok {
			got = before + " (" + after[strings.Index(after, "basis.yaml"):]
		}
		if got == line {
			return true
		}
	}
	return false
}

func TestDecode_Secrets(t *testing.T) {
	t.Parallel()
	crlf, empty := write(t, "crlf", "from secret file\r\n"), write(t, "empty", "\n")
	type secrets struct {
		Key  string `config:"key,secret"`
		Port int    `config:"port,secret"`
		URL  string `config:"url"`
	}
	tests := []struct {
		name, yaml string
		env        []string
		key, wrong string
	}{
		{"file, line end cut off", "a: {key_file: " + crlf + "}", nil, "from secret file", ""},
		{"later file wins over value", "a: {key: plain}", []string{"BASIS_A__KEY_FILE=" + crlf}, "from secret file", ""},
		{"later value wins over file", "a: {key_file: /nowhere}", []string{"BASIS_A__KEY=plain"}, "plain", ""},
		{"empty file", "a: {key_file: " + empty + "}", nil, "", "the file is empty"},
		{"list of files", "a: {key_file: [x]}", nil, "", "want the name of a file"},
		{"wrong form is not repeated", "a: {port: geheim}", nil, "", "this secret has not the form that is expected"},
		{"no file key for what is no secret", "a: {url_file: x}", nil, "", "there is no such key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got secrets
			err := load(t, test.yaml, test.env, nil).Section("a").Decode(&got)
			if test.wrong == "" && err != nil || test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)) {
				t.Fatalf("Decode(%s, %v) = %v, want %q", test.yaml, test.env, err, test.wrong)
			}
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("Decode(%s) = %v, which gives the secret away", test.yaml, err)
			}
			if got.Key != test.key {
				t.Errorf("Decode(%s, %v) gave key %q, want %q", test.yaml, test.env, got.Key, test.key)
			}
		})
	}
}

func TestLoad_Refuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, yaml, want string }{
		{"broken", "a: [", "basis.yaml: line 1: did not find expected node content"},
		{"twice", "a:\n  b: 1\n  b: 2\n", "basis.yaml:3: a.b is set a second time"},
		{"no sections", "- a\n", "basis.yaml:1: the file must hold sections"},
		{"word", "a", "basis.yaml:1: the file must hold sections"},
		{"alias", "a: &x {b: 1}\nc: *x\n", "basis.yaml:2: anchors and aliases are not supported"},
		{"merge", "a: &x {b: 1}\nc:\n  <<: *x\n", "basis.yaml:3: a key must be a plain word"},
		{"two documents", "a: {}\n---\nb: {}\n", "basis.yaml: the file must hold one YAML document"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(write(t, "basis.yaml", test.yaml), nil, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Load(%q) = %v, want %q", test.yaml, err, test.want)
			}
		})
	}
	if _, err := config.Load("/nowhere/basis.yaml", nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load(/nowhere/basis.yaml) = %v, want os.ErrNotExist", err)
	}
	if _, err := config.Load("", []string{"BASIS_A=1", "BASIS_A__B=2"}, nil); err == nil || !strings.Contains(err.Error(), "BASIS_A and BASIS_A__B exclude each other") {
		t.Errorf("Load with BASIS_A and BASIS_A__B = %v, want that they exclude each other", err)
	}
}

func TestLoad_EmptyFiles(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# only a comment\n", "---\n", "~\n"} {
		c := load(t, text, nil, nil)
		if err := c.Unused(); err != nil {
			t.Errorf("Unused after Load(%q) = %v, want nil", text, err)
		}
	}
}

func TestUnused_NamesWhatNobodyRead(t *testing.T) {
	t.Parallel()
	c := load(t, "payment: {workers: 1}\nforms: {x: 1}\npayments:\n  workers: 2\nstray: 1\n", []string{"BASIS_HOME=/srv"}, nil)
	got := defaults()
	if err := c.Section("payment").Decode(&got); err != nil {
		t.Fatal(err)
	}
	err := c.Unused("forms")
	if err == nil {
		t.Fatal("Unused = nil, want an error")
	}
	for _, want := range []string{
		"home (BASIS_HOME): there is no such section",
		"basis.yaml:3): there is no such section; did you mean \"payment\"?",
		"basis.yaml:5): there is no such section",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Unused = %v, want also %q", err, want)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 3 {
		t.Errorf("Unused told %d mistakes, want 3: %v", n, err)
	}
}

func TestDecode_RefusesWhatIsNoStruct(t *testing.T) {
	t.Parallel()
	c := load(t, "", nil, nil)
	var n int
	for _, dst := range []any{nil, n, &n, settings{}, (*settings)(nil)} {
		if err := c.Section("a").Decode(dst); err == nil {
			t.Errorf("Decode(%T) = nil, want an error", dst)
		}
	}
	var bad struct {
		F func()         `config:"f"`
		M map[int]string `config:"m"`
	}
	err := load(t, "a: {f: x, m: {1: x}}", nil, nil).Section("a").Decode(&bad)
	if err == nil || !strings.Contains(err.Error(), "cannot read settings of type func()") || !strings.Contains(err.Error(), "type map[int]string") {
		t.Errorf("Decode into a func and a map[int]string = %v, want both named", err)
	}
}

func TestPrint_ShowsOriginsAndHidesSecrets(t *testing.T) {
	t.Parallel()
	c := load(t, "payment:\n  timeout: 2h\n  prefix: \"true\"\n  key: geheim\n  issuer: https://u:geheim@erfurt.example/\n  database: postgres://basis:geheim@db/basis\n  gateway: {secret: geheim}\n",
		[]string{"BASIS_PAYMENT__FEES__ERFURT=1000", "BASIS_AUTH__NAME=dex"}, map[string]any{"payment.pepper": "geheim"})
	got := defaults()
	auth := gateway{}
	if err := errors.Join(c.Section("payment").Decode(&got), c.Section("auth").Decode(&auth), c.Section("payment").Decode(&got)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(out.String(), filepath.Dir(fileOf(out.String()))+"/", "")
	const want = `auth:
  name: dex # BASIS_AUTH__NAME
  url: ""
  secret: ""
  hosts: []
payment:
  level: INFO
  timeout: 2h # basis.yaml:2
  keep: 30d
  upload: 10MiB
  workers: 4
  port: 0
  ratio: 0
  demo: false
  prefix: "true" # basis.yaml:3
  key: '***' # basis.yaml:4
  pepper: '***' # flag
  tls: ""
  tls_file: ""
  database: postgres://basis:xxxxx@db/basis # basis.yaml:6
  issuer: https://u:xxxxx@erfurt.example/ # basis.yaml:5
  gateway:
    name: sandbox
    url: ""
    secret: '***' # basis.yaml:7
    hosts:
      - a.example
  others: []
  fees:
    default: 3070
    erfurt: 1000 # BASIS_PAYMENT__FEES__ERFURT
  limit: null
`
	if text != want {
		t.Errorf("Print wrote\n%s\nwant\n%s", text, want)
	}
}

// fileOf returns the first file name in the comments.
func fileOf(text string) string {
	_, rest, _ := strings.Cut(text, "# /")
	name, _, _ := strings.Cut(rest, ":")
	return "/" + name
}

func TestSize(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want config.Size
		out  string
	}{
		{"0", 0, "0"},
		{"512", 512, "512"},
		{"1024", 1024, "1KiB"},
		{"10 MiB", 10 * config.MiB, "10MiB"},
		{"10MB", 10_000_000, "10000000"},
		{"2GiB", 2 * config.GiB, "2GiB"},
		{"3TiB", 3 * config.TiB, "3TiB"},
		{"7B", 7, "7"},
	}
	for _, test := range tests {
		var got config.Size
		if err := got.UnmarshalText([]byte(test.in)); err != nil || got != test.want {
			t.Errorf("Size(%q) = %d, %v, want %d", test.in, got, err, test.want)
		}
		if got.String() != test.out {
			t.Errorf("Size(%d).String() = %q, want %q", got, got, test.out)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "1.5GiB", "9999999999TiB", "10mib", "1 2"} {
		var got config.Size
		if err := got.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("Size(%q) = %d, want an error", in, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("payment:\n  timeout: 5m\n  gateway: {name: a}\n", "BASIS_PAYMENT__WORKERS=1")
	f.Add("payment: [1, {a: b}]", "BASIS_PAYMENT=x")
	f.Add("? {a: b}\n: 1\n", "BASIS___X=")
	f.Add("", "BASIS_")
	f.Fuzz(func(t *testing.T, text, env string) {
		file := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(file, []string{env}, nil)
		if err != nil {
			return
		}
		got := defaults()
		if err := c.Section("payment").Decode(&got); err == nil {
			if err := c.Print(&bytes.Buffer{}); err != nil {
				t.Errorf("Print after Decode(%q, %q) = %v, want no error", text, env, err)
			}
		}
	})
}
