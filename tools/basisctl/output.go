package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// show prints the answer as JSON if the user wants that, and otherwise as text.
func (a *app) show(answer json.RawMessage, text func(w io.Writer) error) error {
	if !a.json {
		return text(a.out)
	}
	return a.printJSON(answer)
}

func (a *app) printJSON(answer json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(answer), "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(a.out)
	return err
}

func (a *app) printJSONList(items []json.RawMessage) error {
	text, err := json.Marshal(append([]json.RawMessage{}, items...))
	if err != nil {
		return err
	}
	return a.printJSON(text)
}

// table prints rows below a head, in columns.
func table(w io.Writer, head string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(strings.Fields(head), "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

// collect reads all pages of a list, at most limit items; 0 means all.
func collect[T any](a *app, path string, limit int) (items []T, err error) {
	for next := ""; ; {
		at := path
		if next != "" {
			at += "&cursor=" + next
		}
		var l struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		if err := a.api.call(a.ctx, "GET", at, nil, &l); err != nil {
			return nil, err
		}
		items = append(items, l.Items...)
		if limit > 0 && len(items) >= limit {
			return items[:limit], nil
		}
		if next = l.Next; next == "" {
			return items, nil
		}
	}
}

// decodeAll reads the typed form of items that are kept as JSON too.
func decodeAll[T any](items []json.RawMessage) ([]T, error) {
	out := make([]T, len(items))
	for i, item := range items {
		if err := json.Unmarshal(item, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// showList prints items as one JSON array, or as a table.
func showList[T any](a *app, items []json.RawMessage, head string, row func(T) []string) error {
	if a.json {
		return a.printJSONList(items)
	}
	typed, err := decodeAll[T](items)
	if err != nil {
		return err
	}
	rows := make([][]string, len(typed))
	for i, item := range typed {
		rows[i] = row(item)
	}
	return table(a.out, head, rows)
}

// meter shows how much of an upload is sent.
type meter struct {
	in       io.Reader
	to       io.Writer
	total    int64 // 0: unknown
	sent     int64
	began    time.Time
	last     time.Time
	finished bool
}

const meterEvery = 200 * time.Millisecond

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.in.Read(p)
	m.sent += int64(n)
	if now := time.Now(); (err != nil && !m.finished) || now.Sub(m.last) >= meterEvery {
		m.last, m.finished = now, err != nil
		share := ""
		if m.total > 0 {
			share = fmt.Sprintf("%3d %%, ", m.sent*100/m.total)
		}
		fmt.Fprintf(m.to, "\rsent %s%.1f MB, %s ", share, float64(m.sent)/1e6, now.Sub(m.began).Round(100*time.Millisecond))
		if m.finished {
			fmt.Fprintln(m.to)
		}
	}
	return n, err
}
