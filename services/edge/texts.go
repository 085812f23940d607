package edge

import "basisdienste/platform/web"

// texts are German and English.
var texts = web.Texts{
	"service": {"Online-Dienste", "Online services"},

	"error.service_unavailable.title": {"Dieser Dienst ist gerade nicht erreichbar", "This service is not available right now"},
	"error.service_unavailable": {
		"Bitte versuchen Sie es in einigen Minuten noch einmal. Die anderen Dienste können Sie weiter nutzen.",
		"Please try again in a few minutes. You can go on using the other services.",
	},
	"error.unknown_tenant.title": {"Diese Gemeinde kennen wir nicht", "We do not know this municipality"},
	"error.unknown_tenant": {
		"Unter dieser Adresse gibt es keine Gemeinde. Bitte prüfen Sie die Adresse, oder suchen Sie Ihre Gemeinde auf der Startseite.",
		"There is no municipality at this address. Please check the address, or find your municipality on the start page.",
	},
	"error.body_too_slow.title": {"Die Übertragung hat zu lange gestockt", "The transfer was held up for too long"},
	"error.body_too_slow": {
		"Ihre Angaben sind nicht vollständig angekommen. Bitte prüfen Sie Ihre Verbindung, und senden Sie sie noch einmal ab.",
		"Not all that you sent has arrived. Please check your connection, and send it again.",
	},
	"error.rate_limited": {
		"Gerade kommen sehr viele Anfragen. Bitte warten Sie kurz und versuchen Sie es dann noch einmal.",
		"Very many requests are coming in. Please wait a moment and try again.",
	},
}
