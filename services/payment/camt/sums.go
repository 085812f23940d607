package camt

import "basisdienste/platform/money"

// tally is a number of entries and their sum.
type tally struct {
	number int64
	sum    money.Amount
}

func (t *tally) add(a money.Amount) { t.number, t.sum = t.number+1, t.sum+a }

// summary is what a TxsSummry says; nil is what it does not say.
type summary struct {
	all, credits, debits struct {
		number *int64
		sum    *money.Amount
	}
	net *money.Amount
}

// readSummary reads a TxsSummry. Its net is an amount and a sign beside each other in version
// 02, and an element of its own in version 08.
func (s *book) readSummary() error {
	return s.children(func(name string) error {
		into := &s.summary.all
		switch name {
		case "TtlNtries":
		case "TtlCdtNtries":
			into = &s.summary.credits
		case "TtlDbtNtries":
			into = &s.summary.debits
		default:
			return s.skip()
		}
		var net *money.Amount
		credit := true
		var child func(name string) error
		child = func(name string) (err error) {
			switch name {
			case "NbOfNtries":
				var n int64
				n, err = s.count()
				into.number = &n
			case "Sum":
				var a money.Amount
				a, err = s.decimal()
				into.sum = &a
			case "TtlNetNtry":
				err = s.children(child)
			case "TtlNetNtryAmt", "Amt":
				var a money.Amount
				a, err = s.decimal()
				net = &a
			case "CdtDbtInd":
				credit, err = s.credit()
			default:
				err = s.skip()
			}
			return err
		}
		if err := s.children(child); err != nil {
			return err
		}
		if net != nil && into == &s.summary.all {
			a := signed(*net, credit)
			s.summary.net = &a
		}
		return nil
	})
}

// counted adds an entry that was read.
func (s *book) counted(m *Move) {
	t := &s.out
	if m.Credit {
		t = &s.in
	}
	t.add(m.Amount)
	switch {
	case !m.Booked:
	case m.Credit:
		s.Credits += m.Amount
	default:
		s.Debits += m.Amount
	}
}

// check holds what was read against the sums and balances of the statement. It is called at
// the statement's end.
func (s *book) check() error {
	all := tally{s.in.number + s.out.number, s.in.sum + s.out.sum}
	for _, c := range []struct {
		what   string
		got    tally
		number *int64
		sum    *money.Amount
	}{
		{"entries", all, s.summary.all.number, s.summary.all.sum},
		{"credit entries", s.in, s.summary.credits.number, s.summary.credits.sum},
		{"debit entries", s.out, s.summary.debits.number, s.summary.debits.sum},
	} {
		if c.number != nil && *c.number != c.got.number {
			return s.errorf("the statement has %d %s, but its summary says %d", c.got.number, c.what, *c.number)
		}
		if c.sum != nil && *c.sum != c.got.sum {
			return s.errorf("the %s sum up to %s, but the summary says %s", c.what, c.got.sum, c.sum)
		}
	}
	if net := s.in.sum - s.out.sum; s.summary.net != nil && *s.summary.net != net {
		return s.errorf("the entries come to %s, but the summary says %s", net, s.summary.net)
	}
	return s.balanced()
}

// balanced holds the entries against the balances, which a statement has and a notification
// may have.
func (s *book) balanced() error {
	if s.Opening == nil && len(s.interim) > 0 {
		s.Opening, s.interim = &s.interim[0], s.interim[1:]
	}
	if s.Closing == nil && len(s.interim) > 0 {
		s.Closing = &s.interim[len(s.interim)-1]
	}
	switch {
	case s.Opening != nil && s.Closing != nil:
	case s.Kind == Notice054:
		return nil
	case s.Opening == nil:
		return s.errorf("the statement has no opening balance (OPBD or PRCD)")
	default:
		return s.errorf("the statement has no closing balance (CLBD)")
	}
	if sum := *s.Opening + s.Credits - s.Debits; sum != *s.Closing {
		return s.errorf("the opening balance %s and the entries make %s, but the closing balance is %s", s.Opening, sum, s.Closing)
	}
	return nil
}
