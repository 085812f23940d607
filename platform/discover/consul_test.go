package discover_test

import (
	"log/slog"
	"testing"

	"basisdienste/platform/discover"
)

// The tests against a real agent are in platform/consultest.

func TestConsul_RefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	for _, cfg := range []discover.ConsulConfig{{}, {Log: log, Scheme: "ftp"}, {Log: log, CAFile: "/nowhere"}, {Log: log, Scheme: "https", CertFile: "/nowhere", KeyFile: "/nowhere"}} {
		if c, err := discover.NewConsul(t.Context(), cfg); err == nil {
			t.Errorf("NewConsul of %+v = %v, want an error", cfg, c)
		}
	}
	c, err := discover.NewConsul(t.Context(), discover.ConsulConfig{Log: log, Address: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, i := range []discover.Instance{
		{Service: "payment", Advertise: ":8080"},
		{Service: "payment", Advertise: "0.0.0.0:8080"},
		{Service: "payment", Advertise: "[::]:8080"},
		{Service: "payment", Advertise: "10.0.0.5"},
		{Service: "payment", Advertise: "10.0.0.5:0"},
		{Service: "payment", Advertise: "10.0.0.5:http"},
		{Advertise: "10.0.0.5:8080"},
	} {
		if err := c.Register(t.Context(), i); err == nil {
			t.Errorf("Register of %+v = nil, want an error", i)
		}
	}
}
