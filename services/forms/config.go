package forms

import (
	"errors"
	"slices"
	"time"

	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
)

// Config is the section "forms" of the configuration.
type Config struct {
	// DraftsKept is how long after its last edit a draft is deleted. § 8a OZG: 30 days.
	DraftsKept time.Duration `config:"drafts_kept"`
	// Retry is how often the payment service is asked for what it could not give, and
	// links that go by mail are sent.
	Retry time.Duration `config:"retry_every"`
	// Purge is how often old drafts and files without an owner are looked for.
	Purge time.Duration `config:"purge_every"`
	// Files is the folder of uploaded files, which several instances have to share; by default
	// forms/files in the data folder.
	Files string `config:"files_dir"`
}

func defaults() Config {
	return Config{DraftsKept: 30 * 24 * time.Hour, Retry: 5 * time.Second, Purge: time.Hour}
}

// Validate implements the check of package config.
func (c *Config) Validate() error {
	var errs []error
	if c.DraftsKept < 24*time.Hour || c.DraftsKept > 365*24*time.Hour {
		errs = append(errs, errors.New("drafts_kept: from 1d to 365d"))
	}
	if c.Retry <= 0 || c.Purge <= 0 {
		errs = append(errs, errors.New("retry_every and purge_every are longer than nothing"))
	}
	return errors.Join(errs...)
}

// Settings are a tenant's own, over the catalogue's defaults.
type Settings struct {
	// Fees replaces the catalogue's amounts, by form, in euros.
	Fees map[string]money.Amount `json:"fees"`
	// Off lists the forms that the tenant does not offer.
	Off []string `json:"off"`
}

func settingsOf(e tenantdir.Entry) (Settings, error) {
	return tenantdir.Settings(e, "forms", Settings{})
}

// fee returns the tenant's rate for the form, in cents; 0 for a form without a fee.
func (s Settings) fee(d *Definition) money.Amount {
	if d.Fee == nil {
		return 0
	}
	if own, ok := s.Fees[d.Form]; ok && own >= 0 {
		return own
	}
	return d.Fee.Amount
}

func (s Settings) offers(form string) bool { return !slices.Contains(s.Off, form) }
