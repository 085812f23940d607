package discover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/consul/api"
)

// metaScheme is the key under which an instance says how it is spoken to.
const metaScheme = "scheme"

// Instance is a service of this process.
type Instance struct {
	Service   string // the name under which it is looked for
	Advertise string // host:port under which Consul and the others reach it
	TLS       bool   // it speaks https there
}

// registration is an instance that Consul is to know, and who sees to that.
type registration struct {
	id    string
	ready string // URL of the check
	entry api.AgentServiceRegistration
	stop  context.CancelFunc
	ended chan struct{} // closed when nobody registers any more
}

func (c *Consul) registration(i Instance) (*registration, error) {
	host, digits, err := net.SplitHostPort(i.Advertise)
	port, errPort := strconv.Atoi(digits)
	if ip := net.ParseIP(host); err != nil || errPort != nil || port < 1 || port > 65535 || host == "" || ip != nil && ip.IsUnspecified() {
		return nil, fmt.Errorf("advertise: %q is no address that others reach, want for example 10.0.0.5:8080", i.Advertise)
	}
	if i.Service == "" {
		return nil, errors.New("an instance without a service's name")
	}
	scheme := c.scheme(i.TLS)
	r := &registration{
		id:    fmt.Sprintf("%s-%s-%d", i.Service, host, port),
		ready: (&url.URL{Scheme: scheme, Host: i.Advertise, Path: "/readyz"}).String(),
		ended: make(chan struct{}),
	}
	r.entry = api.AgentServiceRegistration{
		ID: r.id, Name: i.Service, Address: host, Port: port, Meta: map[string]string{metaScheme: scheme},
		Check: &api.AgentServiceCheck{
			Name: "ready", HTTP: r.ready, Interval: c.cfg.CheckInterval.String(), Timeout: c.cfg.CheckInterval.String(),
			// The check asks whether it is ready; whom it talks to is for callers to verify, who
			// know the authority. The agent need not.
			TLSSkipVerify:                  true,
			DeregisterCriticalServiceAfter: c.cfg.DeregisterAfter.String(),
		},
	}
	return r, nil
}

// Register has Consul know the instance until Deregister, and again whenever Consul has lost it.
// Consul checks it by GET /readyz. It returns at once: while Consul is away it is tried again,
// every 2.5 s in the end. Close and the end of ctx leave the instance registered, and Consul
// to find out. An error says that the instance makes no sense, or that c is closed.
func (c *Consul) Register(ctx context.Context, i Instance) error {
	r, err := c.registration(i)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.ctx.Err() != nil {
		return errors.New("consul: closed")
	}
	ctx, r.stop = context.WithCancel(ctx)
	stop := context.AfterFunc(c.ctx, r.stop)
	c.registered = append(c.registered, r)
	c.spawn(func() {
		defer close(r.ended)
		defer stop()
		c.keep(ctx, r)
	})
	return nil
}

// keep registers r, waits at the agent for the registration's end, and registers r again, until
// ctx ends. go-kit's registrar logs a failure and leaves it at that.
func (c *Consul) keep(ctx context.Context, r *registration) {
	defer c.link.found(r.id) // who stops asking is not without an answer
	defer r.stop()
	again := newBackOff()
	hash, unknown := "", true
	for ctx.Err() == nil {
		var err error
		if unknown {
			err = c.enter(ctx, r)
			hash = ""
		} else {
			hash, err = c.awaitChange(ctx, r.id, hash)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			unknown = false
		case isUnknown(err) && !unknown:
			unknown = true
			c.cfg.Log.WarnContext(ctx, "consul does not know this instance any more: registering again", "id", r.id)
		default:
			hash = ""
			c.link.lost(r.id, err)
			if !sleep(ctx, again.NextBackOff()) {
				return
			}
			continue
		}
		c.link.found(r.id)
		again.Reset()
		if !sleep(ctx, pause) {
			return
		}
	}
}

// enter registers r. It is not given up in the middle, so that it cannot come after Deregister.
// The agent would take an instance for critical until its first check, up to an interval later:
// so it is told what that check would find.
func (c *Consul) enter(ctx context.Context, r *registration) error {
	entry, check := r.entry, *r.entry.Check
	entry.Check, check.Status = &check, api.HealthCritical
	if c.isReady(ctx, r.ready) {
		check.Status = api.HealthPassing
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	whole, cancel := context.WithTimeout(c.ctx, answerTime)
	defer cancel()
	err := c.client.Agent().ServiceRegisterOpts(&entry, api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(whole))
	if err == nil {
		c.cfg.Log.InfoContext(ctx, "registered in consul", "id", r.id, "status", check.Status)
	}
	return err
}

func (c *Consul) isReady(ctx context.Context, ready string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, ready, nil)
	if err != nil {
		return false
	}
	resp, err := c.base.RoundTrip(r)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection serves again
	return resp.StatusCode == http.StatusOK
}

// awaitChange returns when the agent's entry differs from the one of the hash, or after a while.
func (c *Consul) awaitChange(ctx context.Context, id, hash string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, waitAtConsul+waitAtConsul/16+answerTime)
	defer cancel()
	_, meta, err := c.client.Agent().Service(id, (&api.QueryOptions{WaitHash: hash, WaitTime: waitAtConsul}).WithContext(ctx))
	if err != nil {
		return "", err
	}
	if meta.LastContentHash == "" { // to ask with it would not wait
		return "", errors.New("consul answered without a hash")
	}
	return meta.LastContentHash, nil
}

// isUnknown reports whether the agent answered that there is no such service.
func isUnknown(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}

// deregisterTime bounds Deregister: nobody waits long for a Consul that is away.
const deregisterTime = 3 * time.Second

// Deregister has Consul forget the instances of this process. It is called first when the
// process stops, while it still answers: others hear of it within a tenth of a second. It tries
// for 3 s, or until ctx ends; after an error Consul finds out by its checks.
func (c *Consul) Deregister(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deregisterTime)
	defer cancel()
	c.mu.Lock()
	list := c.registered
	c.registered = nil
	c.mu.Unlock()
	for _, r := range list {
		r.stop()
	}
	var errs []error
	for _, r := range list {
		select {
		case <-r.ended:
		case <-ctx.Done():
		}
		_, err := backoff.Retry(ctx, func() (struct{}, error) {
			err := c.client.Agent().ServiceDeregisterOpts(r.id, (&api.QueryOptions{}).WithContext(ctx))
			if isUnknown(err) {
				err = nil
			}
			return struct{}{}, err
		}, backoff.WithBackOff(newBackOff()))
		if err != nil {
			errs = append(errs, fmt.Errorf("deregister %s from consul: %w", r.id, err))
			continue
		}
		c.cfg.Log.InfoContext(ctx, "deregistered from consul", "id", r.id)
	}
	return errors.Join(errs...)
}
