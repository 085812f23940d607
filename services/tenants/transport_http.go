package tenants

import (
	"basisdienste/platform/kit"
)

// routes registers the API. operator lets in the operator alone; known lets in everybody
// with a token of ours, of whom the use case asks more.
func (s *Service) routes(m *kit.Mux, operator, known kit.Guard) {
	kit.Route(m, "GET /tenants/v1/resolve", kit.Public, s.Resolve)
	kit.Route(m, "GET /tenants/v1/tenants", operator, s.List)
	kit.Route(m, "POST /tenants/v1/tenants", operator, s.Create)
	kit.Route(m, "GET /tenants/v1/tenants/{slug}", known, s.Show)
	kit.Route(m, "PATCH /tenants/v1/tenants/{slug}", operator, s.Patch)
	kit.Route(m, "POST /tenants/v1/tenants/{slug}/activate", operator, s.Move)
	kit.Route(m, "POST /tenants/v1/tenants/{slug}/suspend", operator, s.Move)
	kit.Route(m, "POST /tenants/v1/tenants/{slug}/resume", operator, s.Move)
	kit.Route(m, "POST /tenants/v1/tenants/{slug}/close", operator, s.Move)
	kit.Route(m, "PUT /tenants/v1/tenants/{slug}/settings/{service}", known, s.PutSettings)
	kit.Route(m, "PATCH /tenants/v1/tenants/{slug}/settings/{service}", known, s.PatchSettings)
	kit.Route(m, "PUT /tenants/v1/tenants/{slug}/limits", operator, s.PutLimits)
	kit.Route(m, "PATCH /tenants/v1/tenants/{slug}/limits", operator, s.PatchLimits)
	kit.Route(m, "GET /tenants/v1/tenants/{slug}/usage", known, s.Usage)
	kit.Route(m, "POST /tenants/v1/import", operator, s.Import)
	kit.Route(m, "GET /tenants/v1/catalogue", operator, s.Services)
	kit.Route(m, "GET /tenants/v1/catalogue/{service}", operator, s.Catalogue)
	kit.Route(m, "PUT /tenants/v1/catalogue/{service}", operator, s.PutCatalogue)
	kit.Route(m, "GET /tenants/v1/limits", operator, s.CatalogueLimits)
	kit.Route(m, "PUT /tenants/v1/limits", operator, s.PutCatalogueLimits)
}
