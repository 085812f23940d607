package sandbox

import (
	"basisdienste/platform/web"
	"basisdienste/services/auth"
)

type person struct {
	key string
	auth.Profile
}

// persons are made up; their addresses of mail lead nowhere (RFC 2606).
func persons() []person {
	return []person{
		{"erika", auth.Profile{
			GivenName: "Erika", FamilyName: "Mustermann", Email: "erika.mustermann@example.org", Birthdate: "1984-08-12",
			Address: &auth.Address{Street: "Musterstraße 17", PostalCode: "99084", City: "Erfurt", Country: "DE"},
			Mailbox: "5d0c1f4e-0000-4000-8000-000000000001",
		}},
		{"max", auth.Profile{
			GivenName: "Max", FamilyName: "Beispiel", Email: "max.beispiel@example.org", Birthdate: "1971-02-03",
			Address: &auth.Address{Street: "Beispielweg 4", PostalCode: "07743", City: "Jena", Country: "DE"},
			Mailbox: "5d0c1f4e-0000-4000-8000-000000000002",
		}},
		{"aylin", auth.Profile{
			GivenName: "Aylin", FamilyName: "Probe", Email: "aylin.probe@example.org", Birthdate: "1999-11-30",
			Address: &auth.Address{Street: "Am Versuchsfeld 2a", PostalCode: "99423", City: "Weimar", Country: "DE"},
			Mailbox: "5d0c1f4e-0000-4000-8000-000000000003",
		}},
		{"gerda", auth.Profile{ // has no e-mail address: is reached by her mailbox alone
			GivenName: "Gerda", FamilyName: "Überall-Größe", Birthdate: "1948-05-23",
			Address: &auth.Address{Street: "Testplatz 1", PostalCode: "98617", City: "Meiningen", Country: "DE"},
			Mailbox: "5d0c1f4e-0000-4000-8000-000000000004",
		}},
	}
}

// Texts are the words of the pages, German and English.
func Texts() web.Texts {
	return web.Texts{
		"service":             {"Testanmeldung", "Test login"},
		"sandbox.title":       {"Testanmeldung", "Test login"},
		"sandbox.warning":     {"Dies ist eine Testumgebung", "This is a test environment"},
		"sandbox.explain":     {"Hier prüft niemand, wer Sie sind. Im Echtbetrieb steht an dieser Stelle die BundID. Alle Personen sind erfunden.", "Nobody checks here who you are. In real operation BundID stands in this place. All persons are made up."},
		"sandbox.for":         {"Sie melden sich an für: %s", "You are logging in for: %s"},
		"sandbox.person":      {"Wer sind Sie?", "Who are you?"},
		"sandbox.own":         {"Jemand anderes", "Somebody else"},
		"sandbox.own_hint":    {"Geben Sie unten einen erfundenen Namen ein.", "Type a made-up name below."},
		"sandbox.own_heading": {"Angaben für „Jemand anderes“", "Particulars of “Somebody else”"},
		"sandbox.given_name":  {"Vorname", "Given name"},
		"sandbox.family_name": {"Nachname", "Family name"},
		"sandbox.email":       {"E-Mail-Adresse", "E-mail address"},
		"sandbox.birthdate":   {"Geburtsdatum", "Date of birth"},
		"sandbox.level":       {"Mit welchem Vertrauensniveau?", "With which level of assurance?"},
		"sandbox.level.1":     {"Basis (Stufe 1): Benutzername und Passwort", "Basic (level 1): user name and password"},
		"sandbox.level.3":     {"Substanziell (Stufe 3): ELSTER-Zertifikat", "Substantial (level 3): ELSTER certificate"},
		"sandbox.level.4":     {"Hoch (Stufe 4): Online-Ausweis", "High (level 4): online ID card"},
		"sandbox.go":          {"Anmelden", "Log in"},
		"sandbox.cancel":      {"Abbrechen", "Cancel"},
		"error.login_stale":   {"Die Anmeldung wurde in einem anderen Fenster begonnen, ist schon abgeschlossen oder hat zu lange gedauert. Bitte öffnen Sie die Seite noch einmal, von der Sie kamen.", "The login was begun in another window, is finished already or took too long. Please open the page again that you came from."},
	}
}
