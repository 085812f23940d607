package notify

import (
	"syscall"
	"testing"
	"time"

	"basisdienste/platform/db"
)

func dbTime(t time.Time) db.Time { return db.NewTime(t) }

// cpuTime is the processor time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
