package camt

import (
	"io"
	"strings"

	"basisdienste/platform/money"
)

// Kind of a file.
type Kind string

// The kinds.
const (
	Statement053 Kind = "camt.053" // account statement: every booking of a time, with balances
	Notice054    Kind = "camt.054" // notification of bookings, without balances
)

// kinds by namespace.
var kinds = map[string]Kind{
	"urn:iso:std:iso:20022:tech:xsd:camt.053.001.02": Statement053,
	"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08": Statement053,
	"urn:iso:std:iso:20022:tech:xsd:camt.054.001.02": Notice054,
	"urn:iso:std:iso:20022:tech:xsd:camt.054.001.08": Notice054,
}

// Statement is a statement or notification for one account. A file may hold several.
type Statement struct {
	Kind     Kind
	Index    int    // in the file, from 0 on
	Line     int    // where it begins
	ID       string // the bank's
	Sequence int64  // ElctrncSeqNb, else LglSeqNb, else 0
	Page     int64  // 1 where the bank does not count
	IBAN     string
	Opening  *money.Amount // below zero in debit; nil where there is none
	Closing  *money.Amount
	Entries  int64        // as the bank counts
	Moves    int64        // as Read gives them: transactions of batches by themselves
	Credits  money.Amount // sum of the booked entries that came in
	Debits   money.Amount // and of those that went out
}

// Move is one movement of money: an entry, or one transaction of an entry that is a batch.
type Move struct {
	Line      int    // where it begins
	Entry     int64  // number of the entry in its statement, from 1 on
	Part      int64  // number of the transaction in its entry, from 1 on; 0 for an entry without
	Booked    bool   // final; an entry that is pending or for information only has moved nothing
	Credit    bool   // it came in
	Reversal  bool   // it takes an earlier booking back
	Returned  bool   // it is a transfer or debit that came back
	BookedOn  string // 2026-11-20; may be empty while it is not booked
	ValueOn   string // may be empty
	Amount    money.Amount
	EndToEnd  string // the payer's reference; empty where none was given
	Creditor  string // structured reference of the payee (ISO 11649 or the bank's own)
	Text      string // unstructured remittance information, its lines with \n between
	Reference string // the bank's own of this booking
}

const (
	maxStatements = 1000
	idSize        = 35  // characters, Max35Text of ISO 20022
	referenceSize = 140 // bytes
)

// Read reads a file of at most size bytes. It calls each, which may be nil, for every movement
// in order, while nothing is known of what follows: whatever each does must not last unless
// Read returns no error. The move is used again after each returned. An error of each or of r
// is returned as it is, every other one is an *Error.
func Read(r io.Reader, size int64, each func(s *Statement, m *Move) error) ([]Statement, error) {
	t := newTree(r, size)
	namespace, err := t.root()
	if err != nil {
		return nil, err
	}
	kind, known := kinds[namespace]
	if !known {
		return nil, t.errorf("the namespace is %.80q, want one of camt.053.001.02, camt.053.001.08, camt.054.001.02, camt.054.001.08", namespace)
	}
	if each == nil {
		each = func(*Statement, *Move) error { return nil }
	}
	f := &file{tree: t, kind: kind, each: each, page: 1}
	if err := t.children(f.message); err != nil {
		return nil, err
	}
	if len(f.statements) == 0 {
		return nil, t.errorf("the file holds no statement")
	}
	return f.statements, t.end()
}

// file is a document while it is read.
type file struct {
	*tree
	kind       Kind
	each       func(*Statement, *Move) error
	page       int64 // of the message
	statements []Statement
}

func (f *file) message(name string) error {
	statement := map[Kind][2]string{Statement053: {"BkToCstmrStmt", "Stmt"}, Notice054: {"BkToCstmrDbtCdtNtfctn", "Ntfctn"}}[f.kind]
	if name != statement[0] {
		return f.errorf("<%.60s> stands there, want <%s>", name, statement[0])
	}
	return f.children(func(name string) error {
		switch name {
		case "GrpHdr":
			return f.header()
		case statement[1]:
			if len(f.statements) == maxStatements {
				return f.errorf("the file holds more than %d statements", maxStatements)
			}
			return f.statement()
		default:
			return f.skip()
		}
	})
}

func (f *file) header() error {
	return f.children(func(name string) error {
		if name == "MsgPgntn" {
			return f.pagination()
		}
		return f.skip()
	})
}

func (f *file) pagination() error {
	return f.children(func(name string) (err error) {
		if name == "PgNb" {
			f.page, err = f.count()
			return err
		}
		return f.skip()
	})
}

