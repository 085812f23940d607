package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"basisdienste/platform/run"
)

// faults are all, in the order in which they happen.
func faults() []fault {
	list := []fault{
		// The first, because counting so many goes on beside the others.
		{name: backlogName, limit: 15 * time.Second, inject: backlog},
		{name: "poison messages", limit: 15 * time.Second, inject: poison},
		{name: "clock set back 10 s on one payment", limit: 15 * time.Second, inject: clockBack},
		{name: "disk full on the JetStream store", limit: 60 * time.Second, inject: fullStore, long: true},
	}
	for _, service := range run.Services() {
		f := fault{name: "kill -9 of " + service, limit: 15 * time.Second, inject: func(ctx context.Context, r *rig) (string, error) {
			return "one of two, restarted", killAndRestart(ctx, r.cluster.Instances(service)[0])
		}}
		if service == "edge" {
			f.unclear = 100 // what was under way in it
		}
		list = append(list, f)
	}
	list = append(list,
		fault{name: "kill -9 of both forms", limit: 30 * time.Second, inject: func(ctx context.Context, r *rig) (string, error) {
			return "restarted", killAndRestart(ctx, r.cluster.Instances("forms")...)
		}},
		fault{name: "kill -9 of the NATS node that leads payment's stream", limit: 15 * time.Second, inject: killLeader},
		fault{name: "kill -9 of PostgreSQL", limit: 60 * time.Second, inject: killPostgres},
		fault{name: "kill -9 of Consul", limit: 15 * time.Second, inject: killConsul, long: true},
	)
	return append(list, networkFaults()...)
}

func killLeader(ctx context.Context, r *rig) (string, error) {
	i, err := r.cluster.StreamLeader(ctx, "payment")
	if err != nil {
		return "", err
	}
	node := r.cluster.Broker[i]
	if err := node.Kill(); err != nil {
		return "", err
	}
	if !await(ctx, func(ctx context.Context) bool {
		now, err := r.cluster.StreamLeader(ctx, "payment")
		return err == nil && now != i
	}) {
		return "", errors.New("no other node leads the stream")
	}
	return "restarted", node.Start(ctx)
}

// killPostgres ends the server and all its children.
func killPostgres(ctx context.Context, r *rig) (string, error) {
	children, err := childrenOf(r.cluster.Postgres.PID())
	if err != nil {
		return "", err
	}
	errs := []error{r.cluster.Postgres.Kill()}
	for _, pid := range children {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
	}
	gone := await(ctx, func(context.Context) bool {
		for _, pid := range children {
			if syscall.Kill(pid, 0) == nil {
				return false
			}
		}
		return true
	})
	if !gone {
		errs = append(errs, errors.New("children of PostgreSQL live on"))
	}
	return fmt.Sprintf("and its %d children, restarted", len(children)), errors.Join(append(errs, r.cluster.Postgres.Start(ctx))...)
}

// childrenOf reads the processes whose parent is pid.
func childrenOf(pid int) (children []int, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ") // behind the name
		fields := strings.Fields(rest)
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			children = append(children, child)
		}
	}
	return children, nil
}

// killConsul leaves the agent, which keeps nothing, away for 20 s.
func killConsul(ctx context.Context, r *rig) (string, error) {
	if err := r.cluster.Consul.Kill(); err != nil {
		return "", err
	}
	pass(ctx, 20*time.Second)
	return "back after 20 s without its state", r.cluster.Consul.Start(ctx)
}

// networkFaults break the links of payment-1 and forms-1, each for a few seconds.
func networkFaults() []fault {
	var list []fault
	for _, way := range []struct {
		name, toxic string
		last, limit time.Duration
	}{
		{"cut", cut, 5 * time.Second, 30 * time.Second},
		{"slow (500 ± 100 ms)", slow, 5 * time.Second, 30 * time.Second},
		{"half-open", halfOpen, 8 * time.Second, 60 * time.Second},
	} {
		for _, link := range []struct {
			name, instance string
			last           time.Duration // 0: as the way says
			groups         [][]string    // of dependencies, one group after the other
		}{
			{"payment-1 to PostgreSQL", "payment-1", 0, [][]string{{"postgres"}}},
			{"forms-1 to each NATS node in turn", "forms-1", 3 * time.Second, [][]string{{"nats1"}, {"nats2"}, {"nats3"}}},
			{"forms-1 to all NATS nodes", "forms-1", 0, [][]string{{"nats1", "nats2", "nats3"}}},
			{"payment-1 to Consul", "payment-1", 0, [][]string{{"consul"}}},
			{"edge to payment-1", "payment-1", 0, [][]string{{"payment-1"}}},
		} {
			last := way.last
			if link.last > 0 {
				last = link.last
			} else if way.toxic == halfOpen && len(link.groups[0]) > 1 {
				last = 20 * time.Second // the client's pings find out after 15 s
			}
			list = append(list, fault{name: way.name + ": " + link.name, limit: way.limit, long: way.toxic != cut, inject: func(ctx context.Context, r *rig) (string, error) {
				for _, dependencies := range link.groups {
					mend, err := r.links.spoil(link.instance, way.toxic, dependencies...)
					if err != nil {
						return "", err
					}
					pass(ctx, last)
					if err := mend(ctx); err != nil {
						return "", err
					}
				}
				return fmt.Sprintf("for %.0f s", last.Seconds()*float64(len(link.groups))), nil
			}})
		}
	}
	return list
}
