package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"time"
)

// Basis is the program basis with demo content, at that address and on that data folder, which
// it makes. Its log is basis.log beside the folder.
func Basis(program, address, data string, env ...string) (*Process, error) {
	program, perr := filepath.Abs(program)
	data, derr := filepath.Abs(data)
	return &Process{
		Name: "basis", Program: program, Args: []string{"--data", data, "--listen", address, "--demo"}, Env: env,
		Dir: filepath.Dir(data), Ready: Answers("http://" + address + "/readyz"),
	}, errors.Join(perr, derr)
}

// Unlimited is the environment of a basis whose whole load comes from one address: nobody is
// refused for asking too much, and requests are not logged.
func Unlimited() []string {
	return []string{
		"BASIS_SERVER__LOG__ACCESS=false", "BASIS_SERVER__REQUESTS_PER_MINUTE_AND_ADDRESS=100000000",
		"BASIS_EDGE__REQUESTS_PER_MINUTE_AND_TENANT=100000000", "BASIS_EDGE__BURST=10000000",
		"BASIS_BOOKING__HOLDS_PER_MINUTE_AND_ADDRESS=10000000",
	}
}

// FreeAddress finds a port of 127.0.0.1 that nobody listens on, and that the system gives out to
// nobody by itself: a client that connects while the server is down must not meet itself.
func FreeAddress(ctx context.Context) (string, error) {
	const low, high = 15000, 30000
	for range 100 {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(high-low))) //nolint:gosec // not a secret
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", fmt.Errorf("no port is free between %d and %d", low, high)
}

// Answers is ready when url answers 200.
func Answers(url string) func(context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			err = errors.Join(err, fmt.Errorf("%s answers %s", url, resp.Status))
		}
		return errors.Join(err, resp.Body.Close())
	}
}
