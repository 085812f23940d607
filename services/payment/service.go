package payment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/page"
	"basisdienste/platform/tenantdir"
)

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	db       *db.DB
	dir      *tenantdir.Dir
	links    links
	cursors  page.Signer
	gateways map[string]Gateway
	cfg      Config
	known    *knownSettings
	numbers  *numbers
	lines    *lines
	zone     *time.Location // Germany's
	clock    func() time.Time
	log      *slog.Logger
}

// created is the answer that a repeated request gets again.
type created struct {
	ID            id.ID  `json:"id"`
	Kassenzeichen string `json:"kassenzeichen"`
}

// Create promises a payable transaction for the claim: stored, numbered and told, in one
// database transaction. No provider is asked, so none can be away.
//
// One claim is made once: a second request with the same originator, municipality and
// request id is refused, unless it is the same to the byte, carries an Idempotency-Key and
// comes within 24 hours; then it gets the first answer again.
// Errors: tenant_suspended, tenant_closing, unknown_originator, no_method_for_amount, booking_data_missing,
// payment_exists, kassenzeichen_exhausted, and those of Order.Check and package idem.
func (s *Service) Create(ctx context.Context, o Order) (Transaction, error) {
	e, ok := tenantdir.From(ctx)
	if !ok {
		return Transaction{}, errors.New("create: no tenant")
	}
	if err := e.Open(); err != nil {
		return Transaction{}, err
	}
	settings, err := s.known.of(e)
	if err != nil {
		return Transaction{}, err
	}
	if err := errors.Join(settings.knows(o.OriginatorID), o.Check(), settings.takes(o), settings.checkBooking(o)); err != nil {
		return Transaction{}, err
	}
	kz, err := settings.numbers(Authority(o.EndPointID))
	if err != nil {
		return Transaction{}, err
	}
	t, err := newTransaction(o, audit.Actor(ctx))
	if err != nil {
		return Transaction{}, err
	}
	first, err := idem.Tx(ctx, s.db, func(tx *db.Tx) (created, error) {
		now := tx.Now()
		local := now.In(s.zone)
		n, err := s.numbers.next(ctx, tx, kz.counter(local), kz.first)
		if err != nil {
			return created{}, err
		}
		if t.Kassenzeichen, err = kz.write(n, local); err != nil {
			return created{}, err
		}
		t.CreatedAt, t.ExpiresAt = now, db.NewTime(later(now.Time, o.DueAt).Add(time.Duration(settings.ExpireHours)*time.Hour))
		if err := insertTransaction(ctx, tx, &t); err != nil {
			return created{}, err
		}
		if err := bookClaim(ctx, tx, &t, o.Items, settings.Settings); err != nil {
			return created{}, err
		}
		return created{t.ID, t.Kassenzeichen}, tell(ctx, tx, &t)
	})
	if db.IsUnique(err) {
		first, err = s.repeated(ctx, &t)
	}
	t.ID, t.Kassenzeichen = first.ID, first.Kassenzeichen
	return t, err
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func newTransaction(o Order, actor string) (Transaction, error) {
	items, err := listItems(o.Items)
	if err != nil {
		return Transaction{}, err
	}
	content := o.Document
	if len(content) == 0 {
		if content, err = json.Marshal(o); err != nil {
			return Transaction{}, err
		}
	}
	var due *db.Time
	if !o.DueAt.IsZero() {
		due = new(db.NewTime(o.DueAt))
	}
	sum := sha256.Sum256(content)
	return Transaction{
		ID: id.New(), OriginatorID: o.OriginatorID, EndPointID: o.EndPointID, RequestID: o.RequestID, CreatedBy: actor,
		Amount: o.Amount, Currency: o.Currency, Purpose: o.Purpose, Description: o.subject(), RedirectURL: o.RedirectURL,
		ItemList: items, Document: string(o.Document), ContentHash: hex.EncodeToString(sum[:]), State: Initial,
		Metadata: o.Metadata, DueAt: due, Delayed: o.Delayed,
	}, nil
}

// repeated answers a request whose transaction exists.
func (s *Service) repeated(ctx context.Context, t *Transaction) (created, error) {
	var was Transaction
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		was, err = transactionOfRequest(ctx, tx, t.OriginatorID, t.EndPointID, t.RequestID)
		return err
	})
	switch {
	case errors.Is(err, db.ErrNoRows):
		return created{}, fmt.Errorf("kassenzeichen %s was given out before: the counter stands too low", t.Kassenzeichen)
	case err != nil:
		return created{}, err
	case idem.Key(ctx) == "" || was.ContentHash != t.ContentHash || t.CreatedAt.Sub(was.CreatedAt.Time) > idem.Keep:
		return created{}, fault.Conflict("payment_exists",
			"a payment with this requestId exists, send the same request with an Idempotency-Key within 24 hours to get its answer again")
	}
	return created{was.ID, was.Kassenzeichen}, nil
}

