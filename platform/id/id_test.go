package id_test

import (
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

func TestNew_IsAUUIDOfVersion7(t *testing.T) {
	t.Parallel()
	before := time.Now().UnixMilli()
	got := id.New()
	u, err := uuid.Parse(got.String())
	if err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 || u.String() != got.String() {
		t.Fatalf("New() = %s (version %v, variant %v, %v), want a canonical UUIDv7", got, u.Version(), u.Variant(), err)
	}
	ms := int64(u[0])<<40 | int64(u[1])<<32 | int64(u[2])<<24 | int64(u[3])<<16 | int64(u[4])<<8 | int64(u[5])
	if after := time.Now().UnixMilli(); ms < before || ms > after {
		t.Errorf("New() says %d ms, want between %d and %d", ms, before, after)
	}
	if p, err := id.Parse(got.String()); err != nil || p != got {
		t.Errorf("Parse(%s) = %s, %v", got, p, err)
	}
}

func TestNew_NeverTwiceAndInOrder(t *testing.T) {
	t.Parallel()
	const each = 5000
	lists := make([][]string, 4)
	var wg sync.WaitGroup
	for i := range lists {
		wg.Go(func() {
			for range each {
				lists[i] = append(lists[i], id.New().String())
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, l := range lists {
		if !sort.StringsAreSorted(l) {
			t.Error("ids that were made one after the other do not sort so")
		}
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
	for in, want := range map[string]id.ID{
		good: good, "0192D3C4-5E6F-7A8B-9C0D-1E2F3A4B5C6D": good,
		"": "", "0192d3c45e6f7a8b9c0d1e2f3a4b5c6d": "", "{192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6}": "", good + " ": "",
		"0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6g": "", "0192d3c4_5e6f_7a8b_9c0d_1e2f3a4b5c6d": "", "' OR 1=1; -- 3c4-5e6f-7a8b-9c0d-1e2": "",
	} {
		got, err := id.Parse(in)
		if got != want || (err == nil) != (want != "") || (err != nil && !fault.Is(err, "invalid_id")) {
			t.Errorf("Parse(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	if a, b := id.Secret(16), id.Secret(16); len(a) != 22 || a == b {
		t.Errorf("Secret(16) = %q and %q, want two different texts of 22 characters", a, b)
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		id.New()
	}
}
