package tenants

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// merge applies a JSON merge patch (RFC 7396) and returns the result in its canonical form.
// An empty document counts as null.
func merge(target, patch json.RawMessage) (json.RawMessage, error) {
	t, err := decodeValue(target)
	if err != nil {
		return nil, fmt.Errorf("merge into: %w", err)
	}
	p, err := decodeValue(patch)
	if err != nil {
		return nil, fmt.Errorf("merge patch: %w", err)
	}
	return encodeValue(mergeValue(t, p))
}

// mergeValue is MergePatch of RFC 7396 section 2. It may change target.
func mergeValue(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for name, v := range p {
		if v == nil {
			delete(t, name)
		} else {
			t[name] = mergeValue(t[name], v)
		}
	}
	return t
}

// canonical returns the document with sorted members and without spaces, so that equal
// documents are equal bytes. Numbers keep their digits.
func canonical(doc json.RawMessage) (json.RawMessage, error) {
	v, err := decodeValue(doc)
	if err != nil {
		return nil, err
	}
	return encodeValue(v)
}

func decodeValue(doc json.RawMessage) (v any, err error) {
	if len(doc) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	return v, d.Decode(&v)
}

func encodeValue(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
