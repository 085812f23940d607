// Command authd runs the service auth in a process of its own.
package main

import (
	"basisdienste/platform/run"
	"basisdienste/services/auth"
	"basisdienste/services/auth/sandbox"
)

func main() { run.Main("authd", auth.New(sandbox.Open)) }
