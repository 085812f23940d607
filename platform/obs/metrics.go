package obs

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Register registers c, or returns the collector that was registered in its place before,
// so that parts of a process share their metrics. A nil reg registers nothing. It panics if
// reg holds another metric of the name.
func Register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	var taken prometheus.AlreadyRegisteredError
	if errors.As(err, &taken) {
		if same, ok := taken.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil {
		panic(fmt.Errorf("obs: register metrics: %w", err))
	}
	return c
}

// Version is the module's version if it was built as a dependency, else the commit, else "unknown".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "unknown"
}

// BuildInfo tells what runs: basis_build_info is 1, its labels are program, version and go.
func BuildInfo(reg prometheus.Registerer, program string) {
	g := Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "basis_build_info", Help: "Always 1; the labels tell what runs.",
	}, []string{"program", "version", "go"}))
	goVersion := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
	}
	g.WithLabelValues(program, Version(), goVersion).Set(1)
}
