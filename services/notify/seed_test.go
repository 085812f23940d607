package notify_test

import (
	"context"
	"testing"

	"basisdienste/platform/run"
)

// withSeed lets a test call what the service seeds.
func withSeed(open func(context.Context, *run.Host) (run.Unit, error), seed *func() run.Demo, t *testing.T) func(context.Context, *run.Host) (run.Unit, error) {
	return func(ctx context.Context, h *run.Host) (run.Unit, error) {
		u, err := open(ctx, h)
		*seed = func() run.Demo {
			d := run.Demo{}
			if err := u.Seed(t.Context(), d); err != nil {
				t.Fatalf("seed: %v", err)
			}
			return d
		}
		return u, err
	}
}