// Find returns the originator's transaction at the municipality, if it was asked for in the words
// of a standard. Error: unknown_transaction.
func (s *Service) Find(ctx context.Context, originator, endPoint, transactionID string) (t Transaction, err error) {
	txID, err := id.Parse(transactionID)
	if err != nil {
		return t, errUnknown()
	}
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		t, err = transaction(ctx, tx, txID)
		return err
	})
	if err == nil && (t.Document == "" || t.OriginatorID != originator || Authority(t.EndPointID) != Authority(endPoint)) {
		return Transaction{}, errUnknown()
	}
	return t, err
}

// PayURL is the address of the transaction's pay page, which needs no login; afterwards it
// shows the result. The transaction is one of ctx's tenant.
func (s *Service) PayURL(ctx context.Context, txID id.ID) string {
	e, _ := tenantdir.From(ctx)
	return s.links.url(e.ID, txID)
}

// Methods lists what payers at the tenant can use now, and what does not work. A method may
// stand in both, when one way to use it works and another does not.
func (s *Service) Methods(ctx context.Context, originator string) (up, down []Method, err error) {
	settings, err := s.settings(ctx, originator)
	if err != nil {
		return nil, nil, err
	}
	for _, o := range settings.Methods {
		if s.works(settings, o) {
			up = appendOnce(up, o.Method)
		} else {
			down = appendOnce(down, o.Method)
		}
	}
	return up, down, nil
}

func appendOnce(list []Method, m Method) []Method {
	if slices.Contains(list, m) {
		return list
	}
	return append(list, m)
}

// Maintenance lists the announced windows that are not over.
func (s *Service) Maintenance(ctx context.Context, originator string) ([]Window, error) {
	settings, err := s.settings(ctx, originator)
	if err != nil {
		return nil, err
	}
	now, list := s.clock(), []Window{}
	for _, w := range settings.Maintenance {
		if w.Until == nil || now.Before(*w.Until) {
			list = append(list, w)
		}
	}
	return list, nil
}

// own returns the settings of the tenant that ctx acts for.
func (s *Service) own(ctx context.Context) (*tenantSettings, error) {
	e, ok := tenantdir.From(ctx)
	if !ok {
		return nil, errors.New("settings: no tenant")
	}
	return s.known.of(e)
}

func (s *Service) settings(ctx context.Context, originator string) (Settings, error) {
	settings, err := s.own(ctx)
	if err != nil {
		return Settings{}, err
	}
	return settings.Settings, settings.knows(originator)
}

// Get returns a transaction of the tenant. Error: unknown_transaction.
func (s *Service) Get(ctx context.Context, txID id.ID) (t Transaction, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		t, err = transaction(ctx, tx, txID)
		return err
	})
	return t, err
}

// List returns the tenant's transactions that pass the filter, the newest first.
func (s *Service) List(ctx context.Context, f Filter) (list []Transaction, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		list, err = transactions(ctx, tx, f)
		return err
	})
	return list, err
}

// History lists what happened to a transaction, the first first. Error: unknown_transaction.
func (s *Service) History(ctx context.Context, txID id.ID) (list []HistoryEntry, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		t, err := transaction(ctx, tx, txID)
		if err != nil {
			return err
		}
		later, err := history(ctx, tx, txID)
		list = append([]HistoryEntry{{What: "created", State: Initial, Actor: t.CreatedBy, At: t.CreatedAt}}, later...)
		return err
	})
	return list, err
}
