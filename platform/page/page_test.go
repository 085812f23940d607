package page_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"basisdienste/platform/fault"
	"basisdienste/platform/page"
)

type position struct {
	At int64  `json:"at"`
	ID string `json:"id"`
}

func signer() page.Signer { return page.NewSigner([]byte("0123456789abcdef")) }

func encode(t *testing.T, s page.Signer, v any) string {
	t.Helper()
	c, err := s.Encode(v)
	if err != nil {
		t.Fatalf("Encode(%v) = %v, want no error", v, err)
	}
	return c
}

func TestCursor_RoundTrip(t *testing.T) {
	t.Parallel()
	want := position{1772366400000000, "0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d"}
	cursor := encode(t, signer(), want)
	if strings.Trim(cursor, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("Encode = %q, want only characters that need no escape in a URL", cursor)
	}
	var got position
	if err := signer().Decode(cursor, &got); err != nil || got != want {
		t.Errorf("Decode(%q) = %+v, %v, want %+v", cursor, got, err, want)
	}
	if err := signer().Decode("", &got); err != nil || got != want {
		t.Errorf("Decode of no cursor = %+v, %v, want it untouched", got, err)
	}
}

func TestDecode_Refuses(t *testing.T) {
	t.Parallel()
	good := encode(t, signer(), position{1, "a"})
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]byte{}, raw...)
	changed[len(changed)-3] ^= 1
	payload := base64.RawURLEncoding.EncodeToString(raw[16:])
	tests := []struct{ name, cursor string }{
		{"not base64", "!"},
		{"padding", good + "="},
		{"line break", good[:4] + "\n" + good[4:]},
		{"changed", base64.RawURLEncoding.EncodeToString(changed)},
		{"without signature", payload},
		{"too short", "AAAA"},
		{"only a signature", good[:22]},
		{"cut off", good[:len(good)-4]},
		{"too long", strings.Repeat("A", 513)},
		{"other key", encode(t, page.NewSigner([]byte("fedcba9876543210")), position{1, "a"})},
		{"other list", encode(t, signer().For("payments"), position{1, "a"})},
		{"other form", encode(t, signer(), map[string]any{"at": 1, "name": "a"})},
		{"other type", encode(t, signer(), "a")},
	}
	for _, test := range tests {
		var got position
		if err := signer().Decode(test.cursor, &got); !fault.Is(err, "invalid_cursor") {
			t.Errorf("%s: Decode(%q) = %v, want invalid_cursor", test.name, test.cursor, err)
		}
	}
}

func TestFor_EachListHasItsOwn(t *testing.T) {
	t.Parallel()
	cursor := encode(t, signer().For("payments", "erfurt"), 1)
	for _, list := range [][]string{{"payments"}, {"payments", "jena"}, {"paymentserfurt"}, {"payment", "serfurt"}, {"payments", "erfurt", ""}, nil} {
		var got int
		if err := signer().For(list...).Decode(cursor, &got); !fault.Is(err, "invalid_cursor") {
			t.Errorf("For(%q).Decode of a cursor of payments, erfurt = %v, want invalid_cursor", list, err)
		}
	}
	var got int
	if err := signer().For("payments", "erfurt").Decode(cursor, &got); err != nil || got != 1 {
		t.Errorf("Decode with its own signer = %d, %v, want 1", got, err)
	}
}

func TestEncode_Refuses(t *testing.T) {
	t.Parallel()
	for _, v := range []any{strings.Repeat("x", 400), func() {}} {
		if c, err := signer().Encode(v); err == nil {
			t.Errorf("Encode(%.20v) = %q, want an error", v, c)
		}
	}
	if c := encode(t, signer(), strings.Repeat("x", 366)); len(c) != 512 {
		t.Errorf("Encode of the longest position has %d characters, want 512", len(c))
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	s := signer()
	at := func(n int) any { return n }
	tests := []struct {
		rows []int
		want []int
		next int
	}{
		{nil, nil, 0},
		{[]int{1, 2}, []int{1, 2}, 0},
		{[]int{1, 2, 3}, []int{1, 2, 3}, 0},
		{[]int{1, 2, 3, 4}, []int{1, 2, 3}, 3},
	}
	for _, test := range tests {
		got, err := page.Cut(s, test.rows, 3, at)
		if err != nil || !reflect.DeepEqual(got.Items, test.want) {
			t.Errorf("Cut(%v, 3) = %v, %v, want %v", test.rows, got.Items, err, test.want)
		}
		next := 0
		if err := s.Decode(got.Next, &next); err != nil || next != test.next {
			t.Errorf("Cut(%v, 3).Next means %d, %v, want %d", test.rows, next, err, test.next)
		}
	}
	if _, err := page.Cut(s, []int{1, 2}, 1, func(int) any { return func() {} }); err == nil {
		t.Error("Cut with a position that is no JSON = nil, want an error")
	}
}

func TestList_JSON(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		list page.List[int]
		want string
	}{
		{page.List[int]{}, `{"items":[]}`},
		{page.List[int]{Items: []int{1}, Next: "x"}, `{"items":[1],"next":"x"}`},
	} {
		b, err := json.Marshal(test.list)
		if err != nil || string(b) != test.want {
			t.Errorf("Marshal(%+v) = %s, %v, want %s", test.list, b, err, test.want)
		}
		var back page.List[int]
		if err := json.Unmarshal(b, &back); err != nil || fmt.Sprint(back) != fmt.Sprint(test.list) {
			t.Errorf("Unmarshal(%s) = %+v, %v, want %+v", b, back, err, test.list)
		}
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in   string
		want int
	}{{"", 50}, {"1", 1}, {"100", 100}, {"0", 0}, {"101", 0}, {"-1", 0}, {"x", 0}, {"1e1", 0}, {" 1", 0}, {"99999999999999999999", 0}} {
		got, err := page.Limit(test.in, 50, 100)
		if got != test.want || (err == nil) != (test.want > 0) || err != nil && !fault.Is(err, "invalid_limit") {
			t.Errorf("Limit(%q, 50, 100) = %d, %v, want %d", test.in, got, err, test.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	s := page.NewSigner([]byte("0123456789abcdef"))
	good, err := s.Encode(position{1, "a"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		var got position
		if err := s.Decode(cursor, &got); err == nil && cursor != "" && cursor != good {
			t.Errorf("Decode(%q) = %+v, want invalid_cursor: nobody signed it", cursor, got)
		}
	})
}

func BenchmarkCursor(b *testing.B) {
	s := signer()
	b.ReportAllocs()
	for b.Loop() {
		c, err := s.Encode(position{1, "0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d"})
		if err != nil {
			b.Fatal(err)
		}
		var got position
		if err := s.Decode(c, &got); err != nil {
			b.Fatal(err)
		}
	}
}
