package treasury

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"strconv"
	"strings"

	"basisdienste/platform/money"
)

// format of an export.
type format struct {
	media, ending string
	open          func(w io.Writer) writer
}

// formats by format and separator.
var formats = map[string]format{
	"csv/":          {"text/csv; charset=utf-8; header=present", "csv", comma},
	"csv/comma":     {"text/csv; charset=utf-8; header=present", "csv", comma},
	"csv/semicolon": {"text/csv; charset=utf-8; header=present", "csv", semicolon},
	"json/":         {"application/json", "json", func(w io.Writer) writer { return &jsonWriter{w: bufio.NewWriter(w)} }},
	"xml/":          {"application/xml", "xml", func(w io.Writer) writer { return &xmlWriter{w: bufio.NewWriter(w)} }},
}

// csvWriter writes RFC 4180 with a header. What a spreadsheet could take for a formula begins
// with an apostrophe; amounts are numbers, with a minus where money went back.
type csvWriter struct {
	w     *csv.Writer
	comma bool // before the cents
}

func comma(w io.Writer) writer {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	return &csvWriter{w: c}
}

// semicolon is what a German spreadsheet opens by itself: with 30,70 for amounts.
func semicolon(w io.Writer) writer {
	c := csv.NewWriter(w)
	c.UseCRLF, c.Comma = true, ';'
	return &csvWriter{w: c, comma: true}
}

func (c *csvWriter) begin(head) error {
	return c.w.Write([]string{
		"booked_on", "kind", "kassenzeichen", "budget_line", "amount", "originator_id", "method", "method_detail", "provider",
		"transaction_id", "reference", "position", "booked_at",
	})
}

func (c *csvWriter) row(r Row) error {
	amount := r.Amount.String()
	if c.comma {
		amount = strings.Replace(amount, ".", ",", 1)
	}
	return c.w.Write([]string{
		r.BookedOn, cell(r.Kind), cell(r.Kassenzeichen), cell(r.BudgetLine), amount, cell(r.Originator), cell(r.Method), cell(r.MethodDetail), cell(r.Provider),
		cell(r.Transaction), cell(r.Reference), strconv.FormatInt(r.Position, 10), r.BookedAt,
	})
}

func (c *csvWriter) end(int64, money.Amount) error {
	c.w.Flush()
	return c.w.Error()
}

// cell keeps a spreadsheet from taking text for a formula.
func cell(text string) string {
	if text != "" && strings.IndexByte("=+-@\t\r", text[0]) >= 0 {
		return "'" + text
	}
	return text
}

// jsonWriter writes one object with a row a line; count and sum at the end show that it is whole.
type jsonWriter struct {
	w     *bufio.Writer
	comma string
}

func (j *jsonWriter) begin(h head) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	_, err = j.w.WriteString(strings.TrimSuffix(string(text), "}") + ",\"rows\":[")
	return err
}

func (j *jsonWriter) row(r Row) error { return j.item(r) }

func (j *jsonWriter) item(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = j.w.WriteString(j.comma + "\n" + string(text))
	j.comma = ","
	return err
}

func (j *jsonWriter) end(count int64, sum money.Amount) error {
	if _, err := j.w.WriteString("\n],\"count\":" + strconv.FormatInt(count, 10) + ",\"sum\":" + sum.String() + "}\n"); err != nil {
		return err
	}
	return j.w.Flush()
}

// Namespace of the XML export. Its schema is contracts/treasury-export-1.xsd. It resembles
// XFinanz in what it tells and is not XFinanz.
const Namespace = "urn:basisdienste:treasury-export:1"

// xmlWriter writes the XFinanz-like form.
type xmlWriter struct{ w *bufio.Writer }

func (x *xmlWriter) begin(h head) error {
	_, err := x.w.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<export xmlns="` + Namespace + `" what="` + h.What +
		`" from="` + h.First + `" to="` + h.Last + `">` + "\n")
	return err
}

func (x *xmlWriter) row(r Row) error {
	text, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"booking"`
		Row
		Amount xmlAmount `xml:"amount"`
	}{Row: r, Amount: xmlAmount{"EUR", r.Amount.String()}})
	if err != nil {
		return err
	}
	_, err = x.w.Write(append(text, '\n'))
	return err
}

type xmlAmount struct {
	Currency string `xml:"currency,attr"`
	Value    string `xml:",chardata"`
}

func (x *xmlWriter) end(count int64, sum money.Amount) error {
	if _, err := x.w.WriteString(`<total count="` + strconv.FormatInt(count, 10) + `" sum="` + sum.String() + `"/>` + "\n</export>\n"); err != nil {
		return err
	}
	return x.w.Flush()
}
