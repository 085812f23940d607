package db

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// Time is a moment, stored as BIGINT microseconds since 1970 in UTC. In JSON it is RFC 3339.
// A nullable column is a *Time.
type Time struct{ time.Time }

// NewTime cuts t to the microseconds that are stored, in UTC.
func NewTime(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// Value implements driver.Valuer.
func (t Time) Value() (driver.Value, error) { return t.UnixMicro(), nil }

// Scan implements sql.Scanner.
func (t *Time) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("db.Time: cannot read %T, want microseconds as BIGINT", src)
	}
	t.Time = time.UnixMicro(n).UTC()
	return nil
}

// checkText refuses text that PostgreSQL cannot hold, on both engines and before it is sent:
// it came from a client, whose mistake it is. Error: invalid_text.
func checkText(args []any) error {
	for _, a := range args {
		var s string
		switch v := a.(type) {
		case string:
			s = v
		case id.ID:
			s = string(v)
		case nil, int, int64, bool, []byte, driver.Valuer:
			continue
		default:
			r := reflect.ValueOf(a)
			if r.Kind() == reflect.Pointer && !r.IsNil() {
				r = r.Elem()
			}
			if r.Kind() != reflect.String {
				continue
			}
			s = r.String()
		}
		if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
			return fault.Invalid("invalid_text", "a text holds the character NUL, or bytes that are not UTF-8; remove them")
		}
	}
	return nil
}

// JSON stores V as JSON text.
type JSON[T any] struct{ V T }

// Value implements driver.Valuer.
func (j JSON[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(j.V)
	if err != nil {
		return nil, err
	}
	return string(b), nil
}

// Scan implements sql.Scanner. NULL leaves the zero value.
func (j *JSON[T]) Scan(src any) error {
	var zero T
	j.V = zero
	switch s := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(s), &j.V)
	case []byte:
		return json.Unmarshal(s, &j.V)
	default:
		return fmt.Errorf("db.JSON: cannot read %T, want text", src)
	}
}
