package camt_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"basisdienste/platform/money"
	"basisdienste/services/payment/camt"
	"basisdienste/services/payment/camt/camttest"
)

const size = 1 << 20

var versions = []string{"camt.053.001.02", "camt.053.001.08", "camt.054.001.02", "camt.054.001.08"}

// example is a statement with what there is: credit, debit, a batch, one not booked yet.
func example() camttest.Statement {
	return camttest.Statement{ID: "2026-324", Sequence: 324, Opening: -500, Entries: []camttest.Entry{
		{Amount: 3070, EndToEnd: "E-1", Text: []string{"Kassenzeichen", "K16051000-2026 & mehr"}},
		{Amount: 120, Debit: true, Text: []string{"Entgelt"}},
		{Batch: []camttest.Entry{{Amount: 1000, Creditor: "RF18K1"}, {Amount: 2000, EndToEnd: "K2"}}},
		{Amount: 99, Status: "PDNG", On: "2026-11-21"},
	}}
}

// read returns what a file holds, its moves in one line each.
func read(text string) (statements []camt.Statement, moves []string, err error) {
	statements, err = camt.Read(strings.NewReader(text), size, func(s *camt.Statement, m *camt.Move) error {
		moves = append(moves, fmt.Sprintf("%d.%d.%d credit=%t booked=%t %s %s %s %q %q %q", s.Index, m.Entry, m.Part, m.Credit, m.Booked, m.BookedOn, m.ValueOn, m.Amount, m.EndToEnd, m.Creditor, m.Text))
		return nil
	})
	return statements, moves, err
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		statements, moves, err := read(camttest.String(version, example(), camttest.Statement{ID: "2026-325", Sequence: 325, Opening: 5450}))
		if err != nil {
			t.Errorf("Read(%s): %v", version, err)
			continue
		}
		want := []string{
			`0.1.1 credit=true booked=true 2026-11-20 2026-11-20 30.70 "E-1" "" "Kassenzeichen\nK16051000-2026 & mehr"`,
			`0.2.1 credit=false booked=true 2026-11-20 2026-11-20 1.20 "" "" "Entgelt"`,
			`0.3.1 credit=true booked=true 2026-11-20 2026-11-20 10.00 "" "RF18K1" ""`,
			`0.3.2 credit=true booked=true 2026-11-20 2026-11-20 20.00 "K2" "" ""`,
			`0.4.1 credit=true booked=false 2026-11-21 2026-11-21 0.99 "" "" ""`,
		}
		if !reflect.DeepEqual(moves, want) {
			t.Errorf("Read(%s) gives\n%s\nwant\n%s", version, strings.Join(moves, "\n"), strings.Join(want, "\n"))
		}
		if len(statements) != 2 {
			t.Fatalf("Read(%s) = %d statements, want 2", version, len(statements))
		}
		s := statements[0]
		if s.ID != "2026-324" || s.Sequence != 324 || s.IBAN != camttest.IBAN(1) || s.Entries != 4 || s.Moves != 5 || s.Credits != 6070 || s.Debits != 120 || s.Page != 1 || string(s.Kind) != version[:8] {
			t.Errorf("Read(%s) statement = %+v, want what was written", version, s)
		}
		if s.Kind == camt.Statement053 && (s.Opening == nil || *s.Opening != -500 || s.Closing == nil || *s.Closing != 5450) {
			t.Errorf("Read(%s) balances = %v, %v, want -5.00, 54.50", version, s.Opening, s.Closing)
		}
	}
}

