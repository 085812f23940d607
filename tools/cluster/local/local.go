// Package local runs a whole installation as processes of this machine, as an operator would run
// it on many: PostgreSQL, three NATS nodes, Consul, several of each service, and edges. It
// listens on loopback alone and is for trials and tests; nothing of it is hardened.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Options of a cluster. Dir and Root are needed.
type Options struct {
	Dir       string // everything the cluster keeps; a second start finds it again
	Root      string // of the checkout: its deploy folder and tools are used
	Bin       string // folder of the programs; default ROOT/bin
	Instances int    // of each service; default 2
	Listen    string // of the first edge; default any free port of 127.0.0.1
	Demo      bool   // make demo content, and DIR/demo.json
	// BrokerStore bounds what each NATS node keeps on disk; default 1GB.
	BrokerStore string
	Env         []string // more environment of all services: BASIS_PAYMENT__…=…
	// Reach returns the address under which an instance ("payment-1") reaches a dependency
	// ("postgres", "nats1", "consul") that listens at address: for a proxy in between. Default:
	// the address itself. The dependency named as the instance itself is how others reach it: what
	// it advertises.
	Reach func(instance, dependency, address string) (string, error)
	Out   io.Writer // progress; default none
}

// Cluster is a running installation.
type Cluster struct {
	URL      string // of the first edge: what clients use
	DemoFile string

	Postgres *Process
	Broker   []*Process
	Consul   *Process

	opts  Options
	ports ports

	mu        sync.Mutex
	instances map[string][]*Process // of each service
	addresses map[string][]string   // of the instances
	begun     []*Process            // in the order of starting

	sql             func(ctx context.Context, statement string) (string, error)
	postgresAddress string
	consulAddress   string
	brokerAddresses []string
	brokerMonitors  []string
	brokerCA        string
	key             string
}

// Start starts everything and returns when it is ready. After an error nothing is left running.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	return start(ctx, o, (*Cluster).openPostgres, (*Cluster).openBroker, (*Cluster).openConsul, (*Cluster).openServices)
}

// StartPostgres starts the database alone, with the roles and schemas of a cluster.
func StartPostgres(ctx context.Context, o Options) (*Cluster, error) {
	return start(ctx, o, (*Cluster).openPostgres)
}

func start(ctx context.Context, o Options, steps ...func(*Cluster, context.Context) error) (_ *Cluster, err error) {
	if o.Bin == "" {
		o.Bin = filepath.Join(o.Root, "bin")
	}
	if o.Instances == 0 {
		o.Instances = 2
	}
	if o.BrokerStore == "" {
		o.BrokerStore = "1GB"
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Reach == nil {
		o.Reach = func(_, _, address string) (string, error) { return address, nil }
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	c := &Cluster{
		opts: o, DemoFile: filepath.Join(o.Dir, "demo.json"), ports: ports{given: map[string]bool{}},
		instances: map[string][]*Process{}, addresses: map[string][]string{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	names := []string{"PostgreSQL", "three NATS nodes", "Consul", fmt.Sprintf("%d of each service", o.Instances)}
	for i, step := range steps {
		began := time.Now()
		if err := step(c, ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", names[i], err)
		}
		if _, err := fmt.Fprintf(o.Out, "%-24s ready after %5.1f s\n", names[i], time.Since(began).Seconds()); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// begin starts processes side by side; Stop ends them.
func (c *Cluster) begin(ctx context.Context, processes ...*Process) error {
	c.mu.Lock()
	c.begun = append(c.begun, processes...)
	c.mu.Unlock()
	errs := make([]error, len(processes))
	var wg sync.WaitGroup
	for i, p := range processes {
		wg.Go(func() { errs[i] = p.Start(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Stop ends everything: services first, side by side, then what they depend on.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	begun, isService := c.begun, map[*Process]bool{}
	for _, list := range c.instances {
		for _, p := range list {
			isService[p] = true
		}
	}
	c.begun = nil
	c.mu.Unlock()
	var errs []error
	for _, services := range []bool{true, false} {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for _, p := range begun {
			if isService[p] != services {
				continue
			}
			wg.Go(func() {
				err := p.Stop()
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
		wg.Wait()
	}
	return errors.Join(errs...)
}

// build returns a third-party program, which the first call on a machine builds.
func (c *Cluster) build(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.opts.Root, "tools/build.sh"), name)
	cmd.Stderr = c.opts.Out
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("tools/build.sh %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
