package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object.
type object = map[string]any

const (
	postPath = "POST /paymenttransaction/{originatorId}/{endPointId}"
	getPath  = "GET /paymenttransaction/{originatorId}/{endPointId}/{transactionId}"
)

func (s *session) newID() string {
	s.made++
	return fmt.Sprintf("%s-%03d", s.prefix, s.made)
}

// plain is a request with every field that an individual's may have, in the words of the server's
// version.
func (s *session) plain() object {
	if s.older {
		return s.ofLegacy()
	}
	return s.ofIndividual()
}

func (s *session) ofIndividual() object {
	return s.with(object{
		"requestorType": "INDIVIDUAL", "name": "Muster", "firstName": "Jördis", "gender": "D", "address": postal(),
	})
}

func (s *session) ofOrganization() object {
	return s.with(object{"requestorType": "ORGANIZATION", "name": "Muster GmbH", "address": postal()})
}

// ofLegacy has the requestor of 1.1.0.
func (s *session) ofLegacy() object {
	return s.with(object{
		"name": "Muster", "firstName": "Jördis", "gender": "F", "isOrganization": true, "organizationName": "Muster GmbH",
		"address": object{
			"street": "Markt", "houseNumber": "1", "addressLine": []any{"Hinterhaus"}, "postalCode": "99084", "city": "Erfurt", "country": "DE",
		},
	})
}

func postal() object {
	return object{
		"addressType": "POSTAL_ADDRESS", "addressLine1": "Fischmarkt 1", "addressLine2": "Aufgang B", "addressLine3": "3. Stock",
		"city": "Erfurt", "postalCode": "99084", "countrySubdivision": "TH", "countryCode": "DE",
	}
}

func (s *session) with(requestor object) object {
	return object{
		"requestId": s.newID(), "requestTimestamp": s.Clock().UTC().Format(time.RFC3339), "currency": "EUR", "grossAmount": json.Number("30.70"),
		"purpose": "Pruefung", "description": "Prüfung der Schnittstelle, bitte nicht bezahlen", "redirectUrl": "https://dienst.example/zurueck?vorgang=1",
		"items": []any{s.item("1", "30.70")}, "requestor": requestor,
	}
}

// item is a position of one piece without tax.
func (s *session) item(itemID, amount string) object {
	data := object{"pruefung": "1"}
	for key, value := range s.BookingData {
		data[key] = value
	}
	return object{
		"id": itemID, "reference": "PRUEFUNG", "description": "Prüfung", "taxRate": json.Number("0"), "quantity": json.Number("1"),
		"totalNetAmount": json.Number(amount), "totalTaxAmount": json.Number("0.00"),
		"singleNetAmount": json.Number(amount), "singleTaxAmount": json.Number("0.00"), "bookingData": data,
	}
}

