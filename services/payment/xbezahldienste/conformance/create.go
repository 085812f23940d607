package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// amounts asks for sums, decimals and the currency.
func (s *session) amounts() {
	sum := []string{"CALCULATION_ERROR"}
	gross := func(value string) func() []byte {
		return func() []byte { return edited(s.plain(), func(b object) { b["grossAmount"] = json.Number(value) }) }
	}
	of := func(edit func(object)) func() object {
		return func() object {
			b := s.plain()
			edit(b)
			return b
		}
	}
	one := func(amount string, asGross string) func() object {
		return of(func(b object) {
			b["grossAmount"], b["items"] = json.Number(asGross), []any{s.item("1", amount)}
		})
	}
	s.mustRefuse(clause{id: "create.sum.cent-more", sent: "grossAmount a cent more than the items", must: true}, gross("30.71"), sum)
	s.mustRefuse(clause{id: "create.sum.cent-less", sent: "grossAmount a cent less than the items", must: true}, gross("30.69"), sum)
	s.mustRefuse(clause{id: "create.sum.quantity", sent: "totalNetAmount that is not quantity times singleNetAmount"}, func() []byte {
		return edited(s.plain(), func(b object) { set(b, []string{"items", "0", "quantity"}, json.Number("2")) })
	}, append(sum, validation()...))
	s.mustAccept(clause{id: "create.sum.tax", sent: "two items, one with three pieces and tax of 19", must: true}, of(func(b object) {
		taxed := s.item("2", "25.20")
		taxed["quantity"], taxed["taxRate"], taxed["totalTaxAmount"] = json.Number("3"), json.Number("19"), json.Number("4.80")
		taxed["singleNetAmount"], taxed["singleTaxAmount"] = json.Number("8.40"), json.Number("1.60")
		b["grossAmount"], b["items"] = json.Number("60.70"), []any{s.item("1", "30.70"), taxed}
	}))
	s.mustAccept(clause{id: "create.sum.decimal", sent: "0.10 and 0.20, which are 0.30 but for binary fractions", must: true}, of(func(b object) {
		b["grossAmount"], b["items"] = json.Number("0.30"), []any{s.item("1", "0.10"), s.item("2", "0.20")}
	}))
	s.mustAccept(clause{id: "create.amount.whole", sent: "30 instead of 30.00", must: true}, one("30", "30.00"))
	s.mustAccept(clause{id: "create.amount.one-place", sent: "30.7 instead of 30.70", must: true}, one("30.70", "30.7"))
	s.mustAccept(clause{id: "create.amount.exponent", sent: "3.07e1, a JSON number as well"}, one("30.70", "3.07e1"))
	s.mustAccept(clause{id: "create.amount.least", sent: "a cent"}, one("0.01", "0.01"))
	s.mustAccept(clause{id: "create.amount.most", sent: "999999"}, one("999999", "999999"))
	s.mustRefuse(clause{id: "create.amount.beyond-by-a-cent", sent: "999999.01", must: true}, func() []byte {
		return edited(one("999999.01", "999999.01")(), func(object) {})
	}, validation())
	s.mustRefuse(clause{id: "create.amount.third-place", sent: "30.701, a tenth of a cent"}, func() []byte {
		return edited(one("30.701", "30.701")(), func(object) {})
	}, append(sum, validation()...))
	s.mustAccept(clause{id: "create.item.quantity.most", sent: "999999 pieces of a cent"}, of(func(b object) {
		many := s.item("1", "9999.99")
		many["quantity"], many["singleNetAmount"] = json.Number("999999"), json.Number("0.01")
		b["grossAmount"], b["items"] = json.Number("9999.99"), []any{many}
	}))
	for _, n := range []int{99, 100} {
		several := of(func(b object) {
			var items []any
			for i := range n {
				items = append(items, s.item(strconv.Itoa(i+1), "1.00"))
			}
			b["grossAmount"], b["items"] = json.Number(strconv.Itoa(n)), items
		})
		c := clause{id: fmt.Sprintf("create.items.%d", n), sent: fmt.Sprintf("%d items", n), must: true}
		if n == 99 {
			s.mustAccept(c, several)
		} else {
			s.mustRefuse(c, func() []byte { return edited(several(), func(object) {}) }, validation())
		}
	}
	s.mustRefuse(clause{id: "create.currency.other", sent: "USD; in the first step only EUR is provided for", must: true},
		func() []byte { return edited(s.plain(), func(b object) { b["currency"] = "USD" }) }, validation())
	s.mustRefuse(clause{id: "create.currency.lower-case", sent: "eur"},
		func() []byte { return edited(s.plain(), func(b object) { b["currency"] = "eur" }) }, validation())
}

