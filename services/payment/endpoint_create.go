package payment

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
)

// OwnOriginator names claims that a municipality makes by itself, without an online service.
// Each municipality takes them.
const OwnOriginator = "own"

// Bounds of a claim in our own API: those of XBezahldienste, so that each treasury can book it.
const maxClaim money.Amount = 999_999_00

const (
	maxItems       = 99
	maxQuantity    = 999_999
	maxBookingData = 99
	maxKey         = 36  // characters
	maxText        = 250 // characters
	maxPurpose     = 27
	maxURL         = 2082
	longestDue     = 2 // years
)

// ClaimRequest asks for a transaction in our own API. What is left out has a default: the
// originator is the municipality itself, the end point is its own key, the request has an id of
// ours, and without items there is one.
type ClaimRequest struct {
	OriginatorID string            `json:"originator_id"`
	EndPointID   string            `json:"end_point_id"`
	RequestID    string            `json:"request_id"`
	Amount       money.Amount      `json:"amount"`
	Purpose      string            `json:"purpose"`
	Description  string            `json:"description"`
	RedirectURL  string            `json:"redirect_url"`
	DueOn        string            `json:"due_on"` // a day in Germany
	Delayed      bool              `json:"delayed_capture"`
	Metadata     Metadata          `json:"metadata"`
	BookingData  map[string]string `json:"booking_data"` // of the one item
	Items        []Item            `json:"items"`
}

// Validate implements the check of package kit.
// Errors: claim_invalid with every wrong field, invalid_metadata.
func (q *ClaimRequest) Validate() error {
	var wrong []fault.Field
	say := func(name, detail string) {
		wrong = append(wrong, fault.Field{Name: "/" + name, Code: "claim_invalid", Detail: detail})
	}
	text := func(name, s string, least, most int) {
		if n := utf8.RuneCountInString(s); n < least || n > most || strings.ContainsFunc(s, unicode.IsControl) {
			say(name, fmt.Sprintf("%d to %d characters on one line", least, most))
		}
	}
	text("originator_id", q.OriginatorID, 0, maxKey)
	text("request_id", q.RequestID, 0, maxKey)
	text("purpose", q.Purpose, 0, maxPurpose)
	text("description", q.Description, 0, maxText)
	text("redirect_url", q.RedirectURL, 0, maxURL)
	if q.Purpose == "" && q.Description == "" {
		say("description", "say to the payer what is paid, here or in purpose")
	}
	if q.Amount <= 0 || q.Amount > maxClaim {
		say("amount", "above zero, at most "+maxClaim.String())
	}
	if _, err := time.Parse(time.DateOnly, q.DueOn); q.DueOn != "" && err != nil {
		say("due_on", "a day such as 2026-12-24")
	}
	bookingData := func(name string, data map[string]string) {
		if len(data) > maxBookingData {
			say(name, fmt.Sprintf("at most %d entries", maxBookingData))
		}
		for key, value := range data {
			text(name, key, 1, maxText)
			text(name, value, 0, maxText)
		}
	}
	bookingData("booking_data", q.BookingData)
	if len(q.Items) > 0 && len(q.BookingData) > 0 {
		say("booking_data", "each item has its own")
	}
	if len(q.Items) > maxItems {
		say("items", fmt.Sprintf("at most %d", maxItems))
		q.Items = q.Items[:maxItems]
	}
	for i := range q.Items {
		item, at := &q.Items[i], "items/"+strconv.Itoa(i)+"/"
		text(at+"id", item.ID, 1, maxKey)
		text(at+"reference", item.Reference, 1, maxKey)
		text(at+"description", item.Description, 0, maxText)
		if rate, err := money.Parse(item.TaxRate); err != nil || rate < 0 || rate > 100_00 {
			say(at+"tax_rate", "percent such as 19 or 7.5")
		}
		if item.Quantity < 1 || item.Quantity > maxQuantity {
			say(at+"quantity", fmt.Sprintf("1 to %d", maxQuantity))
		}
		if slices.ContainsFunc([]money.Amount{item.SingleNet, item.SingleTax, item.TotalNet, item.TotalTax}, func(a money.Amount) bool { return a < 0 || a > maxClaim }) {
			say(at+"total_net", "amounts are not below zero, and at most "+maxClaim.String())
		}
		bookingData(at+"booking_data", item.BookingData)
	}
	if len(wrong) > 0 {
		return fault.Invalid("claim_invalid", "the claim cannot be made like this; see the fields").With(wrong...)
	}
	return q.Metadata.check()
}

// order fills in what was left out. Error: claim_invalid.
func (s *Service) order(ctx context.Context, q ClaimRequest) (Order, error) {
	o := Order{
		OriginatorID: q.OriginatorID, EndPointID: q.EndPointID, RequestID: q.RequestID, Amount: q.Amount, Currency: Currency,
		Purpose: q.Purpose, Description: q.Description, RedirectURL: q.RedirectURL, Items: q.Items, Metadata: q.Metadata, Delayed: q.Delayed,
	}
	wrong := func(name, detail string) error {
		return fault.Invalid("claim_invalid", "the claim cannot be made like this; see the fields").With(fault.Field{Name: "/" + name, Code: "claim_invalid", Detail: detail})
	}
	if o.OriginatorID == "" {
		o.OriginatorID = OwnOriginator
	}
	if o.RequestID == "" {
		o.RequestID = id.New().String()
	}
	e, _ := tenantdir.From(ctx)
	switch {
	case o.EndPointID == "" && len(e.Keys) == 0:
		return o, wrong("end_point_id", "this municipality has no key of its own; name one")
	case o.EndPointID == "":
		o.EndPointID = e.Keys[0]
	case !slices.Contains(e.Keys, o.EndPointID):
		return o, wrong("end_point_id", "no ARS or AGS of this municipality")
	}
	if len(o.Items) == 0 {
		o.Items = []Item{{
			ID: "1", Reference: "1", Description: o.subject(), TaxRate: "0", Quantity: 1, SingleNet: o.Amount, TotalNet: o.Amount, BookingData: q.BookingData,
		}}
	}
	if q.DueOn == "" {
		return o, nil
	}
	day, err := time.ParseInLocation(time.DateOnly, q.DueOn, s.zone)
	if err != nil {
		return o, err
	}
	o.DueAt = day.AddDate(0, 0, 1).Add(-time.Second) // the day's last second
	if now := s.clock(); o.DueAt.Before(now) || o.DueAt.After(now.AddDate(longestDue, 0, 0)) {
		return o, wrong("due_on", fmt.Sprintf("today at the earliest, in %d years at the latest", longestDue))
	}
	return o, nil
}

// ClaimAnswer is a new transaction.
type ClaimAnswer struct{ TransactionView }

// StatusCode implements what kit asks of answers.
func (ClaimAnswer) StatusCode() int { return http.StatusCreated }

// claim makes a transaction. With an Idempotency-Key it may be repeated.
func (s *Service) claim(ctx context.Context, q ClaimRequest) (ClaimAnswer, error) {
	o, err := s.order(ctx, q)
	if err != nil {
		return ClaimAnswer{}, err
	}
	made, err := s.Create(ctx, o)
	if err != nil {
		return ClaimAnswer{}, err
	}
	v, err := s.get(ctx, GetRequest{made.ID}) // what is stored: the answer may be of an earlier request
	return ClaimAnswer{v}, err
}
