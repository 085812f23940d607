package payment

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
)

// State of a transaction. All but Initial are final.
type State string

// The states: INITIAL → PAYED | FAILED | CANCELED | EXPIRED.
const (
	// Initial: nobody has paid; also while a payer broke off one method and may choose another.
	Initial State = "INITIAL"
	// Payed: the money is the municipality's.
	Payed State = "PAYED"
	// Failed: ended by us because of what the payer did: too many declined attempts.
	Failed State = "FAILED"
	// Canceled: ended by the payer, or withdrawn by the municipality.
	Canceled State = "CANCELED"
	// Expired: ended by us because nobody paid in time.
	Expired State = "EXPIRED"
)

// Told is the state in the words of XBezahldienste, which has no EXPIRED: it is FAILED, for
// the service ended it and not the payer; the reason "expired" tells it apart.
func (s State) Told() State {
	if s == Expired {
		return Failed
	}
	return s
}

// Reasons of an end.
const (
	ReasonExpired  = "expired"
	ReasonDeclined = "too_many_declined"
	ReasonPayer    = "canceled_by_payer"
	ReasonSurplus  = "paid_after_end"
	ReasonService  = "withdrawn" // by the municipality
)

// Method is how money comes in, in the words of XBezahldienste. Everything newer than its
// list is OTHER with a detail.
type Method string

// The methods of XBezahldienste 1.2.0. GIROPAY and PAYDIRECT have ended in 2024.
const (
	Giropay    Method = "GIROPAY"
	Paydirect  Method = "PAYDIRECT"
	CreditCard Method = "CREDITCARD"
	PayPal     Method = "PAYPAL"
	Other      Method = "OTHER"
)

var methods = []Method{Giropay, Paydirect, CreditCard, PayPal, Other}

// Item is one position of a claim. Amounts are cents; total = quantity × single.
type Item struct {
	ID          string            `json:"id"`
	Reference   string            `json:"reference"`
	Description string            `json:"description,omitempty"`
	TaxRate     string            `json:"tax_rate"` // percent, as the client wrote it
	Quantity    int64             `json:"quantity"`
	SingleNet   money.Amount      `json:"single_net"`
	SingleTax   money.Amount      `json:"single_tax"`
	TotalNet    money.Amount      `json:"total_net"`
	TotalTax    money.Amount      `json:"total_tax"`
	BookingData map[string]string `json:"booking_data,omitempty"`
}

// Order asks for a transaction.
type Order struct {
	OriginatorID string // the online service
	EndPointID   string // ARS or AGS
	RequestID    string // the client's own id of this claim
	Amount       money.Amount
	Currency     string
	Purpose      string // 0 to 27 characters
	Description  string
	RedirectURL  string // where the browser goes in the end; empty: nowhere, the result page is the end
	Items        []Item
	Metadata     Metadata
	DueAt        time.Time // when the payer should have paid, at the latest; zero: at once
	Delayed      bool      // the money is held first, and taken when the municipality says so
	// Document is the request in the words of the standard it came by; it is kept and given
	// back, never read.
	Document []byte
}

// Currency is the only one.
const Currency = "EUR"

// Check holds the claim against the rules that no schema can say: sums, currency, a URL that
// a browser may be sent to. Errors: invalid_currency, invalid_redirect_url, calculation_error.
func (o Order) Check() error {
	if o.Currency != Currency {
		return fault.Invalid("invalid_currency", "the currency must be EUR").
			With(fault.Field{Name: "/currency", Code: "invalid_currency", Detail: "must be EUR"})
	}
	if u, err := url.Parse(o.RedirectURL); o.RedirectURL != "" && (err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil) {
		return fault.Invalid("invalid_redirect_url", "the redirectUrl must be an absolute http or https URL without user name").
			With(fault.Field{Name: "/redirectUrl", Code: "invalid_redirect_url", Detail: "must be an absolute http or https URL without user name"})
	}
	var sum money.Amount
	for _, i := range o.Items {
		if money.Amount(i.Quantity)*i.SingleNet != i.TotalNet || money.Amount(i.Quantity)*i.SingleTax != i.TotalTax {
			return fault.Invalid("calculation_error", "the totals of item %s are not quantity times single amounts", i.ID)
		}
		sum += i.TotalNet + i.TotalTax
	}
	if sum != o.Amount {
		return fault.Invalid("calculation_error", "the grossAmount is %s but the items sum up to %s", o.Amount, sum)
	}
	return nil
}

