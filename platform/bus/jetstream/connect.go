package jetstream

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Remote says how to reach a broker that runs elsewhere.
type Remote struct {
	URLs           []string // of its nodes: nats://… or tls://…; others of the cluster are learned
	User, Password string
	TLS            *tls.Config
	Name           string // of this connection, in the broker's lists
	// InboxPrefix begins the subjects of answers, so that permissions can keep them apart.
	InboxPrefix string
	Log         *slog.Logger
}

// reconnectPause is between two rounds of attempts at all nodes.
const reconnectPause = 500 * time.Millisecond

// Connect returns a connection that is made again for ever, also where the broker is away at
// the start: until then publishing fails at once, and nothing is kept in memory. The log tells
// when the broker went away and when it is back.
func Connect(r Remote) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name(r.Name), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectPause), nats.RetryOnFailedConnect(true),
		nats.ReconnectBufSize(-1), nats.DrainTimeout(drainTimeout), nats.Timeout(5 * time.Second),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2), // a half-open link is seen after 15 s
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				r.Log.Warn("broker away", slog.Any("error", err))
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { r.Log.Info("broker reached", slog.String("node", c.ConnectedServerName())) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			r.Log.Warn("broker connection", slog.Any("error", err))
		}),
	}
	if r.User != "" {
		opts = append(opts, nats.UserInfo(r.User, r.Password))
	}
	if r.TLS != nil {
		opts = append(opts, nats.Secure(r.TLS))
	}
	if r.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(r.InboxPrefix))
	}
	nc, err := nats.Connect(strings.Join(r.URLs, ","), opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	return nc, nil
}
