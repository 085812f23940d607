package govuk

import (
	"net/http"

	"basisdienste/platform/kit"
)

// routes is the API, described in contracts/openapi/notify-govuk.yaml.
func (a *api) routes(m *kit.Mux) {
	m.Handle("POST /notify/v2/notifications/email", a.handle(a.sendEmail))
	m.Handle("POST /notify/v2/notifications/sms", a.handle(a.sendSMS))
	m.Handle("POST /notify/v2/notifications/letter", a.handle(a.sendLetter))
	m.Handle("GET /notify/v2/notifications", a.handle(a.listNotifications))
	m.Handle("GET /notify/v2/notifications/{id}", a.handle(a.getNotification))
	m.Handle("GET /notify/v2/notifications/{id}/pdf", a.handle(a.getPDF))
	m.Handle("GET /notify/v2/templates", a.handle(a.listTemplates))
	m.Handle("GET /notify/v2/template/{id}", a.handle(a.getTemplate))
	m.Handle("GET /notify/v2/template/{id}/version/{version}", a.handle(a.getTemplate))
	m.Handle("POST /notify/v2/template/{id}/preview", a.handle(a.previewTemplate))
	m.Handle("GET /notify/v2/received-text-messages", a.handle(a.receivedTexts))
	m.Handle("/notify/v2/", a.handle(func(*http.Request) (int, any, error) {
		return 0, nil, refuse(http.StatusNotFound, "NotFound", "The requested URL was not found on the server")
	}))
}
