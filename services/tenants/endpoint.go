package tenants

import (
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/money"
	"basisdienste/platform/page"
)

// TenantView is a tenant as operator and tenant-admin see it.
type TenantView struct {
	ID     id.ID    `json:"id"`
	Slug   string   `json:"slug"`
	Name   string   `json:"name"`
	Kind   Kind     `json:"kind"`
	Status Status   `json:"status"`
	Keys   []Key    `json:"keys"`
	Hosts  []string `json:"hosts"`
	// Settings and Limits are in force: the tenant's own over the catalogue's.
	Settings map[string]json.RawMessage `json:"settings"`
	Limits   map[string]json.RawMessage `json:"limits"`
	Own      OwnView                    `json:"own"`
	Version  int64                      `json:"version"`

	CreatedAt db.Time `json:"created_at"`
	ChangedAt db.Time `json:"changed_at"`
}

// OwnView is what the tenant has of its own: JSON merge patches over the catalogue.
type OwnView struct {
	Settings map[string]json.RawMessage `json:"settings"`
	Limits   Document                   `json:"limits"`
}

func view(t *Tenant, c *Catalogue) (TenantView, error) {
	e, err := snapshot(t, c)
	v := TenantView{
		ID: t.ID, Slug: t.Slug, Name: t.Name, Kind: t.Kind, Status: t.Status, Keys: append([]Key{}, t.Keys...),
		Hosts: append([]string{}, t.Hosts...), Settings: e.Settings, Limits: e.Limits,
		Own:     OwnView{Settings: map[string]json.RawMessage{}, Limits: Document(t.Limits)},
		Version: t.Version, CreatedAt: t.CreatedAt, ChangedAt: t.ChangedAt,
	}
	maps.Copy(v.Own.Settings, t.Settings)
	if v.Limits == nil {
		v.Limits = map[string]json.RawMessage{}
	}
	return v, err
}

// Created is a TenantView answered with 201.
type Created struct{ TenantView }

// StatusCode implements the answer of package kit.
func (Created) StatusCode() int { return http.StatusCreated }

// Headers implements the answer of package kit.
func (c Created) Headers() http.Header {
	return http.Header{"Location": {"/tenants/v1/tenants/" + c.Slug}}
}

// Document is a JSON object; one that is not there is {}.
type Document json.RawMessage

// MarshalJSON implements json.Marshaler.
func (d Document) MarshalJSON() ([]byte, error) {
	if len(d) == 0 {
		return []byte("{}"), nil
	}
	return d, nil
}

// UnmarshalJSON implements json.Unmarshaler: it keeps the text.
func (d *Document) UnmarshalJSON(text []byte) error {
	*d = slices.Clone(text)
	return nil
}

// CreateRequest makes a tenant.
type CreateRequest struct {
	Slug   string   `json:"slug"`
	Name   string   `json:"name"`
	Kind   Kind     `json:"kind"`   // default: municipality
	Status Status   `json:"status"` // trial (default) or active
	Keys   []string `json:"keys"`
	Hosts  []string `json:"hosts"`

	keys  []Key
	hosts []string
}

// Validate fills in what was left out. Error: invalid_tenant.
func (q *CreateRequest) Validate() error {
	if q.Kind == "" {
		q.Kind = Municipality
	}
	if q.Status == "" {
		q.Status = Trial
	}
	wrong := slices.Concat(checkSlug(q.Slug), checkName(q.Name))
	if !slices.Contains(kinds(), q.Kind) {
		wrong = append(wrong, fault.Field{Name: "/kind", Code: "invalid_kind", Detail: "is one of " + joinKinds()})
	}
	if q.Status != Trial && q.Status != Active {
		wrong = append(wrong, fault.Field{Name: "/status", Code: "invalid_status", Detail: "a tenant begins as trial or active"})
	}
	keys, wrongKeys := parseKeys(q.Keys, nil)
	hosts, wrongHosts := parseHosts(q.Hosts)
	q.keys, q.hosts = keys, hosts
	return invalidTenant(slices.Concat(wrong, wrongKeys, wrongHosts))
}

func joinKinds() string {
	var words []string
	for _, k := range kinds() {
		words = append(words, string(k))
	}
	return strings.Join(words, ", ")
}

func invalidTenant(wrong []fault.Field) error {
	if len(wrong) == 0 {
		return nil
	}
	return fault.Invalid("invalid_tenant", "some of the tenant's fields are not valid").With(wrong...)
}

// TenantRequest names a tenant.
type TenantRequest struct {
	Slug string `json:"-"`
}

