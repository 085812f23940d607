package sandbox

import "basisdienste/platform/web"

// Texts of the pages, German and English.
var Texts = web.Texts{
	"service":   {"Sandbox-Zahlungsanbieter", "Sandbox payment provider"},
	"title":     {"Bezahlen (Sandbox)", "Pay (sandbox)"},
	"sandbox":   {"Dies ist eine Übungsseite", "This is a practice page"},
	"no_money":  {"Hier fließt kein Geld. Geben Sie keine echten Daten ein; es gibt auch kein Feld dafür.", "No money moves here. Do not enter real data; there is no field for it either."},
	"order":     {"Ihre Zahlung", "Your payment"},
	"payee":     {"Empfänger", "Payee"},
	"amount":    {"Betrag", "Amount"},
	"subject":   {"Wofür", "For"},
	"reference": {"Verwendungszweck", "Reference"},
	"pay":       {"Bezahlen", "Pay"},
	"hold":      {"Betrag reservieren", "Reserve the amount"},
	"cancel":    {"Abbrechen", "Cancel"},
	"cases":     {"Testfälle", "Test cases"},
	"over":      {"Diese Sitzung ist beendet", "This session is over"},
	"return":    {"Zurück", "Go back"},

	"case.decline":        {"Karte wird abgelehnt", "The card is declined"},
	"case.funds":          {"Konto nicht gedeckt", "Not enough money in the account"},
	"case.authentication": {"Freigabe bei der Bank scheitert", "Confirmation with the bank fails"},
	"case.back":           {"Zurück, ohne zu bezahlen", "Go back without paying"},
	"case.close":          {"Bezahlen und den Browser schließen", "Pay and close the browser"},
	"case.late":           {"Bezahlen, das Geld kommt später an", "Pay, the money arrives later"},
	"case.late-decline":   {"Bezahlen, die Bank lehnt später ab", "Pay, the bank declines later"},
	"case.shaky":          {"Bezahlen, eine Erstattung kommt später zurück", "Pay, a refund comes back later"},
	"case.timeout":        {"Bezahlen, dann Zeitüberschreitung", "Pay, then a time-out"},

	"closed":       {"Bezahlt, Browser geschlossen", "Paid, browser closed"},
	"closed.text":  {"Das Geld ist unterwegs zum Empfänger. Diese Seite führt nicht zurück: So sieht es aus, wenn jemand den Browser schließt.", "The money is on its way to the payee. This page leads nowhere: this is what it looks like when somebody closes the browser."},
	"timeout":      {"Zeitüberschreitung", "Time-out"},
	"timeout.text": {"Die Zahlung ist gebucht, aber der Anbieter antwortet eine Weile niemandem.", "The payment is booked, but the provider does not answer anybody for a while."},

	"error.sandbox_silent":  {"Der Sandbox-Anbieter antwortet gerade nicht. Das gehört zum Testfall.", "The sandbox provider is not answering at the moment. That is part of the test case."},
	"error.unknown_session": {"Diese Sitzung gibt es beim Sandbox-Anbieter nicht.", "There is no such session at the sandbox provider."},
}
