package deploytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message" //nolint:depguard // the permissions are tried with what the services use
	"github.com/nats-io/nats.go"                 //nolint:depguard // and with what nobody should use

	"basisdienste/platform/bus/jetstream"
)

// owners have a stream; readers have none.
var (
	owners  = []string{"tenants", "auth", "payment", "forms", "notify", "booking"}
	readers = []string{"console", "edge"}
)

const natsPassword = "secretOf"

// natsCluster is three nodes of deploy/nats on loopback.
type natsCluster struct {
	urls  string // of the clients
	certs authority
}

func startNATS(t *testing.T) natsCluster {
	t.Helper()
	bin, conf := built(t, "nats-server"), shipped(t, "nats/nats-server.conf")
	c := natsCluster{certs: newAuthority(t)}
	routes := newAuthority(t)
	var urls, peers, listen, cluster []string
	for range 3 {
		listen, cluster = append(listen, freeAddress(t)), append(cluster, freeAddress(t))
		urls, peers = append(urls, "tls://"+listen[len(listen)-1]), append(peers, "tls://"+cluster[len(cluster)-1])
	}
	c.urls = strings.Join(urls, ",")
	for i := range 3 {
		env := []string{
			"NATS_NAME=nats" + fmt.Sprint(i+1), "NATS_LISTEN=" + listen[i], "NATS_MONITOR=" + freeAddress(t),
			"NATS_CLUSTER_LISTEN=" + cluster[i], "NATS_ROUTES=[" + strings.Join(peers, ", ") + "]",
			"NATS_STORE_DIR=" + t.TempDir(), "NATS_MAX_FILE_STORE=1GB",
			"NATS_CERT_FILE=" + c.certs.cert, "NATS_KEY_FILE=" + c.certs.key, "NATS_CLUSTER_CERT_FILE=" + routes.cert,
			"NATS_CLUSTER_KEY_FILE=" + routes.key, "NATS_CLUSTER_CA_FILE=" + routes.ca,
		}
		for _, user := range slices.Concat(owners, readers, []string{"sys", "operator"}) {
			env = append(env, "NATS_PASSWORD_"+strings.ToUpper(user)+"="+natsPassword+user)
		}
		start(t, env, bin, "--config", conf)
	}
	// Ready is when a leader answers.
	eventually(t, "the cluster has a leader", func() bool {
		nc, err := nats.Connect(c.urls, nats.UserInfo("operator", natsPassword+"operator"), nats.Secure(c.certs.client()))
		if err != nil {
			return false
		}
		defer nc.Close()
		m, err := nc.Request("$JS.API.STREAM.NAMES", nil, time.Second)
		return err == nil && !strings.Contains(string(m.Data), `"error"`)
	})
	return c
}

// complaints are what the server said to a connection out of turn.
type complaints struct {
	mu   sync.Mutex
	said []string
}

func (c *complaints) hear(_ *nats.Conn, _ *nats.Subscription, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, strings.ToLower(err.Error()))
}

func (c *complaints) about(subject string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.said, func(s string) bool {
		return strings.Contains(s, "permissions violation") && strings.Contains(s, `"`+strings.ToLower(subject)+`"`)
	})
}

func (c natsCluster) connect(t *testing.T, service string) (*nats.Conn, *complaints) {
	t.Helper()
	var heard complaints
	nc, err := nats.Connect(c.urls, nats.UserInfo(service, natsPassword+service), nats.Secure(c.certs.client()),
		nats.CustomInboxPrefix("_INBOX_"+service), nats.ErrorHandler(heard.hear))
	if err != nil {
		t.Fatalf("connect as %s: %v", service, err)
	}
	t.Cleanup(nc.Close)
	return nc, &heard
}

func streamsOf(names ...string) []jetstream.Stream {
	var out []jetstream.Stream
	for _, name := range names {
		out = append(out, jetstream.Stream{Name: name, Subjects: []string{name + ".>"}, Replicas: 3})
	}
	return out
}

