// Package events holds the JSON Schema of every event, one file each, named after the event
// type. The Go types in contracts/gen/events and contracts/asyncapi.yaml are generated from
// them by tools/eventgen.
package events

import "embed"

// FS holds the schemas at its root: "payment.transaction.payed.v1.schema.json".
//
//go:embed *.schema.json
var FS embed.FS
