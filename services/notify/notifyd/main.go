// Command notifyd runs the service notify alone.
package main

import (
	"basisdienste/platform/run"
	"basisdienste/services/notify"
	"basisdienste/services/notify/govuk"
	"basisdienste/services/notify/smtp"
)

func main() { run.Main("notifyd", notify.New(smtp.Open, govuk.Mount)) }
