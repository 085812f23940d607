// Command bookingd is the service booking in a process of its own.
package main

import (
	"basisdienste/platform/run"
	"basisdienste/services/booking"
	"basisdienste/services/booking/jitsi"
)

func main() { run.Main("bookingd", booking.New(jitsi.Open)) }
