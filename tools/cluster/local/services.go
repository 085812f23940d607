package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"basisdienste/platform/run"
	"basisdienste/services/basis/process"
)

// openConsul makes one agent that is its own server and keeps nothing on disk.
func (c *Cluster) openConsul(ctx context.Context) error {
	program, err := c.build(ctx, "consul")
	if err != nil {
		return err
	}
	dir := filepath.Join(c.opts.Dir, "consul")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var listen [3]string
	for i := range listen {
		if listen[i], err = c.ports.next(ctx); err != nil {
			return err
		}
	}
	c.consulAddress = listen[0]
	c.Consul = &Process{
		Name: "consul", Program: program, Dir: dir, Quit: syscall.SIGKILL, // it keeps nothing, and complains otherwise
		Ready: process.Answers("http://" + listen[0] + "/v1/health/state/any?consistent"),
		Args: []string{
			"agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=warn", "-http-port=" + port(listen[0]), "-server-port=" + port(listen[1]),
			"-serf-lan-port=" + port(listen[2]), "-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
		},
	}
	return c.begin(ctx, c.Consul)
}

// openServices starts the first instance of each service one after the other, because demo
// content is made in that order, and then all others at once.
func (c *Cluster) openServices(ctx context.Context) error {
	if err := c.serviceKey(); err != nil {
		return err
	}
	edge := c.opts.Listen
	if edge == "" || port(edge) == "0" {
		var err error
		if edge, err = c.ports.next(ctx); err != nil {
			return err
		}
	}
	c.URL = "http://" + edge
	var others []*Process
	for i := range c.opts.Instances {
		for _, service := range run.Services() {
			address := edge
			if service != "edge" || i > 0 {
				var err error
				if address, err = c.ports.next(ctx); err != nil {
					return err
				}
			}
			p, err := c.instance(service, i, address)
			if err != nil {
				return err
			}
			c.mu.Lock()
			c.instances[service] = append(c.instances[service], p)
			c.addresses[service] = append(c.addresses[service], address)
			c.mu.Unlock()
			if i > 0 {
				others = append(others, p)
				continue
			}
			if err := c.begin(ctx, p); err != nil {
				return err
			}
		}
	}
	if err := c.begin(ctx, others...); err != nil {
		return err
	}
	return c.awaitFound(ctx)
}

// awaitFound waits until the edge finds every service.
func (c *Cluster) awaitFound(ctx context.Context) error {
	for _, path := range []string{"/", "/operator/auth/.well-known/openid-configuration"} {
		p := &Process{Name: "edge-1", Dir: filepath.Join(c.opts.Dir, "edge-1"), Ready: process.Answers(c.URL + path)}
		if err := p.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Exchange restarts an instance of a service as an operator does who exchanges one after the
// other: it returns when Consul gives the instance to others again.
func (c *Cluster) Exchange(ctx context.Context, service string, i int) error {
	p, address := c.Instances(service)[i], c.Addresses(service)[i]
	if err := p.Restart(ctx); err != nil {
		return err
	}
	listed := func(ctx context.Context) error {
		var found []struct {
			Service struct {
				Address string
				Port    int
			}
		}
		if err := getJSON(ctx, "http://"+c.consulAddress+"/v1/health/service/"+service+"?passing=true", &found); err != nil {
			return err
		}
		for _, f := range found {
			if net.JoinHostPort(f.Service.Address, strconv.Itoa(f.Service.Port)) == address {
				return nil
			}
		}
		return fmt.Errorf("consul does not list %s", address)
	}
	return (&Process{Name: p.Name, Dir: p.Dir, Ready: listed}).AwaitReady(ctx)
}

// Instances are the processes of a service.
func (c *Cluster) Instances(service string) []*Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Process(nil), c.instances[service]...)
}

// Addresses are where the instances of a service listen.
func (c *Cluster) Addresses(service string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.addresses[service]...)
}

// serviceKey is kept in the cluster's folder.
func (c *Cluster) serviceKey() error {
	file := filepath.Join(c.opts.Dir, "service-key")
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		text = []byte(rand.Text() + rand.Text())
		err = os.WriteFile(file, text, 0o600)
	}
	c.key = string(text)
	return err
}

// instance prepares one process of a service.
func (c *Cluster) instance(service string, i int, address string) (*Process, error) {
	name := fmt.Sprintf("%s-%d", service, i+1)
	dir := filepath.Join(c.opts.Dir, name)
	env, err := c.Environment(service, name, address)
	if err != nil {
		return nil, err
	}
	return &Process{
		Name: name, Program: filepath.Join(c.opts.Bin, service+"d"), Env: env, Dir: dir,
		Ready: process.Answers("http://" + address + "/readyz"),
	}, nil
}

// Environment is what an operator would set for an instance of a service that listens there,
// and makes its folder. It serves for one more instance than the cluster runs, too.
func (c *Cluster) Environment(service, name, address string) ([]string, error) {
	dir := filepath.Join(c.opts.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	reach := func(dependency, address string) (string, error) { return c.opts.Reach(name, dependency, address) }
	postgres, err := reach("postgres", c.postgresAddress)
	if err != nil {
		return nil, err
	}
	consul, err := reach("consul", c.consulAddress)
	if err != nil {
		return nil, err
	}
	advertised, err := reach(name, address)
	if err != nil {
		return nil, err
	}
	var nodes []string
	for n, a := range c.brokerAddresses {
		node, err := reach(c.Broker[n].Name, a)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, "tls://"+node)
	}
	env := []string{
		"SERVICE_KEY=" + c.key, "LISTEN=" + address, "ADVERTISE=" + advertised, "PUBLIC_URL=" + c.URL, "DATA_DIR=" + dir,
		"DATABASE__URL=" + databaseURL("basis_"+service, postgres), "DATABASE__OWNER_URL=" + databaseURL("basis_owner", postgres),
		"BROKER__URLS=" + strings.Join(nodes, ","), "BROKER__CA_FILE=" + c.brokerCA, "BROKER__USER=" + service, "BROKER__PASSWORD=" + brokerPassword(service),
		"CONSUL__ADDRESS=" + consul, "CONSUL__CHECK_INTERVAL=1s", "TRUSTED_PROXIES=127.0.0.0/8", "LOG__ACCESS=false", "DRAIN_TIMEOUT=10s", "REQUESTS_PER_MINUTE_AND_ADDRESS=1000000", // everybody is on this machine

		"DEMO=" + strconv.FormatBool(c.opts.Demo), "DEMO_FILE=" + c.DemoFile,
	}
	for i := range env {
		env[i] = "BASIS_SERVER__" + env[i]
	}
	if service == "forms" {
		env = append(env, "BASIS_FORMS__FILES_DIR="+filepath.Join(c.opts.Dir, "forms-files"))
	}
	return append(env, c.opts.Env...), nil
}
