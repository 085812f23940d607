package auth

import "basisdienste/platform/web"

// texts are the words of the pages, German and English.
func texts() web.Texts {
	return web.Texts{
		"service": {"Anmeldung", "Login"},

		"level.1": {"Basis (Stufe 1)", "basic (level 1)"},
		"level.3": {"substanziell (Stufe 3), zum Beispiel mit ELSTER-Zertifikat", "substantial (level 3), for example with an ELSTER certificate"},
		"level.4": {"hoch (Stufe 4), mit Online-Ausweis", "high (level 4), with the online ID card"},

		"login.go":     {"Weiter zur Anmeldung", "Continue to the login"},
		"login.cancel": {"Abbrechen", "Cancel"},

		"step-up.title":  {"Bitte melden Sie sich mit höherer Sicherheit an", "Please log in with a higher level of assurance"},
		"step-up.reason": {"„%s“ braucht eine Anmeldung mit dem Vertrauensniveau %s.", "“%s” needs a login with the level of assurance %s."},
		"step-up.had":    {"Sie sind bisher mit dem Vertrauensniveau %s angemeldet.", "So far you are logged in with the level of assurance %s."},
		"step-up.next":   {"Ihre bisherigen Angaben bleiben erhalten. Nach der Anmeldung geht es dort weiter, wo Sie waren.", "Your answers so far are kept. After the login you continue where you were."},

		"too-low.title": {"Diese Anmeldung reicht nicht aus", "This login is not sufficient"},
		"too-low.next":  {"Melden Sie sich noch einmal auf einem sichereren Weg an, oder brechen Sie ab. Es geht nichts verloren.", "Log in again in a more secure way, or cancel. Nothing is lost."},

		"staff.title":             {"Anmeldung für Beschäftigte", "Staff login"},
		"staff.lead":              {"Bitte melden Sie sich mit Ihrem Dienstkonto an.", "Please log in with your staff account."},
		"staff.username":          {"Benutzername", "User name"},
		"staff.password":          {"Passwort", "Password"},
		"staff.go":                {"Anmelden", "Log in"},
		"staff.login_wrong":       {"Benutzername oder Passwort ist falsch.", "User name or password is wrong."},
		"staff.too_many_attempts": {"Es gab zu viele Fehlversuche. Bitte warten Sie 15 Minuten.", "There were too many wrong attempts. Please wait 15 minutes."},
		"staff.rate_limited":      {"Von Ihrem Anschluss kamen zu viele Anmeldeversuche. Bitte warten Sie kurz.", "Too many logins were tried from your connection. Please wait a moment."},

		"logout.title":     {"Möchten Sie sich abmelden?", "Do you want to log out?"},
		"logout.text":      {"Sie werden bei allen Diensten dieser Verwaltung abgemeldet.", "You will be logged out of all services of this administration."},
		"logout.go":        {"Abmelden", "Log out"},
		"logged_out.title": {"Sie sind abgemeldet", "You are logged out"},
		"logged_out.text":  {"Sie können dieses Fenster jetzt schließen.", "You can close this window now."},

		"error.login_stale.title":          {"Diese Anmeldung ist nicht mehr gültig", "This login is no longer valid"},
		"error.login_stale":                {"Die Anmeldung wurde in einem anderen Fenster begonnen, ist schon abgeschlossen oder hat zu lange gedauert. Bitte öffnen Sie die Seite noch einmal, von der Sie kamen.", "The login was begun in another window, is finished already or took too long. Please open the page again that you came from."},
		"error.unknown_login_client.title": {"Unbekannte Anwendung", "Unknown application"},
		"error.unknown_login_client":       {"Die Anwendung, von der Sie kommen, ist hier nicht bekannt oder nicht freigeschaltet. Sie selbst können nichts dafür; bitte wenden Sie sich an die Verwaltung.", "The application that you come from is not known here, or not switched on. It is not your mistake; please contact the administration."},
		"error.redirect_mismatch.title":    {"Anwendung falsch eingerichtet", "Application set up wrongly"},
		"error.redirect_mismatch":          {"Die Anwendung, von der Sie kommen, nennt eine Rücksprungadresse, die für sie nicht eingetragen ist. Sie selbst können nichts dafür.", "The application that you come from names a return address that is not registered for it. It is not your mistake."},
		"error.invalid_auth_request":       {"Die Anwendung, von der Sie kommen, hat eine unlesbare Anfrage geschickt.", "The application that you come from sent a request that cannot be read."},
		"error.login_unavailable.title":    {"Anmeldung zurzeit nicht möglich", "Login is not available at the moment"},
		"error.login_unavailable":          {"Bürgerinnen und Bürger können sich hier zurzeit nicht anmelden. Bitte versuchen Sie es später noch einmal.", "Citizens cannot log in here at the moment. Please try again later."},
		"error.tenant_suspended.title":     {"Zurzeit keine neuen Vorgänge", "No new business at the moment"},
		"error.tenant_suspended":           {"Diese Verwaltung nimmt online zurzeit keine neuen Vorgänge an. Laufende Vorgänge werden bearbeitet.", "This administration takes no new business online at the moment. What is under way goes on."},
		"error.staff_only":                 {"Diese Anmeldung ist nicht für Beschäftigte.", "This login is not for staff."},
	}
}
