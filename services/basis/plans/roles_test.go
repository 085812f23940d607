package main

import (
	"path/filepath"
	"strings"
	"testing"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/outbox"
	"basisdienste/services/forms"
	"basisdienste/services/payment"
)

// The file that operators run, as they run it; two services migrate and serve with its roles.
func TestRoles_AServiceSeesItsOwnSchemaOnly(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t, "fsync=off")
	file, err := filepath.Abs("../../../deploy/postgres/roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-f", file, "-v", "schema_prefix=th_"}
	for _, name := range []string{"owner", "tenants", "auth", "payment", "forms", "notify", "booking", "console", "edge"} {
		args = append(args, "-v", name+"_password=it's "+name)
	}
	for range 2 { // again, as when a service is added
		if err := server.Psql(args...); err != nil {
			t.Fatalf("roles.sql: %v", err)
		}
	}
	open := func(role, owner, schema string) *db.DB {
		t.Helper()
		cfg := db.Config{URL: server.URL(role), Schema: schema, Conns: 2}
		if owner != "" {
			cfg.OwnerURL = server.URL(owner)
		}
		d, err := db.Open(t.Context(), cfg)
		if err != nil {
			t.Fatalf("open %s as %s: %v", schema, role, err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return d
	}
	services := map[string]db.Set{"payment": payment.Migrations(), "forms": forms.Migrations()}
	for name, set := range services {
		sets := []db.Set{outbox.Migrations(), audit.Migrations(), set}
		if err := open("basis_"+name, "basis_owner", "th_"+name).Migrate(t.Context(), sets...); err != nil {
			t.Fatalf("migrate %s: %v", name, err)
		}
		if err := open("basis_"+name, "", "th_"+name).Migrate(t.Context(), sets...); err != nil {
			t.Errorf("%s serves without the owner: %v", name, err)
		}
	}
	ctx := dbtest.Tenant(t, "erfurt")
	for name, tables := range map[string][2]string{"payment": {"transactions", "th_forms.applications"}, "forms": {"applications", "th_payment.transactions"}} {
		d := open("basis_"+name, "", "th_"+name)
		ask := func(statement string) error {
			return d.Tx(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(ctx, statement)
				return err
			})
		}
		if err := ask("SELECT 1 FROM " + tables[0]); err != nil {
			t.Errorf("basis_%s reads its own %s: %v", name, tables[0], err)
		}
		for statement, want := range map[string]string{
			"SELECT 1 FROM " + tables[1]:                               "permission denied for schema",
			"CREATE TABLE mine (n INTEGER)":                            "permission denied for schema",
			"CREATE TABLE public.mine (n INTEGER)":                     "permission denied for schema",
			"CREATE TEMPORARY TABLE mine (n INTEGER)":                  "permission denied to create temporary tables",
			"CREATE SCHEMA mine":                                       "permission denied for database",
			"ALTER TABLE " + tables[0] + " DISABLE ROW LEVEL SECURITY": "must be owner",
			"TRUNCATE " + tables[0]:                                    "permission denied for table",
			"SET ROLE basis_owner":                                     "permission denied to set role",
		} {
			err := ask(statement)
			if (want == "") != (err == nil) || want != "" && !strings.Contains(err.Error(), want) {
				t.Errorf("basis_%s: %s = %v, want %q", name, statement, err, want)
			}
		}
	}
	if _, err := db.Open(t.Context(), db.Config{URL: server.URL("basis_owner"), Schema: "th_forms"}); err == nil || !strings.Contains(err.Error(), "serve with another role") {
		t.Errorf("Open as basis_owner = %v, want it refused", err)
	}
}