// get returns the value at the path.
func get(v any, path []string) (any, bool) {
	for _, step := range path {
		switch at := v.(type) {
		case object:
			value, there := at[step]
			if !there {
				return nil, false
			}
			v = value
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(at) {
				return nil, false
			}
			v = at[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// set puts a value at the path; remove takes it away.
func set(body object, path []string, value any) {
	parent, _ := get(body, path[:len(path)-1])
	last := path[len(path)-1]
	switch at := parent.(type) {
	case object:
		at[last] = value
	case []any:
		if i, err := strconv.Atoi(last); err == nil {
			at[i] = value
		}
	}
}

func remove(body object, path []string) {
	parent, _ := get(body, path[:len(path)-1])
	if at, ok := parent.(object); ok {
		delete(at, path[len(path)-1])
	}
}

// place is the path of a request for the originator and the end point.
func (s *session) place(before string) string {
	return before + "/" + url.PathEscape(s.Originator) + "/" + url.PathEscape(s.EndPoint)
}

func (s *session) create(body object, headers ...string) reply {
	text, err := json.Marshal(body)
	if err != nil {
		return reply{err: err}
	}
	return s.createText(text, headers...)
}

func (s *session) createText(text []byte, headers ...string) reply {
	q := question{method: http.MethodPost, path: s.place("/paymenttransaction"), body: bytes.NewReader(text), headers: map[string]string{}}
	for i := 0; i+1 < len(headers); i += 2 {
		q.headers[headers[i]] = headers[i+1]
	}
	return s.ask(q)
}

// transaction is an answer, as far as it is looked at.
type transaction struct {
	PaymentInformation struct {
		TransactionURL         string `json:"transactionUrl"`
		TransactionRedirectURL string `json:"transactionRedirectUrl"`
		TransactionID          string `json:"transactionId"`
		TransactionTimestamp   string `json:"transactionTimestamp"`
		PaymentMethod          string `json:"paymentMethod"`
		Status                 string `json:"status"`
	} `json:"paymentInformation"`
	PaymentRequest json.RawMessage `json:"paymentRequest"`
}

// accepted judges the answer to a request that has to be accepted.
func (s *session) accepted(c clause, sent object, r reply) finding {
	if r.status != http.StatusOK {
		if r.err == nil && r.status < 300 {
			return finding{Fail, r.brief() + " where the standard has 200"}
		}
		return c.broken(r.brief())
	}
	if _, old := sent["grosAmount"]; !old {
		if wrong := fits(s.schemas, "PaymentTransaction", r.body); wrong != "" {
			return finding{Fail, "200, but the answer breaks the schema at " + wrong}
		}
	}
	var t transaction
	if err := json.Unmarshal(r.body, &t); err != nil {
		return finding{Fail, "200, but the answer is no PaymentTransaction: " + err.Error()}
	}
	info := t.PaymentInformation
	switch {
	case info.Status != "INITIAL":
		return finding{Fail, "200, but the status is " + info.Status + " and nobody has paid"}
	case info.PaymentMethod != "" || info.TransactionTimestamp != "":
		return finding{Fail, "200, but it names method or time of a payment that was not made"}
	case len(t.PaymentRequest) == 0:
		return finding{Pass, "200, without paymentRequest"}
	}
	back, err := decode(t.PaymentRequest)
	if err != nil {
		return finding{Fail, "200, but paymentRequest is no JSON"}
	}
	if d := difference(asSent(sent), back, ""); d != "" {
		return finding{Fail, "200, but paymentRequest is not what was sent: " + d}
	}
	return finding{Pass, "200"}
}

// asSent is the body as a reader of JSON sees it.
func asSent(body object) any {
	v, err := decode(edited(body, func(object) {}))
	if err != nil {
		panic(err) // it was just written
	}
	return v
}

// mustAccept asks with a body that is valid.
func (s *session) mustAccept(c clause, body func() object, headers ...string) {
	c.standard, c.expected = cmpText(c.standard, postPath+", PaymentRequest"), "200 with a PaymentTransaction that gives the request back"
	s.judge(c, func() finding {
		if !s.usable {
			return s.unknown()
		}
		sent := body()
		return s.accepted(c, sent, s.create(sent, headers...))
	})
}

// mustRefuse asks with a body that is not valid; codes are the functional codes that fit.
func (s *session) mustRefuse(c clause, text func() []byte, codes []string, headers ...string) {
	c.standard, c.expected = cmpText(c.standard, postPath+", PaymentRequest"), "400 with "+strings.Join(codes, " or ")
	s.judge(c, func() finding {
		if !s.usable {
			return s.unknown()
		}
		return c.refused(s.createText(text(), headers...), codes)
	})
}

// refused judges the answer to a request that has to be refused.
func (c clause) refused(r reply, codes []string) finding {
	switch {
	case r.err != nil || r.status >= http.StatusInternalServerError:
		return finding{Fail, r.brief()}
	case r.status < http.StatusMultipleChoices:
		return c.broken(r.brief() + ": it was accepted")
	case r.status != http.StatusBadRequest:
		return finding{Warn, r.brief() + " where the standard has 400"}
	case !slices.Contains(codes, r.problem().FunctionalCode):
		return finding{Warn, r.brief() + ": another functionalCode"}
	}
	return finding{Pass, r.brief()}
}

func cmpText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// edited marshals the body after the edit.
func edited(body object, edit func(object)) []byte {
	edit(body)
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // maps, texts and numbers
	}
	return text
}

func validation() []string { return []string{"VALIDATION_ERROR"} }
