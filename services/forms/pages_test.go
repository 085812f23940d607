package forms

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"basisdienste/platform/db"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web/webtest"
)

func TestTexts(t *testing.T) {
	t.Parallel()
	webtest.Texts(t, ".", texts)
}

// TestPages_journey walks a form without JavaScript, with the mistakes that people make.
func TestPages_journey(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	c := n.citizen(t, "kim.1")

	c.open("/t/erfurt/forms")
	c.expect(200, "Was möchten Sie beantragen?")
	for _, want := range []string{"Bewohnerparkausweis beantragen", "30,70 €", "Hund zur Hundesteuer anmelden", "Meldebescheinigung beantragen"} {
		if !strings.Contains(words(c.doc), want) {
			t.Errorf("list of forms: %q is missing", want)
		}
	}
	c.open("/t/erfurt/forms/anwohnerparkausweis")
	c.expect(200, "Bewohnerparkausweis beantragen")
	for _, want := range []string{"Das brauchen Sie", "30,70 € für jedes Jahr", "etwa 10 Minuten", "§ 45 Absatz 1b"} {
		if !strings.Contains(words(c.doc), want) {
			t.Errorf("start page: %q is missing", want)
		}
	}
	c.open("/t/erfurt/forms/begin/anwohnerparkausweis")
	c.expect(200, "Bevor Sie beginnen")
	if !strings.Contains(words(c.doc), "30 Tage lang nicht bearbeiten") {
		t.Error("the citizen is not told that the draft is deleted after 30 days")
	}
	c.press("", nil)

	// What the login knows is filled in and marked; the page is the first with a gap.
	c.expect(200, "Wo wohnen Sie?")
	appID := c.applicationID()
	if got := attr(c.byID("f-applicant-G60000086-F60000244"), "value"); got != "12a" {
		t.Errorf("house number taken over: got %q, want 12a", got)
	}
	if !strings.Contains(words(c.byID("f-applicant-G60000086-F60000243-hint")), "Aus Ihrem Konto übernommen") {
		t.Error("the street is not marked as taken over")
	}

	// Nothing answered: each question is in the summary, and its link leads to it.
	c.press("go=next", map[string]string{"applicant-G60000086-F60000246": "9908", "residence-zone": "A3"})
	c.expect(422, "Wo wohnen Sie?")
	if got := c.errors(); len(got) != 2 || !strings.Contains(got["#f-applicant-G60000086-F60000246"], "fünf Ziffern") || got["#f-residence-main"] == "" {
		t.Errorf("error summary: got %v, want the postcode and the main residence", got)
	}
	for target := range c.errors() {
		if c.byID(strings.TrimPrefix(target, "#")) == nil {
			t.Errorf("error summary: %s leads nowhere", target)
		}
	}
	if title := words(find(c.doc, "title")[0]); !strings.HasPrefix(title, "Fehler: ") {
		t.Errorf("title of a page with errors: got %q, want Fehler: first", title)
	}
	if got := attr(c.byID("f-residence-zone"), "value"); got != "A3" {
		t.Errorf("zone after the error: got %q, want what was typed", got)
	}
	c.press("go=next", map[string]string{"applicant-G60000086-F60000246": "99084", "residence-main": "no"})
	if got := c.errors()["#f-residence-main"]; !strings.Contains(got, "mit Hauptwohnung gemeldet") {
		t.Errorf("no main residence: got %q, want the rule", got)
	}
	c.press("go=next", map[string]string{"residence-main": "yes"})
	c.expect(200, "Wie erreichen wir Sie?")
	c.press("go=next", map[string]string{"applicant-G60000085-F60000242": "kim"})
	c.expect(422, "Wie erreichen wir Sie?")
	c.press("go=next", map[string]string{"applicant-G60000085-F60000242": "kim.beispiel@example.org"})

	// Back keeps what was typed, also when it is not right yet.
	c.expect(200, "Ihr Fahrzeug")
	c.press("go=back", map[string]string{"vehicle-plate": "EFAB"})
	c.expect(200, "Wie erreichen wir Sie?")
	c.press("go=next", nil)
	if got := attr(c.byID("f-vehicle-plate"), "value"); got != "EFAB" {
		t.Errorf("plate after back and forth: got %q, want EFAB", got)
	}
	// An answer that leads to another question is followed by it, without an error.
	c.press("go=next", map[string]string{"vehicle-plate": "ef-ab123", "vehicle-owner": "other"})
	c.expect(200, "Ihr Fahrzeug")
	if c.byID("f-vehicle-holder") == nil || len(c.errors()) != 0 {
		t.Errorf("after choosing another keeper: got errors %v, want the question for the name", c.errors())
	}
	c.press("go=next", nil)
	c.expect(422, "Ihr Fahrzeug")
	c.press("go=next", map[string]string{"vehicle-holder": "Autohaus am Anger"})

	// Later: the draft is kept and goes on where it was.
	c.expect(200, "Ihr Ausweis")
	c.press("go=later", map[string]string{"permit-years": "2"})
	c.expect(200, "Meine Anträge")
	c.open("/t/erfurt/forms/applications/" + appID)
	c.expect(200, "Nachweise")

	c.press("go=next", nil)
	c.expect(422, "Nachweise")
	if len(c.errors()) != 2 {
		t.Errorf("no file: got errors %v, want two", c.errors())
	}
	c.press("go=next", nil, upload{"vehicle-registration", "schein.pdf", "application/pdf", pdf}, upload{"vehicle-permission", "erlaubnis.png", "image/png", png})
	c.expect(200, "Prüfen und absenden")
	for _, want := range []string{"EF-AB 123", "Autohaus am Anger", "15. Mai 1980", "schein.pdf", "erlaubnis.png", "61,40 €", "Zwei Jahre"} {
		if !strings.Contains(words(c.doc), want) {
			t.Errorf("check: %q is missing", want)
		}
	}

	// A change leads back to the check; the other keeper's answers do not count any more.
	c.open("/t/erfurt/forms/applications/" + appID + "/pages/vehicle?change=1")
	c.press("go=next", map[string]string{"vehicle-owner": "self"})
	c.expect(200, "Prüfen und absenden")
	if strings.Contains(words(c.doc), "Autohaus") {
		t.Error("check after the change: the other keeper is still there")
	}
	c.press("", nil)
	c.expect(422, "Prüfen und absenden")
	if c.errors()["#f-declaration"] == "" {
		t.Errorf("submitting without the declaration: got errors %v, want the declaration", c.errors())
	}
	c.press("", map[string]string{"declaration": "true"})
	if !strings.HasPrefix(c.at.Path, "/pay/") || c.status != http.StatusSeeOther {
		t.Fatalf("after submitting: got %d to %s, want the pay page", c.status, c.at)
	}

	c.open("/t/erfurt/forms/applications/" + appID)
	c.expect(200, "Bewohnerparkausweis beantragen")
	if !strings.Contains(words(c.doc), "Bitte bezahlen Sie noch die Gebühr") || !strings.Contains(words(c.doc), "BPA-26-") {
		t.Errorf("application: got %s, want the fee and the reference number", words(c.doc))
	}
	c.open("/t/erfurt/forms/applications/" + appID + "/pages/vehicle")
	c.expect(409, "Der Antrag ist schon abgesendet")
}

