// Command tenantsd is the control plane as a process of its own.
package main

import (
	"basisdienste/platform/run"
	"basisdienste/services/tenants"
)

func main() { run.Main("tenantsd", tenants.New()) }