// texts asks for booking data, times and letters.
func (s *session) texts() {
	booking := func(count int, value string) func(object) {
		return func(b object) {
			data, _ := get(b, []string{"items", "0", "bookingData"})
			entries, _ := data.(object)
			entries["pruefung"] = value
			for i := 0; len(entries) < count; i++ {
				entries["k"+strconv.Itoa(i)] = "1"
			}
		}
	}
	for _, v := range []struct {
		id, sent    string
		valid, must bool
		edit        func(object)
	}{
		{"create.bookingData.letters", "umlauts, comma and full stop in booking data", true, true, booking(0, "Größe 1, 2.3 - Ž")},
		{"create.bookingData.longest", "booking data with 250 characters", true, true, booking(0, strings.Repeat("x", 250))},
		{"create.bookingData.longer", "booking data with 251 characters", false, true, booking(0, strings.Repeat("x", 251))},
		{"create.bookingData.empty", "an empty text in booking data", false, true, booking(0, "")},
		{"create.bookingData.sign", "a slash in booking data", false, false, booking(0, "1/1200")},
		{"create.bookingData.99", "99 booking data", true, false, booking(99, "1")},
		{"create.bookingData.100", "100 booking data", false, false, booking(100, "1")},
		{"create.bookingData.number", "a number in booking data", false, true, func(b object) {
			set(b, []string{"items", "0", "bookingData", "pruefung"}, json.Number("1"))
		}},
		{"create.optional.left-out", "without any field that need not be there", true, true, func(b object) {
			for _, field := range []string{"purpose", "description", "requestor"} {
				delete(b, field)
			}
			remove(b, []string{"items", "0", "description"})
		}},
		{"create.organization", "an organization as requestor", true, true, func(b object) { b["requestor"] = s.ofOrganization()["requestor"] }},
		{"create.description.letters", "letters of DIN 91379 in the description", true, true, func(b object) { b["description"] = "Şenöl Ğ ő Ž ş ß €, Łódź" }},
		{"create.description.control", "a control character in the description", false, false, func(b object) { b["description"] = "a\x00b" }},
		{"create.purpose.umlaut", "an umlaut in the purpose", false, false, func(b object) { b["purpose"] = "Gebühr" }},
		{"create.requestTimestamp.offset", "a time with an offset", true, true, func(b object) { b["requestTimestamp"] = "2026-11-23T10:30:00.123+01:00" }},
		{"create.requestTimestamp.zone", "a time without a zone", false, false, func(b object) { b["requestTimestamp"] = "2026-11-23T10:30:00" }},
		{"create.requestTimestamp.date", "a day instead of a time", false, true, func(b object) { b["requestTimestamp"] = "2026-11-23" }},
		{"create.requestTimestamp.month", "a month that there is not", false, true, func(b object) { b["requestTimestamp"] = "2026-13-23T10:30:00Z" }},
	} {
		c := clause{id: v.id, sent: v.sent, must: v.must}
		if v.valid {
			s.mustAccept(c, func() object {
				b := s.plain()
				v.edit(b)
				return b
			})
			continue
		}
		s.mustRefuse(c, func() []byte { return edited(s.plain(), v.edit) }, append(validation(), "BOOKING_DATA_MISSING"))
	}
}

