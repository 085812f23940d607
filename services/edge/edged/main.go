// Command edged is the public address of an installation whose services run apart.
package main

import (
	"basisdienste/platform/run"
	"basisdienste/services/edge"
)

func main() { run.Main("edged", edge.New()) }
