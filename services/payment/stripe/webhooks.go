package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v79/webhook"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/problem"
	"basisdienste/platform/tenantdir"
)

// Where Stripe sends events: of the account itself, and of connected accounts.
const (
	AccountPath = "/pay/stripe/events/account"
	ConnectPath = "/pay/stripe/events/connect"
)

const (
	maxEvent  = 256 << 10 // bytes; Stripe's are some KiB
	tolerance = webhook.DefaultTolerance
	lookTime  = 5 * time.Second // until an event is answered, whether its subject was read or not
	maxTries  = 12              // then the sweep alone looks
)

// payments are the use cases that an event leads to.
type payments interface {
	Notified(ctx context.Context, tenant, transaction id.ID) error
	RefundNotified(ctx context.Context, tenant, refund id.ID) error
}

// events takes what Stripe tells.
type events struct {
	gateway  *Gateway
	db       *db.DB
	dir      *tenantdir.Dir
	payments payments
	livemode bool
	clock    func() time.Time
	log      *slog.Logger
	searched time.Time // when Daily last went through the accounts
}

// routes registers the endpoints that have secrets.
func (v *events) routes(m *kit.Mux, account, connect []string) {
	if len(account) > 0 {
		m.Handle("POST "+AccountPath, v.endpoint(account, false))
	}
	if len(connect) > 0 {
		m.Handle("POST "+ConnectPath, v.endpoint(connect, true))
	}
}

// event is what of an event is read. Of its object only the names of ours: the rest is read again.
type event struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Account  string `json:"account"`
	Livemode bool   `json:"livemode"`
	Data     struct {
		Object struct {
			ID       string            `json:"id"`
			Object   string            `json:"object"`
			Metadata map[string]string `json:"metadata"`
		} `json:"object"`
	} `json:"data"`
}

// endpoint answers 200 to every event that is Stripe's, once it is stored or known not to
// concern us.
func (v *events) endpoint(secrets []string, connect bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := v.take(w, r, secrets, connect); err != nil {
			if fault.From(err).Kind == fault.KindInternal {
				v.log.ErrorContext(r.Context(), "stripe event failed", "error", err)
			}
			problem.Write(w, r, err)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
}

// take stores an event and looks at once; if that takes too long or fails, the job looks again.
// Errors: stripe_event_too_large, stripe_event_not_signed, stripe_event_unreadable.
func (v *events) take(w http.ResponseWriter, r *http.Request, secrets []string, connect bool) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return fault.TooLarge("stripe_event_too_large", "an event has at most %d bytes", over.Limit)
	case err != nil:
		return fault.Invalid("stripe_event_unreadable", "the event ended early").Because(err)
	}
	if !v.signed(body, r.Header.Get("Stripe-Signature"), secrets) {
		return fault.Invalid("stripe_event_not_signed", "the signature fits none of the secrets, or its time is more than %s from ours", tolerance)
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" || len(e.ID) > 255 {
		return fault.Invalid("stripe_event_unreadable", "the event is no JSON object with an id").Because(err)
	}
	h, ok, err := v.hint(r.Context(), e, connect)
	if err != nil || !ok {
		return err
	}
	fresh, err := v.remember(r.Context(), h)
	if err != nil || !fresh {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookTime)
	defer cancel()
	if err := v.look(ctx, h); err != nil {
		v.log.WarnContext(ctx, "stripe event waits", "event", h.ID, "type", h.Type, "error", err)
	}
	return nil
}

// signed reports whether one of the secrets signed the body at a time near ours.
func (v *events) signed(body []byte, header string, secrets []string) bool {
	near := false
	for part := range strings.SplitSeq(header, ",") {
		if text, ok := strings.CutPrefix(part, "t="); ok { // of several the last counts, as for webhook
			at, err := strconv.ParseInt(text, 10, 64)
			near = err == nil && v.clock().Sub(time.Unix(at, 0)).Abs() <= tolerance
		}
	}
	if !near {
		return false
	}
	for _, secret := range secrets {
		if webhook.ValidatePayloadIgnoringTolerance(body, header, secret) == nil {
			return true
		}
	}
	return false
}

