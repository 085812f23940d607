package obs_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/obs"
	"basisdienste/platform/problem"
)

// TestTimeout_Bodies lets a real server take requests over pipes, by a clock of its own: a
// request may move for as long as it likes, and not stand still.
func TestTimeout_Bodies(t *testing.T) {
	t.Parallel()
	const still, longest = time.Second, 20 * time.Second
	const step = still * 9 / 10
	piece := strings.Repeat("x", 2<<10)
	read := func(w http.ResponseWriter, r *http.Request) bool {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			problem.Write(w, r, err)
			return false
		}
		w.Header().Set("X-Read", fmt.Sprint(len(b)))
		return true
	}
	work := func(r *http.Request, d time.Duration) error {
		select {
		case <-r.Context().Done():
			return context.Cause(r.Context())
		case <-time.After(d):
			return nil
		}
	}
	handlers := map[string]http.HandlerFunc{
		"reads, then works": func(w http.ResponseWriter, r *http.Request) {
			if read(w, r) && work(r, step) == nil {
				_, _ = io.WriteString(w, "done")
			}
		},
		"reads, then hangs": func(w http.ResponseWriter, r *http.Request) {
			if read(w, r) {
				_ = work(r, time.Hour)
			}
		},
		"hangs":                   func(_ http.ResponseWriter, r *http.Request) { _ = work(r, time.Hour) },
		"reads, and says nothing": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
		"answers piece by piece": func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < 5 && work(r, step) == nil; i++ {
				_, _ = io.WriteString(w, "piece ")
				_ = http.NewResponseController(w).Flush()
			}
		},
		"answers half": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "half, ")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, fmt.Sprint(work(r, time.Hour)))
		},
	}
	for _, tt := range []struct {
		name, handler string
		pieces        int // that are sent
		piece         string
		every         time.Duration // before each of them
		lacks         int           // what the header promises and nobody sends, in bytes
		status        int
		body          string
		took          time.Duration // until the answer is complete, less than a step more
	}{
		{"a body at once", "reads, then works", 1, piece, 0, 0, 200, "done", step},
		{"a body that trickles", "reads, then works", 15, piece, step, 0, 200, "done", 16 * step},
		{"a body that stops", "reads, then works", 3, piece, step, 1, 408, "body_too_slow", 3*step + still},
		{"a body that never begins", "reads, then works", 0, piece, 0, 1, 408, "body_too_slow", still},
		{"a body that drips", "reads, then works", 100, "x", step / 10, 0, 408, "body_too_slow", still},
		{"a body without end", "reads, then works", 100, piece, step, 0, 408, "body_too_slow", longest},
		{"a body that stops, unanswered", "reads, and says nothing", 1, piece, 0, 1, 408, "body_too_slow", still},
		{"a use case that hangs", "reads, then hangs", 15, piece, step, 0, 503, "timeout", 15*step + still},
		{"nobody reads", "hangs", 1, piece, 0, 0, 503, "timeout", still},
		{"no body", "hangs", 0, "", 0, 0, 503, "timeout", still},
		{"an answer that moves", "answers piece by piece", 0, "", 0, 0, 200, strings.Repeat("piece ", 5), 5 * step},
		{"an answer that stops", "answers half", 0, "", 0, 0, 200, "half, " + context.DeadlineExceeded.Error(), still},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn := serve(t, obs.Timeout(still, longest)(handlers[tt.handler]))
				answers := bufio.NewReader(conn)
				for round := range 2 { // on one connection, if it stays
					began := time.Now()
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", tt.pieces*len(tt.piece)+tt.lacks)
						for range tt.pieces {
							<-time.After(tt.every)
							if _, err := io.WriteString(conn, tt.piece); err != nil {
								return
							}
						}
					}()
					resp, err := http.ReadResponse(answers, nil)
					if err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
					body, err := io.ReadAll(resp.Body)
					if err != nil {
						t.Fatalf("round %d: read the answer: %v", round, err)
					}
					took := time.Since(began)
					if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.body) || took < tt.took || took >= tt.took+step {
						t.Errorf("round %d: answer = %d %s after %v, want %d %s after %v", round, resp.StatusCode, body, took, tt.status, tt.body, tt.took)
					}
					if resp.Close {
						_ = conn.Close()
						<-ended
						break
					}
					<-ended
					<-time.After(3 * still) // what bounded this request bounds nothing any more
				}
				_ = conn.Close()
			})
		})
	}
}

// TestTimeout_LateReader reads the body for longer than the handler runs, as a transport may:
// the connection belongs to the next request by then.
func TestTimeout_LateReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var late io.Reader
		var next error
		conn := serve(t, obs.Timeout(time.Second, time.Hour)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				if n, err := late.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Errorf("read of the body of another request = %d, %v, want an error", n, err)
				}
				for range 5 { // no deadline of the first request ends the second
					<-time.After(time.Second / 2)
					_, _ = io.WriteString(w, "piece")
					_ = http.NewResponseController(w).Flush()
				}
				next = r.Context().Err()
				return
			}
			late = r.Body
		})))
		answers := bufio.NewReader(conn)
		for _, request := range []string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
			go func() { _, _ = io.WriteString(conn, request) }()
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("answer to %.4q = %d, %v, want 200", request, resp.StatusCode, err)
			}
		}
		if next != nil {
			t.Errorf("the context of the next request = %v, want that it goes on", next)
		}
		_ = conn.Close()
	})
}

// TestTimeout_IsAFault says what a handler gets that reads too slow a body.
func TestTimeout_IsAFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := make(chan error, 1)
		conn := serve(t, obs.Timeout(time.Second, time.Hour)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			got <- err
		})))
		go func() { _, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n") }()
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		if err := <-got; !fault.Is(err, "body_too_slow") {
			t.Errorf("read = %v, want the fault body_too_slow", err)
		}
		_ = conn.Close()
	})
}

// serve returns a connection to a server that lives as long as the test.
func serve(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	here, there := net.Pipe()
	l := &pipe{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conns <- there
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return here
}

// pipe is a net.Listener.
type pipe struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipe) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *pipe) Addr() net.Addr { return &net.TCPAddr{} }

// TestTimeout_HTTP2 has bodies that go on, and one that stops, on one connection.
func TestTimeout_HTTP2(t *testing.T) {
	t.Parallel()
	const still, pause, pieces = 2 * time.Second, 300 * time.Millisecond, 10
	piece := strings.Repeat("x", 2<<10)
	srv := httptest.NewUnstartedServer(obs.Timeout(still, time.Minute)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			err = r.Context().Err()
		}
		if err != nil {
			problem.Write(w, r, err)
			return
		}
		_, _ = fmt.Fprint(w, r.Proto, " ", n)
	})))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	for _, tt := range []struct {
		stops  bool
		status int
		body   string
	}{{true, 408, "body_too_slow"}, {false, 200, fmt.Sprint("HTTP/2.0 ", pieces*len(piece))}} {
		t.Run(tt.body, func(t *testing.T) {
			t.Parallel()
			body, in := io.Pipe()
			defer func() { _ = body.Close() }()
			go func() {
				tick := time.NewTicker(pause)
				defer tick.Stop()
				for range pieces {
					<-tick.C
					_, _ = io.WriteString(in, piece)
				}
				if !tt.stops {
					_ = in.Close()
				}
			}()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := srv.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != tt.status || !strings.Contains(string(b), tt.body) {
				t.Errorf("answer = %d %s, %v, want %d %s", resp.StatusCode, b, err, tt.status, tt.body)
			}
		})
	}
}
