package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// Stream says what a stream must be like. It lives on disk and keeps messages whether they
// were consumed or not, so that a new group starts with the oldest.
type Stream struct {
	Name     string
	Subjects []string // topics, with wildcards: payment.>

	MaxAge            time.Duration // 0: for ever. Must be longer than any consumer's outage.
	MaxBytes          int64         // 0: no limit. A full stream refuses messages; it drops none.
	MaxMsgsPerSubject int64         // 0: no limit. The oldest of the subject goes.
	Replicas          int           // 0 is 1
	Duplicates        time.Duration // how long a UUID is remembered; 0 is 2 min
}

// over returns c as the stream wants it; what Stream does not name stays as it is.
func (s Stream) over(c natsjs.StreamConfig) natsjs.StreamConfig {
	c.Name = s.Name
	c.Subjects = s.Subjects
	c.MaxAge = s.MaxAge
	c.MaxBytes = orElse(s.MaxBytes, -1)
	c.MaxMsgsPerSubject = orElse(s.MaxMsgsPerSubject, -1)
	c.Replicas = orElse(s.Replicas, 1)
	c.Duplicates = orElse(s.Duplicates, 2*time.Minute)
	if s.MaxAge > 0 {
		c.Duplicates = min(c.Duplicates, s.MaxAge)
	}
	c.Discard = natsjs.DiscardNew
	return c
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// declare creates the stream or changes it to what is wanted, and refuses a change that
// would drop messages or subjects.
func declare(ctx context.Context, js natsjs.JetStream, want Stream) error {
	st, err := js.Stream(ctx, want.Name)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, want.over(natsjs.StreamConfig{Storage: natsjs.FileStorage}))
		if errors.Is(err, natsjs.ErrStreamNameAlreadyInUse) { // another instance was faster
			st, err = js.Stream(ctx, want.Name)
		} else if err == nil {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", want.Name, err)
	}
	have := st.CachedInfo()
	next := want.over(have.Config)
	if same(have.Config, next) {
		return nil
	}
	if err := want.keepsAll(ctx, st, have); err != nil {
		return fmt.Errorf("stream %s is not changed: %w", want.Name, err)
	}
	if _, err := js.UpdateStream(ctx, next); err != nil {
		return fmt.Errorf("change stream %s: %w", want.Name, err)
	}
	return nil
}

func same(a, b natsjs.StreamConfig) bool {
	return slices.Equal(a.Subjects, b.Subjects) && a.MaxAge == b.MaxAge && a.MaxBytes == b.MaxBytes &&
		a.MaxMsgsPerSubject == b.MaxMsgsPerSubject && a.Replicas == b.Replicas && a.Duplicates == b.Duplicates &&
		a.Discard == b.Discard
}

// keepsAll returns nil if the stream, as it is now, loses nothing by becoming what is wanted.
func (s Stream) keepsAll(ctx context.Context, st natsjs.Stream, have *natsjs.StreamInfo) error {
	for _, subject := range have.Config.Subjects {
		if !covers(s.Subjects, subject) {
			return fmt.Errorf("it has the subject %s, the declaration has not", subject)
		}
	}
	state := have.State
	if state.Msgs == 0 {
		return nil
	}
	if age := have.TimeStamp.Sub(state.FirstTime); s.MaxAge > 0 && age > s.MaxAge {
		return fmt.Errorf("its oldest message is %s old, the declared MaxAge of %s would drop it", age.Round(time.Second), s.MaxAge)
	}
	if s.MaxBytes > 0 && state.Bytes > uint64(s.MaxBytes) {
		return fmt.Errorf("it has %d bytes, more than the declared MaxBytes of %d", state.Bytes, s.MaxBytes)
	}
	if s.MaxMsgsPerSubject <= 0 || state.Msgs <= uint64(s.MaxMsgsPerSubject) {
		return nil
	}
	info, err := st.Info(ctx, natsjs.WithSubjectFilter(">"))
	if err != nil {
		return fmt.Errorf("count its messages: %w", err)
	}
	for subject, n := range info.State.Subjects {
		if n > uint64(s.MaxMsgsPerSubject) {
			return fmt.Errorf("it has %d messages of %s, more than the declared MaxMsgsPerSubject of %d", n, subject, s.MaxMsgsPerSubject)
		}
	}
	return nil
}

// waitingTime bounds what Waiting may wait for the broker.
const waitingTime = time.Second

// Waiting returns how many messages of the stream the consumer that is furthest behind has
// still to take or to ack; 0 if nobody listens. It waits for a second at most.
func (t *Transport) Waiting(ctx context.Context, stream string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, waitingTime)
	defer cancel()
	st, err := t.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	most := 0
	list := st.ListConsumers(ctx)
	for c := range list.Info() {
		most = max(most, int(min(c.NumPending, math.MaxInt32))+c.NumAckPending)
	}
	if err := list.Err(); err != nil {
		return 0, fmt.Errorf("consumers of stream %s: %w", stream, err)
	}
	return most, nil
}