// addresses asks for redirectUrl: a browser is sent there.
func (s *session) addresses() {
	for _, v := range []struct {
		id, sent, url string
		valid, must   bool
	}{
		{"query", "a query with escaped signs and a port", "https://dienst.example:8443/zur%C3%BCck?a=1&b=%2F", true, true},
		{"script", "a script", "javascript:alert(1)", false, true},
		{"data", "a page in itself", "data:text/html,x", false, true},
		{"relative", "a path", "/zurueck", false, true},
		{"no-host", "no host", "https:///zurueck", false, true},
		{"words", "no URL", "zurück zum Dienst", false, true},
		{"user", "a user name, as phishing has it", "https://bank.example@dienst.example/", false, false},
		{"ftp", "a scheme that browsers do not open", "ftp://dienst.example/", false, false},
	} {
		edit := func(b object) { b["redirectUrl"] = v.url }
		c := clause{id: "create.redirectUrl." + v.id, standard: postPath + ", PaymentRequest.redirectUrl", sent: v.sent, must: v.must}
		if v.valid {
			s.mustAccept(c, func() object {
				b := s.plain()
				edit(b)
				return b
			})
			continue
		}
		s.mustRefuse(c, func() []byte { return edited(s.plain(), edit) }, validation())
	}
}

const bigBody = 8 << 20 // bytes

// bodies asks with what is no request, or is not written as it should be.
func (s *session) bodies() {
	plain := func() []byte { return edited(s.plain(), func(object) {}) }
	text := func(t string) func() []byte { return func() []byte { return []byte(t) } }
	for _, v := range []struct {
		id, sent string
		must     bool
		text     func() []byte
		headers  []string
	}{
		{"empty", "an empty body", true, text(""), nil},
		{"no-json", "XML", true, text("<request/>"), nil},
		{"cut-off", "JSON that ends early", true, func() []byte { b := plain(); return b[:len(b)/2] }, nil},
		{"array", "an array", true, text("[]"), nil},
		{"null", "null", true, text("null"), nil},
		{"two", "two requests", false, func() []byte { return append(plain(), plain()...) }, nil},
		{"duplicate", "currency twice", false, func() []byte {
			return bytes.Replace(plain(), []byte(`"currency"`), []byte(`"currency":"EUR","currency"`), 1)
		}, nil},
		{"deep", "20,000 arrays in each other", true, text(strings.Repeat("[", 20000)), nil},
		{"utf-8", "bytes that are no UTF-8", true, func() []byte { return bytes.Replace(plain(), []byte("ü"), []byte{0xFC}, 1) }, nil},
		{"media-type", "text/plain", false, plain, []string{"Content-Type", "text/plain"}},
	} {
		s.mustRefuse(clause{id: "body." + v.id, sent: v.sent, must: v.must}, v.text, validation(), v.headers...)
	}
	s.mustAccept(clause{id: "body.charset", sent: "application/json; charset=utf-8", must: true}, s.plain, "Content-Type", "application/json; charset=utf-8")
	c := clause{"body.latin-1", postPath, "Latin-1 and a header that says so", "the letters as they were meant, or 400", true}
	s.judge(c, func() finding {
		body := s.plain()
		r := s.createText(latin1(edited(body, func(object) {})), "Content-Type", "application/json; charset=iso-8859-1")
		if r.status == http.StatusOK {
			return s.accepted(c, body, r)
		}
		return c.refused(r, validation())
	})
	c = clause{"body.big", postPath, fmt.Sprintf("%d MB", bigBody>>20), "an answer with 4xx, or the end of the connection", true}
	s.judge(c, func() finding {
		r := s.once(question{method: http.MethodPost, path: s.place("/paymenttransaction"), body: io.LimitReader(spaces{}, bigBody)})
		switch {
		case r.err != nil && s.create(s.plain()).err == nil:
			return finding{Pass, "the server ended the connection"}
		case r.status >= http.StatusBadRequest && r.status < http.StatusInternalServerError:
			return finding{Pass, r.brief()}
		}
		return finding{Fail, r.brief()}
	})
}

// spaces never end.
type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// latin1 writes the letters up to ÿ as one byte each.
func latin1(text []byte) []byte {
	var out []byte
	for _, r := range string(text) {
		if r < 0x100 {
			out = append(out, byte(r))
		} else {
			out = append(out, '?')
		}
	}
	return out
}

const versionHeader = "X-XBezahldienste-Version"

