package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	startTimeout = 30 * time.Second
	drainTimeout = 10 * time.Second
)

// Server is a NATS server with JetStream inside this process.
type Server struct {
	ns   *server.Server
	lock *os.File
	log  *slog.Logger

	mu     sync.Mutex
	conns  map[*nats.Conn]chan struct{} // closed when the connection is
	closed bool
}

// Option changes how StartServer runs the server.
type Option func(*serverOptions)

type serverOptions struct {
	listen string
	sync   time.Duration
	log    *slog.Logger
}

// Listen opens a TCP port, given as host:port; port 0 takes any free one. Without it the
// server can be reached from this process only. There is no authentication: a loopback
// address, or a network where everybody may read and write everything.
func Listen(addr string) Option { return func(o *serverOptions) { o.listen = addr } }

// SyncEvery sets how often the stored messages are flushed to the disk; 10 s if not set.
// A power failure may lose what was acked since: the sender keeps its messages at least
// twice as long and sends them again (same UUID) after an unclean stop.
func SyncEvery(d time.Duration) Option { return func(o *serverOptions) { o.sync = d } }

// Log takes the server's warnings and errors; slog.Default() if not set.
func Log(l *slog.Logger) Option { return func(o *serverOptions) { o.log = l } }

// StartServer starts a server that keeps its streams in dir, which it creates if needed, and
// returns when it is ready. A folder serves one server: while another holds it, in this
// process or another, StartServer fails.
func StartServer(dir string, opts ...Option) (*Server, error) {
	o := serverOptions{sync: 10 * time.Second, log: slog.Default()}
	for _, opt := range opts {
		opt(&o)
	}
	so := &server.Options{
		ServerName: "embedded",
		DontListen: true,
		JetStream:  true,
		StoreDir:   dir,
		NoSigs:     true,
		NoLog:      true,

		SyncInterval:           o.sync,
		DisableJetStreamBanner: true,
	}
	if o.listen != "" {
		host, port, err := net.SplitHostPort(o.listen)
		if err != nil {
			return nil, fmt.Errorf("broker's listen address: %w", err)
		}
		so.DontListen, so.Host = false, host
		if so.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("broker's listen address: port %q is no number", port)
		}
		if so.Port == 0 {
			so.Port = server.RANDOM_PORT
		}
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	ns, err := startNATS(so, o.log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the broker in %s: %w", dir, err), lock.Close())
	}
	return &Server{ns: ns, lock: lock, log: o.log, conns: map[*nats.Conn]chan struct{}{}}, nil
}

// lockDir makes dir and takes the lock on it, which ends when the file is closed or the
// process dies.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("broker's folder: %w", err)
	}
	name := filepath.Join(dir, "LOCK")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("broker's folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("another process uses this folder; stop it first, or give this one a folder of its own")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return f, nil
}

func startNATS(so *server.Options, log *slog.Logger) (*server.Server, error) {
	ns, err := server.NewServer(so)
	if err != nil {
		return nil, err
	}
	l := &natsLog{log: log, fatal: make(chan string, 1)}
	ns.SetLoggerV2(l, false, false, false)
	go ns.Start() // returns once everything runs

	ready := make(chan bool, 1)
	go func() { ready <- ns.ReadyForConnections(startTimeout) }()
	select {
	case text := <-l.fatal:
		err = errors.New(text)
	case ok := <-ready:
		select {
		case text := <-l.fatal:
			err = errors.New(text)
		default:
			if !ok || !ns.JetStreamEnabled() {
				err = fmt.Errorf("not ready after %s", startTimeout)
			}
		}
	}
	if err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, err
	}
	return ns, nil
}

// URL returns where other processes reach the server: empty unless it was started with Listen.
func (s *Server) URL() string {
	if s.ns.Addr() == nil {
		return ""
	}
	return s.ns.ClientURL()
}

// Client returns a new connection to the server without a network in between. Close drains
// it, if the caller has not closed it before.
func (s *Server) Client() (*nats.Conn, error) {
	gone := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("the broker is closed")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s.ns), nats.Name("in-process"), nats.MaxReconnects(-1),
		nats.DrainTimeout(drainTimeout),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.log.Warn("broker connection", slog.Any("error", err))
		}),
		nats.ClosedHandler(func(nc *nats.Conn) {
			close(gone)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, nc)
		}))
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded broker: %w", err)
	}
	s.conns[nc] = gone
	return nc, nil
}

// Close drains the connections made by Client, stops the server, waits for it and releases
// the folder. What was stored is on the disk then. A second Close does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	open := make(map[*nats.Conn]chan struct{}, len(s.conns))
	for nc, gone := range s.conns {
		open[nc] = gone
	}
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	var errs []error
	for nc := range open {
		if err := nc.Drain(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			errs = append(errs, fmt.Errorf("drain a connection: %w", err))
			nc.Close()
		}
	}
	for nc, gone := range open {
		select {
		case <-gone:
		case <-ctx.Done():
			nc.Close()
		}
	}
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
	return errors.Join(append(errs, flush(filepath.Dir(s.lock.Name())), s.lock.Close())...)
}

// flush brings all files below dir to the disk; the server has only written them.
func flush(dir string) error {
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path) //nolint:gosec // G122: the folder is ours alone, mode 0700
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
	if err != nil {
		return fmt.Errorf("flush the broker's files: %w", err)
	}
	return nil
}

// natsLog gives the server's log lines to slog, from warnings up.
type natsLog struct {
	log   *slog.Logger
	fatal chan string // the first one
}

func (l *natsLog) Noticef(string, ...any) {}
func (l *natsLog) Debugf(string, ...any)  {}
func (l *natsLog) Tracef(string, ...any)  {}

func (l *natsLog) Warnf(format string, args ...any) {
	l.log.Warn("broker", slog.String("says", fmt.Sprintf(format, args...)))
}

func (l *natsLog) Errorf(format string, args ...any) {
	l.log.Error("broker", slog.String("says", fmt.Sprintf(format, args...)))
}

// Fatalf must not end the process, as the server's own logger would: StartServer returns it.
func (l *natsLog) Fatalf(format string, args ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, args...):
	default:
		l.Errorf(format, args...)
	}
}