// What banks write in other ways and means the same.
func TestRead_Forms(t *testing.T) {
	t.Parallel()
	good := camttest.String("camt.053.001.02", example())
	for name, change := range map[string][]string{
		"byte order mark":         {"<?xml", "\ufeff<?xml"},
		"without declaration":     {"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", ""},
		"encoding in small":       {"UTF-8", "utf-8"},
		"comment":                 {"<Id>2026-324</Id>", "<!-- a comment --><Id>2026-324</Id>"},
		"CDATA":                   {"Entgelt", "<![CDATA[Entgelt]]>"},
		"five places":             {"\"EUR\">30.70<", "\"EUR\">30.70000<"},
		"one place":               {"\"EUR\">30.70<", "\"EUR\">30.7<"},
		"whole euros":             {"\"EUR\">10.00<", "\"EUR\">10<"},
		"opening by its own code": {"PRCD", "OPBD"},
		"interim balances":        {"PRCD", "ITBD", "CLBD", "ITBD"},
		"date and time":           {"<Dt>2026-11-20</Dt></BookgDt>", "<DtTm>2026-11-20T23:59:59+01:00</DtTm></BookgDt>"},
		"amount in dollars":       {"<TxAmt><Amt Ccy=\"EUR\">30.70</Amt>", "<TxAmt><Amt Ccy=\"USD\">33.00</Amt>"},
		"sum of a batch":          {"<NbOfTxs>2</NbOfTxs>", "<NbOfTxs>2</NbOfTxs><TtlAmt Ccy=\"EUR\">30.00</TtlAmt><CdtDbtInd>CRDT</CdtDbtInd>"},
		"supplementary data":      {"</Stmt>", "<SplmtryData><Envlp><x:y xmlns:x=\"urn:x\">z</x:y></Envlp></SplmtryData></Stmt>"},
		"net sum":                 {"</TtlNtries>", "<TtlNetNtryAmt>60.49</TtlNetNtryAmt><CdtDbtInd>CRDT</CdtDbtInd></TtlNtries><TtlCdtNtries><NbOfNtries>3</NbOfNtries><Sum>61.69</Sum></TtlCdtNtries>"},
	} {
		text := strings.NewReplacer(change...).Replace(good)
		if _, moves, err := read(text); err != nil || len(moves) != 5 || text == good {
			t.Errorf("%s: Read = %d moves, %v, want 5", name, len(moves), err)
		}
	}
	prefixed := strings.NewReplacer("<?", "<?", "</", "</c:", "<", "<c:", "xmlns=", "xmlns:c=").Replace(good)
	if _, moves, err := read(prefixed); err != nil || len(moves) != 5 {
		t.Errorf("with a prefix: Read = %d moves, %v, want 5", len(moves), err)
	}
}

// An entry may hold several batches: each is about its own transactions.
func TestRead_TwoBatches(t *testing.T) {
	t.Parallel()
	const next = "<TxDtls><Refs><EndToEndId>K3<"
	text := camttest.String("camt.053.001.08", camttest.Statement{ID: "1", Entries: []camttest.Entry{
		{Batch: []camttest.Entry{{Amount: 1000, EndToEnd: "K1"}, {Amount: 500, EndToEnd: "K2"}, {Amount: 1500, EndToEnd: "K3"}}},
	}})
	for _, c := range []struct{ first, second, want string }{
		{"15.00", "15.00", ""},
		{"30.00", "15.00", "the batch is about 30.00, but its transactions about 15.00"},
		{"15.00", "15.01", "the batch is about 15.01, but its transactions about 15.00"},
	} {
		batches := strings.NewReplacer(
			"<NbOfTxs>3</NbOfTxs>", `<NbOfTxs>2</NbOfTxs><TtlAmt Ccy="EUR">`+c.first+`</TtlAmt>`,
			next, `</NtryDtls><NtryDtls><Btch><NbOfTxs>1</NbOfTxs><TtlAmt Ccy="EUR">`+c.second+`</TtlAmt></Btch>`+next,
		).Replace(text)
		_, moves, err := read(batches)
		if c.want == "" && (err != nil || len(moves) != 3) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("Read of batches about %s and %s = %d moves, %v, want 3 moves or %q", c.first, c.second, len(moves), err, c.want)
		}
	}
}

