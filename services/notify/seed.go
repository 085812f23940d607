package notify

import (
	"context"

	"basisdienste/platform/db"
	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
)

const demoTenant, demoKey, demoTemplate = "erfurt", "demo", "test-message"

// seed gives the demo municipality an API key; a second start finds it as it was.
func (s *Service) seed(ctx context.Context, d run.Demo) error {
	e, err := s.Dir.Await(ctx, demoTenant)
	if err != nil {
		return err
	}
	ctx = tenantdir.With(ctx, e)
	keys, err := s.APIKeys(ctx)
	if err != nil {
		return err
	}
	text := ""
	for _, k := range keys {
		if k.Name == demoKey && !k.Revoked {
			text = keyText(k.Name, e.ID, k.Secret)
		}
	}
	if text == "" {
		err := s.DB.Tx(ctx, func(tx *db.Tx) error {
			k, err := s.createKey(ctx, tx, demoKey)
			text = k.Key
			return err
		})
		if err != nil {
			return err
		}
	}
	d["notify"] = map[string]string{
		"base_url": s.BaseURL + "/notify", "api_key": text,
		"email_template_id": s.catalogue.find(demoTemplate, "de").ID.String(),
	}
	return nil
}
