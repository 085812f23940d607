// Command stripesandbox is Stripe for trying: the stateful fake of package stripeapi as an HTTP
// server, with pay pages on which a person plays the payer, and signed events. No money moves,
// nothing leaves the machine, and all is gone when it ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"basisdienste/services/payment/sandbox/stripeapi"
	"basisdienste/services/payment/stripe"
)

const description = `Stands for Stripe on this machine: its API for the adapter of payment, and pay pages with test cards.

  go run ./tools/stripesandbox --basis http://127.0.0.1:8090

and basis started beside it with the environment that it prints. A municipality takes money by it
when its settings of payment say

  {"stripe": {"account": "own"}, "methods": [{"key": "card", "method": "CREDITCARD", "provider": "stripe"}]}

What is on its way (debits, refunds, payouts, disputes) the page at its own address lets happen.`

type options struct {
	Listen string `help:"Address to listen on; loopback, for whoever reaches it pays." default:"127.0.0.1:12112"`
	Basis  string `help:"Where events are told." default:"http://127.0.0.1:8090" placeholder:"URL"`
	Key    string `help:"The secret key that basis has to use." default:"sk_test_sandbox"`
	Secret string `help:"What signs the events." default:"whsec_sandbox"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stripesandbox:", err)
		os.Exit(1)
	}
}

// start serves until ctx ends.
func start(ctx context.Context, args []string, out io.Writer) error {
	var o options
	parser, err := kong.New(&o, kong.Name("stripesandbox"), kong.Description(description), kong.Writers(out, out))
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return fmt.Errorf("%w; see --help", err)
	}
	basis, err := url.Parse(o.Basis)
	if err != nil || basis.Host == "" {
		return fmt.Errorf("--basis %q is no URL", o.Basis)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w; choose another address with --listen", err)
	}
	api := stripeapi.New(stripeapi.Options{Key: o.Key, Clock: time.Now, BaseURL: "http://" + listener.Addr().String()})
	to := httputil.NewSingleHostReverseProxy(basis)
	to.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) } // told again
	api.Subscribe(stripeapi.Endpoint{Handler: to, Path: stripe.AccountPath, Secret: o.Secret})
	api.Subscribe(stripeapi.Endpoint{Handler: to, Path: stripe.ConnectPath, Secret: o.Secret, Connect: true})
	pages, err := newPages(api)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: pages, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if _, err := fmt.Fprintf(out, howto, listener.Addr(), o.Key, o.Secret); err != nil {
		return errors.Join(err, server.Close())
	}
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case err := <-served:
			return err
		case <-ctx.Done():
			return server.Close()
		case <-every.C:
			if _, err := api.Deliver(ctx, stripeapi.Delivery{}); err != nil && ctx.Err() == nil {
				return errors.Join(err, server.Close())
			}
		}
	}
}

const howto = `Stripe's sandbox is at http://%[1]s; Ctrl-C stops. Start basis with
  BASIS_PAYMENT__STRIPE__URL=http://%[1]s
  BASIS_PAYMENT__STRIPE__SECRET_KEY=%[2]s
  BASIS_PAYMENT__STRIPE__ACCOUNT_WEBHOOK_SECRETS=%[3]s
  BASIS_PAYMENT__STRIPE__CONNECT_WEBHOOK_SECRETS=%[3]s
`