func transport(t *testing.T, nc *nats.Conn, streams []jetstream.Stream) *jetstream.Transport {
	t.Helper()
	tr, err := jetstream.New(t.Context(), nc, jetstream.Config{Streams: streams, PublishTimeout: 10 * time.Second})
	if err != nil {
		t.Fatalf("transport of %s: %v", nc.Opts.User, err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("close the transport of %s: %v", nc.Opts.User, err)
		}
	})
	return tr
}

func TestNATS(t *testing.T) {
	t.Parallel()
	c := startNATS(t)
	t.Run("only with TLS and a password", c.testStrangers)
	for _, s := range owners { // each makes its own stream, with three replicas
		nc, heard := c.connect(t, s)
		tr := transport(t, nc, streamsOf(s))
		m := message.NewMessage(s+"-1", []byte(s))
		m.Metadata[jetstream.MetadataTenant] = "erfurt"
		if err := tr.Publisher().Publish(s+".thing.done.v1", m); err != nil {
			t.Fatalf("%s publishes its own event: %v; the server said %v", s, err, heard.said)
		}
		if _, err := tr.Waiting(t.Context(), s); err != nil {
			t.Errorf("%s asks what waits in its stream: %v; the server said %v", s, err, heard.said)
		}
	}
	t.Run("services", func(t *testing.T) {
		for _, s := range slices.Concat(owners, readers) {
			t.Run(s+" reads all", func(t *testing.T) { t.Parallel(); c.testReads(t, s) })
			t.Run(s+" is refused the rest", func(t *testing.T) { t.Parallel(); c.testRefused(t, s) })
		}
	})
	t.Run("nothing was lost or added", func(t *testing.T) {
		nc, _ := c.connect(t, "operator")
		for _, s := range owners {
			m, err := nc.Request("$JS.API.STREAM.INFO."+s, nil, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`"messages":1,`, `"num_replicas":3,`} {
				if !strings.Contains(string(m.Data), want) {
					t.Errorf("stream %s = %s, want %s", s, m.Data, want)
				}
			}
		}
	})
}

func (c natsCluster) testStrangers(t *testing.T) {
	if said := c.plain(t); !strings.Contains(said, `"tls_required":true`) || strings.Contains(said, "PONG") {
		t.Errorf("CONNECT and PING without TLS: the server said %q and hung up, want that TLS is required and no PONG", said)
	}
	for name, connect := range map[string]func() (*nats.Conn, error){
		"unknown CA": func() (*nats.Conn, error) {
			return nats.Connect(c.urls, nats.UserInfo("payment", natsPassword+"payment"))
		},
		"without password": func() (*nats.Conn, error) { return nats.Connect(c.urls, nats.Secure(c.certs.client())) },
		"another's password": func() (*nats.Conn, error) {
			return nats.Connect(c.urls, nats.UserInfo("payment", natsPassword+"forms"), nats.Secure(c.certs.client()))
		},
	} {
		if nc, err := connect(); err == nil {
			nc.Close()
			t.Errorf("connect %s = nil, want refused", name)
		}
	}
}

// plain is what the server says to a client that begins to talk without TLS.
func (c natsCluster) plain(t *testing.T) string {
	t.Helper()
	first, _, _ := strings.Cut(strings.TrimPrefix(c.urls, "tls://"), ",")
	conn, err := net.Dial("tcp", first)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const hello = `CONNECT {"verbose":false,"user":"payment","pass":"` + natsPassword + `payment","lang":"raw"}` + "\r\nPING\r\n"
	if _, err := conn.Write([]byte(hello)); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read what the server says, after %q: %v", said, err)
	}
	return string(said)
}

