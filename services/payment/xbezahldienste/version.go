package xbezahldienste

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"basisdienste/platform/fault"
)

// versionHeader may name the version that a client speaks.
const versionHeader = "X-Xbezahldienste-Version" // as net/http writes it; names of headers ignore case

// version of the standard. They differ in the name of the amount (grosAmount in 1.0.0) and in
// the requestor (without requestorType before 1.2.0).
type version int

const (
	v100 version = iota + 1
	v110
	v120
)

func (v version) String() string {
	return [...]string{"", "1.0.0", "1.1.0", "1.2.0"}[v]
}

// askedVersion reads the header; 0 if the client does not say. What follows 1.2 adds to it and
// is answered as 1.2.0. Error: unsupported_version.
func askedVersion(r *http.Request) (version, error) {
	switch text := r.Header.Get(versionHeader); {
	case text == "":
		return 0, nil
	case text == "1.0" || strings.HasPrefix(text, "1.0."):
		return v100, nil
	case text == "1.1" || strings.HasPrefix(text, "1.1."):
		return v110, nil
	case text == "1" || strings.HasPrefix(text, "1."):
		return v120, nil
	}
	return 0, fault.Invalid("unsupported_version", "this service speaks XBezahldienste 1.0.0, 1.1.0 and 1.2.0")
}

// version is the one that the body is written in, by its shape where that says it: clients
// in the field send 1.0.0 without the header.
func (q *PaymentRequest) version(asked version) version {
	switch {
	case !q.GrosAmount.missing():
		return v100
	case q.Requestor != nil && q.Requestor.RequestorType == nil:
		return v110
	case asked == v110:
		return v110
	}
	return v120
}

// inVersion is a stored request for a client that reads the version: as it was sent, but
// that the amount has the name of the version, and a requestor that the version cannot say is
// left out, as is null outside of 1.0.0. With version 0 it is as it was sent.
func inVersion(document string, v version) (json.RawMessage, error) {
	if v == 0 {
		return json.RawMessage(document), nil
	}
	var out bytes.Buffer
	in, to := jsontext.NewDecoder(strings.NewReader(document)), jsontext.NewEncoder(&out)
	if err := copyRequest(in, to, v, strings.Contains(document, `"requestorType"`)); err != nil {
		return nil, fmt.Errorf("stored request: %w", err)
	}
	return out.Bytes(), nil
}

func copyRequest(in *jsontext.Decoder, to *jsontext.Encoder, v version, typed bool) error {
	for {
		inside, n := in.StackIndex(in.StackDepth())
		token, err := in.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if isName := inside == '{' && n%2 == 0 && token.Kind() == '"'; isName {
			name, top := token.String(), in.StackDepth() == 1
			if (v != v100 && in.PeekKind() == 'n') || (top && name == "requestor" && typed && v != v120) {
				if err := in.SkipValue(); err != nil {
					return err
				}
				continue
			}
			if top && (name == "grosAmount" || name == "grossAmount") {
				name = v.amount()
			}
			token = jsontext.String(name)
		}
		if err := to.WriteToken(token); err != nil {
			return err
		}
	}
}

// amount is the name of the amount.
func (v version) amount() string {
	if v == v100 {
		return "grosAmount"
	}
	return "grossAmount"
}
