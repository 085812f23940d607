package forms

import (
	"bytes"
	"database/sql/driver" //nolint:depguard // the shape of a stored value; no SQL is spoken here
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Answers is a JSON object: what the applicant said. Numbers are json.Number, so that what
// is stored and checked is what was sent. Members are named by JSON pointers (RFC 6901);
// the names in our definitions need no escaping.
type Answers map[string]any

// Value implements driver.Valuer.
func (a Answers) Value() (driver.Value, error) {
	if a == nil {
		return "{}", nil
	}
	b, err := json.Marshal(a)
	return string(b), err
}

// Scan implements sql.Scanner.
func (a *Answers) Scan(src any) error {
	switch s := src.(type) {
	case string:
		return a.UnmarshalJSON([]byte(s))
	case []byte:
		return a.UnmarshalJSON(s)
	default:
		return fmt.Errorf("forms: answers are %T, want text", src)
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *Answers) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	m := map[string]any{}
	if err := dec.Decode(&m); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("forms: answers are not one JSON object")
	}
	*a = m
	return nil
}

// clone returns a copy that shares nothing.
func (a Answers) clone() Answers { return Answers(cloneValue(map[string]any(a)).(map[string]any)) }

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = cloneValue(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = cloneValue(e)
		}
		return l
	default:
		return v
	}
}

func tokens(pointer string) []string { return strings.Split(strings.TrimPrefix(pointer, "/"), "/") }

// at returns the value that the pointer names, nil if there is none.
func (a Answers) at(pointer string) any {
	var v any = map[string]any(a)
	for _, t := range tokens(pointer) {
		switch c := v.(type) {
		case map[string]any:
			v = c[t]
		case []any:
			i, err := strconv.Atoi(t)
			if err != nil || i < 0 || i >= len(c) {
				return nil
			}
			v = c[i]
		default:
			return nil
		}
	}
	return v
}

// text returns a text, a number or a yes as text, and "" for anything else.
func (a Answers) text(pointer string) string { return textOf(a.at(pointer)) }

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	default:
		return ""
	}
}

// set stores v, making the objects on the way; nil and "" remove the member, and objects
// that became empty by that with it. A list is made longer by one when the pointer names
// the place after its last item; other places beyond it are left alone.
func (a Answers) set(pointer string, v any) {
	if v == "" {
		v = nil
	}
	setIn(map[string]any(a), tokens(pointer), v)
}

func setIn(m map[string]any, path []string, v any) {
	key := path[0]
	if len(path) == 1 {
		if v == nil {
			delete(m, key)
		} else {
			m[key] = v
		}
		return
	}
	if list, ok := m[key].([]any); ok || isIndex(path[1]) {
		if list = setInList(list, path[1:], v); len(list) > 0 {
			m[key] = list
		}
		return
	}
	child, ok := m[key].(map[string]any)
	if !ok {
		if v == nil {
			return
		}
		child = map[string]any{}
		m[key] = child
	}
	setIn(child, path[1:], v)
	if len(child) == 0 {
		delete(m, key)
	}
}

func setInList(list []any, path []string, v any) []any {
	i, err := strconv.Atoi(path[0])
	if err != nil || i < 0 || i > len(list) {
		return list
	}
	if i == len(list) {
		if v == nil {
			return list
		}
		list = append(list, map[string]any{})
	}
	if len(path) == 1 {
		list[i] = v
		return list
	}
	item, ok := list[i].(map[string]any)
	if !ok {
		item = map[string]any{}
		list[i] = item
	}
	setIn(item, path[1:], v)
	return list
}

func isIndex(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// items returns the length of the list that the pointer names.
func (a Answers) items(pointer string) int {
	list, _ := a.at(pointer).([]any)
	return len(list)
}

// removeItem takes an item out of a list.
func (a Answers) removeItem(pointer string, index int) {
	list, _ := a.at(pointer).([]any)
	if index < 0 || index >= len(list) {
		return
	}
	rest := append(append([]any{}, list[:index]...), list[index+1:]...)
	if len(rest) == 0 {
		a.set(pointer, nil)
		return
	}
	a.set(pointer, rest)
}