func (f *file) statement() error {
	page := f.page
	defer func() { f.page = page }()
	line, _ := f.d.InputPos()
	s := &book{file: f, Statement: Statement{Kind: f.kind, Index: len(f.statements), Line: line}}
	electronic, legal := int64(-1), int64(-1)
	err := f.children(func(name string) (err error) {
		switch name {
		case "Id":
			s.ID, err = f.need(idSize)
		case "StmtPgntn", "NtfctnPgntn":
			err = f.pagination()
		case "ElctrncSeqNb":
			electronic, err = f.count()
			s.Sequence = electronic
		case "LglSeqNb":
			if legal, err = f.count(); electronic < 0 {
				s.Sequence = legal
			}
		case "Acct":
			err = s.account()
		case "Bal":
			err = s.balance()
		case "TxsSummry":
			err = s.readSummary()
		case "Ntry":
			s.Page = f.page
			err = s.entry()
		default:
			err = f.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	s.Page = f.page
	if err := s.headed(); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	f.statements = append(f.statements, s.Statement)
	return nil
}

// book is a statement while it is read.
type book struct {
	*file
	Statement
	interim []money.Amount // interim balances, which stand for opening and closing on a page
	summary summary
	in, out tally // entries, booked or not: as the summary counts
	move    Move  // takes the remittance of the transaction that is read
}

// headed makes sure that the statement's own data are there, and were before its entries.
func (s *book) headed() error {
	switch {
	case s.ID == "":
		return s.errorf("the statement has no <Id>")
	case s.IBAN == "":
		return s.errorf("the statement names no account by its IBAN")
	}
	return nil
}

func (s *book) account() error {
	return s.children(func(name string) error {
		switch name {
		case "Ccy":
			currency, err := s.need(3)
			if err == nil && currency != "EUR" {
				err = s.errorf("the account is in %s, want EUR", currency)
			}
			return err
		case "Id":
			return s.children(func(name string) (err error) {
				if name != "IBAN" {
					return s.skip()
				}
				if s.IBAN, err = s.need(34); err == nil && !ValidIBAN(s.IBAN) {
					err = s.errorf("the account's IBAN is not valid")
				}
				return err
			})
		default:
			return s.skip()
		}
	})
}

// balance reads a Bal. Opening is OPBD or PRCD (the closing of the day before), closing CLBD.
// On a page of several the interim balance ITBD stands for what is missing.
func (s *book) balance() error {
	code, credit, signed := "", false, false
	var amount *money.Amount
	err := s.children(func(name string) (err error) {
		switch name {
		case "Tp":
			code, err = s.balanceType()
		case "Amt":
			var a money.Amount
			a, err = s.amount()
			amount = &a
		case "CdtDbtInd":
			credit, err = s.credit()
			signed = true
		default:
			err = s.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case amount == nil || !signed:
		return s.errorf("a balance has no <Amt> or no <CdtDbtInd>")
	case !credit:
		*amount = -*amount
	}
	switch code {
	case "OPBD", "PRCD":
		if s.Opening != nil && *s.Opening != *amount {
			return s.errorf("the opening balance is %s and %s", s.Opening, amount)
		}
		s.Opening = amount
	case "CLBD":
		if s.Closing != nil {
			return s.errorf("there are two closing balances")
		}
		s.Closing = amount
	case "ITBD":
		if len(s.interim) == 2 {
			return s.errorf("there are three interim balances")
		}
		s.interim = append(s.interim, *amount)
	}
	return nil
}

func (s *book) balanceType() (code string, err error) {
	err = s.children(func(name string) (err error) {
		if name == "CdOrPrtry" {
			code, err = s.code()
			return err
		}
		return s.skip()
	})
	return code, err
}

// remittance reads a RmtInf: unstructured lines, and the payee's structured reference.
func (s *book) remittance() error {
	return s.children(func(name string) error {
		switch name {
		case "Ustrd":
			line, err := s.text()
			if err != nil || line == "" {
				return err
			}
			if len(s.move.Text)+len(line) > maxText {
				return s.errorf("the remittance information is longer than %d bytes", maxText)
			}
			s.move.Text = strings.TrimPrefix(s.move.Text+"\n"+line, "\n")
			return nil
		case "Strd":
			return s.children(func(name string) error {
				if name != "CdtrRefInf" {
					return s.skip()
				}
				return s.children(func(name string) (err error) {
					if name != "Ref" {
						return s.skip()
					}
					s.move.Creditor, err = s.reference()
					return err
				})
			})
		default:
			return s.skip()
		}
	})
}

// reference reads a reference, of which only what fits is kept.
func (s *book) reference() (string, error) {
	text, err := s.text()
	if err == nil && len(text) > referenceSize {
		err = s.errorf("a reference is longer than %d bytes", referenceSize)
	}
	return text, err
}
