package transfer

import "basisdienste/platform/web"

// Texts of the page, German and English.
var Texts = web.Texts{
	"service":    {"Online bezahlen", "Pay online"},
	"title":      {"Überweisen", "Pay by bank transfer"},
	"todo":       {"Noch nicht bezahlt", "Not paid yet"},
	"todo.text":  {"Überweisen Sie den Betrag bei Ihrer Bank. Geben Sie als Verwendungszweck nur das Kassenzeichen an: Daran erkennen wir Ihre Zahlung.", "Transfer the amount at your bank. Give the reference alone as the purpose: we recognise your payment by it."},
	"order":      {"Ihre Überweisung", "Your transfer"},
	"holder":     {"Empfänger", "Payee"},
	"iban":       {"IBAN", "IBAN"},
	"bic":        {"BIC", "BIC"},
	"amount":     {"Betrag", "Amount"},
	"purpose":    {"Verwendungszweck (Kassenzeichen)", "Purpose (reference)"},
	"subject":    {"Wofür", "For"},
	"code":       {"Mit der App Ihrer Bank", "With your bank’s app"},
	"code.text":  {"Öffnen Sie die App Ihrer Bank, wählen Sie die Foto-Überweisung oder „QR-Code“ und fotografieren Sie den GiroCode. Es sind dieselben Angaben wie oben; Sie müssen nichts eintippen.", "Open your bank’s app, choose to pay by photo or QR code and scan this GiroCode. It holds the same details as above; you do not have to type anything."},
	"code.label": {"GiroCode mit Empfänger, IBAN, Betrag und Kassenzeichen. Dieselben Angaben stehen oben als Text.", "GiroCode with payee, IBAN, amount and reference. The same details are given as text above."},
	"until":      {"Der Betrag muss bis %s bei uns sein. Eine Überweisung dauert ein bis zwei Bankarbeitstage. Sobald das Geld da ist, erfährt es der Dienst von uns.", "We must have the amount by %s. A transfer takes one or two banking days. As soon as the money has arrived we tell the service."},
	"back":       {"Zurück zum Dienst", "Back to the service"},
	"other":      {"Andere Zahlungsart wählen", "Choose another payment method"},

	"error.transfer_not_set_up": {"Überweisen ist zurzeit nicht möglich. Wählen Sie bitte eine andere Zahlungsart.", "Bank transfer is not available at the moment. Please choose another payment method."},
}
