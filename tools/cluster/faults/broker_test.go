package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"basisdienste/platform/bus"
	"basisdienste/platform/bus/jetstream"
	"basisdienste/platform/certs"
	"basisdienste/platform/id"
)

// fullStore gives the nodes hardly more room than they use, until events wait in the outbox,
// and then room again.
func fullStore(ctx context.Context, r *rig) (string, error) {
	used, err := r.stored(ctx)
	if err != nil {
		return "", err
	}
	const room = 100 << 10
	// A node that finds no room for what it missed is never ready; it need not be.
	_ = r.withStore(ctx, strconv.FormatInt(used+room, 10), 10*time.Second)
	waiting, problem := 0, error(nil)
	limit, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	full := await(limit, func(ctx context.Context) bool {
		waiting, problem = r.unsent(ctx, "payment", "")
		return waiting >= 40
	})
	if full {
		pass(ctx, 3*time.Second)
		waiting, problem = r.unsent(ctx, "payment", "")
	} else {
		problem = errors.Join(problem, fmt.Errorf("%d events of payment wait, want 40: the store is not full", waiting))
	}
	problem = errors.Join(problem, r.withStore(ctx, "1GB", time.Minute))
	return fmt.Sprintf("%d events of payment waited in its outbox", waiting), problem
}

// withStore starts the nodes anew with so much room, side by side, and waits until they are
// ready, but not longer than within.
func (r *rig) withStore(ctx context.Context, room string, within time.Duration) error {
	errs := make([]error, len(r.cluster.Broker))
	var wg sync.WaitGroup
	for i, node := range r.cluster.Broker {
		wg.Go(func() {
			if errs[i] = node.Stop(); errs[i] != nil {
				return
			}
			node.Setenv("NATS_MAX_FILE_STORE=" + room)
			limit, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			errs[i] = node.Start(limit)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stored is what the fullest node keeps on disk, in bytes.
func (r *rig) stored(ctx context.Context) (most int64, err error) {
	for _, monitor := range r.cluster.BrokerMonitors() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+monitor+"/jsz", nil)
		if err != nil {
			return 0, err
		}
		resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
		if err != nil {
			return 0, err
		}
		var found struct {
			Storage int64 `json:"storage"`
		}
		err = json.NewDecoder(resp.Body).Decode(&found)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return 0, err
		}
		most = max(most, found.Storage)
	}
	return most, nil
}

// unsent counts the events that wait in a service's outbox, of a tenant or of all.
func (r *rig) unsent(ctx context.Context, service, slug string) (int, error) {
	query := "SELECT count(*) FROM " + service + ".outbox WHERE sent_at IS NULL"
	if slug != "" {
		query += " AND tenant_id = (SELECT tenant_id FROM tenants.tenants WHERE slug = '" + slug + "')"
	}
	text, err := r.cluster.SQL(ctx, query)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// impossible is an event whose payload fits no reader.
type impossible struct{}

func (impossible) EventType() string { return "payment.transaction.payed.v1" }
func (impossible) Subject() string   { return "poison" }

// MarshalJSON implements json.Marshaler.
func (impossible) MarshalJSON() ([]byte, error) {
	return []byte(`{"transaction_id": 5, "amount": "a lot"}`), nil
}

// poison puts bytes that are no event, and an event that nobody can read, into payment's
// stream. Each consumer gives it up, which the operator sees, and goes on with the next.
func poison(ctx context.Context, r *rig) (string, error) {
	urls, password, ca := r.cluster.BrokerUser("operator")
	tls, err := certs.Client(ca, "", "")
	if err != nil {
		return "", err
	}
	quiet := slog.New(slog.DiscardHandler)
	nc, err := jetstream.Connect(jetstream.Remote{URLs: urls, User: "operator", Password: password, TLS: tls, Name: "poison", Log: quiet})
	if err != nil {
		return "", err
	}
	defer nc.Close()
	if !await(ctx, func(context.Context) bool { return nc.IsConnected() }) {
		return "", errors.New("the broker is not reached")
	}
	events, err := jetstream.New(ctx, nc, jetstream.Config{Streams: bus.Streams(), Own: []string{}, Log: quiet})
	if err != nil {
		return "", err
	}
	erfurt, err := r.cluster.SQL(ctx, "SELECT tenant_id FROM tenants.tenants WHERE slug = 'erfurt'")
	if err != nil {
		return "", err
	}
	for range 5 {
		if _, err := nc.Request(impossible{}.EventType()+"."+erfurt, []byte("\xff\x00 no event"), 5*time.Second); err != nil {
			return "", fmt.Errorf("publish garbage: %w", err)
		}
		if err := bus.Publish(ctx, events, "payment", id.ID(erfurt), impossible{}, time.Now()); err != nil {
			return "", err
		}
	}
	token, err := r.load.Site.Token(ctx, r.load.Demo.Operator)
	if err != nil {
		return "", err
	}
	// Who hears of it: forms, which moves applications on, tenants, which counts, and payment
	// twice, which tells webhooks and ends requests.
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for service, consumers := range map[string]int{"forms": 1, "tenants": 1, "payment": 2} {
		dead, want, last := 0, 5*consumers, ""
		if !await(limit, func(ctx context.Context) bool {
			_, body, err := r.load.Site.Do(ctx, http.MethodGet, "/"+service+"/v1/events/dead", token, "", nil)
			dead, last = strings.Count(string(body), `"subject":"poison"`), fmt.Sprintf("%v %.300s", err, body)
			return dead == want
		}) {
			return "", fmt.Errorf("%s shows %d dead letters, want %d: %s", service, dead, want, last)
		}
		r.load.Ledger.Note(func() { r.load.Ledger.Dead[service] += want })
	}
	return "each a dead letter at each of its 4 consumers", nil
}
