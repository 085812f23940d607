package local

import (
	"net"
	"sync"
)

// ports hands out addresses on loopback that nobody listens on, each once.
type ports struct {
	mu    sync.Mutex
	given map[string]bool
}

func (p *ports) next() (address string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
		if err != nil {
			return "", err
		}
		address := l.Addr().String()
		if err := l.Close(); err != nil {
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
