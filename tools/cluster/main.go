// Command cluster runs a whole installation on this machine: PostgreSQL, three NATS nodes,
// Consul, several of each service, and edges, all on loopback. Ctrl-C stops everything.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"basisdienste/tools/cluster/local"
)

type options struct {
	Data      string   `help:"Folder of the cluster; a second start finds everything as it was." default:"./data-cluster" placeholder:"DIR"`
	Listen    string   `help:"Address of the first edge." default:"127.0.0.1:8080" placeholder:"ADDR"`
	Instances int      `help:"Of each service." default:"2"`
	Root      string   `help:"The checkout." default:"." placeholder:"DIR"`
	Bin       string   `help:"Folder of the services' programs. Default: bin in the checkout." placeholder:"DIR"`
	Then      []string `arg:"" optional:"" passthrough:"" help:"Command to run when everything is ready, with CLUSTER_URL and CLUSTER_DATA in its environment; then the cluster stops."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("cluster"), kong.Description("Run PostgreSQL, a NATS JetStream cluster, Consul and several of each service on this machine."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to release
	}
}

func run(ctx context.Context, o options) (err error) {
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return err
	}
	began := time.Now()
	c, err := local.Start(ctx, local.Options{Dir: o.Data, Root: root, Bin: o.Bin, Listen: o.Listen, Instances: o.Instances, Demo: true, Out: os.Stdout})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Println("stopping")
		err = errors.Join(err, c.Stop())
	}()
	data := filepath.Dir(c.DemoFile)
	fmt.Printf("the cluster is ready after %.0f s at %s\n", time.Since(began).Seconds(), c.URL)
	if len(o.Then) > 0 && o.Then[0] == "--" {
		o.Then = o.Then[1:]
	}
	if len(o.Then) == 0 {
		fmt.Printf("  citizen:  %s/t/erfurt/\n  staff:    %[1]s/t/erfurt/staff\n  operator: %[1]s/operator\n", c.URL)
		fmt.Printf("  user names and passwords are in %s; each program's log is in its folder there\n", c.DemoFile)
		fmt.Printf("  make demo URL=%s DATA=%s drives the journey; Ctrl-C stops\n", c.URL, data)
		<-ctx.Done()
		return nil
	}
	cmd := exec.CommandContext(ctx, o.Then[0], o.Then[1:]...)
	cmd.Env = append(os.Environ(), "CLUSTER_URL="+c.URL, "CLUSTER_DATA="+data)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
