package receipt

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/ledongthuc/pdf"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment"
)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

var paidAt = time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)

// example is a receipt of a transaction with the items.
func example(t testing.TB, language, description string, items ...payment.Item) *Receipt {
	t.Helper()
	at := db.NewTime(paidAt)
	tx := payment.Transaction{
		ID: id.ID("019a9f00-d3a9-73ec-99d1-eea80706b24c"), Amount: 1_030_70, Currency: "EUR", Description: description, Kassenzeichen: "160510002026000001",
		State: payment.Payed, Method: payment.CreditCard, MethodDetail: "Visa", EndedAt: &at,
	}
	list := "["
	for n, i := range items {
		if n > 0 {
			list += ","
		}
		list += fmt.Sprintf(`{"id":%q,"reference":%q,"description":%q,"tax_rate":%q,"quantity":%d,"single_net":%s,"single_tax":%s,"total_net":%s,"total_tax":%s}`,
			i.ID, i.Reference, i.Description, i.TaxRate, i.Quantity, i.SingleNet, i.SingleTax, i.TotalNet, i.TotalTax)
	}
	tx.ItemList = payment.ItemList(list + "]")
	r, err := newReceipt(&tx, nil, "Müllheim an der Weiß", language)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func item(description, rate string, quantity int64, net, tax money.Amount) payment.Item {
	return payment.Item{
		ID: "1", Reference: "REF-1", Description: description, TaxRate: rate, Quantity: quantity, SingleNet: net, SingleTax: tax,
		TotalNet: money.Amount(quantity) * net, TotalTax: money.Amount(quantity) * tax,
	}
}

// written returns the bytes, the text of the pages without spaces, and how many pages there are.
func written(t testing.TB, r *Receipt) ([]byte, string, int) {
	t.Helper()
	body, err := r.PDF(berlin(t))
	if err != nil {
		t.Fatalf("PDF: %v", err)
	}
	doc, err := pdf.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatalf("read the PDF: %v", err)
	}
	var b strings.Builder
	for n := range doc.NumPage() {
		pdf.Interpret(doc.Page(n+1).V.Key("Contents"), func(stack *pdf.Stack, op string) {
			args := make([]pdf.Value, stack.Len())
			for i := range args {
				args[len(args)-1-i] = stack.Pop()
			}
			if op == "Tj" {
				b.WriteString(utf16BE(args[0].RawString()))
				b.WriteByte('\n')
			}
		})
	}
	return body, squeezed(b.String()), doc.NumPage()
}

// utf16BE reads the codes that the text is written in (Identity-H, and a ToUnicode that maps each
// code to itself). The reader's own decoding takes one byte of them.
func utf16BE(codes string) string {
	var units []uint16
	for i := 0; i+1 < len(codes); i += 2 {
		units = append(units, uint16(codes[i])<<8|uint16(codes[i+1]))
	}
	return string(utf16.Decode(units))
}

// squeezed leaves out what a line break may stand for.
func squeezed(text string) string { return strings.Join(strings.Fields(text), "") }

