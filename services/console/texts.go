package console

import (
	"maps"

	"basisdienste/platform/web"
)

// texts are German and English.
var texts = joinTexts(ownTexts, paymentTexts, treasuryTexts, webhookTexts, settlementTexts, claimTexts)

func joinTexts(parts ...web.Texts) web.Texts {
	all := web.Texts{}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}

// ownTexts are those of applications, and of the operator.
var ownTexts = web.Texts{
	"service": {"Online-Dienste", "Online services"},

	"home.title":          {"Online-Dienste Ihrer Gemeinde", "Online services of your municipality"},
	"home.intro":          {"Suchen Sie Ihre Gemeinde. Dort stellen Sie Anträge, buchen Termine und lesen Ihre Nachrichten.", "Find your municipality. There you apply, book appointments and read your messages."},
	"home.search":         {"Name der Gemeinde oder Regionalschlüssel", "Name of the municipality or regional key"},
	"home.search.hint":    {"Zum Beispiel Erfurt", "For example Erfurt"},
	"home.find":           {"Suchen", "Search"},
	"home.municipalities": {"Gemeinden", "Municipalities"},
	"home.more":           {"Es gibt weitere Treffer. Geben Sie mehr vom Namen ein.", "There are more. Enter more of the name."},
	"home.none":           {"Keine Gemeinde gefunden", "No municipality found"},
	"home.none.body":      {"Prüfen Sie die Schreibweise oder geben Sie nur den Anfang des Namens ein.", "Check the spelling, or enter only the beginning of the name."},

	"municipality.title":          {"Online-Dienste: %s", "Online services: %s"},
	"municipality.intro":          {"Was möchten Sie tun?", "What would you like to do?"},
	"municipality.forms":          {"Einen Antrag stellen", "Apply for something"},
	"municipality.booking":        {"Einen Videotermin buchen", "Book a video appointment"},
	"municipality.mailbox":        {"Nachrichten in meinem Postfach lesen", "Read messages in my mailbox"},
	"municipality.staff.title":    {"Für Beschäftigte", "For staff"},
	"municipality.staff":          {"Anträge bearbeiten", "Process applications"},
	"municipality.suspended":      {"Zurzeit nehmen wir online nichts Neues an", "We take nothing new online at the moment"},
	"municipality.suspended.body": {"Was Sie schon begonnen haben, läuft weiter.", "What you have begun goes on."},

	"staff.applications":      {"Anträge", "Applications"},
	"staff.applications.none": {"Keine Anträge in diesem Zustand.", "No applications in this state."},
	"staff.state":             {"Zustand", "State"},
	"staff.show":              {"Anzeigen", "Show"},
	"next":                    {"Weitere anzeigen", "Show more"},
	"overview":                {"Übersicht", "Overview"},
	"state.delivered":         {"Eingegangen", "Received"},
	"state.awaiting_payment":  {"Zahlung offen", "Payment due"},
	"state.accepted":          {"Angenommen", "Accepted"},
	"state.rejected":          {"Abgelehnt", "Rejected"},
	"state.withdrawn":         {"Zurückgezogen", "Withdrawn"},

	"application.reference":   {"Vorgangsnummer", "Reference"},
	"application.form":        {"Leistung", "Service"},
	"application.submitted":   {"Eingereicht", "Submitted"},
	"application.state":       {"Zustand", "State"},
	"application.amount":      {"Gebühr", "Fee"},
	"application.files":       {"Nachweise", "Proofs"},
	"application.log":         {"Verlauf", "History"},
	"application.log.none":    {"Noch nichts geschehen.", "Nothing has happened yet."},
	"application.log.at":      {"Zeit", "Time"},
	"application.log.event":   {"Ereignis", "Event"},
	"application.log.note":    {"Bemerkung", "Note"},
	"log.submitted":           {"Eingereicht", "Submitted"},
	"log.delivered":           {"Beim Amt eingegangen", "Received by the office"},
	"log.paid":                {"Bezahlt", "Paid"},
	"log.paid_other_amount":   {"Anderer Betrag bezahlt", "Another amount was paid"},
	"log.paid_in_vain":        {"Bezahlt, obwohl nichts offen war: zurückzahlen", "Paid although nothing was due: pay it back"},
	"log.payment_failed":      {"Zahlung fehlgeschlagen", "Payment failed"},
	"log.payment_canceled":    {"Zahlung abgebrochen", "Payment canceled"},
	"log.payment_expired":     {"Zahlung abgelaufen", "Payment expired"},
	"log.accepted":            {"Angenommen", "Accepted"},
	"log.rejected":            {"Abgelehnt", "Rejected"},
	"log.withdrawn":           {"Zurückgezogen", "Withdrawn"},
	"application.decide":      {"Entscheiden", "Decide"},
	"application.accept":      {"Annehmen", "Accept"},
	"application.reject":      {"Ablehnen", "Reject"},
	"application.reason":      {"Grund der Ablehnung", "Reason for the rejection"},
	"application.reason.hint": {"Die Antragstellerin oder der Antragsteller liest diesen Text.", "The applicant reads this text."},
	"application.accept.done": {"Der Antrag ist angenommen. Die Nachricht ist unterwegs.", "The application is accepted. The message is on its way."},
	"application.reject.done": {"Der Antrag ist abgelehnt. Die Nachricht ist unterwegs.", "The application is rejected. The message is on its way."},

	"operator.tenants":        {"Mandanten", "Tenants"},
	"operator.tenants.none":   {"Keine Mandanten gefunden. basisctl tenants import legt sie an.", "No tenants found. basisctl tenants import makes them."},
	"operator.tenants.search": {"Name oder Regionalschlüssel", "Name or regional key"},
	"operator.find":           {"Suchen", "Search"},
	"operator.mail":           {"Lokaler Postausgang", "Local outbox"},
	"operator.mail.none":      {"Keine Nachrichten. Ist ein Mailserver eingerichtet, gehen sie dorthin.", "No messages. With a mail server configured they go there."},
	"operator.events":         {"Aufgegebene Ereignisse", "Dead letters"},
	"tenant.name":             {"Name", "Name"},
	"tenant.slug":             {"Kurzname", "Slug"},
	"tenant.status":           {"Zustand", "Status"},
	"tenant.status.active":    {"Aktiv", "Active"},
	"tenant.status.trial":     {"Probe", "Trial"},
	"tenant.status.suspended": {"Ausgesetzt", "Suspended"},
	"tenant.municipalities":   {"Gemeinden", "Municipalities"},
	"tenant.keys":             {"Regionalschlüssel", "Regional keys"},
	"tenant.hosts":            {"Eigene Adressen", "Own hosts"},
	"tenant.usage":            {"Nutzung im Monat %s", "Usage in %s"},
	"tenant.usage.none":       {"Noch keine Nutzung.", "No usage yet."},
	"tenant.usage.what":       {"Zähler", "Counter"},
	"tenant.usage.count":      {"Anzahl", "Count"},
	"tenant.reason":           {"Grund", "Reason"},
	"tenant.reason.hint":      {"Er steht im Protokoll.", "It is kept in the audit log."},
	"tenant.suspend":          {"Aussetzen", "Suspend"},
	"tenant.resume":           {"Wieder aufnehmen", "Resume"},
	"tenant.suspend.done":     {"Der Mandant ist ausgesetzt.", "The tenant is suspended."},
	"tenant.resume.done":      {"Der Mandant ist wieder aktiv.", "The tenant is active again."},

	"mail.at":         {"Zeit", "Time"},
	"mail.tenant":     {"Mandant", "Tenant"},
	"mail.to":         {"An", "To"},
	"mail.subject":    {"Betreff", "Subject"},
	"mail.attachment": {"Anhang", "Attachment"},
	"mail.raw":        {"Quelltext anzeigen", "Show source"},

	"events.intro":     {"Was ein Dienst trotz mehrerer Versuche nicht verarbeiten konnte. Beheben Sie die Ursache und spielen Sie das Ereignis noch einmal ein.", "What a service could not handle after several tries. Mend the cause and replay the event."},
	"events.none":      {"Alles verarbeitet", "All handled"},
	"events.none.body": {"Kein Dienst hat ein Ereignis aufgegeben.", "No service has given up an event."},
	"events.away":      {"Nicht erreichbar: %s", "Away: %s"},
	"events.replay":    {"Noch einmal", "Replay"},
	"events.replayed":  {"Das Ereignis ist verarbeitet.", "The event is handled."},
	"events.service":   {"Dienst", "Service"},
	"events.type":      {"Ereignis", "Event"},
	"events.subject":   {"Gegenstand", "Subject"},
	"events.error":     {"Fehler", "Error"},
	"events.at":        {"Aufgegeben", "Given up"},
}
