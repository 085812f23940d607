package console

import "basisdienste/platform/web"

// claimTexts are those of the municipality's own claims, and of asking payers.
var claimTexts = web.Texts{
	"claim.new":              {"Forderung anlegen", "Make a claim"},
	"claim.intro":            {"Für Forderungen ohne Onlinedienst. Danach bekommen Sie einen Link zum Bezahlen.", "For claims without an online service. You then get a link to pay by."},
	"claim.create":           {"Anlegen", "Make the claim"},
	"claim.done":             {"Die Forderung ist angelegt. Geben Sie der zahlenden Person den Link, oder fordern Sie die Zahlung per E-Mail an.", "The claim is made. Give the payer the link, or ask for the payment by mail."},
	"claim.description":      {"Wofür?", "What for?"},
	"claim.description.hint": {"Die zahlende Person liest diesen Text. Bitte keine personenbezogenen Angaben.", "The payer reads this text. Please no personal data."},
	"claim.due":              {"Fällig am", "Due on"},
	"claim.due.hint":         {"Höchstens zwei Jahre voraus, zum Beispiel 23 11 2027", "Two years ahead at most, for example 23 11 2027"},
	"claim.line.hint":        {"Darauf bucht die Kasse.", "The treasury books to it."},
	"originator.own":         {"Von der Gemeinde selbst angelegt", "Made by the municipality itself"},
	"payment.link":           {"Link zum Bezahlen", "Link to pay by"},
	"payment.qr":             {"QR-Code für einen Brief", "QR code for a letter"},
	"payment.receipt":        {"Zahlungsbeleg (PDF)", "Receipt (PDF)"},

	"asked":              {"Zahlung per E-Mail angefordert", "Payer asked by mail"},
	"asked.ask":          {"Zahlung per E-Mail anfordern", "Ask for the payment by mail"},
	"asked.intro":        {"Wir senden den Link zum Bezahlen von %s und erinnern, solange nicht bezahlt ist. Die Adresse wird danach gelöscht.", "We send the link to pay %s by, and remind as long as it is not paid. The address is deleted afterwards."},
	"asked.email":        {"E-Mail-Adresse der zahlenden Person", "The payer's mail address"},
	"asked.language":     {"Sprache der E-Mails", "Language of the mails"},
	"asked.days":         {"Erinnern", "Remind"},
	"asked.days.hint":    {"Vor der Fälligkeit", "Before the due date"},
	"asked.days.14":      {"14 Tage vorher", "14 days before"},
	"asked.days.7":       {"7 Tage vorher", "7 days before"},
	"asked.days.3":       {"3 Tage vorher", "3 days before"},
	"asked.days.1":       {"1 Tag vorher", "1 day before"},
	"asked.done":         {"Die E-Mail geht gleich hinaus.", "The mail goes out in a moment."},
	"asked.stop":         {"Nicht mehr erinnern", "Stop reminding"},
	"asked.stopped":      {"Niemand wird mehr erinnert. Die Adresse ist gelöscht.", "Nobody is reminded any more. The address is deleted."},
	"asked.mail.WAITING": {"E-Mail geplant", "Mail planned"},
	"asked.mail.SENT":    {"E-Mail gesendet", "Mail sent"},
	"asked.mail.SKIPPED": {"E-Mail entfallen", "Mail left out"},
	"asked.mail.FAILED":  {"E-Mail fehlgeschlagen", "Mail failed"},

	"field.claim_invalid":        {"„%s“: So geht das nicht. Prüfen Sie die Angabe", "“%s”: this is not possible. Check what you entered"},
	"field.invalid_email":        {"„%s“: Geben Sie eine einzelne Adresse ein, zum Beispiel name@example.org", "“%s”: enter one address, for example name@example.org"},
	"error.request_exists":       {"Die zahlende Person ist schon mit anderen Angaben angeschrieben. Beenden Sie das zuerst auf der Seite der Zahlung.", "The payer was asked before, with other entries. Stop that first, on the page of the payment."},
	"error.nobody_to_ask":        {"Hier ist nichts mehr zu bezahlen.", "There is nothing left to pay."},
	"error.booking_data_missing": {"Ihre Gemeinde verlangt Buchungsdaten, die dieses Formular nicht kennt oder die fehlen. Geben Sie eine Haushaltsstelle an, oder fragen Sie den Betrieb.", "Your municipality wants booking data that this form does not know, or that are missing. Enter a budget line, or ask the operator."},
	"error.no_method_for_amount": {"Für diesen Betrag bietet Ihre Gemeinde keine Zahlungsart an.", "Your municipality offers no payment method for this amount."},
	"error.tenant_suspended":     {"Ihre Gemeinde nimmt zurzeit online nichts Neues an.", "Your municipality takes nothing new online at the moment."},
}
