package request

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/boombuler/barcode/qr"

	"basisdienste/platform/id"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/camt/camttest"
)

// Both forms hold each module of the code, behind the quiet zone.
func TestCodes(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.claim(g.erfurt, "r-1", dueDay)
	link := g.core.PayURL(runtest.Context(t, g.erfurt), made.ID)
	giro := "BCD\n002\n1\nSCT\n\nStadt Erfurt\n" + camttest.IBAN(1) + "\nEUR42.00\n\n\n" + made.Kassenzeichen
	for name, c := range map[string]struct{ text, title string }{
		"qr":       {link, "QR-Code: online bezahlen, Kassenzeichen " + made.Kassenzeichen},
		"girocode": {giro, "GiroCode: 42,00\u00a0€ an Stadt Erfurt überweisen, Verwendungszweck " + made.Kassenzeichen},
	} {
		want, err := qr.Encode(c.text, qr.M, qr.Unicode)
		if err != nil {
			t.Fatal(err)
		}
		side := want.Bounds().Dx() + 2*quiet
		svg := g.call("GET", made, "/"+name+".svg", nil)
		var doc struct {
			Role    string `xml:"role,attr"`
			Label   string `xml:"aria-labelledby,attr"`
			ViewBox string `xml:"viewBox,attr"`
			Title   struct {
				ID   string `xml:"id,attr"`
				Text string `xml:",chardata"`
			} `xml:"title"`
			Path []struct {
				D string `xml:"d,attr"`
			} `xml:"path"`
		}
		if err := xml.Unmarshal(svg.Body, &doc); err != nil || svg.Status != http.StatusOK || svg.Header.Get("Content-Type") != "image/svg+xml" {
			t.Fatalf("%s.svg = %d %v %s", name, svg.Status, err, svg.Body)
		}
		if doc.Title.Text != c.title || doc.Label != doc.Title.ID || doc.Role != "img" || doc.ViewBox != fmt.Sprintf("0 0 %[1]d %[1]d", side) || len(doc.Path) != 2 {
			t.Errorf("%s.svg = %+v, want the title %q, and a quiet zone", name, doc, c.title)
		}
		a := g.call("GET", made, "/"+name+".png", nil)
		picture, err := png.Decode(bytes.NewReader(a.Body))
		if err != nil || a.Header.Get("Content-Type") != "image/png" || picture.Bounds().Dx() != 8*side {
			t.Fatalf("%s.png = %d %v, want a picture of %d pixels a side", name, a.Status, err, 8*side)
		}
		for y := range side {
			for x := range side {
				black := false
				if x >= quiet && y >= quiet && x < side-quiet && y < side-quiet {
					r, _, _, _ := want.At(x-quiet, y-quiet).RGBA()
					black = r == 0
				}
				r, _, _, _ := picture.At(8*x+3, 8*y+3).RGBA()
				if drawn := strings.Contains(doc.Path[1].D, fmt.Sprintf("M%d %dh1v1h-1z", x, y)); drawn != black || (r == 0) != black {
					t.Fatalf("%s: module %d, %d is drawn %t as SVG and %t as PNG, want %t", name, x, y, drawn, r == 0, black)
				}
			}
		}
	}
}

func TestCodes_Refuse(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made, theirs := g.claim(g.erfurt, "r-1", dueDay), g.claim(g.jena, "r-1", dueDay)
	if _, err := g.core.Withdraw(runtest.Context(t, g.erfurt), made.ID); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"/qr.svg", "/qr.png", "/girocode.svg", "/girocode.png"} {
		g.wantRefused(file+" of a final one", g.call("GET", made, file, nil), http.StatusConflict, "transaction_final")
		g.wantRefused(file+" of another's", g.call("GET", theirs, file, nil), http.StatusNotFound, "unknown_transaction")
		g.wantRefused(file+" of none", g.call("GET", payment.Transaction{ID: id.New()}, file, nil), http.StatusNotFound, "unknown_transaction")
		a := g.Do("GET", "/t/jena/payment/v1/transactions/"+theirs.ID.String()+file, g.token(g.jena, payment.ScopeWrite), nil)
		g.wantRefused(file+" without the scope", a, http.StatusForbidden, "scope_missing")
		a = g.Do("GET", "/t/jena/payment/v1/transactions/"+theirs.ID.String()+file, g.token(g.jena, payment.ScopeRead), nil)
		if strings.HasPrefix(file, "/giro") {
			g.wantRefused(file+" without an account", a, http.StatusConflict, "no_bank_account")
		} else if a.Status != http.StatusOK {
			t.Errorf("%s = %d, want 200", file, a.Status)
		}
	}
}