func TestRead_Refuses(t *testing.T) {
	t.Parallel()
	good := camttest.String("camt.053.001.02", example())
	for _, c := range []struct {
		name     string
		from, to string
		line     int
		reason   string
	}{
		{"closing balance", ">54.50<", ">54.51<", 63, "the closing balance is 54.51"},
		{"sign of a balance", "DBIT</CdtDbtInd><Dt>", "CRDT</CdtDbtInd><Dt>", 63, "the opening balance 5.00 and the entries make 64.50"},
		{"number of entries", "<NbOfNtries>4<", "<NbOfNtries>5<", 63, "the statement has 4 entries, but its summary says 5"},
		{"sum of entries", "<Sum>62.89<", "<Sum>62.88<", 63, "the entries sum up to 62.89, but the summary says 62.88"},
		{"a cent in a batch", "\"EUR\">20.00<", "\"EUR\">20.01<", 50, "the entry moves 30.00, but its transactions 30.01"},
		{"sum of a batch", "<NbOfTxs>2</NbOfTxs>", "<NbOfTxs>2</NbOfTxs><TtlAmt Ccy=\"EUR\">29.99</TtlAmt>", 49, "the batch is about 29.99, but its transactions about 30.00"},
		{"number of a batch", "<NbOfTxs>2<", "<NbOfTxs>3<", 49, "the batch has 2 transactions, but <NbOfTxs> is 3"},
		{"no amount in a batch", "<AmtDtls><TxAmt><Amt Ccy=\"EUR\">10.00</Amt></TxAmt></AmtDtls>", "", 47, "one of several transactions has no amount in EUR"},
		{"currency", "<Amt Ccy=\"EUR\">30.70</Amt>\n", "<Amt Ccy=\"USD\">30.70</Amt>\n", 14, "<Amt> is in \"USD\", want EUR"},
		{"no currency", "<Amt Ccy=\"EUR\">30.70</Amt>\n", "<Amt>30.70</Amt>\n", 14, "<Amt> is in \"\", want EUR"},
		{"account in dollars", "<Ccy>EUR", "<Ccy>USD", 9, "the account is in USD"},
		{"part of a cent", ">1.20</Amt>\n<", ">1.201</Amt>\n<", 26, "<Amt> is \"1.201\""},
		{"below zero", ">1.20</Amt>\n<", ">-1.20</Amt>\n<", 26, "<Amt> is \"-1.20\""},
		{"exponent", ">1.20</Amt>\n<", ">1e2</Amt>\n<", 26, "<Amt> is \"1e2\""},
		{"too much", ">1.20</Amt>\n<", ">100000000000.00</Amt>\n<", 26, "more than 99999999999.99 EUR"},
		{"credit or debit", "DBIT</CdtDbtInd>\n", "DEBIT</CdtDbtInd>\n", 27, "<CdtDbtInd> is \"DEBIT\""},
		{"status", "PDNG", "WAIT", 54, "<Sts> is \"WAIT\""},
		{"date", "<Dt>2026-11-21</Dt></ValDt>", "<Dt>2026-02-30</Dt></ValDt>", 56, "<ValDt> is \"2026-02-30\""},
		{"IBAN", camttest.IBAN(1), "DE00" + camttest.IBAN(1)[4:], 9, "the account's IBAN is not valid"},
		{"no IBAN", "<IBAN>" + camttest.IBAN(1) + "</IBAN>", "<Othr><Id>1</Id></Othr>", 13, "names no account by its IBAN"},
		{"no id", "<Id>2026-324</Id>", "", 13, "has no <Id>"},
		{"long id", "<Id>2026-324</Id>", "<Id>" + strings.Repeat("1", 36) + "</Id>", 6, "<Id> is longer than 35 characters"},
		{"no opening", "PRCD", "INFO", 63, "no opening balance"},
		{"no closing", "CLBD", "INFO", 63, "no closing balance"},
		{"sequence", "<ElctrncSeqNb>324", "<ElctrncSeqNb>-1", 7, "<ElctrncSeqNb> is \"-1\""},
		{"other encoding", "UTF-8", "ISO-8859-1", 1, "the encoding \"ISO-8859-1\" is declared; only UTF-8 is read"},
		{"not as declared", "Entgelt", "Entgelt f\xfcr", 34, "invalid UTF-8"},
		{"control character", "Entgelt", "Entgelt\x00", 34, "illegal character code"},
		{"DTD", "<Document", "<!DOCTYPE Document [<!ENTITY x \"y\">]>\n<Document", 2, "DTD"},
		{"entity", "Entgelt", "&x;", 34, "invalid character entity &x;"},
		{"processing instruction", "<GrpHdr>", "<?x y?><GrpHdr>", 4, "processing instruction"},
		{"other message", "camt.053.001.02\"", "camt.052.001.02\"", 2, "the namespace is \"urn:iso:std:iso:20022:tech:xsd:camt.052.001.02\""},
		{"other version", "camt.053.001.02\"", "camt.053.001.99\"", 2, "the namespace is"},
		{"message of another kind", "BkToCstmrStmt", "BkToCstmrDbtCdtNtfctn", 3, "want <BkToCstmrStmt>"},
		{"other document", "<Document", "<Dokument", 2, "the document is <Dokument>"},
		{"other namespace inside", "<Ntry>", "<Ntry xmlns=\"urn:x\">", 13, "another namespace"},
		{"text between", "<Ntry>", "x<Ntry>", 13, "text stands between elements"},
		{"element in a text", "Entgelt", "<b>x</b>", 34, "<Ustrd> holds an element"},
		{"wrong end", "</Ntry>", "</Stmt>", 24, "closes what was not opened"},
		{"end missing", "</Document>", "", 66, "ends early"},
		{"more after the end", "</Document>", "</Document><x/>", 65, "something follows"},
		{"nothing in it", good, "", 1, "ends early"},
		{"no XML", good, "Umsatz;Betrag", 1, "no XML document"},
		{"UTF-16", good, "\xff\xfe<\x00", 1, "invalid UTF-8"},
		{"long text", "Entgelt", strings.Repeat("x", 20<<10), 34, "longer than 16384 bytes"},
		{"long comment", "<Ntry>", "<!--" + strings.Repeat("x", 70<<10) + "--><Ntry>", 13, "too long"},
		{"deep", "Entgelt", strings.Repeat("<a>", 40), 34, "holds an element"},
		{"deep where nobody reads", "</Stmt>", "<X>" + strings.Repeat("<a>", 40), 63, "nested more than 32 deep"},
		{"no statement", good[strings.Index(good, "<Stmt>"):strings.Index(good, "</BkToCstmrStmt>")], "", 6, "no statement"},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if c.name == "message of another kind" {
			text = strings.ReplaceAll(good, c.from, c.to)
		}
		_, _, err := read(text)
		var refused *camt.Error
		if !errors.As(err, &refused) || refused.Line != c.line || !strings.Contains(refused.Reason, c.reason) || text == good {
			t.Errorf("%s: Read = %v, want line %d: …%s…", c.name, err, c.line, c.reason)
		}
	}
}

