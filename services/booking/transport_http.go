package booking

import (
	"encoding/json"
	"net/http"

	"basisdienste/platform/authn"
	"basisdienste/platform/kit"
	"basisdienste/platform/problem"
)

// routes is the API. What citizens do needs no login: reading is public, and the secret of
// the appointment opens the rest.
func (s *Service) routes(m *kit.Mux, v *authn.Verifier) {
	m = m.WithErrors(writeProblem)
	clerk := v.Role(authn.RoleClerk, authn.RoleTenantAdmin)
	admin := v.Role(authn.RoleTenantAdmin)

	kit.Route(m, "GET /t/{tenant}/booking/v1/services", kit.Public, s.Services)
	kit.Route(m, "GET /t/{tenant}/booking/v1/services/{service}/slots", kit.Public, s.Slots)
	kit.Route(m, "POST /t/{tenant}/booking/v1/appointments", kit.Public, s.Hold)
	kit.Route(m, "GET /t/{tenant}/booking/v1/appointments/{id}", kit.Public, s.Get)
	kit.Route(m, "POST /t/{tenant}/booking/v1/appointments/{id}/confirm", kit.Public, s.Confirm)
	kit.Route(m, "POST /t/{tenant}/booking/v1/appointments/{id}/move", kit.Public, s.Move)
	kit.Route(m, "POST /t/{tenant}/booking/v1/appointments/{id}/cancel", kit.Public, s.Cancel)

	kit.Route(m, "GET /t/{tenant}/booking/v1/staff/appointments", clerk, s.Day)
	kit.Route(m, "POST /t/{tenant}/booking/v1/staff/appointments/{id}/cancel", clerk, s.StaffCancel)
	kit.Route(m, "GET /t/{tenant}/booking/v1/staff/closures", clerk, s.Closures)
	kit.Route(m, "POST /t/{tenant}/booking/v1/staff/closures", admin, s.AddClosure)
	kit.Route(m, "DELETE /t/{tenant}/booking/v1/staff/closures/{id}", admin, s.RemoveClosure)
}

func writeTaken(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", problem.MediaType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusConflict)
	// The status is out; a client that went away cannot be told more.
	_ = json.NewEncoder(w).Encode(body)
}
