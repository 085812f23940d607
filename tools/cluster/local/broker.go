package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"basisdienste/platform/certs"
	"basisdienste/platform/run"
	"basisdienste/services/basis/process"
)

// openBroker makes three NATS nodes from deploy/nats, with certificates of the day.
func (c *Cluster) openBroker(ctx context.Context) error {
	program, err := c.build(ctx, "nats-server")
	if err != nil {
		return err
	}
	dir := filepath.Join(c.opts.Dir, "nats")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ca, err := certs.NewAuthority(dir)
	if err != nil {
		return err
	}
	files, err := ca.Server("nats", "127.0.0.1")
	if err != nil {
		return err
	}
	c.brokerCA = ca.CA
	const nodes = 3
	clients, routes, monitors := make([]string, nodes), make([]string, nodes), make([]string, nodes)
	for i := range nodes {
		for _, list := range [][]string{clients, routes, monitors} {
			if list[i], err = c.ports.next(ctx); err != nil {
				return err
			}
		}
		c.brokerAddresses = append(c.brokerAddresses, clients[i])
	}
	for i := range nodes {
		name := fmt.Sprintf("nats%d", i+1)
		env := []string{
			"NATS_NAME=" + name, "NATS_LISTEN=" + clients[i], "NATS_MONITOR=" + monitors[i], "NATS_CLUSTER_LISTEN=" + routes[i],
			"NATS_ROUTES=[tls://" + strings.Join(routes, ", tls://") + "]",
			"NATS_STORE_DIR=" + filepath.Join(dir, name), "NATS_MAX_FILE_STORE=" + c.opts.BrokerStore,
			"NATS_CERT_FILE=" + files.Cert, "NATS_KEY_FILE=" + files.Key,
			"NATS_CLUSTER_CERT_FILE=" + files.Cert, "NATS_CLUSTER_KEY_FILE=" + files.Key, "NATS_CLUSTER_CA_FILE=" + ca.CA,
		}
		for _, user := range append([]string{"sys", "operator"}, run.Services()...) {
			env = append(env, "NATS_PASSWORD_"+strings.ToUpper(user)+"="+brokerPassword(user))
		}
		c.Broker = append(c.Broker, &Process{
			Name: name, Program: program, Args: []string{"--config", filepath.Join(c.opts.Root, "deploy/nats/nats-server.conf")},
			Env: env, Dir: dir, Ready: process.Answers("http://" + monitors[i] + "/healthz"),
		})
		c.brokerMonitors = append(c.brokerMonitors, monitors[i])
	}
	return c.begin(ctx, c.Broker...)
}

// brokerPassword is no secret: the cluster listens on this machine alone.
func brokerPassword(user string) string { return "local" + user }

// BrokerUser is how somebody reaches the broker: operator, or a service.
func (c *Cluster) BrokerUser(user string) (urls []string, password, caFile string) {
	for _, a := range c.brokerAddresses {
		urls = append(urls, "tls://"+a)
	}
	return urls, brokerPassword(user), c.brokerCA
}

// BrokerMonitors are the nodes' monitoring addresses, in the order of Broker.
func (c *Cluster) BrokerMonitors() []string { return c.brokerMonitors }

// StreamLeader returns the node that leads a stream, by its place in Broker.
func (c *Cluster) StreamLeader(ctx context.Context, stream string) (int, error) {
	var problem error
	for _, monitor := range c.brokerMonitors {
		var found struct {
			Accounts []struct {
				Streams []struct {
					Name    string
					Cluster struct{ Leader string }
				} `json:"stream_detail"`
			} `json:"account_details"`
		}
		if err := getJSON(ctx, "http://"+monitor+"/jsz?accounts=true&streams=true", &found); err != nil {
			problem = err
			continue // another node knows too
		}
		for _, a := range found.Accounts {
			for _, s := range a.Streams {
				for i, node := range c.Broker {
					if s.Name == stream && s.Cluster.Leader == node.Name {
						return i, nil
					}
				}
			}
		}
	}
	return 0, fmt.Errorf("no node says who leads the stream %s (last problem: %w)", stream, problem)
}