// FromHTTP takes the slug from the path.
func (q *TenantRequest) FromHTTP(r *http.Request) error {
	q.Slug = r.PathValue("slug")
	return nil
}

// PatchRequest changes what it names; a list is replaced as a whole.
type PatchRequest struct {
	Slug  string    `json:"-"`
	Name  *string   `json:"name"`
	Kind  *Kind     `json:"kind"`
	Keys  *[]string `json:"keys"`
	Hosts *[]string `json:"hosts"`
}

// FromHTTP takes the slug from the path.
func (q *PatchRequest) FromHTTP(r *http.Request) error {
	q.Slug = r.PathValue("slug")
	return nil
}

func (q *PatchRequest) apply(t *Tenant) error {
	var wrong []fault.Field
	if q.Name != nil {
		wrong = append(wrong, checkName(*q.Name)...)
		t.Name = *q.Name
	}
	if q.Kind != nil {
		if !slices.Contains(kinds(), *q.Kind) {
			wrong = append(wrong, fault.Field{Name: "/kind", Code: "invalid_kind", Detail: "is one of " + joinKinds()})
		}
		t.Kind = *q.Kind
	}
	if q.Keys != nil {
		keys, bad := parseKeys(*q.Keys, t.Keys)
		t.Keys, wrong = keys, append(wrong, bad...)
	}
	if q.Hosts != nil {
		hosts, bad := parseHosts(*q.Hosts)
		t.Hosts, wrong = hosts, append(wrong, bad...)
	}
	return invalidTenant(wrong)
}

