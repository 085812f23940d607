package tenants

import (
	"bytes"
	"context"
	_ "embed" // the municipalities
	"fmt"
	"strings"

	"basisdienste/platform/db"
	"basisdienste/platform/run"
)

//go:embed municipalities/thueringen.csv
var thueringen []byte

// demoAreas are the administrations of the demo: two towns, a Verwaltungsgemeinschaft with
// its six members, and an erfüllende Gemeinde that serves two neighbours.
func demoAreas() []string {
	return []string{
		"160510000", // Erfurt
		"160530000", // Jena
		"160715007", // Kranichfeld
		"160765051", // Bad Köstritz
	}
}

// seed imports the demo tenants as active ones. What is there already stays as it is.
func (s *Service) seed(ctx context.Context, d run.Demo) error {
	header, rows, _ := strings.Cut(string(thueringen), "\n")
	demo := bytes.NewBufferString(header + "\n")
	for line := range strings.Lines(rows) {
		for _, a := range demoAreas() {
			if strings.HasPrefix(line, a) {
				demo.WriteString(line)
			}
		}
	}
	done, err := s.Import(ctx, ImportRequest{Body: demo, Status: Active})
	if err != nil {
		return err
	}
	if done.Refused > 0 {
		return fmt.Errorf("demo tenants: line %d: %s", done.Errors[0].Line, done.Errors[0].Reason)
	}
	sys := db.System(ctx)
	return s.db.Read(sys, func(tx *db.Tx) error {
		list := []map[string]any{}
		byArea, err := owners(sys, tx, "tenant_keys", "area", demoAreas())
		if err != nil {
			return err
		}
		for _, a := range demoAreas() {
			for _, tenantID := range byArea[a] {
				err := tx.For(tenantID, func() error {
					t, err := tenantOf(sys, tx, "")
					if err == nil {
						list = append(list, map[string]any{"slug": t.Slug, "name": t.Name, "ars": t.ARS(), "keys": t.keyStrings()})
					}
					return err
				})
				if err != nil {
					return err
				}
			}
		}
		d["tenants"] = list
		return nil
	})
}