func TestValidIBAN(t *testing.T) {
	t.Parallel()
	good := camttest.IBAN(1)
	for text, want := range map[string]bool{
		good: true, "NO9386011117947": true, "MT84MALT011000012345MTLCAST001S": true,
		"": false, good[:14]: false, good + good: false, strings.ToLower(good): false, "DE00" + good[4:]: false, good[:4] + " " + good[4:]: false,
		"000100000000000": false, // no country, although the check digits fit
	} {
		if got := camt.ValidIBAN(text); got != want {
			t.Errorf("ValidIBAN(%q) = %t, want %t", text, got, want)
		}
	}
}

func TestRead_Size(t *testing.T) {
	t.Parallel()
	text := camttest.String("camt.053.001.02", example())
	for most, want := range map[int]string{len(text): "", len(text) - 1: "the file is too large"} {
		_, err := camt.Read(strings.NewReader(text), int64(most), nil)
		if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) {
			t.Errorf("Read of %d bytes, %d allowed = %v, want %q", len(text), most, err, want)
		}
	}
}

// Errors that are not the file's stay what they are.
func TestRead_OtherErrors(t *testing.T) {
	t.Parallel()
	text, broken := camttest.String("camt.053.001.02", example()), errors.New("broken")
	if _, err := camt.Read(io.MultiReader(strings.NewReader(text[:300]), failing{broken}), size, nil); !errors.Is(err, broken) {
		t.Errorf("Read from a broken reader = %v, want its error", err)
	}
	_, err := camt.Read(strings.NewReader(text), size, func(*camt.Statement, *camt.Move) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("Read with a callback that fails = %v, want its error", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzRead(f *testing.F) {
	for _, v := range versions {
		f.Add([]byte(camttest.String(v, example())))
	}
	f.Add([]byte("<?xml version=\"1.0\"?><Document/>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var moved int64
		sums := map[int]money.Amount{}
		statements, err := camt.Read(bytes.NewReader(text), size, func(s *camt.Statement, m *camt.Move) error {
			moved++
			if m.Booked && m.Credit {
				sums[s.Index] += m.Amount
			} else if m.Booked {
				sums[s.Index] -= m.Amount
			}
			return nil
		})
		if err != nil {
			return
		}
		for _, s := range statements {
			moved -= s.Moves
			if s.Opening != nil && s.Closing != nil && *s.Opening+sums[s.Index] != *s.Closing {
				t.Errorf("Read took a statement whose opening %s and moves %s do not make the closing %s", s.Opening, sums[s.Index], s.Closing)
			}
		}
		if moved != 0 {
			t.Errorf("Read gave %d moves more than its statements count", moved)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	s := camttest.Statement{ID: "2026-324", Sequence: 324, Opening: 100}
	const entries = 20_000
	for i := range entries {
		s.Entries = append(s.Entries, camttest.Entry{Amount: 3070, EndToEnd: fmt.Sprint("E-", i), Text: []string{fmt.Sprintf("Kassenzeichen 160510002026%07d", i)}})
	}
	for _, version := range []string{"camt.053.001.02", "camt.053.001.08"} {
		b.Run(version, func(b *testing.B) {
			text := camttest.String(version, s)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := camt.Read(strings.NewReader(text), 64<<20, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(entries*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