func TestPages_repeatedGroup(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	c := n.citizen(t, "kim.1")
	c.open("/t/erfurt/forms/begin/hundesteuer")
	c.press("", nil)
	c.expect(200, "Hund 1") // everything else is known
	dog := func(name, dangerous string) map[string]string {
		return map[string]string{
			"name": name, "breed": "Mischling", "chip": "276 0981 0612 3456", "birth-day": "1", "birth-month": "3", "birth-year": "2024",
			"since-day": "1", "since-month": "5", "since-year": "2024", "dangerous": dangerous,
		}
	}
	bad := dog("Bello", "no")
	bad["chip"], bad["since-year"] = "123", "2999"
	c.press("go=next", bad)
	c.expect(422, "Hund 1: Bello")
	if got := c.errors(); len(got) != 2 || got["#f-chip"] == "" || !strings.Contains(got["#f-since"], "Zukunft") {
		t.Errorf("errors: got %v, want chip and since", got)
	}
	c.press("go=next", dog("Bello", "no"))
	c.expect(200, "Ihre Hunde")
	appID := c.applicationID()
	page := "/t/erfurt/forms/applications/" + appID + "/pages/dogs"
	c.open(page + "?item=2")
	c.press("go=next", dog("Rex", "yes"))
	c.expect(200, "Hund 2: Rex")
	c.press("go=next", map[string]string{"permission": "32-12/2023"})
	c.expect(200, "Ihre Hunde")
	c.open(page + "?item=3")
	c.press("go=next", dog("Zwergi", "no"))
	c.press("remove-item=0", nil)
	c.expect(200, "Ihre Hunde")
	if got := words(c.doc); strings.Contains(got, "Bello") || !strings.Contains(got, "Hund 1: Rex") || !strings.Contains(got, "Hund 2: Zwergi") {
		t.Errorf("dogs after removing the first: got %s, want Rex and Zwergi", got)
	}
	c.open(page + "?item=5")
	c.expect(404, "Diese Seite gehört nicht zu Ihrem Antrag")
	c.open("/t/erfurt/forms/applications/" + appID + "/check")
	c.expect(200, "Prüfen und absenden")
	c.press("", map[string]string{"declaration": "true"})
	c.expect(200, "Hund zur Hundesteuer anmelden")
	if !strings.Contains(words(c.doc), "Ihr Antrag ist eingegangen") {
		t.Errorf("after submitting: got %s, want the confirmation", words(c.doc))
	}
	// The button pressed twice: one application, the same page.
	c.open("/t/erfurt/forms/applications")
	if got := strings.Count(words(c.doc), "HST-26-"); got != 1 {
		t.Errorf("applications after submitting: got %d, want 1", got)
	}
}

