package process

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
)

// Memory is what the process has in RAM, and the most that it ever had, in bytes, as Linux
// counts it.
func (p *Process) Memory() (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, 0, err
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		into := map[string]*int64{"VmRSS": &now, "VmHWM": &peak}[name]
		if into == nil {
			continue
		}
		if _, err := fmt.Sscanf(value, "%d kB", into); err != nil {
			return 0, 0, fmt.Errorf("%s: %w", s.Text(), err)
		}
		*into <<= 10
	}
	return now, peak, nil
}
