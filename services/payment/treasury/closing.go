package treasury

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
	"basisdienste/platform/money"
	"basisdienste/services/payment"
	"basisdienste/services/payment/ledger"
)

// settled is how long after midnight a day is over: what was begun before has ended by then.
const settled = 10 * time.Minute

// period is one or more days of Germany.
type period struct {
	first, last string    // days, both included
	from, until time.Time // until is excluded
}

// periodOf reads the days. Errors: invalid_day, invalid_period.
func (s *service) periodOf(first, last string) (p period, err error) {
	p.first, p.last = first, last
	for _, d := range []struct {
		text string
		at   *time.Time
	}{{first, &p.from}, {last, &p.until}} {
		if *d.at, err = time.ParseInLocation(time.DateOnly, d.text, s.zone); err != nil || d.at.Year() < 2000 {
			return p, fault.Invalid("invalid_day", "a day is a date such as 2026-11-20").Because(err)
		}
	}
	p.until = p.until.AddDate(0, 0, 1)
	if !p.from.Before(p.until) || p.until.Sub(p.from) > 367*24*time.Hour {
		return p, fault.Invalid("invalid_period", "a period ends on the day it begins or later, and lasts a year at most")
	}
	return p, nil
}

// over reports whether nothing is booked in the period any more.
func (s *service) over(p period) bool { return !s.clock().Before(p.until.Add(settled)) }

// sum of bookings.
type sum struct {
	Count  int64        `json:"count" db:"count"`
	Amount money.Amount `json:"amount" db:"amount"`
}

func (s *sum) add(more sum) { s.Count, s.Amount = s.Count+more.Count, s.Amount+more.Amount }

// Closing of a day: what was booked, and how the accounts stand.
type Closing struct {
	Day      string      `json:"day"`
	From     time.Time   `json:"from"`
	Until    time.Time   `json:"until"` // excluded
	Final    bool        `json:"final"` // the day is over: it is the same from now on
	Number   int64       `json:"number,omitempty"`
	MadeAt   *db.Time    `json:"made_at,omitempty"`
	Bookings []kindSum   `json:"bookings"`
	Methods  []methodSum `json:"methods"` // of the payments of the day
	Lines    []lineSum   `json:"budget_lines"`
	Accounts []account   `json:"accounts"`
	Checks   []check     `json:"checks"`
	// Difference is the sum of the checks' differences that nothing explains.
	Difference money.Amount `json:"difference"`
}

type kindSum struct {
	Kind ledger.Kind `json:"kind" db:"kind"`
	sum
}

type methodSum struct {
	Method payment.Method `json:"method" db:"method"`
	Detail string         `json:"method_detail,omitempty" db:"method_detail"`
	sum
}

// lineSum is what a budget line earned: claims less what was dropped, and what was paid of
// them less what was given back.
type lineSum struct {
	Line    string       `json:"budget_line"`
	Claimed money.Amount `json:"claimed"`
	Dropped money.Amount `json:"dropped"`
	Paid    sum          `json:"paid"`
	Back    money.Amount `json:"refunded"`
}

type account struct {
	Account ledger.Account `json:"account"`
	Opening money.Amount   `json:"opening"`
	Debit   money.Amount   `json:"debit"`  // what it got
	Credit  money.Amount   `json:"credit"` // what it gave
	Closing money.Amount   `json:"closing"`
}

// check holds the ledger against something else that has to agree.
type check struct {
	What       string       `json:"what"`
	Ledger     money.Amount `json:"ledger"`
	Other      money.Amount `json:"transactions"`
	Explained  money.Amount `json:"explained"` // claims of a release that kept no books
	Difference money.Amount `json:"difference"`
}

// kinds in the order of a closing.
var kinds = []ledger.Kind{
	ledger.Claim, ledger.Dropped, ledger.Paid, ledger.Overpaid, ledger.Refund, ledger.RefundFailed, ledger.Fee, ledger.Payout,
	ledger.PayoutFailed, ledger.Dispute, ledger.DisputeWon, ledger.DisputeLost,
}

// closingRequest names a day.
type closingRequest struct{ day string }

// FromHTTP reads the path.
func (q *closingRequest) FromHTTP(r *http.Request) error {
	q.day = r.PathValue("day")
	return nil
}

// closing answers with the stored closing of a day that is over, and with what is known of
// one that is not. Errors: invalid_day, day_ahead.
func (s *service) closing(ctx context.Context, q closingRequest) (kit.Raw, error) {
	p, err := s.periodOf(q.day, q.day)
	switch {
	case err != nil:
		return kit.Raw{}, err
	case s.clock().Before(p.from):
		return kit.Raw{}, fault.Invalid("day_ahead", "the day has not begun yet")
	}
	const tries = 5 // others may take the number, or make the same closing
	for range tries {
		var body string
		err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
			body, err = closingOf(ctx, tx, p.first)
			return err
		})
		if err == nil {
			return raw(body), nil
		}
		if !errors.Is(err, db.ErrNoRows) {
			return kit.Raw{}, err
		}
		c, err := s.sums(ctx, p)
		if err != nil {
			return kit.Raw{}, err
		}
		if !c.Final {
			text, err := json.Marshal(c)
			return raw(string(text)), err
		}
		if err := s.keep(ctx, &c); err != nil && !db.IsUnique(err) {
			return kit.Raw{}, err
		}
	}
	return kit.Raw{}, fault.Unavailable("closing_busy", "many closings are made at the moment; try again").After(time.Second)
}

func raw(body string) kit.Raw { return kit.Raw{Type: "application/json", Body: []byte(body)} }

