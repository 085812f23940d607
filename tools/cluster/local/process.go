package local

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"basisdienste/services/basis/process"
)

// Process is one program of the cluster, which can be ended and started again.
type Process = process.Process

// Use makes the instance run another program from its next start on: another release.
func (c *Cluster) Use(p *Process, bin string) { p.Use(bin) }

// getJSON reads what url answers into dst.
func getJSON(ctx context.Context, url string, dst any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(r)
	if err != nil {
		return err
	}
	return errors.Join(json.NewDecoder(resp.Body).Decode(dst), resp.Body.Close())
}
