package run

import (
	"context"
	"math"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"

	"basisdienste/platform/obs"
)

// openTelemetry begins to record traces, if that is wanted, and tells what runs.
func (p *Process) openTelemetry(ctx context.Context, apps []App) error {
	p.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	name := "basis"
	if len(apps) == 1 {
		name = apps[0].Name
	}
	obs.BuildInfo(p.metrics, name)
	disk := func(name, help string, bytes func(syscall.Statfs_t) uint64) {
		obs.Register(p.metrics, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			var s syscall.Statfs_t
			if err := syscall.Statfs(p.settings.DataDir, &s); err != nil {
				return math.NaN()
			}
			return float64(bytes(s))
		}))
	}
	disk("data_dir_free_bytes", "Free space where the data folder is, for this process.", func(s syscall.Statfs_t) uint64 { return s.Bavail * uint64(s.Bsize) })
	disk("data_dir_size_bytes", "Size of the file system where the data folder is.", func(s syscall.Statfs_t) uint64 { return s.Blocks * uint64(s.Bsize) })
	shutdown, err := obs.StartTelemetry(ctx, obs.TelemetryConfig{
		Endpoint: p.settings.Telemetry.OTLPEndpoint, Ratio: p.settings.Telemetry.SampleRatio,
		Service: name, Version: obs.Version(), Instance: p.settings.Advertise, Log: p.log,
	})
	if err != nil {
		return usageError{err}
	}
	p.stops = append(p.stops, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), p.settings.DrainTime)
		defer cancel()
		if err := shutdown(ctx); err != nil { // spans are no reason to end with an error
			p.log.WarnContext(ctx, "traces are lost", "error", err)
		}
		return nil
	})
	return nil
}

// appMetrics are what the process knows of one service.
type appMetrics struct {
	succeeded, every *prometheus.GaugeVec
	failed           *prometheus.CounterVec
}

func (p *Process) watch(o opened) *appMetrics {
	reg, job := o.host.Metrics, []string{"job_name"}
	obs.Register(reg, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "service_ready", Help: "1 while the process takes work for the service.",
	}, func() float64 {
		if p.ready.Load() {
			return 1
		}
		return 0
	}))
	return &appMetrics{
		succeeded: obs.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "job_last_success_timestamp_seconds", Help: "When the job last ended well; before that, when the process started.",
		}, job)),
		every: obs.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "job_interval_seconds", Help: "How often the job runs.",
		}, job)),
		failed: obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "job_failures_total", Help: "Runs that failed.",
		}, job)),
	}
}

// job is one run of j, measured and, now and then, traced.
func (m *appMetrics) job(j Job, clock func() time.Time) func(context.Context) error {
	succeeded, failed := m.succeeded.WithLabelValues(j.Name), m.failed.WithLabelValues(j.Name)
	seconds := func() float64 { return float64(clock().UnixMilli()) / 1000 }
	succeeded.Set(seconds())
	m.every.WithLabelValues(j.Name).Set(j.Every.Seconds())
	return func(ctx context.Context) error {
		ctx, span := obs.Follow(ctx, "", trace.SpanKindInternal, "job "+j.Name)
		err := runJob(ctx, j)
		span.End(err)
		switch {
		case err == nil:
			succeeded.Set(seconds())
		case ctx.Err() == nil:
			failed.Inc()
		}
		return err
	}
}
