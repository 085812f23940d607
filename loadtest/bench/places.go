package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// place is a municipality whose requests are made.
type place struct{ ars, slug string }

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
