package run

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"basisdienste/platform/certs"
	"basisdienste/platform/limit"
	"basisdienste/platform/obs"
)

func (p *Process) serve(listener net.Listener, front http.Handler) error {
	mux := http.NewServeMux()
	if err := p.health(mux, promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{})); err != nil {
		return err
	}
	trusted, err := networks("trusted_proxies", p.settings.TrustedProxy)
	if err != nil {
		return usageError{err}
	}
	var access *slog.Logger
	if p.settings.Log.Access {
		access = p.log
	}
	for _, wrap := range []func(http.Handler) http.Handler{
		p.limiter.ByAddress(limit.Quota{PerMinute: p.settings.AddressLimit, Burst: p.settings.AddressLimit / 10}, trusted...),
		obs.Timeout(p.settings.RequestTime, longestTransfer), obs.AccessLog(access), obs.Metrics(p.metrics), obs.Trace, obs.Identify, obs.Recover(p.log),
	} {
		front = wrap(front)
	}
	if !p.settings.TLS.ClientCerts {
		trusted = nil // for what follows
	}
	mux.Handle("/", certs.Show(trusted, front))
	if t := p.settings.TLS; t.CertFile != "" {
		cfg, err := certs.Server(t.CertFile, t.KeyFile)
		if err != nil {
			return usageError{fmt.Errorf("server.tls: %w", err)}
		}
		cfg.NextProtos = []string{"h2", "http/1.1"}
		if t.ClientCerts {
			cfg.ClientAuth = tls.RequestClientCert
		}
		listener = tls.NewListener(listener, cfg)
	}
	p.server = &http.Server{
		Handler: p.farewell(mux), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ReadTimeout: longestTransfer, WriteTimeout: 2 * longestTransfer, // from the header on: an upload, and its answer
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug), ConnState: p.unused.note,
	}
	p.parts.Go(func() {
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.fail(fmt.Errorf("serve: %w", err))
		}
	})
	return nil
}

// farewell closes each connection after its answer, once the process leaves.
func (p *Process) farewell(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// health serves what orchestrators ask. /healthz: the process lives. /readyz: it takes work.
func (p *Process) health(mux *http.ServeMux, metrics http.Handler) error {
	answer := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text+"\n") // the prober went away
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !p.ready.Load() {
			answer(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	readers, err := networks("metrics_from", p.settings.MetricsFrom)
	if err != nil {
		return usageError{err}
	}
	only := func(from []netip.Prefix, h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			peer, err := netip.ParseAddrPort(r.RemoteAddr)
			at := peer.Addr().Unmap()
			inside := at.IsLoopback() || slices.ContainsFunc(from, func(p netip.Prefix) bool { return p.Contains(at) })
			if err != nil || !inside || forwarded(r) {
				answer(w, http.StatusForbidden, "this is for the machine itself, and for networks of server.metrics_from")
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	mux.Handle("GET /metrics", only(readers, metrics))
	if p.settings.Profile {
		mux.Handle("GET /debug/pprof/", only(nil, http.HandlerFunc(pprof.Index)))
		mux.Handle("GET /debug/pprof/profile", only(nil, http.HandlerFunc(pprof.Profile)))
	}
	return nil
}

func forwarded(r *http.Request) bool {
	return r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
}
