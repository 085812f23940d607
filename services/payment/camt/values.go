package camt

import (
	"encoding/xml"
	"math"
	"strconv"
	"strings"
	"time"

	"basisdienste/platform/money"
)

// need returns a text that has to be there, of at most size characters.
func (t *tree) need(size int) (string, error) {
	name := t.open[len(t.open)-1].Local
	text, err := t.text()
	switch {
	case err != nil:
		return "", err
	case text == "":
		return "", t.errorf("<%s> is empty", name)
	case len([]rune(text)) > size:
		return "", t.errorf("<%s> is longer than %d characters", name, size)
	}
	return text, nil
}

// amount reads the element's euros and cents, never below zero.
func (t *tree) amount() (money.Amount, error) {
	name, currency := t.open[len(t.open)-1].Local, ""
	for _, a := range t.attrs {
		if a.Name.Local == "Ccy" && a.Name.Space == "" {
			currency = a.Value
		}
	}
	if currency != "EUR" {
		return 0, t.errorf("<%s> is in %.10q, want EUR", name, currency)
	}
	return t.decimal()
}

// maxAmount keeps the sum of as many as fit into a file within an int64.
const maxAmount money.Amount = 9_999_999_999_999

// decimal reads a number of euros without a currency: ISO 20022 allows five places, of which
// all behind the cents have to be zero.
func (t *tree) decimal() (money.Amount, error) {
	name := t.open[len(t.open)-1].Local
	text, err := t.text()
	if err != nil {
		return 0, err
	}
	exact := text
	whole, places, _ := strings.Cut(text, ".")
	if rest := strings.TrimRight(places, "0"); rest == "" && places != "" {
		exact = whole
	} else if places != "" {
		exact = whole + "." + rest
	}
	amount, err := money.Parse(exact)
	if err != nil || strings.HasPrefix(text, "-") || len(places) > 5 {
		return 0, t.errorf("<%s> is %.30q, want euros and cents", name, text)
	}
	if amount > maxAmount {
		return 0, t.errorf("<%s> is more than %s EUR", name, maxAmount)
	}
	return amount, nil
}

// credit reads a CdtDbtInd: true for CRDT.
func (t *tree) credit() (bool, error) {
	switch text, err := t.text(); {
	case err != nil:
		return false, err
	case text == "CRDT":
		return true, nil
	case text == "DBIT":
		return false, nil
	default:
		return false, t.errorf("<CdtDbtInd> is %.10q, want CRDT or DBIT", text)
	}
}

// truth reads an xs:boolean.
func (t *tree) truth() (bool, error) {
	name := t.open[len(t.open)-1].Local
	switch text, err := t.text(); {
	case err != nil:
		return false, err
	case text == "true" || text == "1":
		return true, nil
	case text == "false" || text == "0":
		return false, nil
	default:
		return false, t.errorf("<%s> is %.10q, want true or false", name, text)
	}
}

// count reads a number from 0 on.
func (t *tree) count() (int64, error) {
	name := t.open[len(t.open)-1].Local
	text, err := t.text()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n == math.MaxInt64 || strings.HasPrefix(text, "+") {
		return 0, t.errorf("<%s> is %.30q, want a number", name, text)
	}
	return n, nil
}

// date reads a choice of Dt and DtTm as the day that it names, wherever that is.
func (t *tree) date() (day string, err error) {
	name := t.open[len(t.open)-1].Local
	err = t.children(func(child string) error {
		if child != "Dt" && child != "DtTm" {
			return t.skip()
		}
		text, err := t.text()
		if err != nil {
			return err
		}
		if len(text) > len(time.DateOnly) {
			text = text[:len(time.DateOnly)] // a time or a zone follows
		}
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return t.errorf("<%s> is %.20q, want a date", name, text)
		}
		day = text
		return nil
	})
	if err == nil && day == "" {
		err = t.errorf("<%s> has no date", name)
	}
	return day, err
}

// code reads a status or a type, which is text or an element Cd.
func (t *tree) code() (string, error) {
	code := ""
	for {
		tok, err := t.token()
		if err != nil {
			return "", err
		}
		switch tok := tok.(type) {
		case xml.CharData:
			if code += string(tok); len(code) > maxText {
				return "", t.errorf("a code is longer than %d bytes", maxText)
			}
		case xml.EndElement:
			return strings.TrimSpace(code), nil
		case xml.StartElement:
			text := ""
			if tok.Name.Local == "Cd" {
				text, err = t.text()
			} else {
				err = t.skip()
			}
			if code += text; err != nil {
				return "", err
			}
		}
	}
}

// ValidIBAN reports whether the text is an IBAN by form and check digits (ISO 13616), written
// without spaces.
func ValidIBAN(text string) bool {
	if len(text) < 15 || len(text) > 34 {
		return false
	}
	rest := 0
	for i := range len(text) {
		at := (i + 4) % len(text)
		switch c := text[at]; {
		case c >= '0' && c <= '9' && at > 1: // a country comes first
			rest = (rest*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z' && (at < 2 || at > 3): // and two digits behind it
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return false
		}
	}
	return rest == 1
}
