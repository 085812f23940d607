package payment

import "basisdienste/platform/web"

// texts of the payer's pages: plain words, no blame, always a way on.
var texts = web.Texts{
	"service": {"Online bezahlen", "Pay online"},

	"title":    {"Gebühr bezahlen", "Pay the fee"},
	"offer":    {"Wie möchten Sie bezahlen?", "How would you like to pay?"},
	"start":    {"Weiter zur Zahlung", "Continue to payment"},
	"cancel":   {"Zahlung abbrechen", "Cancel the payment"},
	"provider": {"Sie werden zur Seite des Zahlungsanbieters geleitet. Dort geben Sie Ihre Daten ein, wir sehen sie nicht.", "You will be taken to the payment provider’s page. You enter your details there; we do not see them."},
	"down":     {"Zurzeit nicht möglich: %s", "Not available at the moment: %s"},
	"none":     {"Zurzeit ist keine Zahlungsart verfügbar", "No payment method is available at the moment"},
	"none.text": {
		"Bitte versuchen Sie es später noch einmal. Der Link zu dieser Seite bleibt gültig.",
		"Please try again later. The link to this page stays valid.",
	},

	"summary":           {"Das bezahlen Sie", "What you are paying"},
	"summary.done":      {"Ihre Zahlung", "Your payment"},
	"row.amount":        {"Betrag", "Amount"},
	"row.subject":       {"Wofür", "For"},
	"row.payee":         {"Empfänger", "Payee"},
	"row.kassenzeichen": {"Kassenzeichen", "Reference"},
	"row.due":           {"Zu zahlen bis", "To be paid by"},
	"row.method":        {"Bezahlt mit", "Paid by"},
	"row.paid_at":       {"Bezahlt am", "Paid on"},
	"items":             {"Die Posten im Einzelnen", "The items in detail"},
	"items.text":        {"Posten", "Item"},
	"items.quantity":    {"Anzahl", "Quantity"},

	"method.card":     {"Kredit- oder Debitkarte", "Credit or debit card"},
	"method.sepa":     {"SEPA-Lastschrift", "SEPA direct debit"},
	"method.transfer": {"Überweisung mit GiroCode", "Bank transfer with GiroCode"},
	"method.other":    {"Andere Zahlungsart", "Another payment method"},

	"try.declined":              {"Die Zahlung wurde abgelehnt. Es wurde nichts abgebucht. Versuchen Sie es noch einmal oder wählen Sie eine andere Zahlungsart.", "The payment was declined. Nothing was charged. Try again or choose another payment method."},
	"try.card_declined":         {"Ihre Bank hat die Zahlung mit dieser Karte abgelehnt. Es wurde nichts abgebucht. Nehmen Sie eine andere Karte oder eine andere Zahlungsart; den Grund kennt nur Ihre Bank.", "Your bank declined the payment with this card. Nothing was charged. Use another card or another payment method; only your bank knows the reason."},
	"try.insufficient_funds":    {"Auf dem Konto war nicht genug Geld. Es wurde nichts abgebucht. Wählen Sie ein anderes Konto oder eine andere Zahlungsart.", "There was not enough money in the account. Nothing was charged. Choose another account or another payment method."},
	"try.expired_card":          {"Die Karte ist abgelaufen. Es wurde nichts abgebucht. Nehmen Sie eine andere Karte oder eine andere Zahlungsart.", "The card has expired. Nothing was charged. Use another card or another payment method."},
	"try.authentication_failed": {"Die Freigabe bei Ihrer Bank hat nicht geklappt. Es wurde nichts abgebucht. Versuchen Sie es noch einmal oder wählen Sie eine andere Zahlungsart.", "The confirmation with your bank did not work. Nothing was charged. Try again or choose another payment method."},
	"try.provider_unavailable":  {"Der Zahlungsanbieter antwortet gerade nicht. Dadurch wird nichts doppelt abgebucht. Versuchen Sie es in einigen Minuten noch einmal oder wählen Sie eine andere Zahlungsart.", "The payment provider is not answering at the moment. Nothing will be charged twice because of this. Try again in a few minutes or choose another payment method."},
	"try.offer_down":            {"Diese Zahlungsart funktioniert gerade nicht. Wählen Sie bitte eine andere.", "This payment method is not working at the moment. Please choose another one."},
	"try.payment_processing":    {"Eine Zahlung ist schon unterwegs. Warten Sie bitte, bis sie angekommen ist.", "A payment is already on its way. Please wait until it has arrived."},
	"try.transaction_expired":   {"Die Zeit zum Bezahlen ist abgelaufen.", "The time to pay is over."},
	"try":                       {"Noch nicht bezahlt", "Not paid yet"},
	"field.unknown_offer":       {"Wählen Sie aus, wie Sie bezahlen möchten (%s)", "Select how you would like to pay (%s)"},

	"waiting":       {"Ihre Zahlung wird verarbeitet", "Your payment is being processed"},
	"waiting.text":  {"Wir warten auf die Bestätigung des Zahlungsanbieters. Bezahlen Sie bitte nicht noch einmal. Sie können die Seite verlassen: Die Zahlung geht nicht verloren.", "We are waiting for the payment provider’s confirmation. Please do not pay again. You can leave this page: your payment will not be lost."},
	"waiting.check": {"Stand prüfen", "Check again"},

	"delayed":       {"Der Betrag wird zuerst nur reserviert. Abgebucht wird er erst, wenn das Amt entschieden hat.", "The amount is only reserved at first. It is taken when the office has decided."},
	"reserved":      {"Der Betrag ist reserviert", "The amount is reserved"},
	"reserved.what": {"%s sind reserviert, aber noch nicht abgebucht", "%s are reserved but not taken yet"},
	"reserved.text": {"Abgebucht wird der Betrag, wenn das Amt entschieden hat. Braucht es ihn nicht, gibt Ihre Bank ihn wieder frei. Sie müssen nichts weiter tun und können nicht mehr selbst abbrechen; wenden Sie sich dafür an das Amt.", "The amount will be taken when the office decides. If it does not need it, your bank releases it. There is nothing more for you to do, and you cannot cancel by yourself any more; contact the office for that."},
	"row.reserved":  {"Reserviert bis", "Reserved until"},

	"result.payed":          {"Ihre Zahlung ist angekommen", "Your payment has arrived"},
	"result.payed.text":     {"Sie haben %s bezahlt. Sie müssen nichts weiter tun.", "You have paid %s. There is nothing more to do."},
	"receipt":               {"Zahlungsbeleg ansehen", "View the payment receipt"},
	"result.canceled":       {"Sie haben die Zahlung abgebrochen", "You canceled the payment"},
	"result.canceled.text":  {"Es wurde nichts abgebucht. Gehen Sie zurück zum Dienst, wenn Sie es noch einmal versuchen möchten.", "Nothing was charged. Go back to the service if you want to try again."},
	"result.withdrawn":      {"Die Zahlung wird nicht mehr gebraucht", "The payment is no longer needed"},
	"result.withdrawn.text": {"Das Amt hat die Zahlung zurückgezogen. Es wurde nichts abgebucht. War der Betrag reserviert, gibt Ihre Bank ihn in den nächsten Tagen frei.", "The office has withdrawn the payment. Nothing was charged. If the amount was reserved, your bank will release it in the next few days."},
	"result.released":       {"Die Reservierung ist aufgehoben", "The reservation has ended"},
	"result.released.text":  {"Das Amt hat den Betrag nicht rechtzeitig abgerufen. Es wurde nichts abgebucht. Ihre Bank gibt den Betrag in den nächsten Tagen frei.", "The office did not take the amount in time. Nothing was charged. Your bank will release the amount in the next few days."},
	"result.expired":        {"Die Zeit zum Bezahlen ist abgelaufen", "The time to pay is over"},
	"result.expired.text":   {"Es wurde nichts abgebucht. Gehen Sie zurück zum Dienst und starten Sie die Zahlung neu.", "Nothing was charged. Go back to the service and start the payment again."},
	"result.failed":         {"Die Zahlung hat nicht geklappt", "The payment did not work"},
	"result.failed.text":    {"Es gab zu viele abgelehnte Versuche. Es wurde nichts abgebucht. Gehen Sie zurück zum Dienst und starten Sie die Zahlung neu.", "There were too many declined attempts. Nothing was charged. Go back to the service and start the payment again."},
	"back":                  {"Zurück zum Dienst", "Back to the service"},

	"error.unknown_payment.title": {"Diese Zahlung gibt es nicht", "There is no such payment"},
	"error.unknown_payment":       {"Der Link stimmt nicht. Öffnen Sie ihn genau so, wie Sie ihn bekommen haben.", "The link is not right. Open it exactly as you received it."},
}
