package transfer

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"github.com/boombuler/barcode/qr"

	"basisdienste/services/payment/camt/camttest"
)

func example() Payment {
	return Payment{Holder: "Stadt Erfurt – Kämmerei", IBAN: camttest.IBAN(1), Amount: 3070, Purpose: "160510002026000001"}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(*Payment)
		want   string
	}{
		{func(*Payment) {}, "BCD\n002\n1\nSCT\n\nStadt Erfurt – Kämmerei\n" + camttest.IBAN(1) + "\nEUR30.70\n\n\n160510002026000001"},
		{func(p *Payment) { p.BIC, p.Amount = "ABCDDEFFXXX", 1 }, "BCD\n002\n1\nSCT\nABCDDEFFXXX\nStadt Erfurt – Kämmerei\n" + camttest.IBAN(1) + "\nEUR0.01\n\n\n160510002026000001"},
	} {
		p := example()
		c.change(&p)
		if got, err := p.Payload(); got != c.want || err != nil {
			t.Errorf("Payload of %+v = %q, %v\nwant %q", p, got, err, c.want)
		}
	}
}

func TestPayload_Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Payment)
		want   string
	}{
		"no holder":         {func(p *Payment) { p.Holder = "" }, "the holder has 0 characters"},
		"long holder":       {func(p *Payment) { p.Holder = strings.Repeat("ä", 71) }, "the holder has 71 characters"},
		"holder of lines":   {func(p *Payment) { p.Holder = "Stadt\nErfurt" }, "the holder holds a control character"},
		"purpose of lines":  {func(p *Payment) { p.Purpose = "K1\r" }, "the purpose holds a control character"},
		"long purpose":      {func(p *Payment) { p.Purpose = strings.Repeat("1", 141) }, "the purpose has 141 characters"},
		"nothing":           {func(p *Payment) { p.Amount = 0 }, "the amount is 0.00"},
		"below zero":        {func(p *Payment) { p.Amount = -1 }, "the amount is -0.01"},
		"too much":          {func(p *Payment) { p.Amount = 1_000_000_000_00 }, "the amount is 1000000000.00"},
		"IBAN":              {func(p *Payment) { p.IBAN = "DE00" + p.IBAN[4:] }, "the IBAN is not valid"},
		"too many bytes":    {func(p *Payment) { p.Holder, p.Purpose = strings.Repeat("ä", 70), strings.Repeat("ä", 140) }, "bytes, want at most 331"},
		"IBAN in small":     {func(p *Payment) { p.IBAN = strings.ToLower(p.IBAN) }, "the IBAN is not valid"},
		"IBAN with a space": {func(p *Payment) { p.IBAN = p.IBAN[:4] + " " + p.IBAN[4:] }, "the IBAN is not valid"},
	} {
		p := example()
		c.change(&p)
		if got, err := p.Payload(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Payload = %q, %v, want an error with %q", name, got, err, c.want)
		}
	}
}

// The picture holds each module of the code, at its place behind the quiet zone.
func TestSVG(t *testing.T) {
	t.Parallel()
	p := example()
	text, err := p.Payload()
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		t.Fatal(err)
	}
	svg, err := p.SVG(`Code "1" & <2>`)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Label   string `xml:"aria-label,attr"`
		Role    string `xml:"role,attr"`
		ViewBox string `xml:"viewBox,attr"`
		Path    []struct {
			Fill string `xml:"fill,attr"`
			D    string `xml:"d,attr"`
		} `xml:"path"`
	}
	if err := xml.Unmarshal([]byte(svg), &doc); err != nil {
		t.Fatalf("SVG is no XML: %v\n%s", err, svg)
	}
	side := code.Bounds().Dx()
	if doc.Label != `Code "1" & <2>` || doc.Role != "img" || doc.ViewBox != fmt.Sprintf("0 0 %[1]d %[1]d", side+8) || len(doc.Path) != 2 || doc.Path[0].Fill != "#fff" {
		t.Fatalf("SVG = %+v, want a label, a quiet zone of four modules and a white ground", doc)
	}
	for y := range side {
		for x := range side {
			r, _, _, _ := code.At(x, y).RGBA()
			if drawn := strings.Contains(doc.Path[1].D, fmt.Sprintf("M%d %dh1v1h-1z", x+4, y+4)); drawn != (r == 0) {
				t.Fatalf("module %d, %d is drawn: %t, want %t", x, y, drawn, r == 0)
			}
		}
	}
}

// The longest text that is allowed fits into the largest code that is allowed.
func TestSVG_Longest(t *testing.T) {
	t.Parallel()
	p := example()
	p.Holder, p.BIC, p.Purpose = strings.Repeat("ä", 70), "ABCDDEFFXXX", strings.Repeat("1", 130)
	text, err := p.Payload()
	if err != nil || len(text) != maxPayload {
		t.Fatalf("Payload has %d bytes, %v, want %d", len(text), err, maxPayload)
	}
	if _, err := p.SVG(""); err != nil {
		t.Errorf("SVG: %v", err)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	good := Settings{IBAN: camttest.IBAN(1), Holder: "Stadt Erfurt", Days: 14}
	for name, c := range map[string]struct {
		change func(*Settings)
		want   string
	}{
		"good":       {func(*Settings) {}, ""},
		"with a BIC": {func(s *Settings) { s.BIC = "ABCDDEFF" }, ""},
		"no IBAN":    {func(s *Settings) { s.IBAN = "" }, "iban"},
		"no holder":  {func(s *Settings) { s.Holder = "" }, "holder"},
		"BIC":        {func(s *Settings) { s.BIC = "ABC" }, "bic"},
		"BIC, gaps":  {func(s *Settings) { s.BIC = "ABCD  FF" }, "bic"},
		"no day":     {func(s *Settings) { s.Days = 0 }, "days"},
		"too long":   {func(s *Settings) { s.Days = 61 }, "days"},
	} {
		s := good
		c.change(&s)
		if err := s.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: Validate = %v, want %q", name, err, c.want)
		}
	}
}
