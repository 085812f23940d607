package camt

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Error says why a file is refused.
type Error struct {
	Line   int // of the file, from 1 on
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

const (
	maxDepth = 32
	maxToken = 64 << 10 // bytes of one tag, text or comment
	maxText  = 16 << 10 // bytes of an element's text that is read
)

var (
	errTooLarge = errors.New("the file is too large")
	errToken    = errors.New("a tag, a text or a comment is too long")
)

// source counts bytes. Its ReadByte is what the decoder uses.
type source struct {
	r     *bufio.Reader
	left  int64 // bytes that may still come
	token int   // bytes since the last token
}

// newSource passes over the byte order mark that UTF-8 may have.
func newSource(r io.Reader, most int64) *source {
	b := bufio.NewReaderSize(r, 64<<10)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = b.Discard(3) // was peeked
	}
	return &source{r: b, left: most}
}

func (s *source) ReadByte() (byte, error) {
	if s.left--; s.left < 0 {
		if _, err := s.r.Peek(1); err != nil {
			return 0, err
		}
		return 0, errTooLarge
	}
	if s.token++; s.token > maxToken {
		return 0, errToken
	}
	return s.r.ReadByte()
}

// Read is never used: the decoder takes bytes.
func (s *source) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// tree walks through the elements of a document.
type tree struct {
	source    *source
	d         *xml.Decoder
	prefix    string // of the document's elements
	namespace string
	open      []xml.Name // as they are written
	attrs     []xml.Attr // of the element that was opened last
}

func newTree(r io.Reader, most int64) *tree {
	t := &tree{source: newSource(r, most)}
	t.d = xml.NewDecoder(t.source)
	t.d.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, t.errorf("the encoding %.40q is declared; only UTF-8 is read", charset)
	}
	return t
}

func (t *tree) errorf(format string, args ...any) error {
	line, _ := t.d.InputPos()
	return &Error{Line: line, Reason: fmt.Sprintf(format, args...)}
}

// explain turns the decoder's errors into ours; those of the reader below stay as they are.
func (t *tree) explain(err error) error {
	var own *Error
	var syntax *xml.SyntaxError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &syntax) && syntax.Msg == "unexpected EOF":
		return &Error{Line: syntax.Line, Reason: "the file ends early"}
	case errors.As(err, &syntax):
		return &Error{Line: syntax.Line, Reason: syntax.Msg}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return t.errorf("the file ends early")
	case errors.Is(err, errTooLarge), errors.Is(err, errToken):
		return t.errorf("%s", err)
	}
	if strings.HasPrefix(err.Error(), "xml: ") {
		return t.errorf("%s", strings.TrimPrefix(err.Error(), "xml: "))
	}
	return err
}

// token returns what comes next, without comments. A document type is refused, and with it
// every entity that is not XML's own.
func (t *tree) token() (xml.Token, error) {
	for {
		t.source.token = 0
		tok, err := t.d.RawToken()
		if err != nil {
			return nil, t.explain(err)
		}
		switch tok := tok.(type) {
		case xml.Comment:
			continue
		case xml.Directive:
			return nil, t.errorf("a document type (DTD) is not taken")
		case xml.ProcInst:
			if tok.Target == "xml" && len(t.open) == 0 {
				continue
			}
			return nil, t.errorf("a processing instruction is not taken")
		case xml.StartElement:
			if len(t.open) == maxDepth {
				return nil, t.errorf("elements are nested more than %d deep", maxDepth)
			}
			t.open = append(t.open, tok.Name)
			t.attrs = tok.Attr
		case xml.EndElement:
			if len(t.open) == 0 || t.open[len(t.open)-1] != tok.Name {
				return nil, t.errorf("</%.60s> closes what was not opened", tok.Name.Local)
			}
			t.open = t.open[:len(t.open)-1]
		}
		return tok, nil
	}
}

// root opens the document element and returns its namespace.
func (t *tree) root() (string, error) {
	for {
		tok, err := t.token()
		if err != nil {
			return "", err
		}
		switch tok := tok.(type) {
		case xml.CharData:
			if !blank(tok) {
				return "", t.errorf("this is no XML document")
			}
		case xml.StartElement:
			t.prefix = tok.Name.Space
			for _, a := range tok.Attr {
				if a.Name == (xml.Name{Local: "xmlns"}) && t.prefix == "" || a.Name == (xml.Name{Space: "xmlns", Local: t.prefix}) && t.prefix != "" {
					t.namespace = a.Value
				}
			}
			if tok.Name.Local != "Document" {
				return "", t.errorf("the document is <%.60s>, want <Document>", tok.Name.Local)
			}
			return t.namespace, nil
		}
	}
}

// end makes sure that nothing follows the document.
func (t *tree) end() error {
	for {
		t.source.token = 0
		tok, err := t.d.RawToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return t.explain(err)
		}
		switch tok := tok.(type) {
		case xml.Comment:
			continue
		case xml.CharData:
			if blank(tok) {
				continue
			}
		}
		return t.errorf("something follows the document")
	}
}

// children calls f with the name of each element in the one that was opened last, up to its
// end; f takes the element to its end.
func (t *tree) children(f func(name string) error) error {
	for {
		tok, err := t.token()
		if err != nil {
			return err
		}
		switch tok := tok.(type) {
		case xml.CharData:
			if !blank(tok) {
				return t.errorf("text stands between elements")
			}
		case xml.EndElement:
			return nil
		case xml.StartElement:
			if err := t.ours(tok); err != nil {
				return err
			}
			if err := f(tok.Name.Local); err != nil {
				return err
			}
		}
	}
}

// ours refuses an element of another namespace.
func (t *tree) ours(e xml.StartElement) error {
	if e.Name.Space != t.prefix {
		return t.errorf("<%.60s> has another namespace than the document", e.Name.Local)
	}
	for _, a := range e.Attr {
		if (a.Name.Local == "xmlns" && a.Name.Space == "" && t.prefix == "" || a.Name.Space == "xmlns" && a.Name.Local == t.prefix && t.prefix != "") && a.Value != t.namespace {
			return t.errorf("<%.60s> has another namespace than the document", e.Name.Local)
		}
	}
	return nil
}

// text takes the element that was opened last, which holds text alone, and returns it without
// space around it.
func (t *tree) text() (string, error) {
	name := t.open[len(t.open)-1].Local
	text := ""
	for {
		tok, err := t.token()
		if err != nil {
			return "", err
		}
		switch tok := tok.(type) {
		case xml.CharData:
			if len(text)+len(tok) > maxText {
				return "", t.errorf("<%.60s> is longer than %d bytes", name, maxText)
			}
			text += string(tok)
		case xml.StartElement:
			return "", t.errorf("<%.60s> holds an element, want text", name)
		case xml.EndElement:
			if strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text) { // the decoder refuses both
				return "", t.errorf("<%.60s> is no text", name)
			}
			return strings.TrimSpace(text), nil
		}
	}
}

// skip passes over the element that was opened last.
func (t *tree) skip() error {
	for depth := len(t.open); len(t.open) >= depth; {
		if _, err := t.token(); err != nil {
			return err
		}
	}
	return nil
}

func blank(text []byte) bool {
	for _, c := range text {
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}
