package conformance

import (
	_ "embed" // the schemas
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"mime"
	"reflect"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed schemas.yaml
var schemaText []byte

func loadSchemas() (openapi3.Schemas, error) {
	doc, err := openapi3.NewLoader().LoadFromData(schemaText)
	if err != nil {
		return nil, fmt.Errorf("schemas: %w", err)
	}
	return doc.Components.Schemas, nil
}

// fits returns what is wrong with a document, or "".
func fits(all openapi3.Schemas, schema string, text []byte) string {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return "no JSON: " + err.Error()
	}
	err := all[schema].Value.VisitJSON(v)
	var wrong *openapi3.SchemaError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &wrong):
		return "/" + strings.Join(wrong.JSONPointer(), "/") + ": " + clip(wrong.Reason)
	}
	return clip(err.Error())
}

// difference names the first member in which a document differs from what was sent, or
// returns "". Numbers are the same by value, however they are written.
func difference(sent, got any, at string) string {
	switch s := sent.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return at + " is no object"
		}
		for _, name := range sortedKeys(s) {
			value, there := g[name]
			if !there {
				return at + "/" + name + " is missing"
			}
			if d := difference(s[name], value, at+"/"+name); d != "" {
				return d
			}
		}
		for _, name := range sortedKeys(g) {
			if _, there := s[name]; !there {
				return at + "/" + name + " was not sent"
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(s) {
			return fmt.Sprintf("%s has not the %d entries that were sent", at, len(s))
		}
		for i := range s {
			if d := difference(s[i], g[i], fmt.Sprintf("%s/%d", at, i)); d != "" {
				return d
			}
		}
		return ""
	case json.Number:
		if g, ok := got.(json.Number); ok && sameNumber(s, g) {
			return ""
		}
		return fmt.Sprintf("%s is %v and not %s", at, got, s)
	}
	if !reflect.DeepEqual(sent, got) {
		return fmt.Sprintf("%s is %s and not what was sent", at, clip(fmt.Sprint(got)))
	}
	return ""
}

func sameNumber(a, b json.Number) bool {
	x, ok1 := new(big.Rat).SetString(a.String())
	y, ok2 := new(big.Rat).SetString(b.String())
	return ok1 && ok2 && x.Cmp(y) == 0
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// decode reads JSON and keeps numbers as they are written.
func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	return v, d.Decode(&v)
}

func mediaType(r reply) string {
	media, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil {
		return r.header.Get("Content-Type")
	}
	return media
}