func TestPages_submitTwice(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	c := n.citizen(t, "kim.1")
	c.fillPermit()
	check := c.at.Path
	for range 2 {
		c.at.Path = check
		resp := n.Do(t, "POST", check, "", "declaration=true", "Content-Type", "application/x-www-form-urlencoded", "Cookie", "who=kim.1", "Accept", "text/html")
		if l := resp.Header.Get("Location"); resp.Status != http.StatusSeeOther || !strings.HasPrefix(l, payPages) {
			t.Fatalf("submit: got %d to %q, want the pay page", resp.Status, l)
		}
	}
	if got := n.payment.all(); len(got) != 1 || got[0].RequestID != c.applicationID() {
		t.Errorf("payment requests: got %+v, want one with the application's id", got)
	}
}

func TestPages_whoMayNot(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	jena := n.Tenant("jena", "160530000000")
	kim := n.citizen(t, "kim.1")
	kim.fillPermit()
	appID := kim.applicationID()

	t.Run("not logged in", func(t *testing.T) {
		c := n.citizen(t, "")
		c.open("/t/erfurt/forms/begin/anwohnerparkausweis")
		if c.at.Path != "/t/erfurt/auth/authorize" || c.at.Query().Get("acr_values") != "STORK-QAA-Level-1" {
			t.Errorf("begin without login: got %s, want the issuer with level 1", c.at)
		}
	})
	t.Run("level too low", func(t *testing.T) {
		c := n.citizen(t, "kim.1")
		c.open("/t/erfurt/forms/begin/meldebescheinigung")
		if c.at.Path != "/t/erfurt/auth/authorize" || c.at.Query().Get("acr_values") != "STORK-QAA-Level-3" {
			t.Errorf("begin at level 1: got %s, want the issuer with level 3", c.at)
		}
	})
	t.Run("draft of a higher level", func(t *testing.T) {
		c := n.citizen(t, "kim.3")
		c.open("/t/erfurt/forms/begin/meldebescheinigung")
		c.press("", nil)
		c.expect(200, "Ihre Bescheinigung")
		low := n.citizen(t, "kim.1")
		low.open(c.at.String())
		if low.at.Path != "/t/erfurt/auth/authorize" || low.at.Query().Get("acr_values") != "STORK-QAA-Level-3" {
			t.Errorf("draft at level 1: got %s, want the issuer with level 3", low.at)
		}
	})
	t.Run("another citizen", func(t *testing.T) {
		c := n.citizen(t, "alex.4")
		for _, rest := range []string{"", "/check", "/pages/person", "/files/" + appID} {
			c.open("/t/erfurt/forms/applications/" + appID + rest)
			c.expect(404, "Antrag nicht gefunden")
		}
		for _, rest := range []string{"/pay", "/withdraw", "/discard", "/check", "/pages/person"} {
			resp := n.Do(t, "POST", "/t/erfurt/forms/applications/"+appID+rest, "", "asked=", "Content-Type", "application/x-www-form-urlencoded", "Cookie", "who=alex.4")
			if resp.Status != http.StatusNotFound {
				t.Errorf("POST %s as another citizen: got %d, want 404", rest, resp.Status)
			}
		}
	})
	t.Run("another tenant", func(t *testing.T) {
		c := n.citizen(t, "kim.1")
		c.open("/t/jena/forms/applications/" + appID)
		c.expect(404, "Antrag nicht gefunden")
	})
	t.Run("unknown form, tenant, page", func(t *testing.T) {
		c := n.citizen(t, "kim.1")
		c.open("/t/erfurt/forms/angelschein")
		c.expect(404, "Antrag nicht gefunden")
		c.open("/t/erfurt/forms/applications/" + appID + "/pages/dogs")
		c.expect(404, "Diese Seite gehört nicht zu Ihrem Antrag")
		if resp := n.Do(t, "GET", "/t/nirgendwo/forms", "", nil); resp.Status != http.StatusNotFound {
			t.Errorf("unknown tenant: got %d, want 404", resp.Status)
		}
	})
	t.Run("form posted by another site", func(t *testing.T) {
		resp := n.Do(t, "POST", "/t/erfurt/forms/applications/"+appID+"/discard", "", "", "Cookie", "who=kim.1", "Sec-Fetch-Site", "cross-site")
		if resp.Status != http.StatusForbidden {
			t.Errorf("cross-site post: got %d, want 403", resp.Status)
		}
	})
	t.Run("suspended tenant", func(t *testing.T) {
		jena.Status, jena.Version = tenantdir.Suspended, 2
		n.Put(jena)
		c := n.citizen(t, "kim.1")
		c.open("/t/jena/forms/begin/anwohnerparkausweis")
		c.expect(403, "Dieser Dienst ruht zurzeit")
		c.open("/t/jena/forms/anwohnerparkausweis")
		if c.form("") != nil || !strings.Contains(words(c.doc), "Neue Anträge sind zurzeit nicht möglich") {
			t.Errorf("start page of a suspended tenant: got %s, want that it is closed", words(c.doc))
		}
	})
	t.Run("switched off form", func(t *testing.T) {
		off := n.Tenant("weimar", "160550000000")
		off.Settings = map[string]json.RawMessage{"forms": json.RawMessage(`{"off":["hundesteuer"],"fees":{"anwohnerparkausweis":20.00}}`)}
		off.Version = 2
		n.Put(off)
		c := n.citizen(t, "kim.1")
		c.open("/t/weimar/forms/hundesteuer")
		c.expect(404, "Antrag nicht gefunden")
		c.open("/t/weimar/forms/anwohnerparkausweis")
		if !strings.Contains(words(c.doc), "20,00 €") {
			t.Errorf("start page: got %s, want the tenant's own fee", words(c.doc))
		}
	})
}

