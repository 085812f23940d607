package kit

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
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

// input is what a request type says of its body; it is asked once for each route.
type input struct {
	json, optional bool
	most           int64
}

func inputOf(q any) input {
	in := input{json: true, most: MaxBody}
	if _, none := q.(interface{ noBody() }); none {
		in.json = false
	}
	_, in.optional = q.(interface{ optionalBody() })
	if b, ok := q.(interface{ MaxBody() int64 }); ok {
		in.most = b.MaxBody()
	}
	return in
}

// decode fills q from the request and returns the body's bytes.
func decode[Q any](r *http.Request, q *Q, in input) ([]byte, error) {
	var body []byte
	var err error
	if hasBody(r.Method) && in.json {
		if body, err = readJSON(r, in); err != nil {
			return nil, err
		}
		if len(body) > 0 || !in.optional {
			if err := Strict(body, q); err != nil {
				return nil, err
			}
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

// jsonBody remembers where the answer goes: who sends too much is cut off there.
type jsonBody struct {
	io.ReadCloser
	w http.ResponseWriter
}

func readJSON(r *http.Request, in input) ([]byte, error) {
	if ct := r.Header.Get("Content-Type"); ct != "" && ct != "application/json" {
		media, _, err := mime.ParseMediaType(ct)
		if err != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
			return nil, fault.Unsupported("json_expected", "send the body as application/json")
		}
	}
	w := r.Body.(*jsonBody).w
	if r.ContentLength > in.most {
		w.Header().Set("Connection", "close") // nobody reads what is on the way
		return nil, tooLarge(in.most)
	}
	// The server's own writer, below the middlewares', is what http.MaxBytesReader closes.
	server := w
	for u, ok := server.(unwrapper); ok; u, ok = server.(unwrapper) {
		server = u.Unwrap()
	}
	body, err := readAll(http.MaxBytesReader(server, r.Body, in.most), r.ContentLength)
	var over *http.MaxBytesError
	var own *fault.Error
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &over):
		return nil, tooLarge(over.Limit)
	case errors.As(err, &own):
		return nil, own // the body came too slowly, see obs.Timeout
	}
	return nil, fault.Invalid("body_unreadable", "the body ended early").Because(err)
}

// readAll is io.ReadAll for a body whose length was declared, if it was (-1 if not). What a
// client declares and does not send makes us reserve 64 KiB at most.
func readAll(r io.Reader, declared int64) ([]byte, error) {
	size := int64(512)
	if declared >= 0 {
		size = min(declared+1, 64<<10) // the one byte finds the end
	}
	b := make([]byte, 0, size)
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		if len(b) == cap(b) {
			b = slices.Grow(b, 512)
		}
	}
}

type unwrapper interface{ Unwrap() http.ResponseWriter }

func tooLarge(most int64) error {
	return fault.TooLarge("body_too_large", "a JSON body has at most %d bytes", most)
}

// Strict decodes JSON and refuses what a careless client sends: unknown and duplicate
// members, wrong types, a byte order mark, anything after the value. The fault names the
// member by its JSON pointer (RFC 6901). Names are compared exactly.
func Strict(body []byte, dst any) error {
	// For the decoder null fits every type; as a whole body it says nothing.
	if trimmed := bytes.Trim(body, " \t\r\n"); string(trimmed) == "null" {
		return fault.Invalid("wrong_type", "the body is null, which does not fit here").
			With(fault.Field{Name: "", Code: "wrong_type", Detail: "is null"})
	} else if len(trimmed) == 0 {
		return fault.Invalid("invalid_json", "the body is empty; it has to be a JSON value, such as {}")
	}
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
