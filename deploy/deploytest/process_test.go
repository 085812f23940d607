package deploytest_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"basisdienste/platform/bus"
	"basisdienste/platform/config"
	"basisdienste/platform/id"
	"basisdienste/platform/run"
)

type thingDone struct {
	ID string `json:"id"`
}

func (thingDone) EventType() string { return "payment.thing.done.v1" }
func (e thingDone) Subject() string { return e.ID }

// process is one of ours on the cluster, with its own user.
func (c natsCluster) process(t *testing.T, log *slog.Logger, service string, hears chan<- string) *run.Process {
	t.Helper()
	cfg, err := config.Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := run.Defaults()
	s.Listen, s.DataDir, s.PublicURL = "127.0.0.1:0", t.TempDir(), "https://basis.example.de"
	s.ServiceSecret = strings.Repeat("k", 32)
	s.Broker.URLs, s.Broker.User, s.Broker.Password, s.Broker.CAFile = strings.Split(c.urls, ","), service, natsPassword+service, c.certs.ca
	p, err := run.Start(t.Context(), cfg, s, log, run.App{Name: service, Open: func(_ context.Context, h *run.Host) (run.Unit, error) {
		if hears != nil {
			bus.Call(h.Bus, "thing", func(_ context.Context, _ bus.Meta, e thingDone) error {
				hears <- e.ID
				return nil
			})
		}
		return run.Unit{}, nil
	}})
	if err != nil {
		t.Fatalf("start %s: %v", service, err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("stop %s: %v", service, err)
		}
	})
	return p
}

// TestNATS_Processes: what our processes do with the broker is what their users may.
func TestNATS_Processes(t *testing.T) {
	t.Parallel()
	c := startNATS(t)
	var said lines
	log := slog.New(slog.NewTextHandler(&said, nil))
	c.process(t, log, "tenants", nil)
	payment := c.process(t, log, "payment", nil)
	for _, reader := range []string{"forms", "console"} {
		heard := make(chan string, 1)
		c.process(t, log, reader, heard)
		if err := payment.Publish(t.Context(), "payment", id.New(), thingDone{ID: "for " + reader}); err != nil {
			t.Fatalf("payment tells an event: %v", err)
		}
		eventually(t, reader+" hears payment", func() bool {
			select {
			case got := <-heard:
				return got == "for "+reader
			default:
				return false
			}
		})
	}
	if text := said.String(); strings.Contains(strings.ToLower(text), "violation") || strings.Contains(text, "authorization") {
		t.Errorf("the broker complained in %s:\n%s", filepath.Base(t.Name()), text)
	}
}
