package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"basisdienste/platform/db"
)

// Ledger is what the clients know: every write that was acknowledged, kept outside of what is
// killed. Use Note to read and change it while clients work.
type Ledger struct {
	mu           sync.Mutex
	Payments     map[string]*Payment     // by request id, of the EfA client itself
	Applications map[string]*Application // by id
	Messages     map[string]string       // id by reference
	Appointments map[string]*Appointment // by id
	Dead         map[string]int          // events that a service has to have given up
	Told         int                     // transactions created that were told without one, by a test
	Later        map[string]bool         // usage counters that are not compared yet
	Trouble      []string                // answers that a client must never get
}

// Payment is one that was acknowledged.
type Payment struct {
	ID   string
	Paid bool
}

// Application is one that was acknowledged, or is about to be sent.
type Application struct {
	Form, Email    string
	Fee            bool
	Paid, Accepted bool
}

// Appointment is a confirmed one.
type Appointment struct{ Secret, Email string }

// NewLedger returns an empty one.
func NewLedger() *Ledger {
	return &Ledger{
		Payments: map[string]*Payment{}, Applications: map[string]*Application{}, Messages: map[string]string{}, Appointments: map[string]*Appointment{},
		Dead: map[string]int{}, Later: map[string]bool{},
	}
}

// Note runs change while nobody else reads or changes the ledger.
func (l *Ledger) Note(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// Load is the clients at work. Each goes on with its operation through every outage, with the
// same key, until it has an answer.
type Load struct {
	Site   *Site
	Demo   Demo
	Ledger *Ledger
	// Began is told of each try that begins, if it has room.
	Began chan struct{}
	// Pause is how long a client waits after so many failed tries; nil is always 10 ms.
	Pause func(tries int) time.Duration
	// Submitted gets the applications that wait for the clerk; nil: nobody decides.
	Submitted func(ctx context.Context, applicationID string)
	// Tables opens a service's tables for reading, for Count.
	Tables func(ctx context.Context, service string, read func(*db.DB) error) error

	clock    func() time.Time
	token    atomic.Pointer[string] // of the EfA client
	readBack map[string]bool        // paths
}

// NewLoad returns clients with an empty ledger, and the EfA client's first token.
func NewLoad(ctx context.Context, site *Site, d Demo, clock func() time.Time) (*Load, error) {
	l := &Load{Site: site, Demo: d, clock: clock, Ledger: NewLedger(), Began: make(chan struct{}, 1), readBack: map[string]bool{}}
	return l, l.Renew(ctx)
}

// Renew gets the EfA client another token.
func (l *Load) Renew(ctx context.Context) error {
	return l.again(ctx, func() error {
		token, err := l.Site.Token(ctx, l.Demo.EfA)
		if err == nil {
			l.token.Store(&token)
		}
		return err
	})
}

// Request is one operation of the API, repeated until it is answered. Refused are answers
// with one of these statuses: the caller goes on in another way.
func (l *Load) Request(ctx context.Context, method, path, key string, body, dst any, refused ...int) (status int, err error) {
	err = l.again(ctx, func() error {
		code, text, err := l.Site.Do(ctx, method, path, *l.token.Load(), key, body)
		switch {
		case err != nil:
			return err
		case code >= 500, code == http.StatusTooManyRequests, bytes.Contains(text, []byte("idempotency_key_in_use")):
			return fmt.Errorf("%s %s: %d %.300s", method, path, code, text)
		}
		status = code
		for _, r := range refused {
			if code == r {
				return nil
			}
		}
		if code >= 300 {
			return permanentError{fmt.Errorf("%s %s: %d %.500s", method, path, code, text)}
		}
		if dst == nil {
			return nil
		}
		return json.Unmarshal(text, dst)
	})
	return status, err
}

// permanentError is an answer that asking again does not change.
type permanentError struct{ error }

// again repeats f until it succeeds, fails for good, or ctx ends.
func (l *Load) again(ctx context.Context, f func() error) error {
	for tries := 1; ; tries++ {
		select {
		case l.Began <- struct{}{}:
		default: // nobody counts right now
		}
		err := f()
		var permanent permanentError
		if err == nil || errors.As(err, &permanent) {
			return err
		}
		pause := 10 * time.Millisecond
		if l.Pause != nil {
			pause = l.Pause(tries)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		}
	}
}
