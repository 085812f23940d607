package run

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"basisdienste/platform/bus"
	"basisdienste/platform/bus/jetstream"
	"basisdienste/platform/certs"
)

// clusterAckWait is after how long another process gets what one had in hand that died.
const clusterAckWait = 10 * time.Second

// openBroker connects to the cluster, or starts a broker of the process's own.
func (p *Process) openBroker(ctx context.Context, apps []App) error {
	cfg := jetstream.Config{
		Streams: bus.Streams(), OwnConn: true, Log: p.log, CloseTimeout: p.settings.DrainTime,
		Malformed: func(m jetstream.Malformed) {
			p.log.ErrorContext(ctx, "event skipped: it cannot be read", "stream", m.Stream, "sequence", m.Sequence, "reason", m.Reason)
		},
	}
	connect := p.embed
	if len(p.settings.Broker.URLs) > 0 {
		connect = func() (*nats.Conn, error) { return p.connect(apps) }
		// The broker may be away now: requests are served, and events go out when it is back.
		cfg.Patient, cfg.AckWait, cfg.Own = true, clusterAckWait, []string{}
		for _, app := range apps {
			cfg.Own = append(cfg.Own, app.Name)
		}
		for i := range cfg.Streams {
			cfg.Streams[i].Replicas = p.settings.Broker.Replicas
		}
	} else {
		cfg.Exclusive = true
	}
	conn, err := connect()
	if err != nil {
		return err
	}
	if p.bus, err = jetstream.New(ctx, conn, cfg); err != nil {
		conn.Close()
		return err
	}
	p.stops = append(p.stops, p.bus.Close)
	p.bus.Measure(p.metrics)
	return nil
}

func (p *Process) embed() (*nats.Conn, error) {
	broker, err := jetstream.StartServer(filepath.Join(p.settings.DataDir, "events"), jetstream.SyncEvery(brokerSync), jetstream.Log(p.log))
	if err != nil {
		return nil, err
	}
	p.stops = append(p.stops, broker.Close)
	return broker.Client()
}

func (p *Process) connect(apps []App) (*nats.Conn, error) {
	b, name := p.settings.Broker, "basis"
	if len(apps) == 1 {
		name = apps[0].Name
	}
	r := jetstream.Remote{URLs: b.URLs, User: b.User, Password: b.Password, Name: name + "@" + p.holder(), InboxPrefix: "_INBOX_" + name, Log: p.log}
	if b.CAFile != "" || b.CertFile != "" {
		var err error
		if r.TLS, err = certs.Client(b.CAFile, b.CertFile, b.KeyFile); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
	}
	return jetstream.Connect(r)
}
