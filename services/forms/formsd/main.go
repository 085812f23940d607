// Command formsd runs the service forms alone.
package main

import (
	"basisdienste/platform/run"
	"basisdienste/services/forms"
)

func main() { run.Main("formsd", forms.New()) }
