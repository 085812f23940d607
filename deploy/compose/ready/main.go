// Command ready asks an address on this machine once and ends with status 0 if it answers 200:
// the health check of an image that has no shell.
//
//	ready [URL]    default: http://127.0.0.1:8080/readyz
package main

import (
	"context"
	"net/http"
	"os"
	"time"
)

func main() {
	url := "http://127.0.0.1:8080/readyz"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	if !ready(url) {
		os.Exit(1)
	}
}

func ready(url string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // G704: whoever starts it says which address
	if err != nil {
		return false
	}
	resp, err := (&http.Client{}).Do(req) //nolint:gosec // G704: as above
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}
