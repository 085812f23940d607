package transfer

import (
	"context"

	"basisdienste/platform/fault"
	"basisdienste/services/payment"
)

// Of is the transfer that pays the transaction, for a code on a letter. It stays payable by it as
// long as it does without. Error: no_bank_account.
func Of(ctx context.Context, t *payment.Transaction) (Payment, error) {
	settings, err := settingsOf(ctx)
	if err != nil {
		return Payment{}, fault.Conflict("no_bank_account",
			"the municipality has no bank account set; set transfer.iban and transfer.holder in its settings of payment").Because(err)
	}
	return Payment{Holder: settings.Holder, IBAN: settings.IBAN, BIC: settings.BIC, Amount: t.Amount, Purpose: t.Kassenzeichen}, nil
}