// testReads hears the event of every service, through consumers of its own.
func (c natsCluster) testReads(t *testing.T, service string) {
	nc, heard := c.connect(t, service)
	tr := transport(t, nc, streamsOf(owners...)) // they are there: nothing is changed
	for _, owner := range owners {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		messages, err := tr.Subscriber(service).Subscribe(ctx, owner+".thing.done.v1")
		if err != nil {
			t.Fatalf("%s subscribes to %s: %v; the server said %v", service, owner, err, heard.said)
		}
		m, ok := <-messages
		if !ok || string(m.Payload) != owner {
			t.Fatalf("%s hears nothing of %s; the server said %v", service, owner, heard.said)
		}
		m.Ack()
		cancel()
		for range messages { // until it has ended
		}
	}
	if len(heard.said) > 0 {
		t.Errorf("the server complained of %s: %v, want nothing", service, heard.said)
	}
}

// testRefused tries what is not the service's.
func (c natsCluster) testRefused(t *testing.T, service string) {
	nc, heard := c.connect(t, service)
	other := owners[(slices.Index(owners, service)+1)%len(owners)]
	forbidden := []string{
		other + ".thing.done.v1.erfurt", "_INBOX_" + other + ".answer", "$SYS.REQ.SERVER.PING", "$JS.API.STREAM.LIST",
		"$JS.API.ACCOUNT.PURGE.BASIS", "$JS.API.SERVER.REMOVE", "$JS.API.STREAM.CREATE.new",
	}
	for _, call := range []string{
		"STREAM.CREATE.", "STREAM.UPDATE.",
		"STREAM.RESTORE.", "STREAM.SNAPSHOT.", "STREAM.LEADER.STEPDOWN.", "STREAM.PEER.REMOVE.",
	} {
		forbidden = append(forbidden, "$JS.API."+call+other)
	}
	for _, stream := range []string{service, other} {
		forbidden = append(forbidden, "$JS.API.STREAM.DELETE."+stream, "$JS.API.STREAM.PURGE."+stream,
			"$JS.API.STREAM.MSG.DELETE."+stream, "$JS.API.CONSUMER.DELETE."+stream+".any")
	}
	if slices.Contains(readers, service) {
		forbidden = append(forbidden, service+".thing.done.v1.erfurt", "$JS.API.STREAM.CREATE."+service, "$JS.API.STREAM.UPDATE."+service)
	}
	for _, subject := range forbidden {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	listening := []string{">", "_INBOX_" + other + ".>", "_INBOX.>", other + ".>", service + ".>", "$JS.API.>", "$SYS.>"}
	for _, subject := range listening {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, subject := range slices.Concat(forbidden, listening) {
		eventually(t, service+" is refused "+subject, func() bool { return heard.about(subject) })
	}
}

// TestNATS_ConfigurationIsWhole: a variable that is missing stops the start, and the example
// names every variable.
func TestNATS_ConfigurationIsWhole(t *testing.T) {
	t.Parallel()
	bin, conf := built(t, "nats-server"), shipped(t, "nats/nats-server.conf")
	example := read(t, shipped(t, "nats/nats.env.example"))
	certs := newAuthority(t)
	var env []string
	for line := range strings.Lines(example) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		switch {
		case strings.HasSuffix(name, "CERT_FILE"):
			value = certs.cert
		case strings.HasSuffix(name, "KEY_FILE"):
			value = certs.key
		case strings.HasSuffix(name, "CA_FILE"):
			value = certs.ca
		case strings.HasPrefix(name, "NATS_PASSWORD_"):
			value = "secret"
		case name == "NATS_STORE_DIR":
			value = filepath.Join(t.TempDir(), "store")
		}
		env = append(env, name+"="+value)
	}
	if out, err := output(t, env, bin, "-t", "--config", conf); err != nil {
		t.Errorf("nats-server -t with the example's variables = %v\n%s", err, out)
	}
	for i, variable := range env {
		less := slices.Delete(slices.Clone(env), i, i+1)
		if out, err := output(t, less, bin, "-t", "--config", conf); err == nil {
			t.Errorf("nats-server -t without %s = nil, want refused\n%s", variable, out)
		}
	}
}
