package tenants

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
)

// Catalogue is what the operator gives to all: default settings by service, and default
// limits by operation.
type Catalogue struct {
	Settings map[string]json.RawMessage
	Limits   json.RawMessage
	// Revision counts the changes.
	Revision int64
}

const maxDocument = 64 << 10 // bytes of one settings document

var (
	serviceShape   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	operationShape = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,63}$`)
)

// snapshot is the tenant as everybody else sees it: catalogue and own settings merged.
func snapshot(t *Tenant, c *Catalogue) (events.TenantChanged, error) {
	e := events.TenantChanged{
		ID: t.ID.String(), Slug: t.Slug, Name: t.Name, Status: string(t.Status),
		Keys: t.keyStrings(), Hosts: t.Hosts, Version: t.Version,
	}
	if t.Status == Erased {
		return e, nil
	}
	e.Settings = map[string]json.RawMessage{}
	for _, from := range []map[string]json.RawMessage{c.Settings, t.Settings} {
		for service := range from {
			merged, err := over(c.Settings[service], t.Settings[service])
			if err != nil {
				return e, fmt.Errorf("settings %s of %s: %w", service, t.ID, err)
			}
			if string(merged) != "{}" {
				e.Settings[service] = merged
			}
		}
	}
	limits, err := over(c.Limits, t.Limits)
	if err != nil {
		return e, fmt.Errorf("limits of %s: %w", t.ID, err)
	}
	if len(limits) > 0 {
		if err := json.Unmarshal(limits, &e.Limits); err != nil {
			return e, fmt.Errorf("limits of %s: %w", t.ID, err)
		}
	}
	return e, nil
}

// over lays the tenant's own document, if there is one, over the catalogue's.
func over(base, own json.RawMessage) (json.RawMessage, error) {
	if len(own) == 0 {
		return base, nil
	}
	return merge(base, own)
}

// checkDocument returns the canonical form of a settings document, which is an object of
// bounded size. An empty object comes back as nil. Errors: settings_no_object,
// settings_too_large.
func checkDocument(doc json.RawMessage) (json.RawMessage, error) {
	if len(doc) == 0 || doc[0] != '{' {
		return nil, fault.Invalid("settings_no_object", "the body is the settings themselves: a JSON object")
	}
	c, err := canonical(doc)
	if err != nil {
		return nil, fault.Invalid("settings_no_object", "the body is the settings themselves: a JSON object").Because(err)
	}
	if len(c) > maxDocument {
		return nil, fault.TooLarge("settings_too_large", "the settings of one service have at most %d bytes; move texts into templates", maxDocument)
	}
	if string(c) == "{}" {
		return nil, nil
	}
	return c, nil
}

// checkLimits is checkDocument for limits by operation: {"payment.create": {"rate": 600,
// "burst": 100}}. With overrides, null for an operation takes the catalogue's limit away.
// Error: invalid_limits, with the operations that are wrong.
func checkLimits(doc json.RawMessage, overrides bool) (json.RawMessage, error) {
	doc, err := checkDocument(doc)
	if doc == nil || err != nil {
		return nil, err
	}
	var limits map[string]json.RawMessage
	if err := json.Unmarshal(doc, &limits); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	var wrong []fault.Field
	for _, op := range slices.Sorted(maps.Keys(limits)) {
		if !operationShape.MatchString(op) {
			wrong = append(wrong, fault.Field{Name: "/" + op, Code: "invalid_operation", Detail: "an operation is named as in payment.create"})
			continue
		}
		if overrides && string(limits[op]) == "null" {
			continue
		}
		if !isLimit(limits[op]) {
			wrong = append(wrong, fault.Field{Name: "/" + op, Code: "invalid_limit", Detail: `a limit is {"rate": requests per minute, "burst": requests at once}, both from 1 to 1000000`})
		}
	}
	if wrong != nil {
		return nil, fault.Invalid("invalid_limits", "some of the limits are not valid").With(wrong...)
	}
	return doc, nil
}

func isLimit(doc json.RawMessage) bool {
	var l struct {
		Rate  *int64 `json:"rate"`
		Burst *int64 `json:"burst"`
	}
	const most = 1_000_000
	return kit.Strict(doc, &l) == nil && l.Rate != nil && l.Burst != nil &&
		*l.Rate >= 1 && *l.Burst >= 1 && *l.Rate <= most && *l.Burst <= most
}

// changedMembers are the members of two objects that differ, sorted.
func changedMembers(before, after json.RawMessage) ([]string, error) {
	b, err := members(before)
	if err != nil {
		return nil, err
	}
	a, err := members(after)
	if err != nil {
		return nil, err
	}
	changed := map[string]bool{}
	for name := range b {
		changed[name] = true
	}
	for name := range a {
		changed[name] = string(b[name]) != string(a[name])
	}
	var names []string
	for name, c := range changed {
		if c {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func members(doc json.RawMessage) (m map[string]json.RawMessage, err error) {
	if len(doc) == 0 {
		return nil, nil
	}
	return m, json.Unmarshal(doc, &m)
}
