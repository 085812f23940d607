package kit

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"basisdienste/platform/fault"
)

// MaxBody bounds a JSON body, in bytes, unless the request type says otherwise by a method
// MaxBody() int64.
const MaxBody = 1 << 20

func hasBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// decode fills q from the request and returns the body's bytes.
func decode[Q any](r *http.Request, q *Q) ([]byte, error) {
	var body []byte
	var err error
	if hasBody(r.Method) && takesJSON(q) {
		if body, err = readJSON(r, q); err != nil {
			return nil, err
		}
	}
	if f, ok := any(q).(FromHTTPer); ok {
		if err := f.FromHTTP(r); err != nil {
			return nil, err
		}
	}
	if v, ok := any(q).(Validator); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// NoBody is embedded by the request type of a POST, PUT or PATCH that has no body.
type NoBody struct{}

func (NoBody) noBody() {}

// OptionalBody is embedded by the request type of a POST, PUT or PATCH whose JSON body may be
// left out.
type OptionalBody struct{}

func (OptionalBody) optionalBody() {}

func takesJSON(q any) bool {
	_, none := q.(interface{ noBody() })
	return !none
}

func readJSON(r *http.Request, q any) ([]byte, error) {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		media, _, err := mime.ParseMediaType(ct)
		if err != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
			return nil, fault.Unsupported("json_expected", "send the body as application/json")
		}
	}
	most := int64(MaxBody)
	if b, ok := q.(interface{ MaxBody() int64 }); ok {
		most = b.MaxBody()
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, most))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, fault.TooLarge("body_too_large", "a JSON body has at most %d bytes", tooLarge.Limit)
		}
		return nil, fault.Invalid("body_unreadable", "the body ended early").Because(err)
	}
	if _, optional := q.(interface{ optionalBody() }); optional && len(body) == 0 {
		return body, nil
	}
	return body, Strict(body, q)
}

// Strict decodes JSON and refuses what a careless client sends: unknown and duplicate
// members, wrong types, a byte order mark, anything after the value. The fault names the
// member by its JSON pointer (RFC 6901). Names are compared exactly.
func Strict(body []byte, dst any) error {
	err := json.Unmarshal(body, dst, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var f *fault.Error
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		name := string(semantic.JSONPointer)
		switch {
		case errors.Is(err, json.ErrUnknownName):
			return fault.Invalid("unknown_field", "the body has a field that is not known here; remove it or check its spelling").
				With(fault.Field{Name: name, Code: "unknown_field", Detail: "not known here"})
		case errors.As(err, &f):
			return fault.Invalid("invalid_value", "a value in the body is not valid").
				With(fault.Field{Name: name, Code: f.Code, Detail: f.Detail})
		default:
			return fault.Invalid("wrong_type", "a value in the body has the wrong type").
				With(fault.Field{Name: name, Code: "wrong_type", Detail: "is a JSON " + kindName(semantic.JSONKind) + ", which does not fit here"}).Because(err)
		}
	case errors.As(err, &syntactic) && errors.Is(err, jsontext.ErrDuplicateName):
		return fault.Invalid("duplicate_field", "the body names a field twice").
			With(fault.Field{Name: string(syntactic.JSONPointer), Code: "duplicate_field", Detail: "stands there twice"})
	case errors.As(err, &syntactic):
		return fault.Invalid("invalid_json", "the body is not JSON: wrong at byte %d", syntactic.ByteOffset).Because(err)
	default:
		return fault.Invalid("invalid_json", "the body is not one JSON value").Because(err)
	}
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	case '"':
		return "string"
	case '0':
		return "number"
	case '{':
		return "object"
	case '[':
		return "array"
	}
	return "value"
}
