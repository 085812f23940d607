package payment

import (
	"reflect"
	"testing"

	"basisdienste/services/payment/ledger"
)

func TestClaimMoves(t *testing.T) {
	t.Parallel()
	keys := []string{"haushaltsstelle", "objektnummer"}
	data := func(h, o string) map[string]string { return map[string]string{"haushaltsstelle": h, "objektnummer": o} }
	got := claimMoves([]Item{
		{TotalNet: 1000, TotalTax: 190, BookingData: data("1100.1", "7")},
		{TotalNet: 500, BookingData: data("1100.2", "")},
		{TotalNet: 300, BookingData: data("1100.1", "7")},
		{TotalNet: 20},
	}, keys)
	want := []ledger.Move{
		{Debit: ledger.Claims, Credit: "revenue/1100.1.7", Amount: 1490},
		{Debit: ledger.Claims, Credit: "revenue/1100.2", Amount: 500},
		{Debit: ledger.Claims, Credit: "revenue/-", Amount: 20},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("claimMoves = %+v\nwant %+v", got, want)
	}
}
