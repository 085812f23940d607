package notify

import (
	"basisdienste/platform/authn"
	"basisdienste/platform/kit"
)

// routes is the API of the service, described in contracts/openapi/notify.yaml.
func (s *Service) routes(m *kit.Mux, v *authn.Verifier) {
	read, write := v.Guard("notify:read"), v.Guard("notify:write")
	staff, admin := v.Role(authn.RoleClerk, authn.RoleTenantAdmin), v.Role(authn.RoleTenantAdmin)

	kit.Route(m, "POST /t/{tenant}/notify/v1/messages", write, s.Send)
	kit.Route(m, "GET /t/{tenant}/notify/v1/messages", read, s.List)
	kit.Route(m, "GET /t/{tenant}/notify/v1/messages/{id}", read, s.Get)

	kit.Route(m, "GET /t/{tenant}/notify/v1/templates", read, s.ListTemplates)
	kit.Route(m, "GET /t/{tenant}/notify/v1/templates/{name}", read, s.GetTemplate)
	kit.Route(m, "PUT /t/{tenant}/notify/v1/templates/{name}/{language}", write, s.PutTemplate)
	kit.Route(m, "POST /t/{tenant}/notify/v1/templates/{name}/preview", read, s.Preview)

	kit.Route(m, "POST /t/{tenant}/notify/v1/api-keys", admin, s.CreateKey)
	kit.Route(m, "GET /t/{tenant}/notify/v1/api-keys", admin, s.ListKeys)
	kit.Route(m, "POST /t/{tenant}/notify/v1/api-keys/{id}/revoke", admin, s.RevokeKey)

	kit.Route(m, "GET /t/{tenant}/notify/v1/outbox", staff, s.Outbox)
	kit.Route(m, "GET /t/{tenant}/notify/v1/outbox/{id}", staff, s.OneMail)
	kit.Route(m, "GET /t/{tenant}/notify/v1/outbox/{id}/raw", staff, s.RawMail)
	kit.Route(m, "GET /notify/v1/outbox", v.Operator(), s.Outbox)
	kit.Route(m, "GET /notify/v1/outbox/{id}", v.Operator(), s.OneMail)
	kit.Route(m, "GET /notify/v1/outbox/{id}/raw", v.Operator(), s.RawMail)
}
