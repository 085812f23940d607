package local

import (
	"context"
	"net"
	"sync"

	"basisdienste/services/basis/process"
)

// ports hands out addresses on loopback that nobody listens on, each once.
type ports struct {
	mu    sync.Mutex
	given map[string]bool
}

func (p *ports) next(ctx context.Context) (address string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		address, err := process.FreeAddress(ctx)
		if err != nil {
			return "", err
		}
		if !p.given[address] {
			p.given[address] = true
			return address, nil
		}
	}
}

func port(address string) string {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return address // one of ours
	}
	return text
}
