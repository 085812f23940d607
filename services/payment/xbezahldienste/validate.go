package xbezahldienste

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"basisdienste/platform/fault"
	"basisdienste/platform/money"
	"basisdienste/services/payment"
)

// maxAmount is the schema's bound of every amount, in cents.
const maxAmount money.Amount = 999_999_00

// checker collects what is wrong, up to a number that a person reads. Names are put together
// for what is wrong only: at is the pointer of the object that is checked.
type checker struct {
	at    string
	wrong []fault.Field
}

const maxWrong = 20

func (c *checker) add(name, detail string) {
	if len(c.wrong) < maxWrong {
		c.wrong = append(c.wrong, fault.Field{Name: c.at + "/" + name, Code: "invalid_value", Detail: detail})
	}
}

func (c *checker) err() error {
	if len(c.wrong) == 0 {
		return nil
	}
	return fault.Invalid("schema_violation", "the request does not fit the schema of XBezahldienste").With(c.wrong...)
}

// charset says which characters the schema's pattern allows.
type charset func(rune) bool

func wordRune(r rune) bool {
	return r == '_' || (r >= '0' && r <= '9') || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z')
}

// The schema's patterns. \w and \s are ASCII: what is valid here is valid for every validator.
func idRune(r rune) bool { return wordRune(r) || r == '-' } // ^[\w-]+$

func purposeRune(r rune) bool { return idRune(r) || r == ' ' || (r >= '\t' && r <= '\r' && r != '\v') } // ^[\w\s-]+$

func bookingRune(r rune) bool {
	return purposeRune(r) || r == ',' || r == '.' || (r >= 0xC0 && r <= 0x17F)
}                           // ^[\w\s\-,\.\u00C0-\u017F]+$
func digitRune(r rune) bool { return r >= '0' && r <= '9' }                                         // ^[\d]+$
func upperRune(r rune) bool { return r >= 'A' && r <= 'Z' }                                         // ^[A-Z]{2}$
func textRune(r rune) bool  { return !unicode.IsControl(r) || r == '\n' || r == '\r' || r == '\t' } // DIN 91379 type C, as far as it harms
func (set charset) holds(s string) bool {
	for _, r := range s {
		if !set(r) {
			return false
		}
	}
	return true
}

func (c *checker) text(name, s string, most int, set charset) {
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		c.add(name, "is required")
	case n > most:
		c.add(name, "has more than "+strconv.Itoa(most)+" characters")
	case !set.holds(s):
		c.add(name, "has a character that is not allowed here")
	}
}

func (c *checker) optional(name string, s *string, most int, set charset) {
	switch {
	case s == nil:
	case *s == "":
		c.add(name, "must not be empty")
	default:
		c.text(name, *s, most, set)
	}
}

func (c *checker) required(name string, s *string, most int, set charset) {
	if s == nil {
		c.add(name, "is required")
		return
	}
	c.optional(name, s, most, set)
}

func (c *checker) oneOf(name string, s *string, values ...string) {
	if s != nil && !slices.Contains(values, *s) {
		c.add(name, "is not one of the allowed values")
	}
}

func (c *checker) absent(name string, there bool) {
	if there {
		c.add(name, "does not belong to this kind of requestor")
	}
}

func (c *checker) amount(name string, d Decimal, least money.Amount) money.Amount {
	if d.missing() {
		c.add(name, "is required")
		return 0
	}
	cents, ok := d.Cents()
	switch {
	case !ok:
		c.add(name, "must be an amount in euros with at most two decimal places")
	case cents < least && least > 0:
		c.add(name, "must be more than 0")
	case cents < least:
		c.add(name, "must not be negative")
	case cents > maxAmount:
		c.add(name, "must be at most 999999")
	}
	return cents
}

