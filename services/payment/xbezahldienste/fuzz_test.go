package xbezahldienste

import (
	"encoding/json"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
)

const sample = `{"requestId":"r-1","requestTimestamp":"2026-11-23T09:30:00Z","currency":"EUR","grossAmount":30.70,"purpose":"Bewohnerparken",
"description":"Ausweis Zone 3","redirectUrl":"https://dienst.example/zurueck","items":[{"id":"1","reference":"BPA","taxRate":0,"quantity":1,
"totalNetAmount":30.70,"totalTaxAmount":0,"singleNetAmount":30.70,"singleTaxAmount":0,"bookingData":{"haushaltstelle":"1.1200"}}],
"requestor":{"requestorType":"ORGANIZATION","name":"Firma","address":{"addressType":"POSTAL_ADDRESS","addressLine1":"Markt 1","city":"Erfurt","postalCode":"99084","countryCode":"DE"}}}`

const legacySample = `{"requestId":"r-1","requestTimestamp":"2026-11-23T09:30:00+01:00","currency":"EUR","grossAmount":1e1,"redirectUrl":"https://dienst.example/",
"items":[{"id":"1","reference":"BPA","description":"a","taxRate":19.0,"quantity":2.0,"totalNetAmount":8.4,"totalTaxAmount":1.60,"singleNetAmount":4.2,"singleTaxAmount":0.8}],
"requestor":{"name":"Muster","firstName":"Jörg","gender":"D","isOrganization":false,"address":{"street":"Markt","houseNumber":"1-3","addressLine":["Hof"],"postalCode":"99084","city":"Erfurt","country":"DE"}}}`

// sample100 is written as a released client of 1.0.0 writes: with null for what it has not.
var sample100 = strings.NewReplacer(`"grossAmount"`, `"grosAmount"`, `"currency"`, `"purpose":null,"currency"`, `"gender":"D"`, `"gender":null`).Replace(legacySample)

func schemas(t testing.TB) openapi3.Schemas {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../../contracts/openapi/payment-xbezahldienste.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return doc.Components.Schemas
}

// What we take fits the schema, and every answer to what we refuse fits the schema too.
func FuzzRequest(f *testing.F) {
	all := schemas(f)
	for _, s := range []string{sample, legacySample, sample100, `{}`, `[]`, `null`, `{"items":[{}]}`, strings.Replace(sample, "30.70", "30.7000", 1)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var q PaymentRequest
		err := kit.Strict(body, &q)
		if err == nil && q.version(0) != v100 {
			err = noNulls(body)
		}
		if err == nil {
			_, err = q.order()
		}
		if err != nil {
			answer, merr := json.Marshal(systemResponse(err, "0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d"))
			if merr != nil {
				t.Fatal(merr)
			}
			if f := fault.From(err); f.Kind == fault.KindInternal {
				t.Errorf("refused with an internal error: %v", err)
			}
			holds(t, all, "SystemResponse", answer)
			return
		}
		// What came as 1.0.0 fits when it is told in the words of 1.2.0.
		told, err := inVersion(string(body), v120)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, all, "PaymentRequest", told)
	})
}

func holds(t *testing.T, all openapi3.Schemas, schema string, text []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s is no JSON: %v", text, err)
	}
	if err := all[schema].Value.VisitJSON(v); err != nil {
		t.Errorf("%s breaks the schema %s: %v", text, schema, err)
	}
}

// Cents agrees with exact arithmetic for every JSON number.
func FuzzCents(f *testing.F) {
	for _, s := range []string{"0", "-0", "30.70", "30.7", "30.701", "30.7000", "3.07e1", "3070E-2", "999999", "1e-2", "1e-3", "1e400", "0.1e-0", "0e100", "123456789012345678901234567890", "-30.70"} {
		f.Add(s)
	}
	number := regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)
	f.Fuzz(func(t *testing.T, s string) {
		if !number.MatchString(s) || len(s) > maxDigits {
			return
		}
		want, ok := new(big.Rat).SetString(s)
		if !ok {
			return
		}
		want.Mul(want, big.NewRat(100, 1))
		exact := want.IsInt() && want.Num().CmpAbs(big.NewInt(999_999_999_999_999)) <= 0
		got, ok := Decimal{s}.Cents()
		switch {
		case ok && (!exact || want.Num().Int64() != int64(got)):
			t.Errorf("Cents(%s) = %d, want %s", s, int64(got), want.RatString())
		case !ok && exact && !farExponent(s):
			t.Errorf("Cents(%s) is refused, want %s", s, want.RatString())
		}
	})
}

// farExponent: beyond what is looked at; no client writes an amount so.
func farExponent(s string) bool {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return false
	}
	exp, err := strconv.Atoi(s[i+1:])
	return err != nil || exp < -maxDigits || exp > maxDigits
}

func TestDecimalCents(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{
		"30.70": 3070, "30.7": 3070, "30": 3000, "0.01": 1, "30.7000": 3070, "3.07e1": 3070, "307E-1": 3070, "999999": 99999900, "-1.5": -150, "0.00": 0, "0e9": 0,
	} {
		if got, ok := (Decimal{s}).Cents(); !ok || int64(got) != want {
			t.Errorf("Cents(%s) = %d, %v; want %d", s, int64(got), ok, want)
		}
	}
	for _, s := range []string{"0.001", "30.701", "1e400", "1e-400", "1e99999999999999999999", strings.Repeat("9", 40), "1e20"} {
		if got, ok := (Decimal{s}).Cents(); ok {
			t.Errorf("Cents(%s) = %d, want it refused", s, int64(got))
		}
	}
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                               "-",
		"Größe passt.":                   "Größe passt.",
		`use "post": (once) / never`:     "use post once never",
		"a 'quoted' word, and more":      "a quoted word, and more",
		"30,70 € fehlen":                 "30,70 fehlen",
		"\x00\x01":                       "-",
		strings.Repeat("x", 3000):        strings.Repeat("x", 2000),
		"end (of it), next: \"x\". Done": "end of it, next x. Done",
	} {
		if got := allowed(in); got != want {
			t.Errorf("allowed(%.40q) = %.60q, want %.60q", in, got, want)
		}
	}
}
