package restore

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"basisdienste/platform/db"
)

// dump returns every row of every table of every database in the folder, as text, by database
// and table. The note of a restore is left out.
func dump(t *testing.T, s *server) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	files, err := filepath.Glob(filepath.Join(s.dir, "*.db"))
	if err != nil || len(files) == 0 {
		t.Fatalf("databases in %s: %v, %v", s.dir, files, err)
	}
	for _, file := range files {
		service := strings.TrimSuffix(filepath.Base(file), ".db")
		err := s.tables(t.Context(), service, func(d *db.DB) error { return dumpTables(t.Context(), d, service, out) })
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func dumpTables(ctx context.Context, d *db.DB, service string, out map[string][]string) error {
	ctx = db.System(ctx)
	return d.Read(ctx, func(tx *db.Tx) error {
		var tables []string
		if err := tx.Select(ctx, &tables, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'restored' ORDER BY name`); err != nil {
			return err
		}
		for _, table := range tables {
			var columns []string
			if err := tx.Select(ctx, &columns, `SELECT name FROM pragma_table_info(?) ORDER BY cid`, table); err != nil {
				return err
			}
			for i, c := range columns {
				columns[i] = `quote("` + c + `")`
			}
			var list []string
			if err := tx.Select(ctx, &list, `SELECT `+strings.Join(columns, ` || '|' || `)+` AS row FROM "`+table+`" ORDER BY 1`); err != nil {
				return fmt.Errorf("%s: %w", table, err)
			}
			out[service+"."+table] = list
		}
		return nil
	})
}

// differ names the tables whose rows are not the same.
func differ(a, b map[string][]string) (names []string) {
	for _, table := range slices.Sorted(maps.Keys(a)) {
		if !slices.Equal(a[table], b[table]) {
			names = append(names, fmt.Sprintf("%s (%d rows, %d rows)", table, len(a[table]), len(b[table])))
		}
	}
	for _, table := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[table]; !ok {
			names = append(names, table+" (missing)")
		}
	}
	return names
}

// filesIn returns the files below the folder, by path, with their content.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		out[rel] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