func TestPDF_Content(t *testing.T) {
	t.Parallel()
	ended := db.NewTime(paidAt.Add(24 * time.Hour))
	for _, c := range []struct {
		language string
		want     []string
	}{
		{"de", []string{
			"Zahlungsbeleg", "Müllheim an der Weiß", "Straßenfest für Łukasz Żółć und Gülşen Çağlar", "160510002026000001", "1.030,70 €", "EUR",
			"Kredit- oder Debitkarte (Visa)", "23.11.2026, 00:30 Uhr", "019a9f00-d3a9-73ec-99d1-eea80706b24c", "Gebühr", "Plakette €", "REF-1", "19 %", "7,5 %",
			"830,70 €", "159,60 €", "keine Rechnung im Sinne des Umsatzsteuergesetzes (§ 14 UStG)", "24.11.2026, 00:30 Uhr", "Davon erstattet", "30,00 €", "1.000,70 €",
			"Seite 1 von 1",
		}},
		{"en", []string{"Payment receipt", "€1,030.70", "23 November 2026, 00:30", "Credit or debit card (Visa)", "19%", "not an invoice", "Remaining", "€1,000.70", "page 1 of 1"}},
	} {
		r := example(t, c.language, "Straßenfest für Łukasz Żółć und Gülşen Çağlar", item("Gebühr", "0", 1, 830_70, 0), item("Plakette €", "19", 2, 20_20, 79_80), payment.Item{
			ID: "3", Reference: "REF-1", TaxRate: "7.5", Quantity: 1,
		})
		r.Refunds, r.Refunded = []payment.Refund{{Amount: 30_00, EndedAt: &ended}}, 30_00
		r.Facts = append(r.Facts, Fact{r.text("refunded"), r.Refunded}, Fact{r.text("left"), r.Amount - r.Refunded})
		body, text, n := written(t, r)
		for _, want := range c.want {
			if !strings.Contains(text, squeezed(want)) {
				t.Errorf("%s: the text lacks %q:\n%s", c.language, want, text)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d pages, want 1", c.language, n)
		}
		doc, err := pdf.NewReader(bytes.NewReader(body), int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		root, info := doc.Trailer().Key("Root"), doc.Trailer().Key("Info")
		if got := root.Key("Lang").Text(); got != c.language {
			t.Errorf("%s: language of the document = %q", c.language, got)
		}
		if got, want := info.Key("Title").Text(), r.text("title")+" 160510002026000001"; got != want {
			t.Errorf("%s: title = %q, want %q", c.language, got, want)
		}
		if got := info.Key("Author").Text(); got != "Müllheim an der Weiß" {
			t.Errorf("%s: author = %q, want the municipality", c.language, got)
		}
		if got := info.Key("CreationDate").Text(); !strings.HasPrefix(got, "D:20261123003000") {
			t.Errorf("%s: created = %q, want when it was paid, in Germany", c.language, got)
		}
	}
}

// Letters of other scripts are as they were; what no font has breaks nothing.
func TestPDF_Letters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"Polish":           {"Zażółć gęślą jaźń ŁĄĘŚŹ", "Zażółć gęślą jaźń ŁĄĘŚŹ"},
		"Turkish":          {"İstanbul ışık ğüşöç ĞÜŞÖÇ", "İstanbul ışık ğüşöç ĞÜŞÖÇ"},
		"Czech, Romanian":  {"Příliš žluťoučký, țară și Șerban", "Příliš žluťoučký, țară și Șerban"},
		"Greek, Cyrillic":  {"Ελλάδα, Київ", "Ελλάδα, Київ"},
		"capital ß":        {"STRAẞE „Zitat“ – 5 €", "STRAẞE „Zitat“ – 5 €"},
		"combining marks":  {"Mu\u0308ller", "Müller"},
		"lines":            {"eins\nzwei\tdrei", "eins zwei drei"},
		"marks of writing": {"a\u202eb\u200dc", "abc"},
		"beyond the plane": {"Fest \U0001F389 Ende", "Ende"},
		"no glyph":         {"漢字 Ende", "Ende"},
		"not UTF-8":        {"a\xffb Ende", "Ende"},
		"brackets":         {`(\(a) {nb} {n`, `(\(a) {nb} {n`},
	} {
		_, text, _ := written(t, example(t, "de", c.in))
		if !strings.Contains(text, squeezed(c.want)) {
			t.Errorf("%s: the text lacks %q:\n%.300s", name, c.want, text)
		}
	}
}

// The most that a claim can hold: 99 items with the longest texts.
func longest(t testing.TB) *Receipt {
	t.Helper()
	var items []payment.Item
	for n := range 99 {
		items = append(items, item(strings.Repeat(fmt.Sprintf("Gebührenposten Łódź %02d ", n), 11)[:250], fmt.Sprint(n), 999_999, 100_000_00, 19_000_00))
	}
	items[98].Description = strings.Repeat("W", 250) // one word
	return example(t, "de", strings.Repeat("ß", 250), items...)
}

func TestPDF_Longest(t *testing.T) {
	t.Parallel()
	_, text, n := written(t, longest(t))
	if n < 8 || !strings.Contains(text, squeezed(fmt.Sprintf("Seite 2 von %d", n))) || !strings.Contains(text, "Seite"+fmt.Sprintf("%dvon%d", n, n)) {
		t.Errorf("%d pages, want several, each with its number", n)
	}
	if got := strings.Count(text, squeezed("Posten Anzahl Netto Steuer Gesamt")); got < 7 {
		t.Errorf("the head stands %d times, want it on each page with items", got)
	}
	if !strings.Contains(text, strings.Repeat("W", 250)) {
		t.Error("a word longer than its column is not whole")
	}
}

func TestPDF_SameBytes(t *testing.T) {
	t.Parallel()
	for range 3 {
		a, _, _ := written(t, longest(t))
		b, _, _ := written(t, longest(t))
		if !bytes.Equal(a, b) {
			t.Fatal("two receipts of one transaction differ")
		}
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	got := rates([]payment.Item{item("a", "19", 2, 100, 19), item("b", "0", 1, 500, 0), item("c", "19", 1, 1, 0)})
	want := []Rate{{"19", 201, 38}, {"0", 500, 0}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rates = %v, want %v", got, want)
	}
}

func BenchmarkPDF(b *testing.B) {
	for name, r := range map[string]*Receipt{"one": example(b, "de", "Bewohnerparkausweis", item("Ausweis", "0", 1, 30_70, 0)), "longest": longest(b)} {
		b.Run(name, func(b *testing.B) {
			zone := berlin(b)
			for b.Loop() {
				body, err := r.PDF(zone)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(body)))
			}
		})
	}
}
