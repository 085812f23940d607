package stripe

import (
	"testing"

	stripego "github.com/stripe/stripe-go/v79"

	"basisdienste/services/payment/settlement"
)

func TestLineKind(t *testing.T) {
	t.Parallel()
	ofDispute := &stripego.BalanceTransactionSource{Dispute: &stripego.Dispute{}}
	for _, c := range []struct {
		kind   stripego.BalanceTransactionType
		amount int64
		source *stripego.BalanceTransactionSource
		want   settlement.Kind
	}{
		{stripego.BalanceTransactionTypeCharge, 1, nil, settlement.LinePayment},
		{stripego.BalanceTransactionTypePayment, 1, nil, settlement.LinePayment},
		{stripego.BalanceTransactionTypeRefund, -1, nil, settlement.LineRefund},
		{stripego.BalanceTransactionTypePaymentRefund, -1, nil, settlement.LineRefund},
		{stripego.BalanceTransactionTypePaymentFailureRefund, -1, nil, settlement.LineRefund},
		{stripego.BalanceTransactionTypeRefundFailure, 1, nil, settlement.LineRefundFailed},
		{stripego.BalanceTransactionTypeAdjustment, -1, ofDispute, settlement.LineDispute},
		{stripego.BalanceTransactionTypeAdjustment, 1, ofDispute, settlement.LineDisputeWon},
		{stripego.BalanceTransactionTypePaymentReversal, -1, nil, settlement.LineDispute},
		{stripego.BalanceTransactionTypeAdjustment, -1, nil, settlement.LineOther},
		{stripego.BalanceTransactionTypeAdjustment, 1, &stripego.BalanceTransactionSource{}, settlement.LineOther},
		{stripego.BalanceTransactionTypeStripeFee, -1, nil, settlement.LineFee},
		{stripego.BalanceTransactionTypePayoutFailure, 1, nil, settlement.LinePayoutFailed},
		{stripego.BalanceTransactionTypePayoutCancel, 1, nil, settlement.LinePayoutFailed},
		{"something_new", 1, nil, settlement.LineOther},
	} {
		if got := lineKind(&stripego.BalanceTransaction{Type: c.kind, Amount: c.amount, Source: c.source}); got != c.want {
			t.Errorf("lineKind(%s of %d) = %s, want %s", c.kind, c.amount, got, c.want)
		}
	}
}