// Authority is the AGS of the municipality that an ARS or AGS names. Both keys lead to the
// same claims, so that a client that changes the form of its key does not charge twice.
func Authority(endPointID string) string {
	if len(endPointID) == 12 {
		return endPointID[:5] + endPointID[9:]
	}
	return endPointID
}

// ItemList is items as they are stored: read by who looks at them.
type ItemList string

func listItems(items []Item) (ItemList, error) {
	text, err := json.Marshal(items)
	return ItemList(text), err
}

// Items reads the list.
func (l ItemList) Items() (items []Item, err error) {
	if err = json.Unmarshal([]byte(l), &items); err != nil {
		return nil, fmt.Errorf("stored items: %w", err)
	}
	return items, nil
}

// Transaction is one claim of a municipality against one payer, from the request to its end.
type Transaction struct {
	ID            id.ID        `db:"id"`
	OriginatorID  string       `db:"originator_id"`
	EndPointID    string       `db:"end_point_id"`
	RequestID     string       `db:"request_id"`
	CreatedBy     string       `db:"created_by"` // see audit.Actor
	Amount        money.Amount `db:"amount"`
	Currency      string       `db:"currency"`
	Purpose       string       `db:"purpose"`
	Description   string       `db:"description"` // for the payer; never empty
	RedirectURL   string       `db:"redirect_url"`
	ItemList      ItemList     `db:"items"`
	Document      string       `db:"document"`
	ContentHash   string       `db:"content_hash"` // SHA-256 of Document
	Kassenzeichen string       `db:"kassenzeichen"`
	State         State        `db:"state"`
	Reason        string       `db:"reason"` // snake_case; empty for INITIAL and PAYED
	Method        Method       `db:"method"` // empty until PAYED
	MethodDetail  string       `db:"method_detail"`
	Declines      int          `db:"declines"`
	Metadata      Metadata     `db:"metadata"`
	DueAt         *db.Time     `db:"due_at"`
	Delayed       bool         `db:"delayed"`
	CreatedAt     db.Time      `db:"created_at"`
	ExpiresAt     db.Time      `db:"expires_at"`
	EndedAt       *db.Time     `db:"ended_at"`
}

// Final reports whether nothing will change any more.
func (t *Transaction) Final() bool { return t.State != Initial }

// Pay ends the transaction with the money received. Error: transaction_final.
func (t *Transaction) Pay(now db.Time, m Method, detail string) error {
	if err := t.end(now, Payed, ""); err != nil {
		return err
	}
	t.Method, t.MethodDetail = m, detail
	return nil
}

// Decline counts an attempt that was refused; after most of them the transaction has failed.
// Error: transaction_final.
func (t *Transaction) Decline(now db.Time, most int) error {
	if t.Final() {
		return errFinal(t.State)
	}
	if t.Declines++; t.Declines >= most {
		return t.end(now, Failed, ReasonDeclined)
	}
	return nil
}

// Cancel is the payer's own end. What the municipality asked for, with a day on which it is due,
// only the municipality can end. Errors: transaction_final, payment_due.
func (t *Transaction) Cancel(now db.Time) error {
	if t.DueAt != nil && !t.Final() {
		return fault.Conflict("payment_due", "the municipality has asked for this payment; only it can take that back")
	}
	return t.end(now, Canceled, ReasonPayer)
}

// Withdraw is the municipality's own end: it does not want the money any more.
// Error: transaction_final.
func (t *Transaction) Withdraw(now db.Time) error { return t.end(now, Canceled, ReasonService) }

// Expire ends what nobody paid in time. Errors: transaction_final, not_expired.
func (t *Transaction) Expire(now db.Time) error {
	if !t.Final() && now.Before(t.ExpiresAt.Time) {
		return fault.Conflict("not_expired", "the transaction can be paid until %s", t.ExpiresAt.Format(time.RFC3339))
	}
	return t.end(now, Expired, ReasonExpired)
}

func (t *Transaction) end(now db.Time, s State, reason string) error {
	if t.Final() {
		return errFinal(t.State)
	}
	t.State, t.Reason, t.EndedAt = s, reason, &now
	return nil
}

func errFinal(s State) error {
	word := strings.ToLower(string(s))
	if s == Payed {
		word = "paid"
	}
	return fault.Conflict("transaction_final", "the transaction is %s already and stays so", word)
}

// subject says in a few words what is paid.
func (o *Order) subject() string {
	for _, text := range []string{o.Description, o.Purpose} {
		if text != "" {
			return text
		}
	}
	if len(o.Items) > 0 && o.Items[0].Description != "" {
		return o.Items[0].Description
	}
	return o.OriginatorID
}
