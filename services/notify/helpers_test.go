package notify

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
)

func dbTime(t time.Time) db.Time { return db.NewTime(t) }

// validEvent holds a payload against the schema of its type.
func validEvent(kind, payload string) error {
	text, ok := events.Schema(kind)
	if !ok {
		return fmt.Errorf("no schema")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(kind, doc); err != nil {
		return err
	}
	schema, err := c.Compile(kind)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(payload))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}
