package main

import (
	"go/parser"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"basisdienste/tools/internal/gofiles"
)

// TestCheck plants one import in a tree of files and looks at what is said about it.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, pkg, imports, want string }{
		{"service, platform", "services/payment/store.go", "payment", "platform/db", ""},
		{"service, generated contract", "services/payment/events.go", "payment", "contracts/gen/events", ""},
		{"service, raw contract", "services/payment/events.go", "payment", "contracts/events", "a service imports contracts/gen only"},
		{"service test, raw contract", "services/payment/x_test.go", "payment_test", "contracts/events", ""},
		{"service, other service", "services/payment/app.go", "payment", "services/forms", "never imports another service"},
		{"service test, other service", "services/payment/x_test.go", "payment_test", "services/forms", "never imports another service"},
		{"adapter, other service's adapter", "services/payment/stripe/stripe.go", "stripe", "services/notify/smtp", "never imports another service"},
		{"adapter, its service", "services/payment/stripe/stripe.go", "stripe", "services/payment", ""},
		{"service, its adapter", "services/payment/app.go", "payment", "services/payment/stripe", "not the reverse"},
		{"service, a package below it", "services/payment/service.go", "payment", "services/payment/ledger", ""},
		{"service, another's package below", "services/forms/service.go", "forms", "services/payment/ledger", "never imports another service"},
		{"service test, its adapter", "services/payment/app_test.go", "payment_test", "services/payment/stripe", ""},
		{"main, its service and adapter", "services/payment/paymentd/main.go", "main", "services/payment/stripe", ""},
		{"main, other service", "services/payment/paymentd/main.go", "main", "services/forms", "never imports another service"},
		{"basis, everybody", "services/basis/main.go", "main", "services/forms", ""},
		{"service, basis", "services/forms/app.go", "forms", "services/basis", "never imports another service"},
		{"service, unknown area", "services/forms/app.go", "forms", "misc/util", "a service imports its own packages"},
		{"service, tools", "services/forms/app.go", "forms", "tools/errdoc", "nothing imports tools"},
		{"basis, tools", "services/basis/main.go", "main", "tools/demo", "nothing imports tools"},
		{"platform, loadtest", "platform/run/run.go", "run", "loadtest/bench", "nothing imports tools or loadtest"},
		{"loadtest, the cluster", "loadtest/bench/main.go", "main", "tools/cluster/local", ""},
		{"loadtest, other tool", "loadtest/bench/main.go", "main", "tools/demo", "nothing imports tools"},
		{"tool, itself", "tools/demo/main.go", "main", "tools/demo/browser", ""},
		{"tool, other tool", "tools/demo/main.go", "main", "tools/errdoc", "nothing imports tools"},
		{"tool, shared by tools", "tools/demo/main.go", "main", "tools/internal/gofiles", ""},
		{"tool, platform", "tools/demo/main.go", "main", "platform/money", ""},
		{"platform, service", "platform/run/run.go", "run", "services/auth", "platform never imports services"},
		{"platform test, service", "platform/run/run_test.go", "run_test", "services/auth", "platform never imports services"},
		{"platform, contracts", "platform/tenantdir/dir.go", "tenantdir", "contracts/gen/events", "platform never imports services or contracts"},
		{"platform test, contracts", "platform/tenantdir/dir_test.go", "tenantdir_test", "contracts/gen/events", ""},
		{"platform, down", "platform/run/run.go", "run", "platform/bus", ""},
		{"platform, up", "platform/db/db.go", "db", "platform/kit", "db is level 1, kit is level 2"},
		{"platform, beside and listed", "platform/bus/bus.go", "bus", "platform/outbox", ""},
		{"platform, beside and not listed", "platform/outbox/outbox.go", "outbox", "platform/bus", "both are level 2"},
		{"platform, no level", "platform/util/util.go", "util", "platform/fault", "platform/util has no level"},
		{"platform, of no level", "platform/kit/kit.go", "kit", "platform/util", "platform/util has no level"},
		{"helper, all of platform", "platform/bustest/bustest.go", "bustest", "platform/run", ""},
		{"helper, other helper", "platform/bustest/bustest.go", "bustest", "platform/dbtest", ""},
		{"helper, contracts", "platform/kittest/kittest.go", "kittest", "contracts/openapi", ""},
		{"helper, service", "platform/kittest/kittest.go", "kittest", "services/auth", "platform never imports services"},
		{"platform, helper", "platform/db/db.go", "db", "platform/dbtest", "imported by tests only"},
		{"service, helper", "services/auth/app.go", "auth", "platform/web/browsertest", "imported by tests only"},
		{"service test, helper", "services/auth/app_test.go", "auth_test", "platform/dbtest", ""},
		{"contracts, platform", "contracts/gen/payment/client.go", "payment", "platform/money", "contracts import nothing of ours"},
		{"contracts, contracts", "contracts/gen/events/events.go", "events", "contracts/events", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			plant(t, root, "go.mod", "module example\n\ngo 1.26.0\n")
			plant(t, root, tt.file, "//go:build never\n\npackage "+tt.pkg+"\n\nimport _ \"example/"+tt.imports+"\"\n")
			plant(t, root, "testdata/bad.go", "not Go at all")
			plant(t, root, "tools/lint/go.mod", "module example/tools/lint\n")
			plant(t, root, "tools/lint/bad.go", "not Go at all")
			files, err := gofiles.Parse(root, parser.ImportsOnly)
			if err != nil || len(files) != 1 {
				t.Fatalf("Parse = %v, %v, want one file", files, err)
			}
			got := strings.Join(check(files[0]), "\n")
			if tt.want == "" && got != "" {
				t.Errorf("check = %q, want nothing", got)
			}
			if where := tt.file + ":5: imports " + tt.imports; tt.want != "" && (!strings.HasPrefix(got, where) || !strings.Contains(got, tt.want)) {
				t.Errorf("check = %q, want %q and %q", got, where, tt.want)
			}
		})
	}
}

func TestParse_NotGo(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if _, err := gofiles.Parse(root, parser.ImportsOnly); err == nil {
		t.Errorf("Parse without go.mod = nil, want an error")
	}
	plant(t, root, "go.mod", "module example\n")
	plant(t, root, "platform/x.go", "not Go at all")
	if _, err := gofiles.Parse(root, parser.ImportsOnly); err == nil || !strings.Contains(err.Error(), "x.go:1:1") {
		t.Errorf("Parse = %v, want the place of the syntax error", err)
	}
}

func TestLayers_BesideIsSameLevel(t *testing.T) {
	t.Parallel()
	table := layers()
	for name, l := range table {
		for _, dep := range l.beside {
			if table[dep].level != l.level {
				t.Errorf("%s lists %s, which is level %d and not %d", name, dep, table[dep].level, l.level)
			}
		}
	}
}

func plant(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
