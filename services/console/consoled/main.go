// Command consoled serves the console where services run apart.
package main

import (
	"basisdienste/platform/run"
	"basisdienste/services/console"
)

func main() { run.Main("consoled", console.New()) }
