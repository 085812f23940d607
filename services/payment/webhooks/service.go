package webhooks

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/page"
	"basisdienste/platform/tenantdir"
)

// Service is the use cases. It is safe for concurrent use, but for Deliver, which runs once in
// a process.
type Service struct {
	db      *db.DB
	dir     *tenantdir.Dir
	vault   vault
	cursors page.Signer
	client  *http.Client
	local   bool   // receivers may be on this machine, and spoken to by http
	base    string // public URL without a slash at the end
	sender  *sender
	woken   <-chan struct{}
	chance  func() float64 // from 0 to 1, for spreading tries
	clock   func() time.Time
	log     *slog.Logger
}

func newDelivery(now db.Time, e *Endpoint, message id.ID, eventType string) Delivery {
	return Delivery{
		EndpointID: e.ID, ID: message, Type: eventType, At: now, State: Pending, Tries: db.JSON[[]Try]{V: []Try{}}, DueAt: &now, CreatedAt: now,
	}
}

// Create registers an endpoint and returns it with its secret, which is not shown again. A
// second one for the same URL is refused, so that a creation whose answer was lost cannot
// double what is sent. Errors: invalid_url, address_refused, too_many_webhooks, webhook_exists.
func (s *Service) Create(ctx context.Context, q CreateRequest) (Created, error) {
	if err := checkURL(q.URL, s.local); err != nil {
		return Created{}, err
	}
	secret := newSecret()
	var e Endpoint
	err := s.db.Tx(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		e = Endpoint{
			Tenant: tx.Tenant(), ID: id.New(), URL: q.URL, Description: q.Description, Events: db.JSON[[]string]{V: append([]string{}, q.Events...)}, Enabled: true,
			CreatedAt: now, UpdatedAt: now,
		}
		e.Secret = s.vault.seal(e.Tenant, e.ID, secret)
		if q.Enabled != nil && !*q.Enabled {
			e.disable(now, reasonByHand)
		}
		if err := insertEndpoint(ctx, tx, &e); err != nil {
			return err
		}
		return audit.Record(ctx, tx, "webhook.created", "webhook:"+e.ID.String(), map[string]any{"events": e.Events.V, "enabled": e.Enabled})
	})
	return Created{view(&e, s.clock()), secret}, err
}

// change lets fn change an endpoint and records it.
func (s *Service) change(ctx context.Context, of id.ID, action string, detail any, fn func(e *Endpoint, now db.Time) error) (View, error) {
	var e Endpoint
	err := s.db.Tx(ctx, func(tx *db.Tx) (err error) {
		if e, err = lockEndpoint(ctx, tx, of); err != nil {
			return err
		}
		e.UpdatedAt = tx.Now()
		if err := fn(&e, e.UpdatedAt); err != nil {
			return err
		}
		if err := saveEndpoint(ctx, tx, &e); err != nil {
			return err
		}
		tx.Wake(wakeName) // what waited for an endpoint that is enabled now
		return audit.Record(ctx, tx, action, "webhook:"+of.String(), detail)
	})
	if err != nil {
		return View{}, err
	}
	return view(&e, s.clock()), nil
}

// Patch changes what the request names. Enabling forgets earlier failures and lets go out what
// waited. Errors: unknown_webhook, invalid_url, address_refused, webhook_exists.
func (s *Service) Patch(ctx context.Context, q PatchRequest) (View, error) {
	if q.URL != nil {
		if err := checkURL(*q.URL, s.local); err != nil {
			return View{}, err
		}
	}
	return s.change(ctx, q.ID, "webhook.changed", q.named(), func(e *Endpoint, now db.Time) error {
		q.apply(e, now)
		return nil
	})
}

// Rotate gives the endpoint a new secret and returns it, once. For 24 hours messages are signed
// with the one before as well; the one before that ends at once. Error: unknown_webhook.
func (s *Service) Rotate(ctx context.Context, q NameRequest) (Created, error) {
	secret := newSecret()
	v, err := s.change(ctx, q.ID, "webhook.rotated", nil, func(e *Endpoint, now db.Time) error {
		e.rotate(now, s.vault.seal(e.Tenant, e.ID, secret))
		return nil
	})
	return Created{v, secret}, err
}

// List returns the tenant's endpoints, the oldest first.
func (s *Service) List(ctx context.Context, _ ListRequest) (page.List[View], error) {
	answer := page.List[View]{Items: []View{}}
	var list []Endpoint
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		list, err = endpoints(ctx, tx)
		return err
	})
	for i := range list {
		answer.Items = append(answer.Items, view(&list[i], s.clock()))
	}
	return answer, err
}

// Get returns an endpoint. Error: unknown_webhook.
func (s *Service) Get(ctx context.Context, q NameRequest) (View, error) {
	var e Endpoint
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		e, err = endpoint(ctx, tx, q.ID)
		return err
	})
	return view(&e, s.clock()), err
}

