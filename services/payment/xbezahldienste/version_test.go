package xbezahldienste_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"basisdienste/platform/runtest"
	"basisdienste/services/payment/xbezahldienste"
)

const (
	typed  = `"requestorType": "INDIVIDUAL", `
	postal = `"addressType": "POSTAL_ADDRESS",
			"addressLine1": "Fischmarkt 1", "city": "Erfurt", "postalCode": "99084", "countryCode": "DE"`
	street  = `"street": "Fischmarkt", "houseNumber": "1", "postalCode": "99084", "city": "Erfurt", "country": "DE"`
	version = "X-XBezahldienste-Version"
)

// as10 is a request as a client of 1.0.0 in the field writes it: its fields without a value are null.
func as10(id string) string {
	return request(id, `"grossAmount"`, `"grosAmount"`, typed, `"gender": null, `, postal, street, `"purpose": "Bewohnerparken"`, `"purpose": null`)
}

func as11(id string) string { return request(id, typed, ``, postal, street) }

func TestVersions(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, c := range []struct {
		name, body, asked string // the version that the header names
		answered          string
	}{
		{"1.2.0 without the header", request("a-1"), "", "1.2.0"},
		{"1.2.0", request("a-2"), "1.2.0", "1.2.0"},
		{"what follows 1.2", request("a-3"), "1.3.1", "1.2.0"},
		{"1.1.0 by its shape", as11("a-4"), "", "1.1.0"},
		{"1.1.0", as11("a-5"), "1.1.0", "1.1.0"},
		{"1.1.0 with the newer requestor", request("a-6"), "1.1.0", "1.1.0"},
		{"the legacy requestor in 1.2.0", as11("a-7"), "1.2.0", "1.1.0"},
		{"1.0.0 by its shape", as10("a-8"), "", "1.0.0"},
		{"1.0.0", as10("a-9"), "1.0.0", "1.0.0"},
		{"1.0.0 that says otherwise", as10("a-10"), "1.2.0", "1.0.0"},
	} {
		var headers []string
		if c.asked != "" {
			headers = []string{version, c.asked}
		}
		a := e.Do("POST", postPath(erfurtARS), e.token, c.body, headers...)
		var made xbezahldienste.PaymentTransaction
		if a.Status != http.StatusOK {
			t.Errorf("%s: POST = %d %s, want 200", c.name, a.Status, a.Body)
			continue
		}
		a.JSON(t, &made)
		if got := a.Header.Get(version); got != c.answered {
			t.Errorf("%s: %s of the answer = %q, want %q", c.name, version, got, c.answered)
		}
		if got, want := compact(t, made.PaymentRequest), compact(t, []byte(c.body)); got != want {
			t.Errorf("%s: POST gives back\n%s\nwant what was sent\n%s", c.name, got, want)
		}
		read := e.Do("GET", postPath(erfurtARS)+"/"+made.PaymentInformation.TransactionID, e.token, nil)
		var again xbezahldienste.PaymentTransaction
		read.JSON(t, &again)
		if got, want := compact(t, again.PaymentRequest), compact(t, []byte(c.body)); got != want || read.Header.Get(version) != "" {
			t.Errorf("%s: GET without the header gives back %q\n%s\nwant what was sent\n%s", c.name, read.Header.Get(version), got, want)
		}
	}
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b.String()
}

// A client that was brought up to date reads what it asked for before, and one that was not
// reads what another asked for.
func TestVersions_ReadInAnother(t *testing.T) {
	t.Parallel()
	e := start(t)
	path := map[string]string{}
	for name, body := range map[string]string{"1.0.0": as10("r-10"), "1.1.0": as11("r-11"), "1.2.0": request("r-12")} {
		var made xbezahldienste.PaymentTransaction
		e.Do("POST", postPath(erfurtARS), e.token, body).JSON(t, &made)
		path[name] = postPath(erfurtARS) + "/" + made.PaymentInformation.TransactionID
	}
	for _, c := range []struct {
		made, read string
		has, lacks []string
	}{
		{"1.0.0", "1.2.0", []string{`"grossAmount":30.70`, `"houseNumber":"1"`}, []string{"grosAmount", "null", "purpose"}},
		{"1.0.0", "1.1.0", []string{`"grossAmount":30.70`}, []string{"grosAmount", "null"}},
		{"1.1.0", "1.2.0", []string{`"grossAmount":30.70`, `"houseNumber":"1"`}, []string{"requestorType"}},
		{"1.2.0", "1.0.0", []string{`"grosAmount":30.70`, `"items"`}, []string{"grossAmount", "requestor"}},
		{"1.2.0", "1.1.0", []string{`"grossAmount":30.70`}, []string{"requestor"}},
		{"1.2.0", "1.2.0", []string{`"requestorType":"INDIVIDUAL"`}, nil},
	} {
		var a runtest.Answer
		if c.read == "1.0.0" { // whose schema is another one
			a = e.Do("GET", path[c.made], e.token, nil, version, c.read)
		} else {
			a = e.call(t, "GET", path[c.made], e.token, "", true, version, c.read)
		}
		text := string(a.Body)
		if a.Status != http.StatusOK || a.Header.Get(version) != c.read {
			t.Errorf("made in %s, read in %s: GET = %d, version %q; want 200, %s", c.made, c.read, a.Status, a.Header.Get(version), c.read)
		}
		for _, want := range c.has {
			if !strings.Contains(text, want) {
				t.Errorf("made in %s, read in %s: GET = %s, want %s in it", c.made, c.read, text, want)
			}
		}
		for _, not := range c.lacks {
			if strings.Contains(text, not) {
				t.Errorf("made in %s, read in %s: GET = %s, want no %s in it", c.made, c.read, text, not)
			}
		}
	}
}