// TestPages_staleVersion: a draft goes on with the version that it began with.
func TestPages_staleVersion(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	h := n.Process.Host("forms")
	ctx := runtest.Context(t, n.erfurt)
	old := newDraft("kim", now)
	old.FormVersion = 7
	inTx(t, ctx, h.DB, func(tx *db.Tx) error { return insertApplication(ctx, tx, old) })
	body, err := embedded.ReadFile("catalogue/hundesteuer.json")
	if err != nil {
		t.Fatal(err)
	}
	op := asOperator(t.Context())
	inTx(t, op, h.DB, func(tx *db.Tx) error {
		_, err := tx.Exec(op, `INSERT INTO definitions (tenant_id, form, version, hash, body, at) VALUES (?, ?, ?, ?, ?, ?)`, tx.Tenant(), "hundesteuer", 7, "old",
			strings.Replace(string(body), "Wer hält den Hund?", "Wer ist der Halter?", 1), tx.Now())
		return err
	})
	c := n.citizen(t, "kim.1")
	c.open("/t/erfurt/forms/applications/" + old.ID.String())
	c.expect(200, "Wer ist der Halter?")
}

func TestPages_discard(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	c := n.citizen(t, "kim.1")
	c.fillPermit()
	appID := c.applicationID()
	if got := n.stored(t); got != 1 {
		t.Fatalf("files after the upload: got %d, want 1", got)
	}
	c.open("/t/erfurt/forms/applications")
	c.press("", nil)
	c.expect(200, "Meine Anträge")
	c.open("/t/erfurt/forms/applications/" + appID)
	c.expect(404, "Antrag nicht gefunden")
	if got := n.stored(t); got != 0 {
		t.Errorf("files after the draft was deleted: got %d, want none", got)
	}
}
