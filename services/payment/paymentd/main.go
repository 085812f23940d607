// Command paymentd is the payment service as a process of its own.
package main

import (
	"basisdienste/platform/run"
	"basisdienste/services/payment"
	"basisdienste/services/payment/receipt"
	"basisdienste/services/payment/request"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/stripe"
	"basisdienste/services/payment/transfer"
	"basisdienste/services/payment/treasury"
	"basisdienste/services/payment/webhooks"
	"basisdienste/services/payment/xbezahldienste"
)

func main() {
	run.Main("paymentd", payment.New(xbezahldienste.Part(), sandbox.Part(), stripe.Part(), transfer.Part(), treasury.Part(), webhooks.Part(),
		receipt.Part(), request.Part()))
}
