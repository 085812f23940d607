package notify

import (
	"time"

	"basisdienste/platform/db"
)

func dbTime(t time.Time) db.Time { return db.NewTime(t) }
