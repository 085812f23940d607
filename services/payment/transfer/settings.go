package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment/camt"
)

// Settings are a municipality's own, under "transfer" of "payment".
type Settings struct {
	IBAN   string `json:"iban"`
	BIC    string `json:"bic"`    // may be empty within the European Economic Area
	Holder string `json:"holder"` // of the account
	// Days that a payer has at least who chose to transfer: banks take one or two, and the
	// statement comes the day after.
	Days int `json:"days"`
}

const (
	defaultDays = 14
	maxDays     = 60
)

// Validate names the first mistake.
func (s Settings) Validate() error {
	switch {
	case !camt.ValidIBAN(s.IBAN):
		return errors.New("iban: is missing or not valid; write it without spaces")
	case s.Holder == "" || len([]rune(s.Holder)) > maxHolder:
		return fmt.Errorf("holder: want 1 to %d characters", maxHolder)
	case s.BIC != "" && len(s.BIC) != 8 && len(s.BIC) != 11, strings.ContainsFunc(s.BIC, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') }):
		return errors.New("bic: want 8 or 11 capital letters and digits")
	case s.Days < 1 || s.Days > maxDays:
		return fmt.Errorf("days: want 1 to %d", maxDays)
	}
	return nil
}

// settingsOf reads those of the tenant that ctx acts for. A mistake in them is the operator's.
func settingsOf(ctx context.Context) (Settings, error) {
	e, ok := tenantdir.From(ctx)
	if !ok {
		return Settings{}, errors.New("transfer: no tenant")
	}
	all, err := tenantdir.Settings(e, "payment", struct {
		Transfer Settings `json:"transfer"`
	}{Settings{Days: defaultDays}})
	if err == nil {
		err = all.Transfer.Validate()
	}
	if err != nil {
		return Settings{}, fmt.Errorf("transfer settings of %s: %w", e.Slug, err)
	}
	return all.Transfer, nil
}