// audited names what changes; a tenant's name is public, but the log needs no copy.
func (q *PatchRequest) audited() any {
	fields := []string{}
	for name, given := range map[string]bool{"name": q.Name != nil, "kind": q.Kind != nil, "keys": q.Keys != nil, "hosts": q.Hosts != nil} {
		if given {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	return map[string]any{"fields": fields}
}

// MoveRequest is a step of the lifecycle; the path names it.
type MoveRequest struct {
	Slug   string `json:"-"`
	Reason string `json:"reason"`

	done string // past tense
	move func(*Tenant) error
}

// FromHTTP takes slug and step from the path.
func (q *MoveRequest) FromHTTP(r *http.Request) error {
	q.Slug = r.PathValue("slug")
	step := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch step {
	case "activate":
		q.done, q.move = "activated", (*Tenant).Activate
	case "suspend":
		q.done, q.move = "suspended", (*Tenant).Suspend
	case "resume":
		q.done, q.move = "resumed", (*Tenant).Resume
	case "close":
		q.done, q.move = "closed", (*Tenant).Close
	}
	return nil
}

// Validate wants a reason. Error: reason_missing.
func (q *MoveRequest) Validate() error {
	if n := len([]rune(strings.TrimSpace(q.Reason))); n == 0 || n > 500 {
		return fault.Invalid("reason_missing", "say why, in up to 500 characters and without personal data: the reason goes into the audit log").
			With(fault.Field{Name: "/reason", Code: "reason_missing", Detail: "1 to 500 characters"})
	}
	return nil
}

// SettingsRequest carries a settings document as its body.
type SettingsRequest struct {
	Document
	Slug    string
	Service string
}

// FromHTTP takes slug and service from the path. Error: invalid_service.
func (q *SettingsRequest) FromHTTP(r *http.Request) (err error) {
	q.Slug = r.PathValue("slug")
	q.Service, err = serviceName(r)
	return err
}

// Validate wants an object. Error: settings_no_object.
func (q *SettingsRequest) Validate() error { return wantObject(q.Document) }

func wantObject(d Document) error {
	if len(d) == 0 || d[0] != '{' {
		return fault.Invalid("settings_no_object", "the body is the document itself: a JSON object")
	}
	return nil
}

func serviceName(r *http.Request) (string, error) {
	service := r.PathValue("service")
	if !serviceShape.MatchString(service) {
		return "", fault.Invalid("invalid_service", "the path names a service, for example payment")
	}
	return service, nil
}

// LimitsRequest carries limits by operation as its body.
type LimitsRequest struct {
	Document
	Slug string
}

// FromHTTP takes the slug from the path.
func (q *LimitsRequest) FromHTTP(r *http.Request) error {
	q.Slug = r.PathValue("slug")
	return nil
}

// Validate wants an object. Error: settings_no_object.
func (q *LimitsRequest) Validate() error { return wantObject(q.Document) }

// CatalogueRequest carries a document of the catalogue as its body.
type CatalogueRequest struct {
	Document
	Service string
}

// FromHTTP takes the service from the path, where it names one. Error: invalid_service.
func (q *CatalogueRequest) FromHTTP(r *http.Request) (err error) {
	if r.PathValue("service") != "" {
		q.Service, err = serviceName(r)
	}
	return err
}

// ListRequest selects tenants.
type ListRequest struct {
	Status Status
	Query  string
	Cursor string
	Limit  int
}

// FromHTTP takes status, q, cursor and limit (1 to 500, default 50).
// Errors: invalid_status, query_too_long, invalid_limit.
func (q *ListRequest) FromHTTP(r *http.Request) (err error) {
	v := r.URL.Query()
	q.Status, q.Query, q.Cursor = Status(v.Get("status")), v.Get("q"), v.Get("cursor")
	if q.Status != "" && !slices.Contains([]Status{Trial, Active, Suspended, Closing, Erased}, q.Status) {
		return fault.Invalid("invalid_status", "status is one of trial, active, suspended, closing, erased")
	}
	if len(q.Query) > 200 {
		return fault.Invalid("query_too_long", "q has at most 200 bytes")
	}
	q.Limit, err = page.Limit(v.Get("limit"), 50, 500)
	return err
}

// ResolveRequest asks for a tenant by one of its names.
type ResolveRequest struct{ table, column, value string }

// FromHTTP takes exactly one of slug, key and host. Error: resolve_by_one.
func (q *ResolveRequest) FromHTTP(r *http.Request) error {
	v, n := r.URL.Query(), 0
	for _, by := range []ResolveRequest{
		{"tenants", "slug", v.Get("slug")}, {"tenant_keys", "key", v.Get("key")}, {"tenant_hosts", "host", strings.ToLower(v.Get("host"))},
	} {
		if by.value != "" {
			*q = by
			n++
		}
	}
	if n != 1 || len(q.value) > 253 {
		return fault.Invalid("resolve_by_one", "ask by exactly one of slug, key (ARS or AGS) and host")
	}
	return nil
}

// Resolved is what everybody may know of a tenant.
type Resolved struct {
	ID     id.ID  `json:"id"`
	Slug   string `json:"slug"`
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	Status Status `json:"status"`
	Keys   []Key  `json:"keys"`
}

// ImportRequest is a file of municipalities; the body is read as it comes.
type ImportRequest struct {
	kit.NoBody
	Body   io.Reader
	Each   bool
	Status Status // of new tenants
}

// FromHTTP takes each and status from the query and the body as a stream.
// Errors: csv_expected, invalid_each, invalid_status, body_too_large.
func (q *ImportRequest) FromHTTP(r *http.Request) error {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "text/csv" {
		return fault.Unsupported("csv_expected", "send the file as text/csv")
	}
	if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") {
		return fault.Unsupported("csv_expected", "send the file as text/csv in UTF-8")
	}
	v := r.URL.Query()
	switch v.Get("each") {
	case "", "false":
	case "true":
		q.Each = true
	default:
		return fault.Invalid("invalid_each", "each is true (a tenant for each municipality) or false (for each administration)")
	}
	if q.Status = Status(v.Get("status")); q.Status == "" {
		q.Status = Trial
	}
	if q.Status != Trial && q.Status != Active {
		return fault.Invalid("invalid_status", "a tenant begins as trial or active")
	}
	if r.ContentLength > maxImport {
		return importTooLarge()
	}
	q.Body = http.MaxBytesReader(nil, r.Body, maxImport)
	return nil
}

func importTooLarge() error {
	return fault.TooLarge("body_too_large", "a file has at most %d bytes; split it", maxImport)
}

// UsageRequest asks for a month of a tenant.
type UsageRequest struct {
	Slug  string
	Month string
}

var monthShape = regexp.MustCompile(`^20[0-9]{2}-(0[1-9]|1[0-2])$`)

// FromHTTP takes the slug from the path and the month from the query. Error: invalid_month.
func (q *UsageRequest) FromHTTP(r *http.Request) error {
	q.Slug, q.Month = r.PathValue("slug"), r.URL.Query().Get("month")
	if q.Month != "" && !monthShape.MatchString(q.Month) {
		return fault.Invalid("invalid_month", "a month is written as 2026-11")
	}
	return nil
}

// Usage is what a tenant used in a month (Europe/Berlin).
type Usage struct {
	Tenant   string    `json:"tenant"`
	Month    string    `json:"month"`
	Counters []Counter `json:"counters"`
}

// Counter counts one kind of event.
type Counter struct {
	Counter string       `db:"counter" json:"counter"` // "payment.transaction.payed"
	Count   int64        `db:"n" json:"count"`
	Amount  money.Amount `db:"amount" json:"amount"`
}
