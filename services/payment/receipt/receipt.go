package receipt

import (
	"context"
	"fmt"
	"slices"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
)

// Receipt is what both forms show. Values of facts are strings, amounts or times.
type Receipt struct {
	Language string // de, en
	Payee    string
	PaidAt   time.Time
	Number   string // Kassenzeichen
	Amount   money.Amount
	Facts    []Fact
	Items    []payment.Item
	Rates    []Rate
	Refunds  []payment.Refund // that succeeded
	Refunded money.Amount
}

// Fact is one line.
type Fact struct {
	Key   string
	Value any
}

// Rate sums up the items of one tax rate.
type Rate struct {
	Percent  string // as the client wrote it
	Net, Tax money.Amount
}

// text is the entry of Texts in the receipt's language.
func (r *Receipt) text(key string, args ...any) string {
	text := Texts[key][column(r.Language)]
	if len(args) > 0 {
		return fmt.Sprintf(text, args...)
	}
	return text
}

func column(language string) int {
	if language == "en" {
		return 1
	}
	return 0
}

// read returns the receipt of a transaction of the tenant.
// Errors: unknown_transaction, not_paid.
func (s *service) read(ctx context.Context, txID id.ID, language string) (*Receipt, error) {
	t, err := s.payments.Get(ctx, txID)
	if err != nil {
		return nil, err
	}
	if t.State != payment.Payed {
		return nil, fault.Conflict("not_paid", "there is a receipt only of what was paid; this transaction is not")
	}
	refunds, err := s.refunds(ctx, txID)
	if err != nil {
		return nil, err
	}
	e, _ := tenantdir.From(ctx)
	return newReceipt(&t, refunds, e.Name, language)
}

// refunds lists what was given back of the payment; a surplus was never part of it.
func (s *service) refunds(ctx context.Context, txID id.ID) ([]payment.Refund, error) {
	list, err := s.payments.Refunds(ctx, txID)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	history, err := s.payments.History(ctx, txID)
	if err != nil {
		return nil, err
	}
	var paidBy id.ID
	for _, h := range history {
		if h.What == "payed" {
			paidBy = h.Attempt
		}
	}
	return slices.DeleteFunc(list, func(r payment.Refund) bool {
		return r.State != payment.RefundSucceeded || r.EndedAt == nil || r.AttemptID != paidBy
	}), nil
}

func newReceipt(t *payment.Transaction, refunds []payment.Refund, payee, language string) (*Receipt, error) {
	items, err := t.ItemList.Items()
	if err != nil {
		return nil, err
	}
	paid := db.Time{}
	if t.EndedAt != nil {
		paid = *t.EndedAt
	}
	r := &Receipt{Language: language, Payee: payee, PaidAt: paid.Time, Number: t.Kassenzeichen, Amount: t.Amount, Items: items, Rates: rates(items), Refunds: refunds}
	for i := range items {
		if items[i].Description == "" {
			items[i].Description = items[i].Reference
		}
	}
	for i := range refunds {
		r.Refunded += refunds[i].Amount
	}
	r.Facts = []Fact{
		{r.text("payee"), payee},
		{r.text("subject"), t.Description},
		{r.text("kassenzeichen"), t.Kassenzeichen},
		{r.text("amount"), t.Amount},
		{r.text("currency"), t.Currency},
		{r.text("method"), r.method(t.Method, t.MethodDetail)},
		{r.text("paid_at"), paid.Time},
		{r.text("transaction"), t.ID.String()},
	}
	if r.Refunded > 0 {
		r.Facts = append(r.Facts, Fact{r.text("refunded"), r.Refunded}, Fact{r.text("left"), t.Amount - r.Refunded})
	}
	return r, nil
}

// rates sums the items up by tax rate, in their order.
func rates(items []payment.Item) (list []Rate) {
	for _, item := range items {
		i := slices.IndexFunc(list, func(r Rate) bool { return r.Percent == item.TaxRate })
		if i < 0 {
			list = append(list, Rate{Percent: item.TaxRate})
			i = len(list) - 1
		}
		list[i].Net += item.TotalNet
		list[i].Tax += item.TotalTax
	}
	return list
}

// method names how it was paid.
func (r *Receipt) method(m payment.Method, detail string) string {
	name := ""
	switch m {
	case payment.Giropay:
		name = "giropay"
	case payment.Paydirect:
		name = "paydirekt"
	case payment.PayPal:
		name = "PayPal"
	case payment.CreditCard:
		name = r.text("method.card")
	case payment.Other:
		switch detail {
		case "SEPA":
			return r.text("method.sepa")
		case payment.TransferProvider:
			return r.text("method.transfer")
		case "":
			return r.text("method.other")
		}
		return detail
	}
	if detail != "" {
		name += " (" + detail + ")"
	}
	return name
}
