package tenants

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"basisdienste/platform/fault"
)

// Bounds of one import. Germany has 10,796 municipalities.
const (
	maxImport = 32 << 20 // bytes
	maxRows   = 200_000
	maxLine   = 64 << 10 // bytes
)

// row is one municipality of the file.
type row struct {
	line              int
	ars, ags          string
	name, district    string
	association, kind string
}

// RowError is a row that was left out.
type RowError struct {
	Line   int    `json:"line"` // the header is line 1
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

func rowError(line int, code, format string, args ...any) *RowError {
	return &RowError{Line: line, Code: code, Reason: fmt.Sprintf(format, args...)}
}

func importColumns() []string {
	return []string{"ars", "ags", "name", "district", "association", "association_kind"}
}

// reader reads municipalities line by line. A record never spans lines, so that a bad quote
// spoils its own line only. It remembers each ARS and AGS to find rows that stand there twice.
type reader struct {
	in    *bufio.Reader
	line  int
	index map[string]int // of the columns
	width int
	seen  map[string]int // key: line
}

// newReader reads the header. Errors: import_header, body_too_large, body_unreadable.
func newReader(in io.Reader) (*reader, error) {
	r := &reader{in: bufio.NewReaderSize(in, maxLine), index: map[string]int{}, seen: map[string]int{}}
	if bom, err := r.in.Peek(3); err == nil && bytes.Equal(bom, []byte("\ufeff")) {
		_, _ = r.in.Discard(3) // three bytes are buffered
	}
	want := "the first line names the columns, separated by commas: " + strings.Join(importColumns(), ",") + " (others are not read)"
	line, bad, err := r.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fault.Invalid("import_header", "the file is empty; %s", want)
	case err != nil:
		return nil, err
	case bad != nil:
		return nil, fault.Invalid("import_header", "line 1: %s; %s", bad.Reason, want)
	}
	for i, name := range line {
		r.index[strings.ToLower(strings.TrimSpace(name))] = i
	}
	r.width = len(line)
	var missing []fault.Field
	for _, c := range importColumns() {
		if _, ok := r.index[c]; !ok {
			missing = append(missing, fault.Field{Name: c, Code: "column_missing", Detail: "the first line has no column " + c})
		}
	}
	if missing != nil {
		return nil, fault.Invalid("import_header", "%s", want).With(missing...)
	}
	return r, nil
}

// row returns the next municipality, or what is wrong with its line. After the last it
// returns io.EOF. Errors: body_too_large, body_unreadable, import_too_long.
func (r *reader) row() (row, *RowError, error) {
	for {
		record, bad, err := r.next()
		if err != nil || bad != nil {
			return row{}, bad, err
		}
		if len(record) == 1 && strings.TrimSpace(record[0]) == "" {
			continue
		}
		if r.line > maxRows+1 {
			return row{}, nil, fault.TooLarge("import_too_long", "a file has at most %d rows; split it", maxRows)
		}
		if len(record) != r.width {
			return row{}, rowError(r.line, "wrong_columns", "the row has %d columns, the first line has %d", len(record), r.width), nil
		}
		m, bad := r.check(record)
		return m, bad, nil
	}
}