func TestVersions_Refused(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, c := range []struct {
		name, asked, body, detail string
	}{
		{"2.0.0", "2.0.0", request("a"), "1.0.0, 1.1.0 and 1.2.0"},
		{"no version", "latest", request("a"), "1.0.0, 1.1.0 and 1.2.0"},
		{"both amounts", "", request("a", `"grossAmount"`, `"grosAmount": 30.70, "grossAmount"`), "grossAmount"},
		{"1.0.0, a cent too much", "", strings.Replace(as10("a"), `"grosAmount": 30.70`, `"grosAmount": 30.71`, 1), "30.71"},
		{"1.0.0, an amount over the maximum", "", strings.Replace(as10("a"), `"grosAmount": 30.70`, `"grosAmount": 1000000`, 1), "grosAmount"},
		{"1.0.0, null where a value has to be", "", strings.Replace(as10("a"), `"currency": "EUR"`, `"currency": null`, 1), "currency"},
		{"null in 1.2.0", "1.2.0", request("a", `"purpose": "Bewohnerparken"`, `"purpose": null`), "purpose"},
	} {
		a := e.Do("POST", postPath(erfurtARS), e.token, c.body, version, c.asked)
		if s := e.systemResponse(t, a); a.Status != http.StatusBadRequest || !strings.Contains(s.Detail, c.detail) {
			t.Errorf("%s: POST = %d %s, want 400 with %q", c.name, a.Status, a.Body, c.detail)
		}
	}
}

func TestBookingData(t *testing.T) {
	t.Parallel()
	e := start(t)
	entry := e.erfurt
	entry.Version = 2
	entry.Settings = map[string]json.RawMessage{"payment": json.RawMessage(
		`{"booking_data": {"*": {"haushaltstelle": {"required": true, "pattern": "[0-9.]+", "max_length": 20}, "kapitel": {"max_length": 4}}}}`)}
	e.Put(entry)
	const data = `"bookingData": {"haushaltstelle": "1.1200.1000", "objektnummer": "4711"}`
	for _, c := range []struct {
		name, body, detail string
	}{
		{"as wanted", request("a"), ""},
		{"the key is missing", request("b", data, `"bookingData": {"objektnummer": "4711"}`), "items.0.bookingData.haushaltstelle is missing"},
		{"no booking data at all", request("c", ",\n\t\t\t"+data, ``), "haushaltstelle is missing"},
		{"another pattern", request("d", `1.1200.1000`, `HHSt 1.1200`), "haushaltstelle is not written as"},
		{"too long", request("e", data, `"bookingData": {"haushaltstelle": "1", "kapitel": "17040"}`), "kapitel has more than 4 characters"},
	} {
		a := e.call(t, "POST", postPath(erfurtARS), e.token, c.body, true)
		if c.detail == "" {
			if a.Status != http.StatusOK {
				t.Errorf("%s: POST = %d %s, want 200", c.name, a.Status, a.Body)
			}
			continue
		}
		if s := e.systemResponse(t, a); a.Status != http.StatusBadRequest || s.FunctionalCode != "BOOKING_DATA_MISSING" || !strings.Contains(s.Detail, c.detail) {
			t.Errorf("%s: POST = %d %s, want 400 BOOKING_DATA_MISSING with %q", c.name, a.Status, a.Body, c.detail)
		}
	}
}
