package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery bounds how often the files are read; they are small, and contents are compared,
// not times, which a copy or a restored backup may keep.
const lookEvery = 3 * time.Second

// kept is what PEM files held when they were last good. It is safe for concurrent use.
type kept[T any] struct {
	what  string // it is, for errors and the log
	files []string
	parse func(pems [][]byte) (*T, error)
	log   func() *slog.Logger

	good   atomic.Pointer[T]
	looked atomic.Int64 // when the files were read, in Unix nanoseconds

	reading sync.Mutex // guards what follows; held by the one handshake that looks
	pems    [][]byte   // what was last read and good
	failed  string     // why that is not in use
}

// keep reads the files for the first time.
func keep[T any](what string, parse func(pems [][]byte) (*T, error), files ...string) (*kept[T], error) {
	k := &kept[T]{what: what, files: files, parse: parse, log: slog.Default}
	good, err := k.read()
	if err != nil {
		return nil, err
	}
	k.use(good)
	return k, nil
}

// current returns what is to be used. Handshakes that come while another one looks at the
// files take what is there.
func (k *kept[T]) current() *T {
	now := time.Now().UnixNano()
	if since := time.Duration(now - k.looked.Load()); (since >= lookEvery || since < 0) && k.reading.TryLock() {
		defer k.reading.Unlock()
		k.renew()
		k.looked.Store(now)
	}
	return k.good.Load()
}

// renew takes over new files, if they are good.
func (k *kept[T]) renew() {
	next, err := k.read()
	ctx := context.Background() // it is about the process, not about this handshake
	switch {
	case err != nil:
		if k.failed != err.Error() {
			k.log().ErrorContext(ctx, "what a file of certificates holds now cannot be used, the last stays", "what", k.what, "file", k.files[0], "error", err)
		}
		k.failed = err.Error()
	case next != nil:
		k.failed = ""
		k.use(next)
		line := k.log().With("file", k.files[0])
		if cert, ok := any(next).(*tls.Certificate); ok {
			line = line.With("valid_until", cert.Leaf.NotAfter)
		}
		line.InfoContext(ctx, "a file of certificates was renewed", "what", k.what)
	}
}

func (k *kept[T]) use(good *T) {
	k.good.Store(good)
	k.looked.Store(time.Now().UnixNano())
}

// read returns nil if the files hold what was read before and was good.
func (k *kept[T]) read() (*T, error) {
	pems := make([][]byte, len(k.files))
	for i, file := range k.files {
		var err error
		if pems[i], err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("%s: %w", k.what, err)
		}
	}
	if k.failed == "" && slices.EqualFunc(pems, k.pems, bytes.Equal) {
		return nil, nil //nolint:nilnil // nothing new is no mistake
	}
	next, err := k.parse(pems)
	if err != nil {
		return nil, fmt.Errorf("%s %v: %w", k.what, k.files, err)
	}
	k.pems = pems
	return next, nil
}
