package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// place is a municipality whose requests are made.
type place struct{ ars, slug string }

// municipalities are the places of a CSV with a column ars first. One that has nothing else but
// inhabitants is made into one that can be imported, in dir: each municipality gets its number
// for a name. It returns the file to import.
func municipalities(file, dir string) (_ string, places []place, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var rows strings.Builder
	rows.WriteString("ars,ags,name,district,association,association_kind\n")
	for _, line := range lines[1:] {
		ars, _, _ := strings.Cut(line, ",")
		const length = 12
		if len(ars) != length {
			return "", nil, fmt.Errorf("%s: %q does not begin with an ARS of %d digits", file, line, length)
		}
		ags := ars[:5] + ars[9:]
		fmt.Fprintf(&rows, "%s,%s,Gemeinde %[2]s,,,50\n", ars, ags)
		places = append(places, place{ars: ars})
	}
	if strings.Contains(lines[0], "ags") {
		return file, places, nil
	}
	named := filepath.Join(dir, "municipalities.csv")
	return named, places, os.WriteFile(named, []byte(rows.String()), 0o600)
}

// resolve asks the installation which tenants the places belong to, some at once.
func resolve(ctx context.Context, base string, places []place) error {
	const atOnce = 16
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}, Timeout: control.Timeout}
	defer client.CloseIdleConnections()
	errs := make([]error, atOnce)
	var wg sync.WaitGroup
	for worker := range atOnce {
		wg.Go(func() {
			for i := worker; i < len(places) && errs[worker] == nil; i += atOnce {
				places[i].slug, errs[worker] = slugOf(ctx, client, base, places[i].ars)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func slugOf(ctx context.Context, client *http.Client, base, ars string) (slug string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/tenants/v1/resolve?key="+ars, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	var tenant struct {
		Slug string `json:"slug"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&tenant); err != nil || resp.StatusCode != http.StatusOK {
		return "", errors.Join(fmt.Errorf("which tenant is %s: %s", ars, resp.Status), err)
	}
	return tenant.Slug, nil
}