func (r *reader) check(record []string) (row, *RowError) {
	get := func(column string) string { return strings.TrimSpace(record[r.index[column]]) }
	m := row{
		line: r.line, ars: get("ars"), ags: get("ags"), name: get("name"), district: get("district"),
		association: get("association"), kind: get("association_kind"),
	}
	switch {
	case !keyShape.MatchString(m.ars) || len(m.ars) != arsDigits:
		return m, rowError(r.line, "invalid_ars", "ars %q has not 12 digits%s", clip(m.ars), lostZeros(m.ars, arsDigits))
	case !keyShape.MatchString(m.ags) || len(m.ags) != agsDigits:
		return m, rowError(r.line, "invalid_ags", "ags %q has not 8 digits%s", clip(m.ags), lostZeros(m.ags, agsDigits))
	case m.ags != agsOf(m.ars):
		return m, rowError(r.line, "ags_mismatch", "ags %s does not belong to ars %s; that would be %s", m.ags, m.ars, agsOf(m.ars))
	case len(checkName(m.name)) > 0:
		return m, rowError(r.line, "invalid_name", "a name has 1 to %d characters", maxName)
	case m.association != "" && len(checkName(m.association)) > 0:
		return m, rowError(r.line, "invalid_association", "an association has up to %d characters", maxName)
	}
	if _, ok := kindOf(m.kind); !ok {
		return m, rowError(r.line, "invalid_kind", "association_kind %q is none of 50 to 56 and 58", clip(m.kind))
	}
	for _, key := range []string{m.ars, m.ags} {
		if first, twice := r.seen[key]; twice {
			return m, rowError(r.line, "duplicate_key", "%s stands in line %d already", key, first)
		}
	}
	r.seen[m.ars], r.seen[m.ags] = r.line, r.line
	return m, nil
}

// lostZeros explains what spreadsheets do to keys that begin with 0.
func lostZeros(key string, digits int) string {
	if len(key) == digits-1 && keyShape.MatchString(strings.Repeat("0", digits-len(key))+key) {
		return "; a spreadsheet may have cut the zero at its front, keep the column as text"
	}
	return ""
}

// clip bounds what an error repeats of the input.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// next returns the fields of the next line.
func (r *reader) next() ([]string, *RowError, error) {
	line, err := r.in.ReadSlice('\n')
	if len(line) > 0 {
		r.line++
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		number := r.line
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, bodyError(err)
		}
		return nil, rowError(number, "line_too_long", "the line has more than %d bytes", maxLine), nil
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, nil, io.EOF
	case err != nil && !errors.Is(err, io.EOF):
		return nil, nil, bodyError(err)
	}
	line = bytes.TrimRight(line, "\r\n")
	if !utf8.Valid(line) {
		return nil, rowError(r.line, "not_utf8", "the line is not UTF-8; save the file as UTF-8, not as Latin-1 or Windows-1252"), nil
	}
	if len(line) == 0 {
		return []string{""}, nil, nil
	}
	c := csv.NewReader(bytes.NewReader(line))
	c.FieldsPerRecord = -1
	fields, err := c.Read()
	if err != nil {
		return nil, rowError(r.line, "bad_quotes", `the quotes do not match; a field with commas or quotes is written "…", and a quote in it ""`), nil
	}
	return fields, nil, nil
}

// bodyError is what stopped the stream: its bound, or a cut connection.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return importTooLarge()
	}
	return fault.Invalid("body_unreadable", "the file ended early; what came before is imported, and importing the whole file again is safe").Because(err)
}

// group is what becomes one tenant.
type group struct {
	area  string // nine digits; with each: the ARS
	each  bool
	name  string
	place string // district
	kind  Kind
	rows  []row
}

func newGroup(m row, each bool) group {
	kind, _ := kindOf(m.kind)
	g := group{area: area(m.ars), each: each, name: m.name, place: m.district, kind: kind, rows: []row{m}}
	switch {
	case each:
		g.area, g.kind = m.ars, Municipality
	case kind != Municipality && m.association != "":
		g.name = m.association
	}
	return g
}

// takes reports whether m is of the same tenant, and adds it then.
func (g *group) takes(m row) bool {
	if g.each || g.area != area(m.ars) {
		return false
	}
	g.rows = append(g.rows, m)
	return true
}

func (g *group) keys() []Key {
	var out []Key
	for _, m := range g.rows {
		out = append(out, Key{Key: m.ars, Name: m.name}, Key{Key: m.ags, Name: m.name})
	}
	return out
}

// refuse returns an error for each row of the group.
func (g *group) refuse(code, format string, args ...any) []RowError {
	var out []RowError
	for _, m := range g.rows {
		out = append(out, *rowError(m.line, code, format, args...))
	}
	return out
}

func (g *group) has(key string) bool {
	return slices.ContainsFunc(g.rows, func(m row) bool { return m.ars == key || m.ags == key })
}
