package stripe

import (
	"context"
	"errors"
	"net/url"
	"time"

	stripego "github.com/stripe/stripe-go/v79"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/tenantdir"
)

// country of the municipalities.
const country = "DE"

// onboarding lets a municipality's administrator open its account at Stripe.
type onboarding struct {
	gateway *Gateway // nil without a key
	db      *db.DB
}

// account returns the tenant with its account, which is empty if it has none.
// Errors: stripe_not_offered, own_stripe_account.
func (o *onboarding) account(ctx context.Context) (tenantdir.Entry, string, error) {
	e, ok := tenantdir.From(ctx)
	switch {
	case !ok:
		return e, "", errors.New("stripe account: no tenant")
	case o.gateway == nil:
		return e, "", fault.NotFound("stripe_not_offered", "this installation does not offer Stripe; its operator has to configure a key")
	}
	acct, err := o.gateway.accountOf(ctx, e)
	if err == nil && acct == Own {
		err = fault.Conflict("own_stripe_account", "this municipality uses an account of its own, which is set up at Stripe")
	}
	return e, acct, err
}

func (o *onboarding) routes(m *kit.Mux, v *authn.Verifier) {
	admin := v.Role(authn.RoleTenantAdmin)
	kit.Route(m, "POST /t/{tenant}/payment/v1/stripe/account", admin, o.open)
	kit.Route(m, "GET /t/{tenant}/payment/v1/stripe/account", admin, o.read)
}

// OpenRequest asks for the address where the municipality tells Stripe what it has to know.
type OpenRequest struct {
	ReturnURL string `json:"return_url"` // where the browser goes from there
}

// Validate implements kit.Validator. Error: invalid_return_url.
func (q *OpenRequest) Validate() error {
	if u, err := url.Parse(q.ReturnURL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
		return fault.Invalid("invalid_return_url", "return_url must be an absolute http or https URL without user name").
			With(fault.Field{Name: "/return_url", Code: "invalid_return_url", Detail: "must be an absolute http or https URL without user name"})
	}
	return nil
}

// OpenView is that address. It can be used once, and not for long.
type OpenView struct {
	Account   string  `json:"account"`
	URL       string  `json:"url"`
	ExpiresAt db.Time `json:"expires_at"`
}

// open makes the municipality's account, if it has none, and returns the address for what Stripe
// wants to know. Asking again gives a new address for the same account.
// Errors: invalid_return_url, stripe_not_offered, own_stripe_account, stripe_unavailable.
func (o *onboarding) open(ctx context.Context, q OpenRequest) (OpenView, error) {
	e, acct, err := o.account(ctx)
	if err == nil && acct == "" {
		acct, err = o.make(ctx, e)
	}
	if err != nil {
		return OpenView{}, err
	}
	link, err := o.gateway.api.links.New(&stripego.AccountLinkParams{
		Params: stripego.Params{Context: ctx}, Account: stripego.String(acct), Type: stripego.String(string(stripego.AccountLinkTypeAccountOnboarding)),
		ReturnURL: stripego.String(q.ReturnURL), RefreshURL: stripego.String(q.ReturnURL),
	})
	if err != nil {
		return OpenView{}, silent(failed("link to the account", acct, err))
	}
	return OpenView{Account: acct, URL: link.URL, ExpiresAt: fromUnix(link.ExpiresAt)}, nil
}

// make makes an account and keeps its id: of two who do so at once both get the same one.
func (o *onboarding) make(ctx context.Context, e tenantdir.Entry) (string, error) {
	made, err := o.gateway.api.accounts.New(&stripego.AccountParams{
		Params: params(ctx, Own, "account:"+e.ID.String()), Type: stripego.String(string(stripego.AccountTypeStandard)), Country: stripego.String(country),
		BusinessProfile: &stripego.AccountBusinessProfileParams{Name: stripego.String(e.Name)},
		Metadata:        map[string]string{metaTenant: e.ID.String()},
	})
	if err != nil {
		return "", silent(failed("make an account", Own, err))
	}
	var acct string
	err = o.db.Tx(ctx, func(tx *db.Tx) error {
		if err := keepAccount(ctx, tx, made.ID); err != nil {
			return err
		}
		acct, err = keptAccount(ctx, tx)
		return err
	})
	return acct, err
}

func silent(err error) error {
	return fault.Unavailable("stripe_unavailable", "Stripe does not do it at the moment; try again later").After(time.Minute).Because(err)
}

// ReadRequest has nothing in it.
type ReadRequest struct{}

// AccountView is how far a municipality's account is.
type AccountView struct {
	Account          string       `json:"account"`
	ChargesEnabled   bool         `json:"charges_enabled"` // payers can pay
	PayoutsEnabled   bool         `json:"payouts_enabled"` // money gets to the bank
	DetailsSubmitted bool         `json:"details_submitted"`
	Requirements     Requirements `json:"requirements"`
}

// Requirements is what Stripe still wants to know, in its words.
type Requirements struct {
	CurrentlyDue   []string `json:"currently_due"`
	PastDue        []string `json:"past_due"`
	DisabledReason string   `json:"disabled_reason,omitempty"`
}

// read returns how the account stands at Stripe now.
// Errors: stripe_not_offered, no_stripe_account, own_stripe_account, stripe_unavailable.
func (o *onboarding) read(ctx context.Context, _ ReadRequest) (AccountView, error) {
	_, acct, err := o.account(ctx)
	switch {
	case err != nil:
		return AccountView{}, err
	case acct == "":
		return AccountView{}, fault.NotFound("no_stripe_account", "this municipality has no account at Stripe yet")
	}
	a, err := o.gateway.api.accounts.GetByID(acct, &stripego.AccountParams{Params: stripego.Params{Context: ctx}})
	if err != nil {
		return AccountView{}, silent(failed("read the account", acct, err))
	}
	view := AccountView{
		Account: a.ID, ChargesEnabled: a.ChargesEnabled, PayoutsEnabled: a.PayoutsEnabled, DetailsSubmitted: a.DetailsSubmitted,
		Requirements: Requirements{CurrentlyDue: []string{}, PastDue: []string{}},
	}
	if r := a.Requirements; r != nil {
		view.Requirements.CurrentlyDue = append(view.Requirements.CurrentlyDue, r.CurrentlyDue...)
		view.Requirements.PastDue = append(view.Requirements.PastDue, r.PastDue...)
		view.Requirements.DisabledReason = string(r.DisabledReason)
	}
	return view, nil
}

// keepAccount stores the tenant's account unless it has one.
func keepAccount(ctx context.Context, tx *db.Tx, acct string) error {
	_, err := tx.Exec(ctx, `INSERT INTO stripe_accounts (tenant_id, account, made_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		tx.Tenant(), acct, tx.Now())
	return err
}

// keptAccount returns the account that was made for the tenant; "" if none was.
func keptAccount(ctx context.Context, tx *db.Tx) (acct string, err error) {
	err = tx.Get(ctx, &acct, `SELECT account FROM stripe_accounts WHERE tenant_id = ?`, tx.Tenant())
	if errors.Is(err, db.ErrNoRows) {
		return "", nil
	}
	return acct, err
}

// tenantOf returns the tenant for which the account was made; "" if for none. For db.System contexts.
func tenantOf(ctx context.Context, tx *db.Tx, acct string) (tenant id.ID, err error) {
	err = tx.Get(ctx, &tenant, `SELECT tenant_id FROM stripe_accounts WHERE account = ?`, acct)
	if errors.Is(err, db.ErrNoRows) {
		return "", nil
	}
	return tenant, err
}
