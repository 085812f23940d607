package run

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// unusedTime is how long a connection may stay silent once no more are taken: whoever dialled in
// the last moment still gets the request through.
const unusedTime = time.Second

// unused are the connections on which no request has begun. http.Server.Shutdown waits 5 s for
// each, longer than most installations give a process to stop; clients dial some ahead.
type unused struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// note is an http.Server's ConnState.
func (u *unused) note(c net.Conn, s http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s != http.StateNew {
		delete(u.conns, c)
		return
	}
	if u.conns == nil {
		u.conns = map[net.Conn]struct{}{}
	}
	u.conns[c] = struct{}{}
}

func (u *unused) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.conns {
		_ = c.Close() // nobody waits for anything on it
	}
}