// keep stores a closing with the next number.
func (s *service) keep(ctx context.Context, c *Closing) error {
	return s.db.Tx(ctx, func(tx *db.Tx) (err error) {
		now := tx.Now()
		c.MadeAt = &now
		if c.Number, err = nextClosing(ctx, tx); err != nil {
			return err
		}
		body, err := json.Marshal(c)
		if err != nil {
			return err
		}
		return insertClosing(ctx, tx, c, string(body))
	})
}

// sums makes the closing of a day from one snapshot of the ledger. It takes memory for each
// account, not for each booking.
func (s *service) sums(ctx context.Context, p period) (c Closing, err error) {
	c = Closing{Day: p.first, From: p.from.UTC(), Until: p.until.UTC(), Final: s.over(p)}
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		moved, err := turnovers(ctx, tx, p)
		if err != nil {
			return err
		}
		opening, err := ledger.Balances(ctx, tx, p.from)
		if err != nil {
			return err
		}
		paid, err := paidShares(ctx, tx, p)
		if err != nil {
			return err
		}
		c.Bookings, c.Methods = bookingsOf(moved), methodsOf(paid)
		c.Lines = linesOf(moved, paid)
		c.Accounts = accountsOf(opening, moved)
		return c.check(ctx, tx, p, moved)
	})
	return c, err
}

// bookingsOf sums up by kind: those of kinds in their order, then others.
func bookingsOf(moved []turnover) []kindSum {
	list := make([]kindSum, len(kinds))
	for i, k := range kinds {
		list[i].Kind = k
	}
	for _, t := range moved {
		i := slices.IndexFunc(list, func(k kindSum) bool { return k.Kind == t.Kind })
		if i < 0 {
			i, list = len(list), append(list, kindSum{Kind: t.Kind})
		}
		list[i].add(t.sum)
	}
	return list
}

// methodsOf sums up by method.
func methodsOf(paid []paidShare) []methodSum {
	list := []methodSum{}
	for _, p := range paid {
		i := slices.IndexFunc(list, func(m methodSum) bool { return m.Method == p.Method && m.Detail == p.Detail })
		if i < 0 {
			i, list = len(list), append(list, methodSum{Method: p.Method, Detail: p.Detail})
		}
		list[i].add(sum{p.Payments, p.Amount})
	}
	slices.SortFunc(list, func(a, b methodSum) int {
		return cmp.Or(cmp.Compare(a.Method, b.Method), cmp.Compare(a.Detail, b.Detail))
	})
	return list
}

// linesOf sums up by budget line.
func linesOf(moved []turnover, paid []paidShare) []lineSum {
	byLine := map[string]*lineSum{}
	at := func(line string) *lineSum {
		if byLine[line] == nil {
			byLine[line] = &lineSum{Line: line}
		}
		return byLine[line]
	}
	for _, t := range moved {
		if line, ok := t.Credit.BudgetLine(); ok {
			if t.Kind == ledger.Claim {
				at(line).Claimed += t.Amount
			} else {
				at(line).Back -= t.Amount
			}
		}
		if line, ok := t.Debit.BudgetLine(); ok {
			if t.Kind == ledger.Dropped {
				at(line).Dropped += t.Amount
			} else {
				at(line).Back += t.Amount
			}
		}
	}
	for _, p := range paid {
		if line, ok := p.Account.BudgetLine(); ok {
			at(line).Paid.add(p.sum)
		}
	}
	lines := []lineSum{}
	for _, l := range byLine {
		lines = append(lines, *l)
	}
	slices.SortFunc(lines, func(a, b lineSum) int { return cmp.Compare(a.Line, b.Line) })
	return lines
}

// accountsOf lists the accounts that have a balance or were moved.
func accountsOf(opening map[ledger.Account]money.Amount, moved []turnover) []account {
	byName := map[ledger.Account]*account{}
	at := func(name ledger.Account) *account {
		if byName[name] == nil {
			byName[name] = &account{Account: name}
		}
		return byName[name]
	}
	for name, amount := range opening {
		if amount != 0 {
			at(name).Opening = amount
		}
	}
	for _, t := range moved {
		at(t.Debit).Debit += t.Amount
		at(t.Credit).Credit += t.Amount
	}
	list := []account{}
	for _, a := range byName {
		a.Closing = a.Opening + a.Debit - a.Credit
		list = append(list, *a)
	}
	slices.SortFunc(list, func(a, b account) int { return cmp.Compare(a.Account, b.Account) })
	return list
}

// check adds the checks: the accounts sum to zero; the payments booked are the transactions
// that were paid; the claims that are owed are the transactions that are open.
func (c *Closing) check(ctx context.Context, tx *db.Tx, p period, moved []turnover) error {
	var all, owed, paid money.Amount
	for _, a := range c.Accounts {
		all += a.Closing
		if a.Account == ledger.Claims {
			owed = a.Closing
		}
	}
	for _, t := range moved {
		if t.Kind == ledger.Paid {
			paid += t.Amount
		}
	}
	transactions, err := transactionSums(ctx, tx, p)
	if err != nil {
		return err
	}
	c.Checks = []check{
		{What: "sum_of_accounts", Ledger: all},
		{What: "payments", Ledger: paid, Other: transactions.Paid},
		{What: "open_claims", Ledger: owed, Other: transactions.Open},
	}
	if owed != transactions.Open {
		if c.Checks[2].Explained, err = unbooked(ctx, tx, p); err != nil {
			return err
		}
	}
	for i := range c.Checks {
		k := &c.Checks[i]
		k.Difference = k.Other - k.Ledger - k.Explained
		c.Difference += max(k.Difference, -k.Difference)
	}
	return nil
}
