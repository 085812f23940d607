package limit

import (
	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/fault"
	"basisdienste/platform/obs"
)

// byAddress is the operation of ByAddress in the metrics.
const byAddress = "address"

func newRefusals(reg prometheus.Registerer) *prometheus.CounterVec {
	return obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "limiter_refusals_total", Help: "Requests refused because a tenant, an address or a key had used up its quota.",
	}, []string{"operation"}))
}

// note counts a refusal and returns it.
func (l *Limiter) note(op string, err error) error {
	if err != nil && (fault.Is(err, "rate_limited") || fault.Is(err, "too_many_concurrent")) {
		l.refused.WithLabelValues(op).Inc()
	}
	return err
}
