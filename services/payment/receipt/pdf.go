package receipt

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"codeberg.org/go-pdf/fpdf"
	"github.com/go-fonts/dejavu/dejavusans"
	"github.com/go-fonts/dejavu/dejavusansbold"
	"golang.org/x/text/unicode/norm"

	"basisdienste/platform/money"
)

// The sheet, in millimetres: DIN A4, with the margins of DIN 5008.
const (
	left, right, top, bottom = 25.0, 20.0, 20.0, 22.0
	width                    = 210 - left - right
	labels                   = 48.0 // of facts
	lineHeight               = 5.0
	font                     = "DejaVu"
)

// pages stands for how many pages there are, until they are counted.
const pages = "{n}"

// sheet is a receipt that is being written.
type sheet struct {
	*fpdf.Fpdf
	r    *Receipt
	zone *time.Location
}

// PDF writes the receipt: the same bytes for the same receipt.
func (r *Receipt) PDF(zone *time.Location) ([]byte, error) {
	s := sheet{fpdf.New("P", "mm", "A4", ""), r, zone}
	s.SetMargins(left, top, right)
	s.SetAutoPageBreak(true, bottom)
	s.SetCatalogSort(true)
	s.SetCreationDate(r.PaidAt.In(zone))
	s.SetModificationDate(r.PaidAt.In(zone))
	s.SetTitle(plain(r.text("title")+" "+r.Number), true)
	s.SetAuthor(plain(r.Payee), true)
	s.SetCreator("Basisdienste", true)
	s.SetProducer("Basisdienste", true)
	s.SetLang(r.Language)
	s.SetDisplayMode("real", "default")
	s.AddUTF8FontFromBytes(font, "", dejavusans.TTF)
	s.AddUTF8FontFromBytes(font, "B", dejavusansbold.TTF)
	s.AliasNbPages(pages)
	s.SetFooterFunc(func() {
		s.SetY(-15)
		s.SetFont(font, "", 8)
		s.CellFormat(width, 4, plain(r.text("page", r.Number, s.PageNo(), pages)), "", 0, "R", false, 0, "")
	})
	s.AddPage()
	s.body()
	var b bytes.Buffer
	if err := s.Output(&b); err != nil {
		return nil, fmt.Errorf("write receipt: %w", err)
	}
	return b.Bytes(), nil
}

func (s *sheet) body() {
	s.paragraph("B", 11, s.r.Payee)
	s.Ln(8)
	s.paragraph("B", 18, s.r.text("title"))
	s.Ln(2)
	s.paragraph("", 10, s.r.text("lead"))
	s.Ln(4)
	for _, f := range s.r.Facts {
		s.fact(f.Key, s.show(f.Value))
	}
	columns := []grid{{s.r.text("items.text"), 62, "L"}, {s.r.text("items.quantity"), 22, "R"}, {s.r.text("net"), 27, "R"}, {s.r.text("tax"), 27, "R"}, {s.r.text("gross"), 27, "R"}}
	var rows [][]string
	for _, i := range s.r.Items {
		rows = append(rows, []string{i.Description, strconv.FormatInt(i.Quantity, 10), s.show(i.TotalNet), s.show(i.TotalTax), s.show(i.TotalNet + i.TotalTax)})
	}
	s.table(s.r.text("items"), columns, rows)
	columns = []grid{{s.r.text("rate"), 84, "L"}, {s.r.text("net"), 27, "R"}, {s.r.text("tax"), 27, "R"}, {s.r.text("gross"), 27, "R"}}
	rows = nil
	for _, x := range s.r.Rates {
		rows = append(rows, []string{s.r.percent(x.Percent), s.show(x.Net), s.show(x.Tax), s.show(x.Net + x.Tax)})
	}
	s.table(s.r.text("rates"), columns, rows)
	if len(s.r.Refunds) > 0 {
		rows = nil
		for _, x := range s.r.Refunds {
			rows = append(rows, []string{s.show(x.EndedAt.Time), s.show(x.Amount)})
		}
		s.table(s.r.text("refunds"), []grid{{s.r.text("refunds.at"), 138, "L"}, {s.r.text("amount"), 27, "R"}}, rows)
	}
	s.Ln(6)
	s.paragraph("", 9, s.r.text("no_invoice"))
	s.Ln(1)
	s.paragraph("", 9, s.r.text("unsigned"))
}