// order checks the request against the schema and returns it in the service's terms.
// Error: schema_violation, with every wrong field.
func (q *PaymentRequest) order() (payment.Order, error) {
	var c checker
	c.text("requestId", q.RequestID, 36, idRune)
	if _, err := time.Parse(time.RFC3339, q.RequestTimestamp); err != nil {
		c.add("requestTimestamp", "must be a time such as 2026-11-23T09:30:00Z")
	}
	c.text("currency", q.Currency, 3, wordRune)
	o := payment.Order{RequestID: q.RequestID, Currency: q.Currency, RedirectURL: q.RedirectURL}
	spoken, gross := q.version(0), q.GrossAmount
	if spoken == v100 {
		if !gross.missing() {
			c.add("grossAmount", "must not stand beside grosAmount")
		}
		gross = q.GrosAmount
	}
	o.Amount = c.amount(spoken.amount(), gross, 1)
	c.optional("purpose", q.Purpose, 27, purposeRune)
	c.optional("description", q.Description, 250, textRune)
	o.Purpose, o.Description = value(q.Purpose), value(q.Description)
	c.text("redirectUrl", q.RedirectURL, 2082, textRune)
	if _, err := url.ParseRequestURI(q.RedirectURL); err != nil && q.RedirectURL != "" {
		c.add("redirectUrl", "must be an absolute URL")
	}
	switch n := len(q.Items); {
	case n == 0:
		c.add("items", "must have at least one item")
	case n > 99:
		c.add("items", "must have at most 99 items")
	default:
		o.Items = make([]payment.Item, n)
		for i := range q.Items {
			c.at = "/items/" + strconv.Itoa(i)
			o.Items[i] = q.Items[i].item(&c)
		}
		c.at = ""
	}
	if q.Requestor != nil {
		q.Requestor.check(&c)
	}
	return o, c.err()
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (p *PaymentItem) item(c *checker) payment.Item {
	c.text("id", p.ID, 36, idRune)
	c.text("reference", p.Reference, 36, idRune)
	c.optional("description", p.Description, 250, textRune)
	if rate, err := strconv.ParseFloat(p.TaxRate.text, 64); err != nil || rate < 0 || rate > 100 {
		c.add("taxRate", "must be a number from 0 to 100")
	}
	quantity, ok := p.Quantity.scaled(0)
	if !ok || p.Quantity.missing() || quantity < 1 || quantity > 999_999 {
		c.add("quantity", "must be a whole number from 1 to 999999")
	}
	if len(p.BookingData) > 99 {
		c.add("bookingData", "must have at most 99 entries")
	}
	for key, text := range p.BookingData {
		c.text("bookingData/"+key, text, 250, bookingRune)
	}
	return payment.Item{
		ID: p.ID, Reference: p.Reference, Description: value(p.Description), TaxRate: p.TaxRate.text, Quantity: quantity,
		TotalNet:  c.amount("totalNetAmount", p.TotalNetAmount, 1),
		TotalTax:  c.amount("totalTaxAmount", p.TotalTaxAmount, 0),
		SingleNet: c.amount("singleNetAmount", p.SingleNetAmount, 1),
		SingleTax: c.amount("singleTaxAmount", p.SingleTaxAmount, 0), BookingData: p.BookingData,
	}
}

func (r *Requestor) check(c *checker) {
	c.at = "/requestor"
	c.required("name", r.Name, 250, textRune)
	c.oneOf("requestorType", r.RequestorType, "INDIVIDUAL", "ORGANIZATION")
	organization := value(r.RequestorType) == "ORGANIZATION"
	if organization {
		c.absent("firstName", r.FirstName != nil)
		c.absent("gender", r.Gender != nil)
	} else {
		c.required("firstName", r.FirstName, 250, bookingRune)
		c.oneOf("gender", r.Gender, "M", "F", "D")
	}
	if legacy := r.RequestorType == nil; legacy {
		c.optional("organizationName", r.OrganizationName, 250, textRune)
	} else {
		c.absent("isOrganization", r.IsOrganization != nil)
		c.absent("organizationName", r.OrganizationName != nil)
	}
	if r.Address == nil {
		c.add("address", "is required")
		return
	}
	c.at += "/address"
	r.Address.check(c, r.RequestorType == nil)
}

func (a *Address) check(c *checker, legacy bool) {
	if legacy {
		c.optional("street", a.Street, 250, textRune)
		c.optional("houseNumber", a.HouseNumber, 20, idRune)
		if len(a.AddressLine) > 9 {
			c.add("addressLine", "must have at most 9 lines")
		}
		for i, line := range a.AddressLine {
			c.text("addressLine/"+strconv.Itoa(i), line, 250, textRune)
		}
		c.optional("postalCode", a.PostalCode, 5, digitRune)
		if len(value(a.PostalCode)) < 5 && a.PostalCode != nil {
			c.add("postalCode", "must have 5 digits")
		}
		c.optional("city", a.City, 250, textRune)
		c.optional("country", a.Country, 2, wordRune)
		if len(value(a.Country)) < 2 && a.Country != nil {
			c.add("country", "must have 2 letters")
		}
		for name, s := range map[string]*string{
			"addressType": a.AddressType, "addressLine1": a.AddressLine1, "addressLine2": a.AddressLine2, "addressLine3": a.AddressLine3,
			"countrySubdivision": a.CountrySubdivision, "countryCode": a.CountryCode,
		} {
			c.absent(""+name, s != nil)
		}
		return
	}
	c.required("addressType", a.AddressType, 14, wordRune)
	c.oneOf("addressType", a.AddressType, "POSTAL_ADDRESS")
	c.required("addressLine1", a.AddressLine1, 250, textRune)
	c.optional("addressLine2", a.AddressLine2, 250, textRune)
	c.optional("addressLine3", a.AddressLine3, 250, textRune)
	c.required("city", a.City, 250, textRune)
	c.required("postalCode", a.PostalCode, 16, textRune)
	c.optional("countrySubdivision", a.CountrySubdivision, 250, textRune)
	c.required("countryCode", a.CountryCode, 2, upperRune)
	if len(value(a.CountryCode)) < 2 && a.CountryCode != nil {
		c.add("countryCode", "must have 2 letters")
	}
	c.absent("street", a.Street != nil)
	c.absent("houseNumber", a.HouseNumber != nil)
	c.absent("addressLine", a.AddressLine != nil)
	c.absent("country", a.Country != nil)
}

// noNulls refuses null anywhere in the body. Error: schema_violation.
func noNulls(body []byte) error {
	if !bytes.Contains(body, []byte("null")) {
		return nil
	}
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fault.Invalid("invalid_json", "the body is not JSON").Because(err)
		}
		if token.Kind() == 'n' {
			c := checker{}
			c.add(strings.TrimPrefix(string(dec.StackPointer()), "/"), "must not be null, leave it out instead")
			return c.err()
		}
	}
}
