package tenants

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"basisdienste/platform/fault"
)

// Config is the section "tenants" of the configuration.
type Config struct {
	// TenantSettable are the members of the settings that a tenant's own admin may change,
	// by service. "*" stands for all of a service.
	TenantSettable map[string][]string `config:"tenant_settable"`
	// CatalogueEvery is how often it is looked whether the catalogue has changed.
	CatalogueEvery time.Duration `config:"catalogue_every"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{
		TenantSettable: map[string][]string{
			"booking": {"*"},
			"forms":   {"fees", "off"},
			"notify":  {"language", "reply_to", "sender_name"},
			"payment": {"maintenance", "notice"},
		},
		CatalogueEvery: time.Second,
	}
}

// Validate implements the check of package config.
func (c *Config) Validate() error {
	var errs []error
	for service := range c.TenantSettable {
		if !serviceShape.MatchString(service) {
			errs = append(errs, fmt.Errorf("tenant_settable: %q is no service", service))
		}
	}
	if c.CatalogueEvery < 100*time.Millisecond || c.CatalogueEvery > time.Hour {
		errs = append(errs, errors.New("catalogue_every: is from 100ms to 1h"))
	}
	return errors.Join(errs...)
}

// settable returns nil if a tenant's admin may change all the members of the service's
// settings. Error: setting_not_yours.
func (c *Config) settable(service string, members []string) error {
	allowed := c.TenantSettable[service]
	var wrong []fault.Field
	for _, m := range members {
		if !slices.Contains(allowed, m) && !slices.Contains(allowed, "*") {
			wrong = append(wrong, fault.Field{Name: "/" + m, Code: "setting_not_yours", Detail: "only the operator changes this"})
		}
	}
	if wrong != nil {
		return fault.Forbidden("setting_not_yours", "some of these settings of %s are changed by the operator alone; leave them as they are", service).With(wrong...)
	}
	return nil
}