func (s *sheet) paragraph(style string, size float64, text string) {
	s.SetFont(font, style, size)
	s.MultiCell(width, size/2, plain(text), "", "L", false)
}

// fact writes a label and beside it its value, which may need several lines.
func (s *sheet) fact(key, value string) {
	s.SetFont(font, "", 10)
	lines := s.SplitText(plain(value), width-labels-2)
	s.room(float64(len(lines)) * lineHeight)
	s.SetFont(font, "B", 10)
	s.CellFormat(labels, lineHeight, plain(key), "", 0, "L", false, 0, "")
	s.SetFont(font, "", 10)
	for _, line := range lines {
		s.SetX(left + labels)
		s.CellFormat(width-labels, lineHeight, line, "", 1, "L", false, 0, "")
	}
	s.Ln(1)
}

// room begins a page if there is not so much left on this one.
func (s *sheet) room(height float64) {
	if _, page := s.GetPageSize(); s.GetY()+height > page-bottom {
		s.AddPage()
	}
}

// grid is a column of a table.
type grid struct {
	head  string
	width float64
	align string
}

// table repeats its head on each page; a row is not broken.
func (s *sheet) table(title string, columns []grid, rows [][]string) {
	s.room(6 * lineHeight)
	s.Ln(5)
	s.paragraph("B", 11, title)
	s.Ln(1)
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = c.head
	}
	s.row("B", columns, head)
	for _, cells := range rows {
		s.SetFont(font, "", 9)
		height := 0.0
		for i, c := range columns {
			height = max(height, float64(len(s.SplitText(plain(cells[i]), c.width-2)))*lineHeight)
		}
		page := s.PageNo()
		if s.room(height + 1); s.PageNo() != page {
			s.row("B", columns, head)
		}
		s.row("", columns, cells)
	}
}

func (s *sheet) row(style string, columns []grid, cells []string) {
	s.SetFont(font, style, 9)
	x, y, height := left, s.GetY(), lineHeight
	for i, c := range columns {
		lines := s.SplitText(plain(cells[i]), c.width-2)
		for n, line := range lines {
			s.SetXY(x, y+float64(n)*lineHeight)
			s.CellFormat(c.width, lineHeight, line, "", 0, c.align, false, 0, "")
		}
		height = max(height, float64(len(lines))*lineHeight)
		x += c.width
	}
	s.SetDrawColor(160, 160, 160)
	s.SetLineWidth(0.2)
	s.Line(left, y+height+0.5, left+width, y+height+0.5)
	s.SetXY(left, y+height+1)
}

// show writes a value as people read it in the receipt's language.
func (s *sheet) show(v any) string {
	switch v := v.(type) {
	case money.Amount:
		return s.r.amount(v)
	case time.Time:
		at := v.In(s.zone)
		if s.r.Language == "en" {
			return at.Format("2 January 2006, 15:04")
		}
		return at.Format("02.01.2006, 15:04") + "\u00a0Uhr"
	}
	return fmt.Sprint(v)
}

// amount writes "1.030,70 €" in German and "€1,030.70" in English.
func (r *Receipt) amount(a money.Amount) string {
	german := a.German()
	if r.Language != "en" {
		return german
	}
	return "€" + strings.NewReplacer(".", ",", ",", ".", "\u00a0€", "").Replace(german)
}

// percent writes a rate as "19 %" in German and "19%" in English.
func (r *Receipt) percent(rate string) string {
	if r.Language == "en" {
		return rate + "%"
	}
	return strings.Replace(rate, ".", ",", 1) + "\u00a0%"
}

// plain is one line of letters that a PDF can hold: letters are composed with their marks, and
// what lies outside the font's plane is shown as unknown.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) && r != '\u00a0', unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r): // marks of direction and the like
			return -1
		case r > 0xFFFF:
			return '\uFFFD'
		}
		return r
	}, norm.NFC.String(text))
}