// hint finds out what of ours the event is about; false if nothing. The event's account has to be
// the tenant's: nobody tells about another's payments.
func (v *events) hint(ctx context.Context, e event, connect bool) (hint, bool, error) {
	if e.Livemode != v.livemode || connect != (e.Account != "") { // the connect endpoint gets test events too
		return hint{}, false, nil
	}
	h := hint{ID: e.ID, Type: e.Type, Account: e.Account}
	if !connect {
		h.Account = Own
	}
	object := e.Data.Object
	switch object.Object {
	case "checkout.session", "payment_intent", "charge":
		h.About, h.Subject = aboutTransaction, object.Metadata[metaTransaction]
	case "refund":
		h.About, h.Subject = aboutRefund, object.Metadata[metaRefund]
	case "dispute":
		return v.ofAccount(ctx, h, aboutDispute, object.ID)
	case "payout":
		return v.ofAccount(ctx, h, aboutPayout, object.ID)
	}
	tenant, err := id.Parse(object.Metadata[metaTenant])
	if err != nil {
		return h, false, nil //nolint:nilerr // not of ours
	}
	subject, err := id.Parse(h.Subject)
	if err != nil {
		return h, false, nil //nolint:nilerr // not of ours
	}
	entry, err := v.dir.ByID(ctx, tenant)
	if fault.Is(err, "unknown_tenant") {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	account, err := v.gateway.accountOf(ctx, entry)
	if err != nil {
		return h, false, err
	}
	if account != h.Account {
		v.log.WarnContext(ctx, "stripe event of an account that is not the tenant's; it is ignored", "event", e.ID, "type", e.Type, "account", h.Account)
		return h, false, nil
	}
	h.Tenant, h.Subject = tenant, subject.String()
	return h, true, nil
}

var objectShape = regexp.MustCompile(`^(dp|du|po)_[A-Za-z0-9_]{1,64}$`)

// ofAccount is a hint at an object that names nothing of ours: its tenant is the one that has the
// account; false if none has.
func (v *events) ofAccount(ctx context.Context, h hint, a about, object string) (found hint, ok bool, err error) {
	if !objectShape.MatchString(object) {
		return h, false, nil
	}
	h.About, h.Subject = a, object
	eachErr := v.dir.Each(ctx, func(e tenantdir.Entry) bool {
		account, bad := accountInSettings(e)
		if bad != nil { // another tenant's mistake is not this one's
			v.log.WarnContext(ctx, "stripe settings", "error", bad)
			return true
		}
		if account == h.Account {
			h.Tenant, ok = e.ID, true
		}
		return !ok
	})
	if eachErr != nil || ok {
		return h, ok, eachErr
	}
	sys := db.System(ctx)
	err = v.db.Read(sys, func(tx *db.Tx) error {
		h.Tenant, err = tenantOf(sys, tx, h.Account)
		return err
	})
	return h, h.Tenant != "", err
}

// remember stores the event, and reports whether it is new.
func (v *events) remember(ctx context.Context, h hint) (fresh bool, err error) {
	err = v.inTenant(ctx, h.Tenant, func(ctx context.Context, tx *db.Tx) error {
		fresh, err = insert(ctx, tx, h)
		return err
	})
	return fresh, err
}

// look lets the service read again what the event is about, and ticks the event off.
func (v *events) look(ctx context.Context, h hint) error {
	var err error
	switch h.About {
	case aboutTransaction:
		err = v.payments.Notified(ctx, h.Tenant, id.ID(h.Subject))
	case aboutRefund:
		err = v.payments.RefundNotified(ctx, h.Tenant, id.ID(h.Subject))
	case aboutDispute:
		err = v.followDispute(ctx, h)
	case aboutPayout:
		err = v.followPayout(ctx, h)
	}
	// What is not there will not come: the names are made before Stripe hears of them.
	gone := fault.Is(err, "unknown_tenant") || fault.Is(err, "unknown_transaction") || fault.Is(err, "unknown_refund")
	if err != nil && !gone && h.Tries < maxTries {
		return err
	}
	sys := db.System(context.WithoutCancel(ctx))
	return errors.Join(err, v.db.Tx(sys, func(tx *db.Tx) error { return done(sys, tx, h) }))
}

const (
	batch  = 200
	enough = 5 // failed looks one after the other: Stripe is away, the rest waits for the next round
)

// Work looks again because of events whose first look failed.
func (v *events) Work(ctx context.Context) error {
	sys := db.System(ctx)
	var list []hint
	err := v.db.Tx(sys, func(tx *db.Tx) (err error) {
		list, err = due(sys, tx, batch)
		return err
	})
	if err != nil {
		return err
	}
	failed := 0
	for _, h := range list {
		err := v.look(ctx, h)
		if err == nil {
			failed = 0
			continue
		}
		if failed++; ctx.Err() != nil || failed == enough {
			return ctx.Err()
		}
		v.log.WarnContext(ctx, "stripe event waits", "event", h.ID, "type", h.Type, "tries", h.Tries, "error", err)
	}
	return nil
}

// Purge forgets old events.
func (v *events) Purge(ctx context.Context) error {
	sys := db.System(ctx)
	for {
		var n int
		err := v.db.Tx(sys, func(tx *db.Tx) (err error) {
			n, err = forget(sys, tx, batch)
			return err
		})
		if err != nil || n < batch {
			return err
		}
	}
}
