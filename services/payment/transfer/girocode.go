package transfer

import (
	"fmt"
	"html/template"
	"strings"
	"unicode"

	"github.com/boombuler/barcode/qr"

	"basisdienste/platform/money"
	"basisdienste/services/payment/camt"
)

// Payment is what a GiroCode says.
type Payment struct {
	Holder  string // of the account, at most 70 characters
	IBAN    string
	BIC     string // may be empty
	Amount  money.Amount
	Purpose string // what the transfer says, at most 140 characters
}

const (
	maxHolder  = 70
	maxPurpose = 140
	// maxPayload and maxSide are the bounds of EPC069-12: a code of version 13 at most.
	maxPayload = 331 // bytes
	maxSide    = 69  // modules
	maxAmount  = 999_999_999_99
)

// Payload writes the text of a GiroCode: a SEPA credit transfer by EPC069-12, version 002, in
// UTF-8. What cannot be written so is an error.
func (p Payment) Payload() (string, error) {
	for name, text := range map[string]string{"holder": p.Holder, "purpose": p.Purpose, "BIC": p.BIC} {
		if strings.ContainsFunc(text, unicode.IsControl) {
			return "", fmt.Errorf("girocode: the %s holds a control character", name)
		}
	}
	switch {
	case p.Holder == "" || len([]rune(p.Holder)) > maxHolder:
		return "", fmt.Errorf("girocode: the holder has %d characters, want 1 to %d", len([]rune(p.Holder)), maxHolder)
	case len([]rune(p.Purpose)) > maxPurpose:
		return "", fmt.Errorf("girocode: the purpose has %d characters, want at most %d", len([]rune(p.Purpose)), maxPurpose)
	case p.Amount < 1 || p.Amount > maxAmount:
		return "", fmt.Errorf("girocode: the amount is %s, want 0.01 to 999999999.99", p.Amount)
	case !camt.ValidIBAN(p.IBAN):
		return "", fmt.Errorf("girocode: the IBAN is not valid")
	}
	const utf8, purposeCode, structured = "1", "", ""
	text := strings.Join([]string{"BCD", "002", utf8, "SCT", p.BIC, p.Holder, p.IBAN, "EUR" + p.Amount.String(), purposeCode, structured, p.Purpose}, "\n")
	if len(text) > maxPayload {
		return "", fmt.Errorf("girocode: %d bytes, want at most %d", len(text), maxPayload)
	}
	return text, nil
}

// SVG draws the GiroCode, black on white in every colour scheme and with its quiet zone. label
// is read out instead.
func (p Payment) SVG(label string) (template.HTML, error) {
	text, err := p.Payload()
	if err != nil {
		return "", err
	}
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		return "", fmt.Errorf("girocode: %w", err)
	}
	const quiet = 4 // modules, ISO/IEC 18004
	side := code.Bounds().Dx()
	if side > maxSide {
		return "", fmt.Errorf("girocode: %d modules a side, want at most %d", side, maxSide)
	}
	var b strings.Builder
	full := side + 2*quiet
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="%s" width="%d" height="%d" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%[4]dv%[4]dH0z"/><path fill="#000" d="`,
		template.HTMLEscapeString(label), 5*full, 5*full, full, full)
	for y := range side {
		for x := range side {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String()), nil //nolint:gosec // numbers, and a label that was escaped
}
