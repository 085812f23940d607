package tenants

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// Status is where a tenant stands in its life: trial → active ⇄ suspended → closing → erased.
type Status string

// The lifecycle. Before closing, a tenant can be closed from everywhere; nothing leads back
// from closing.
const (
	Trial     Status = "trial"
	Active    Status = "active"
	Suspended Status = "suspended"
	Closing   Status = "closing"
	Erased    Status = "erased"
)

// Kind of an administration.
type Kind string

// The kinds, after the Textkennzeichen of the Gemeindeverzeichnis (GV-ISys).
const (
	Municipality Kind = "municipality"            // 50, administers itself
	Amt          Kind = "amt"                     // 51
	Samtgemeinde Kind = "samtgemeinde"            // 52
	Verband      Kind = "verbandsgemeinde"        // 53
	Gemeinschaft Kind = "verwaltungsgemeinschaft" // 54
	Kirchspiel   Kind = "kirchspielslandgemeinde" // 55
	Zweckverband Kind = "verwaltungsverband"      // 56
	Serving      Kind = "erfuellende-gemeinde"    // 58, serves its neighbours too
	District     Kind = "district"                // Landkreis; never imported
)

// kindOf returns the kind of an association by its two digits; false for digits that the
// Gemeindeverzeichnis does not use.
func kindOf(association string) (Kind, bool) {
	k, ok := map[string]Kind{
		"50": Municipality, "51": Amt, "52": Samtgemeinde, "53": Verband, "54": Gemeinschaft,
		"55": Kirchspiel, "56": Zweckverband, "58": Serving,
	}[association]
	return k, ok
}

func kinds() []Kind {
	return []Kind{Municipality, Amt, Samtgemeinde, Verband, Gemeinschaft, Kirchspiel, Zweckverband, Serving, District}
}

// Key is a regional key: the ARS (12 digits) or AGS (8 digits) of a municipality.
type Key struct {
	Key  string `json:"key"`
	Name string `json:"name,omitempty"` // of the municipality, where it is known
}

// IsARS reports whether the key has the 12 digits of an ARS.
func (k Key) IsARS() bool { return len(k.Key) == arsDigits }

const (
	arsDigits  = 12
	agsDigits  = 8
	areaDigits = 9 // of the ARS: they name the administration
)

// area is the administration of an ARS, and empty for an AGS.
func area(key string) string {
	if len(key) != arsDigits {
		return ""
	}
	return key[:areaDigits]
}

// agsOf returns the AGS that is part of an ARS: it lacks the association's four digits.
func agsOf(ars string) string { return ars[:5] + ars[areaDigits:] }

// Tenant is one administration.
type Tenant struct {
	ID     id.ID
	Slug   string // for good
	Name   string
	Kind   Kind
	Status Status
	Keys   []Key    // sorted: each ARS, then each AGS
	Hosts  []string // sorted, lower case
	// Settings (by service) and Limits (by operation) are the tenant's own, as JSON merge
	// patches over the catalogue: null takes away what the catalogue has.
	Settings map[string]json.RawMessage
	Limits   json.RawMessage
	// ImportedName is the name that the last import read; empty for a tenant made by hand.
	// A tenant that still has this name follows the next import's.
	ImportedName string
	Version      int64
	// Revision of the catalogue that the last snapshot held.
	Revision             int64
	CreatedAt, ChangedAt db.Time
}

// Bounds of one tenant.
const (
	maxName  = 200 // characters
	maxKeys  = 2000
	maxHosts = 50
	maxSlug  = 63
)

