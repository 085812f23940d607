package audit

import (
	"encoding/hex"
	"testing"
	"time"

	"basisdienste/platform/db"
)

// TestRow_Sum holds the encoding still: the logs of years are checked with it. The wanted
// value was computed by another program from the comment on sum.
func TestRow_Sum(t *testing.T) {
	t.Parallel()
	r := row{
		Seq: 7, At: db.NewTime(time.UnixMicro(1772366400000001)), Actor: "staff:1", Action: "application.accepted",
		Object: "application:2", Detail: `{"a":1}`, PrevHash: make([]byte, 32), Hash: []byte("not part of it"),
	}
	for i := range r.PrevHash {
		r.PrevHash[i] = byte(i)
	}
	const want = "59e08a5a24bd5957d1158a8b2853745879ec7081b2ec6fa755c7331e4b09a162"
	if got := hex.EncodeToString(r.sum("0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d")); got != want {
		t.Errorf("sum(%+v) = %s, want %s", r, got, want)
	}
	moved := r
	moved.Actor, moved.Action = "staff:1a", "pplication.accepted"
	if hex.EncodeToString(moved.sum("0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d")) == want {
		t.Error("sum is the same after a letter moved from one field to the next")
	}
}
