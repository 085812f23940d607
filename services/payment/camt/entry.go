package camt

import "basisdienste/platform/money"

// entry is a Ntry while it is read. A batch is given out transaction by transaction. The amount
// of a single transaction is that of its entry, since that is what moved on the account: its
// own may be in another currency, or before charges.
type entry struct {
	*book
	head struct { // what has to be known before the transactions
		Move
		amount, credit, status bool
	}
	held  *part // the transaction before, until it is known whether another follows
	parts int64
	total money.Amount // of the transactions, below zero where more went out than came in
}

// part is one TxDtls. Without an amount of its own it can only be the single one.
type part struct {
	Move
	amount bool
}

func (s *book) entry() error {
	if err := s.headed(); err != nil {
		return err
	}
	e := &entry{book: s}
	s.Entries++
	e.head.Entry = s.Entries
	e.head.Line, _ = s.d.InputPos()
	if err := s.children(e.child); err != nil {
		return err
	}
	if err := e.known(); err != nil {
		return err
	}
	if err := e.last(); err != nil {
		return err
	}
	s.counted(&e.head.Move)
	return nil
}

func (e *entry) child(name string) (err error) {
	h := &e.head
	switch name {
	case "Amt":
		h.amount = true
		h.Amount, err = e.amount()
	case "CdtDbtInd":
		h.credit = true
		h.Credit, err = e.credit()
	case "RvslInd":
		h.Reversal, err = e.truth()
	case "Sts":
		h.status = true
		err = e.status()
	case "BookgDt":
		h.BookedOn, err = e.date()
	case "ValDt":
		h.ValueOn, err = e.date()
	case "AcctSvcrRef":
		h.Reference, err = e.reference()
	case "NtryDtls":
		if err := e.known(); err != nil {
			return err
		}
		err = e.details()
	default:
		err = e.skip()
	}
	return err
}

func (e *entry) status() error {
	code, err := e.code()
	switch code {
	case "BOOK":
		e.head.Booked = true
	case "PDNG", "INFO", "FUTR":
	default:
		if err == nil {
			err = e.errorf("<Sts> is %.10q, want BOOK, PDNG, INFO or FUTR", code)
		}
	}
	return err
}

// known makes sure that the entry's own data are there: ISO 20022 has them before the details.
func (e *entry) known() error {
	for name, there := range map[string]bool{"Amt": e.head.amount, "CdtDbtInd": e.head.credit, "Sts": e.head.status} {
		if !there {
			return e.errorf("the entry has no <%s>, or not before its details", name)
		}
	}
	if e.head.Booked && e.head.BookedOn == "" && e.Kind == Statement053 {
		return e.errorf("the entry is booked and has no <BookgDt>")
	}
	return nil
}

// details reads a NtryDtls, whose batch says how many transactions follow and what they sum up to.
func (e *entry) details() error {
	const none = -1
	number, sum := int64(none), money.Amount(none)
	before, moved, credit := e.parts, e.moved(), e.head.Credit
	err := e.children(func(name string) error {
		switch name {
		case "Btch":
			return e.children(func(name string) (err error) {
				switch name {
				case "NbOfTxs":
					number, err = e.count()
				case "TtlAmt":
					sum, err = e.amount()
				case "CdtDbtInd":
					credit, err = e.credit()
				default:
					err = e.skip()
				}
				return err
			})
		case "TxDtls":
			return e.part()
		default:
			return e.skip()
		}
	})
	switch {
	case err != nil:
		return err
	case e.parts == before: // the bank gives the batch alone; its transactions come in a camt.054
		return nil
	case number != none && number != e.parts-before:
		return e.errorf("the batch has %d transactions, but <NbOfTxs> is %d", e.parts-before, number)
	case e.parts == 1: // what moved is its entry's amount, see entry
		return nil
	}
	if moved = e.moved() - moved; sum != none && signed(sum, credit) != moved {
		return e.errorf("the batch is about %s, but its transactions about %s", signed(sum, credit), moved)
	}
	return nil
}

// moved is the sum of the transactions that were read.
func (e *entry) moved() money.Amount {
	if e.held == nil {
		return e.total
	}
	return e.total + signed(e.held.Amount, e.held.Credit)
}

// part reads a TxDtls.
func (e *entry) part() error {
	if e.held != nil {
		if err := e.give(); err != nil {
			return err
		}
	}
	e.parts++
	p := &part{Move: e.head.Move}
	p.Part = e.parts
	p.Line, _ = e.d.InputPos()
	e.held, e.move = p, Move{}
	err := e.children(func(name string) (err error) {
		switch name {
		case "Refs":
			err = e.children(func(name string) (err error) {
				switch name {
				case "EndToEndId":
					if p.EndToEnd, err = e.reference(); p.EndToEnd == "NOTPROVIDED" {
						p.EndToEnd = ""
					}
				case "AcctSvcrRef":
					p.Reference, err = e.reference()
				default:
					err = e.skip()
				}
				return err
			})
		case "Amt":
			err = e.own(p)
		case "CdtDbtInd":
			p.Credit, err = e.credit()
		case "AmtDtls":
			err = e.children(func(name string) error {
				if name != "TxAmt" {
					return e.skip()
				}
				return e.children(func(name string) error {
					if name != "Amt" || p.amount {
						return e.skip()
					}
					return e.own(p)
				})
			})
		case "RmtInf":
			err = e.remittance()
		case "RtrInf":
			p.Returned = true
			err = e.skip()
		default:
			err = e.skip()
		}
		return err
	})
	p.Text, p.Creditor = e.move.Text, e.move.Creditor
	return err
}

// own reads the amount of a transaction. In another currency it is none that we could book.
func (e *entry) own(p *part) error {
	for _, a := range e.attrs {
		if a.Name.Local == "Ccy" && a.Value != "EUR" {
			return e.skip()
		}
	}
	a, err := e.amount()
	p.Amount, p.amount = a, true
	return err
}

// give hands on the transaction that was held, of which there are several.
func (e *entry) give() error {
	p := e.held
	e.held = nil
	if !p.amount {
		return &Error{Line: p.Line, Reason: "one of several transactions has no amount in EUR"}
	}
	if p.Credit {
		e.total += p.Amount
	} else {
		e.total -= p.Amount
	}
	return e.out(&p.Move)
}

// last hands on what is left of the entry.
func (e *entry) last() error {
	switch e.parts {
	case 0:
		return e.out(&e.head.Move)
	case 1:
		p := e.held
		p.Amount, p.Credit = e.head.Amount, e.head.Credit
		return e.out(&p.Move)
	}
	if err := e.give(); err != nil {
		return err
	}
	if want := signed(e.head.Amount, e.head.Credit); e.total != want {
		return e.errorf("the entry moves %s, but its transactions %s", want, e.total)
	}
	return nil
}

func (e *entry) out(m *Move) error {
	e.Moves++
	return e.each(&e.Statement, m)
}

func signed(a money.Amount, credit bool) money.Amount {
	if credit {
		return a
	}
	return -a
}
