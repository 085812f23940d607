package receipt

import "basisdienste/platform/web"

// Texts of the receipt, German and English.
var Texts = web.Texts{
	"service":       {"Online bezahlen", "Pay online"},
	"title":         {"Zahlungsbeleg", "Payment receipt"},
	"lead":          {"Wir haben Ihre Zahlung erhalten.", "We have received your payment."},
	"summary":       {"Ihre Zahlung", "Your payment"},
	"payee":         {"Empfänger", "Payee"},
	"subject":       {"Wofür", "For"},
	"kassenzeichen": {"Kassenzeichen", "Reference"},
	"amount":        {"Betrag", "Amount"},
	"currency":      {"Währung", "Currency"},
	"method":        {"Bezahlt mit", "Paid by"},
	"paid_at":       {"Bezahlt am", "Paid on"},
	"transaction":   {"Vorgangsnummer", "Transaction number"},
	"refunded":      {"Davon erstattet", "Of this given back"},
	"left":          {"Verbleibt", "Remaining"},

	"method.card":     {"Kredit- oder Debitkarte", "Credit or debit card"},
	"method.sepa":     {"SEPA-Lastschrift", "SEPA direct debit"},
	"method.transfer": {"Überweisung", "Bank transfer"},
	"method.other":    {"Andere Zahlungsart", "Another payment method"},

	"items":          {"Die Posten im Einzelnen", "The items in detail"},
	"items.text":     {"Posten", "Item"},
	"items.quantity": {"Anzahl", "Quantity"},
	"net":            {"Netto", "Net"},
	"tax":            {"Steuer", "Tax"},
	"gross":          {"Gesamt", "Total"},
	"rates":          {"Nach Steuersätzen", "By tax rate"},
	"rate":           {"Steuersatz", "Tax rate"},
	"refunds":        {"Erstattungen", "Refunds"},
	"refunds.at":     {"Erstattet am", "Given back on"},

	"no_invoice": {
		"Dieser Beleg bestätigt die Zahlung. Er ist keine Rechnung im Sinne des Umsatzsteuergesetzes (§ 14 UStG) und berechtigt nicht zum Vorsteuerabzug.",
		"This receipt confirms the payment. It is not an invoice within the meaning of the German VAT Act (§ 14 UStG) and gives no right to deduct input tax.",
	},
	"unsigned": {"Der Beleg wurde automatisch erstellt und gilt ohne Unterschrift.", "This receipt was made automatically and is valid without a signature."},
	"page":     {"Kassenzeichen %s, Seite %d von %s", "Reference %s, page %d of %s"},
	"pdf":      {"Beleg als PDF herunterladen", "Download the receipt as PDF"},
	"back":     {"Zurück zur Zahlung", "Back to the payment"},

	"unpaid":      {"Noch kein Beleg", "No receipt yet"},
	"unpaid.text": {"Diese Zahlung ist nicht abgeschlossen. Einen Zahlungsbeleg gibt es, sobald das Geld angekommen ist.", "This payment has not been completed. There will be a receipt as soon as the money has arrived."},
}
