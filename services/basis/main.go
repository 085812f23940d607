// Command basis is all services in one process, on SQLite and an embedded broker: for a
// trial, a test, a small town.
//
//	bin/basis --data ./data --listen 127.0.0.1:8080 --demo
package main

import (
	"basisdienste/platform/run"
	"basisdienste/services/auth"
	identity "basisdienste/services/auth/sandbox"
	"basisdienste/services/booking"
	"basisdienste/services/booking/jitsi"
	"basisdienste/services/console"
	"basisdienste/services/edge"
	"basisdienste/services/forms"
	"basisdienste/services/notify"
	"basisdienste/services/notify/govuk"
	"basisdienste/services/notify/smtp"
	"basisdienste/services/payment"
	"basisdienste/services/payment/receipt"
	"basisdienste/services/payment/request"
	provider "basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/stripe"
	"basisdienste/services/payment/transfer"
	"basisdienste/services/payment/treasury"
	"basisdienste/services/payment/webhooks"
	"basisdienste/services/payment/xbezahldienste"
	"basisdienste/services/tenants"
)

// Demo content is made in this order.
func main() {
	run.Main("basis", tenants.New(), auth.New(identity.Open), notify.New(smtp.Open, govuk.Mount),
		payment.New(xbezahldienste.Part(), provider.Part(), stripe.Part(), transfer.Part(), treasury.Part(), webhooks.Part(), receipt.Part(), request.Part()),
		forms.New(), booking.New(jitsi.Open), console.New(), edge.New())
}