// Delete ends an endpoint: nothing goes out to it any more. Its deliveries are deleted after
// it; what a broken off deletion leaves goes when it is purged. Error: unknown_webhook.
func (s *Service) Delete(ctx context.Context, q NameRequest) error {
	err := s.db.Tx(ctx, func(tx *db.Tx) error {
		if err := deleteEndpoint(ctx, tx, q.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, "webhook.deleted", "webhook:"+q.ID.String(), nil)
	})
	for n := int64(chunk); err == nil && n == chunk; {
		err = s.db.Tx(ctx, func(tx *db.Tx) (err error) {
			n, err = dropDeliveries(ctx, tx, q.ID, chunk)
			return err
		})
	}
	return err
}

// Test sends a message without meaning. Errors: unknown_webhook, webhook_disabled.
func (s *Service) Test(ctx context.Context, q NameRequest) (Accepted, error) {
	var d Delivery
	err := s.db.Tx(ctx, func(tx *db.Tx) error {
		e, err := openEndpoint(ctx, tx, q.ID)
		if err != nil {
			return err
		}
		d = newDelivery(tx.Now(), &e, id.New(), testType)
		d.Data = `{"webhook_id":"` + e.ID.String() + `"}`
		tx.Wake(wakeName)
		return insertDelivery(ctx, tx, tx.Tenant(), &d)
	})
	return Accepted{viewDelivery(&d)}, err
}

func openEndpoint(ctx context.Context, tx *db.Tx, of id.ID) (Endpoint, error) {
	e, err := endpoint(ctx, tx, of)
	if err == nil {
		err = e.open()
	}
	return e, err
}

// Deliveries lists an endpoint's, the newest first. Errors: unknown_webhook, invalid_cursor.
func (s *Service) Deliveries(ctx context.Context, q DeliveriesRequest) (page.List[DeliveryView], error) {
	e, ok := tenantdir.From(ctx)
	if !ok {
		return page.List[DeliveryView]{}, errUnknownWebhook()
	}
	signer, before := s.cursors.For("webhook-deliveries", e.ID.String(), q.ID.String(), string(q.State)), id.ID("")
	if err := signer.Decode(q.Cursor, &before); err != nil {
		return page.List[DeliveryView]{}, err
	}
	var list []Delivery
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		if _, err := endpoint(ctx, tx, q.ID); err != nil {
			return err
		}
		var err error
		list, err = deliveries(ctx, tx, q.ID, q.State, before, q.Limit+1)
		return err
	})
	if err != nil {
		return page.List[DeliveryView]{}, err
	}
	views := make([]DeliveryView, len(list))
	for i := range list {
		views[i] = viewDelivery(&list[i])
	}
	return page.Cut(signer, views, q.Limit, func(last DeliveryView) any { return last.ID })
}

// GetDelivery returns one. Error: unknown_delivery.
func (s *Service) GetDelivery(ctx context.Context, q DeliveryRequest) (DeliveryView, error) {
	var d Delivery
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		d, err = delivery(ctx, tx, q.ID, q.Delivery)
		return err
	})
	return viewDelivery(&d), err
}

// Replay sends a delivery again, whatever became of it, under the id that it has.
// Errors: unknown_webhook, unknown_delivery, webhook_disabled.
func (s *Service) Replay(ctx context.Context, q DeliveryRequest) (Accepted, error) {
	var d Delivery
	err := s.db.Tx(ctx, func(tx *db.Tx) error {
		if _, err := openEndpoint(ctx, tx, q.ID); err != nil {
			return err
		}
		if err := revive(ctx, tx, q.ID, q.Delivery); err != nil {
			return err
		}
		tx.Wake(wakeName)
		var err error
		d, err = delivery(ctx, tx, q.ID, q.Delivery)
		return err
	})
	return Accepted{viewDelivery(&d)}, err
}

// ReplaySince sends again the deliveries of a state whose events happened since then. Asked
// again after a broken connection it goes on: what is pending already is left alone.
// Errors: unknown_webhook, webhook_disabled.
func (s *Service) ReplaySince(ctx context.Context, q ReplayRequest) (Replayed, error) {
	var r Replayed
	for after, n := id.ID(""), chunk; n == chunk; {
		var ids []id.ID
		err := s.db.Tx(ctx, func(tx *db.Tx) (err error) {
			if _, err = openEndpoint(ctx, tx, q.ID); err != nil {
				return err
			}
			tx.Wake(wakeName)
			ids, err = reviveSince(ctx, tx, q.ID, q.State, db.NewTime(q.Since), after, chunk)
			return err
		})
		if err != nil {
			return r, err
		}
		if n = len(ids); n > 0 {
			after = ids[n-1]
		}
		r.Deliveries += n
	}
	return r, nil
}

// unknownTypes names the types that no endpoint can ask for.
func unknownTypes(asked []string) (wrong []fault.Field) {
	known := " " + strings.Join(EventTypes(), " ") + " "
	for i, t := range asked {
		if strings.Contains(t, " ") || !strings.Contains(known, " "+t+" ") {
			wrong = append(wrong, eventField(i))
		}
	}
	return wrong
}
