package payment

import (
	"database/sql/driver" //nolint:depguard // the shape of a stored value; no SQL is spoken here
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"basisdienste/platform/fault"
)

// Bounds of metadata, those of GOV.UK Pay.
const (
	maxFacts     = 15
	maxFactKey   = 30  // characters
	maxFactValue = 100 // characters
)

// Metadata are the caller's own facts about a claim, such as the number of a case: kept, given
// back and never read. They never change, and are no place for personal data.
type Metadata map[string]string

// check holds metadata against their bounds. Error: invalid_metadata.
func (m Metadata) check() error {
	wrong := func(detail string) error {
		return fault.Invalid("invalid_metadata", "metadata: %s", detail).With(fault.Field{Name: "/metadata", Code: "invalid_metadata", Detail: detail})
	}
	if len(m) > maxFacts {
		return wrong(fmt.Sprintf("at most %d entries", maxFacts))
	}
	for key, value := range m {
		if n := utf8.RuneCountInString(key); n == 0 || n > maxFactKey {
			return wrong(fmt.Sprintf("a key has 1 to %d characters", maxFactKey))
		}
		if utf8.RuneCountInString(value) > maxFactValue {
			return wrong(fmt.Sprintf("a value has at most %d characters", maxFactValue))
		}
	}
	return nil
}

// Value implements driver.Valuer: no metadata are an empty text.
func (m Metadata) Value() (driver.Value, error) {
	if len(m) == 0 {
		return "", nil
	}
	text, err := json.Marshal(m) // in the order of the keys
	return string(text), err
}

// Scan implements sql.Scanner.
func (m *Metadata) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("metadata: %T", src)
	}
	*m = nil
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), (*map[string]string)(m))
}
