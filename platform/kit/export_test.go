package kit

import "time"

// SetBodyTime changes how long a body may take.
func (m *Mux) SetBodyTime(d time.Duration) { m.bodyTime = d }