var (
	slugShape = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	keyShape  = regexp.MustCompile(`^([0-9]{8}|[0-9]{12})$`)
	hostShape = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$`)
)

func (t *Tenant) tenant() tenant.Tenant { return tenant.Tenant{ID: t.ID, Slug: t.Slug, Name: t.Name} }

// clone returns a copy that shares no slice or map.
func (t *Tenant) clone() *Tenant {
	c := *t
	c.Keys, c.Hosts, c.Settings = slices.Clone(t.Keys), slices.Clone(t.Hosts), maps.Clone(t.Settings)
	return &c
}

// ARS returns the first ARS, or "".
func (t *Tenant) ARS() string {
	if len(t.Keys) > 0 && t.Keys[0].IsARS() {
		return t.Keys[0].Key
	}
	return ""
}

func (t *Tenant) keyStrings() []string {
	out := make([]string, len(t.Keys))
	for i, k := range t.Keys {
		out[i] = k.Key
	}
	return out
}

func sortKeys(keys []Key) {
	slices.SortFunc(keys, func(a, b Key) int {
		if a.IsARS() != b.IsARS() {
			return len(b.Key) - len(a.Key)
		}
		return strings.Compare(a.Key, b.Key)
	})
}

// addKey notes that the tenant is found by the key, and which municipality that is. It
// reports whether that was news.
func (t *Tenant) addKey(k Key) bool {
	for i, have := range t.Keys {
		if have.Key == k.Key {
			news := k.Name != "" && have.Name != k.Name
			if news {
				t.Keys[i].Name = k.Name
			}
			return news
		}
	}
	t.Keys = append(t.Keys, k)
	sortKeys(t.Keys)
	return true
}

// Activate ends the trial. Error: wrong_status.
func (t *Tenant) Activate() error { return t.move(Active, Trial) }

// Suspend stops new business. Error: wrong_status.
func (t *Tenant) Suspend() error { return t.move(Suspended, Active) }

// Resume lets new business in again. Error: wrong_status.
func (t *Tenant) Resume() error { return t.move(Active, Suspended) }

// Close ends business for good: what follows is export and erasure. Error: wrong_status.
func (t *Tenant) Close() error { return t.move(Closing, Trial, Active, Suspended) }

// Erase gives keys and hosts free and forgets all but the fact. Error: wrong_status.
func (t *Tenant) Erase() error {
	if err := t.move(Erased, Closing); err != nil {
		return err
	}
	t.Keys, t.Hosts, t.Settings, t.Limits = nil, nil, nil, nil
	return nil
}

func (t *Tenant) move(to Status, from ...Status) error {
	if !slices.Contains(from, t.Status) {
		words := make([]string, len(from))
		for i, s := range from {
			words[i] = string(s)
		}
		return fault.Conflict("wrong_status", "%s is %s; only a tenant that is %s can become %s",
			t.Slug, t.Status, strings.Join(words, " or "), to)
	}
	t.Status = to
	return nil
}

// checkName returns a field for a name that cannot be one.
func checkName(name string) []fault.Field {
	if strings.TrimSpace(name) != name || name == "" || len([]rune(name)) > maxName || strings.ContainsFunc(name, isControl) {
		return []fault.Field{{Name: "/name", Code: "invalid_name", Detail: "a name has 1 to 200 characters, without spaces at its ends"}}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// checkSlug returns a field for a slug that cannot stand in an address.
func checkSlug(slug string) []fault.Field {
	if len(slug) > maxSlug || !slugShape.MatchString(slug) {
		return []fault.Field{{Name: "/slug", Code: "invalid_slug", Detail: "a slug has up to 63 of a-z, 0-9 and single hyphens between them, for example bad-koestritz"}}
	}
	if slug == tenant.OperatorSlug {
		return []fault.Field{{Name: "/slug", Code: "reserved_slug", Detail: "this slug is the operator's"}}
	}
	return nil
}

// parseKeys returns the keys sorted, with the names that known has for them, or the fields
// that are wrong.
func parseKeys(keys []string, known []Key) (out []Key, wrong []fault.Field) {
	if len(keys) > maxKeys {
		return nil, []fault.Field{{Name: "/keys", Code: "too_many_keys", Detail: "a tenant has at most 2000 keys"}}
	}
	for i, k := range keys {
		name := pointer("keys", i)
		switch {
		case !keyShape.MatchString(k):
			wrong = append(wrong, fault.Field{Name: name, Code: "invalid_key", Detail: "a key is an ARS of 12 digits or an AGS of 8 digits"})
		case slices.ContainsFunc(out, func(o Key) bool { return o.Key == k }):
			wrong = append(wrong, fault.Field{Name: name, Code: "duplicate_key", Detail: "stands there twice"})
		default:
			key := Key{Key: k}
			if j := slices.IndexFunc(known, func(o Key) bool { return o.Key == k }); j >= 0 {
				key = known[j]
			}
			out = append(out, key)
		}
	}
	sortKeys(out)
	return out, wrong
}

// parseHosts returns the hosts in lower case and sorted, or the fields that are wrong.
func parseHosts(hosts []string) (out []string, wrong []fault.Field) {
	if len(hosts) > maxHosts {
		return nil, []fault.Field{{Name: "/hosts", Code: "too_many_hosts", Detail: "a tenant has at most 50 hosts"}}
	}
	for i, h := range hosts {
		h = strings.ToLower(h)
		switch {
		case len(h) > 253 || !hostShape.MatchString(h):
			wrong = append(wrong, fault.Field{Name: pointer("hosts", i), Code: "invalid_host", Detail: "a host is a DNS name without port, for example service.erfurt.example"})
		case slices.Contains(out, h):
			wrong = append(wrong, fault.Field{Name: pointer("hosts", i), Code: "duplicate_host", Detail: "stands there twice"})
		default:
			out = append(out, h)
		}
	}
	slices.Sort(out)
	return out, wrong
}