// versions asks as clients of each version do.
func (s *session) versions() {
	s.mustAccept(clause{id: "version.none", sent: "without the header", must: true}, s.plain)
	s.mustAccept(clause{id: "version.own", sent: versionHeader + ": " + s.Version, must: true}, s.plain, versionHeader, s.Version)
	s.mustAccept(clause{id: "version.legacy-requestor", sent: "the requestor of 1.1.0; it is answered in its own shape", must: true}, s.ofLegacy)
	s.mustAccept(clause{id: "version.1.1.0", sent: versionHeader + ": 1.1.0, with its requestor"}, s.ofLegacy, versionHeader, "1.1.0")
	c := clause{"version.1.0.0", postPath + ", 1.0.0", versionHeader + ": 1.0.0, with grosAmount", "200 with grosAmount, if the server speaks 1.0.0", true}
	s.judge(c, func() finding {
		body := s.ofLegacy()
		body["grosAmount"] = body["grossAmount"]
		delete(body, "grossAmount")
		r := s.create(body, versionHeader, "1.0.0")
		if r.status != http.StatusOK && r.err == nil && r.status < 500 {
			return finding{NotApplicable, "the server does not speak 1.0.0: " + r.brief()}
		}
		return s.accepted(c, body, r)
	})
	s.mustRefuse(clause{id: "version.unknown", sent: versionHeader + ": 9.0.0"}, func() []byte { return edited(s.plain(), func(object) {}) }, validation(), versionHeader, "9.0.0")
}

// twice asks for one payment several times.
func (s *session) twice() {
	exists := []string{"PAYMENT_EXISTS"}
	var first object
	var made reply
	begin := func() bool {
		if first == nil {
			first = s.plain()
			made = s.create(first)
		}
		return made.status == http.StatusOK
	}
	again := func(c clause, edit func(object)) {
		c.standard, c.expected = "SystemResponse.functionalCode PAYMENT_EXISTS", "400 with PAYMENT_EXISTS"
		s.judge(c, func() finding {
			if !begin() {
				return s.unknown()
			}
			copied, err := decode(edited(first, func(object) {}))
			if err != nil {
				return finding{NotApplicable, err.Error()}
			}
			body, _ := copied.(object)
			edit(body)
			return c.refused(s.create(body), exists)
		})
	}
	again(clause{id: "exists.same", sent: "a request twice", must: true}, func(object) {})
	again(clause{id: "exists.other", sent: "another request with the requestId of the first", must: true}, func(b object) { b["purpose"] = "Anderes" })
	c := clause{"exists.idempotency-key", "beyond the standard: a lost answer", "a request again, with Idempotency-Key", "the first answer, or PAYMENT_EXISTS", true}
	s.judge(c, func() finding {
		if !begin() {
			return s.unknown()
		}
		r := s.create(first, "Idempotency-Key", s.newID())
		var was, is transaction
		switch {
		case r.status != http.StatusOK:
			if f := c.refused(r, exists); f.verdict != Pass {
				return f
			}
			return finding{NotApplicable, "the server does not know Idempotency-Key: " + r.brief()}
		case json.Unmarshal(made.body, &was) != nil || json.Unmarshal(r.body, &is) != nil || was.PaymentInformation.TransactionID != is.PaymentInformation.TransactionID:
			return finding{Fail, "200 with another transaction"}
		}
		return finding{Pass, "200 with the first transaction"}
	})
	c = clause{"exists.at-once", "SystemResponse.functionalCode PAYMENT_EXISTS", "a request four times at once", "one payment", true}
	s.judge(c, func() finding {
		if !s.usable {
			return s.unknown()
		}
		text := edited(s.plain(), func(object) {})
		statuses := make([]int, 4)
		var all sync.WaitGroup
		for i := range statuses {
			all.Go(func() {
				statuses[i] = s.once(question{method: http.MethodPost, path: s.place("/paymenttransaction"), body: bytes.NewReader(text)}).status
			})
		}
		all.Wait()
		slices.Sort(statuses)
		if n := slices.Index(statuses, http.StatusOK); n != 0 || statuses[1] == http.StatusOK {
			return finding{Fail, fmt.Sprintf("the statuses %v", statuses)}
		}
		return finding{Pass, fmt.Sprintf("the statuses %v", statuses)}
	})
}
