package stripeapi

import (
	"net/http"
	"time"
)

// account is a connected account: a municipality's.
type account struct {
	id, kind, country, email, business, name string
	created                                  time.Time
	ready                                    bool
	capabilities, metadata                   map[string]string
}

// Connect makes a connected account that is ready to take payments, and returns its id.
func (s *Server) Connect() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &account{id: s.newID("acct"), kind: "standard", country: "DE", created: s.opts.Clock(), ready: true, capabilities: map[string]string{}, metadata: map[string]string{}}
	s.accounts[a.id] = a
	return a.id
}

// Onboard lets the account's owner give all that Stripe asks for.
func (s *Server) Onboard(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[id]
	a.ready = true
	s.tell(id, "account.updated", s.accountDoc(a))
}

func (s *Server) createAccount(c *call) (doc, error) {
	kind, err := c.text("type")
	if err != nil {
		return nil, err
	}
	if kind != "standard" {
		return nil, invalid(http.StatusBadRequest, "", "type", "Invalid type: must be standard here")
	}
	a := &account{
		id: s.newID("acct"), kind: kind, country: c.form.Get("country"), email: c.form.Get("email"), business: c.form.Get("business_type"),
		name: c.form.Get("business_profile[name]"), created: c.now, capabilities: map[string]string{}, metadata: c.pairs("metadata"),
	}
	s.accounts[a.id] = a
	return s.accountDoc(a), nil
}

func (s *Server) getAccount(c *call) (doc, error) {
	a, ok := s.accounts[c.path("id")]
	if !ok {
		return nil, invalid(http.StatusForbidden, "account_invalid", "", "The provided key does not have access to account '%s' (or that account does not exist).", c.path("id"))
	}
	return s.accountDoc(a), nil
}

func (s *Server) createLink(c *call) (doc, error) {
	id, err := c.text("account")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"refresh_url", "return_url", "type"} {
		if _, err := c.text(name); err != nil {
			return nil, err
		}
	}
	if _, ok := s.accounts[id]; !ok {
		return nil, missing("account", id)
	}
	return doc{
		"object": "account_link", "created": c.now.Unix(), "expires_at": c.now.Add(5 * time.Minute).Unix(),
		"url": s.opts.BaseURL + "/setup/s/" + id + "/" + s.newID("link"),
	}, nil
}

func (s *Server) accountDoc(a *account) doc {
	due := []string{}
	var disabled any
	if !a.ready {
		due = []string{
			"business_profile.mcc", "business_profile.url", "business_type", "external_account", "representative.first_name", "representative.last_name",
			"tos_acceptance.date", "tos_acceptance.ip",
		}
		disabled = "requirements.past_due"
	}
	requirements := func(due []string, disabled any) doc {
		return doc{
			"alternatives": []any{}, "current_deadline": nil, "currently_due": due, "disabled_reason": disabled, "errors": []any{}, "eventually_due": due,
			"past_due": due, "pending_verification": []any{},
		}
	}
	return doc{
		"id": a.id, "object": "account", "business_profile": doc{
			"annual_revenue": nil, "estimated_worker_count": nil, "mcc": nil, "name": null(a.name), "product_description": nil, "support_address": nil,
			"support_email": nil, "support_phone": nil, "support_url": nil, "url": nil,
		},
		"business_type": null(a.business), "capabilities": a.capabilities, "charges_enabled": a.ready,
		"controller": doc{
			"fees": doc{"payer": "account"}, "is_controller": true, "losses": doc{"payments": "stripe"}, "requirement_collection": "stripe",
			"stripe_dashboard": doc{"type": "full"}, "type": "application",
		},
		"country": a.country, "created": a.created.Unix(), "default_currency": "eur", "details_submitted": a.ready, "email": null(a.email),
		"external_accounts":   doc{"object": "list", "data": []any{}, "has_more": false, "total_count": 0, "url": "/v1/accounts/" + a.id + "/external_accounts"},
		"future_requirements": requirements([]string{}, nil), "metadata": a.metadata, "payouts_enabled": a.ready,
		"requirements": requirements(due, disabled), "settings": doc{
			"bacs_debit_payments": doc{"display_name": nil, "service_user_number": nil},
			"branding":            doc{"icon": nil, "logo": nil, "primary_color": nil, "secondary_color": nil},
			"card_issuing":        doc{"tos_acceptance": doc{"date": nil, "ip": nil}},
			"card_payments": doc{
				"decline_on": doc{"avs_failure": false, "cvc_failure": false}, "statement_descriptor_prefix": nil, "statement_descriptor_prefix_kanji": nil,
				"statement_descriptor_prefix_kana": nil,
			},
			"dashboard": doc{"display_name": nil, "timezone": "Etc/UTC"}, "invoices": doc{"default_account_tax_ids": nil},
			"payments":            doc{"statement_descriptor": nil, "statement_descriptor_kana": nil, "statement_descriptor_kanji": nil},
			"payouts":             doc{"debit_negative_balances": true, "schedule": doc{"delay_days": 2, "interval": "daily"}, "statement_descriptor": nil},
			"sepa_debit_payments": doc{},
		},
		"tos_acceptance": doc{"date": nil, "ip": nil, "user_agent": nil}, "type": a.kind,
	}
}
