// Package camttest writes bank statements for tests, as German banks send them. Nobody in them
// is real.
package camttest

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"basisdienste/platform/money"
)

// Statement is one of a file.
type Statement struct {
	ID       string
	Sequence int
	IBAN     string // empty: IBAN(1)
	Opening  money.Amount
	Entries  []Entry
}

// Entry is one of a statement, or, in Batch, one transaction of an entry.
type Entry struct {
	Amount   money.Amount // of a batch: that of its transactions
	Debit    bool
	Status   string // empty: BOOK
	On       string // booked and of value; empty: 2026-11-20
	EndToEnd string
	Creditor string   // structured reference
	Text     []string // lines
	Batch    []Entry
}

func (e *Entry) sum() money.Amount {
	if len(e.Batch) == 0 {
		return e.Amount
	}
	var sum money.Amount
	for i := range e.Batch {
		sum += e.Batch[i].Amount
	}
	return sum
}

// IBAN returns the n-th account at a bank that there is not.
func IBAN(n int) string {
	bban := fmt.Sprintf("00000000%010d", n)
	rest := 0
	for _, c := range bban + "131400" { // D, E, and two zeros for the check digits
		rest = (rest*10 + int(c-'0')) % 97
	}
	return fmt.Sprintf("DE%02d%s", 98-rest, bban)
}

// Write writes a file of the message and version, such as "camt.053.001.08".
func Write(w io.Writer, version string, statements ...Statement) error {
	f := &file{w: w, version: version, new: strings.HasSuffix(version, ".08")}
	message, statement := "BkToCstmrStmt", "Stmt"
	if strings.HasPrefix(version, "camt.054") {
		message, statement = "BkToCstmrDbtCdtNtfctn", "Ntfctn"
	}
	f.put("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:%s\">\n<%s>\n", version, message)
	f.put("<GrpHdr><MsgId>M-1</MsgId><CreDtTm>2026-11-20T23:30:00+01:00</CreDtTm><MsgPgntn><PgNb>1</PgNb><LastPgInd>true</LastPgInd></MsgPgntn></GrpHdr>\n")
	for i := range statements {
		f.statement(statement, &statements[i])
	}
	f.put("</%s>\n</Document>\n", message)
	return f.err
}

// String is Write to a string.
func String(version string, statements ...Statement) string {
	var b strings.Builder
	_ = Write(&b, version, statements...) // a Builder fails never
	return b.String()
}

type file struct {
	w       io.Writer
	version string
	new     bool
	err     error
}

func (f *file) put(format string, args ...any) {
	if f.err == nil {
		_, f.err = fmt.Fprintf(f.w, format, args...)
	}
}

func (f *file) statement(element string, s *Statement) {
	iban := s.IBAN
	if iban == "" {
		iban = IBAN(1)
	}
	f.put("<%s>\n<Id>%s</Id>\n<ElctrncSeqNb>%d</ElctrncSeqNb>\n<CreDtTm>2026-11-20T23:30:00+01:00</CreDtTm>\n<Acct><Id><IBAN>%s</IBAN></Id><Ccy>EUR</Ccy></Acct>\n",
		element, s.ID, s.Sequence, iban)
	closing := s.Opening
	var sum money.Amount
	for i := range s.Entries {
		e := &s.Entries[i]
		sum += e.sum()
		if e.Status != "" && e.Status != "BOOK" {
			continue
		}
		if e.Debit {
			closing -= e.sum()
		} else {
			closing += e.sum()
		}
	}
	if strings.HasPrefix(f.version, "camt.053") {
		f.balance("PRCD", s.Opening)
		f.balance("CLBD", closing)
	}
	f.put("<TxsSummry><TtlNtries><NbOfNtries>%d</NbOfNtries><Sum>%s</Sum></TtlNtries></TxsSummry>\n", len(s.Entries), sum)
	for i := range s.Entries {
		f.entry(&s.Entries[i])
	}
	f.put("</%s>\n", element)
}

func (f *file) balance(code string, a money.Amount) {
	f.put("<Bal><Tp><CdOrPrtry><Cd>%s</Cd></CdOrPrtry></Tp><Amt Ccy=\"EUR\">%s</Amt><CdtDbtInd>%s</CdtDbtInd><Dt><Dt>2026-11-20</Dt></Dt></Bal>\n",
		code, max(a, -a), indicator(a < 0))
}

func indicator(debit bool) string {
	if debit {
		return "DBIT"
	}
	return "CRDT"
}

func (f *file) entry(e *Entry) {
	status, on := e.Status, e.On
	if status == "" {
		status = "BOOK"
	}
	if f.new {
		status = "<Cd>" + status + "</Cd>"
	}
	if on == "" {
		on = "2026-11-20"
	}
	f.put("<Ntry>\n<Amt Ccy=\"EUR\">%s</Amt>\n<CdtDbtInd>%s</CdtDbtInd>\n<Sts>%s</Sts>\n<BookgDt><Dt>%[4]s</Dt></BookgDt>\n<ValDt><Dt>%[4]s</Dt></ValDt>\n<AcctSvcrRef>B-1</AcctSvcrRef>\n<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>\n<NtryDtls>\n",
		e.sum(), indicator(e.Debit), status, on)
	if len(e.Batch) > 0 {
		f.put("<Btch><NbOfTxs>%d</NbOfTxs></Btch>\n", len(e.Batch))
	}
	for i := range e.Batch {
		f.details(&e.Batch[i], e.Debit)
	}
	if len(e.Batch) == 0 {
		f.details(e, e.Debit)
	}
	f.put("</NtryDtls>\n</Ntry>\n")
}

func (f *file) details(e *Entry, debit bool) {
	endToEnd := e.EndToEnd
	if endToEnd == "" {
		endToEnd = "NOTPROVIDED"
	}
	f.put("<TxDtls><Refs><EndToEndId>%s</EndToEndId></Refs>", text(endToEnd))
	if f.new {
		f.put("<Amt Ccy=\"EUR\">%s</Amt><CdtDbtInd>%s</CdtDbtInd>", e.Amount, indicator(debit))
	} else {
		f.put("<AmtDtls><TxAmt><Amt Ccy=\"EUR\">%s</Amt></TxAmt></AmtDtls>", e.Amount)
	}
	f.put("<RltdPties><Dbtr><Nm>Muster</Nm></Dbtr><DbtrAcct><Id><IBAN>%s</IBAN></Id></DbtrAcct></RltdPties><RmtInf>", IBAN(2))
	if e.Creditor != "" {
		f.put("<Strd><CdtrRefInf><Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry></Tp><Ref>%s</Ref></CdtrRefInf></Strd>", text(e.Creditor))
	}
	for _, line := range e.Text {
		f.put("<Ustrd>%s</Ustrd>", text(line))
	}
	f.put("</RmtInf></TxDtls>\n")
}

func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder fails never
	return b.String()
}
