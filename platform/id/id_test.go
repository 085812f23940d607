package id

import (
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"basisdienste/platform/fault"
)

func TestNew_IsAUUIDOfVersion7(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{time.Unix(0, 0), time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC), time.Date(2199, 12, 31, 23, 59, 59, 999999999, time.UTC)} {
		got := newAt(at)
		u, err := uuid.Parse(got.String())
		if err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 || u.String() != got.String() {
			t.Errorf("newAt(%v) = %s (version %v, variant %v, %v), want a canonical UUIDv7", at, got, u.Version(), u.Variant(), err)
		}
		ms := int64(u[0])<<40 | int64(u[1])<<32 | int64(u[2])<<24 | int64(u[3])<<16 | int64(u[4])<<8 | int64(u[5])
		if ms != at.UnixMilli() {
			t.Errorf("newAt(%v) says %d ms, want %d", at, ms, at.UnixMilli())
		}
		if p, err := Parse(got.String()); err != nil || p != got {
			t.Errorf("Parse(%s) = %s, %v", got, p, err)
		}
	}
}

func TestNew_SortsByTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 12, 0, 0, 999_990_000, time.UTC) // over the end of a second
	var ids []string
	for i := range 100 {
		ids = append(ids, newAt(at.Add(time.Duration(i)*250*time.Nanosecond)).String())
	}
	if !sort.StringsAreSorted(ids) {
		t.Errorf("ids of times 250 ns apart are out of order: %v", ids)
	}
}

func TestNew_NeverTwice(t *testing.T) {
	t.Parallel()
	const each = 20_000
	lists := make([][]ID, 4)
	same := time.Now() // the random part alone
	var wg sync.WaitGroup
	for i := range lists {
		wg.Go(func() {
			for range each {
				lists[i] = append(lists[i], newAt(same))
			}
		})
	}
	wg.Wait()
	seen := map[ID]bool{}
	for _, l := range lists {
		for _, v := range l {
			seen[v] = true
		}
	}
	if len(seen) != len(lists)*each {
		t.Errorf("%d different ids of %d", len(seen), len(lists)*each)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const good = "0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d"
	for in, want := range map[string]ID{
		good: good, "0192D3C4-5E6F-7A8B-9C0D-1E2F3A4B5C6D": good,
		"": "", "0192d3c45e6f7a8b9c0d1e2f3a4b5c6d": "", "{192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6}": "", good + " ": "",
		"0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6g": "", "0192d3c4_5e6f_7a8b_9c0d_1e2f3a4b5c6d": "", "' OR 1=1; -- 3c4-5e6f-7a8b-9c0d-1e2": "",
	} {
		got, err := Parse(in)
		if got != want || (err == nil) != (want != "") || (err != nil && !fault.Is(err, "invalid_id")) {
			t.Errorf("Parse(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	if a, b := Secret(16), Secret(16); len(a) != 22 || a == b {
		t.Errorf("Secret(16) = %q and %q, want two different texts of 22 characters", a, b)
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		New()
	}
}
