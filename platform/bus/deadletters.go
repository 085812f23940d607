package bus

import (
	"context"
	"net/http"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/obs"
	"basisdienste/platform/outbox"
	"basisdienste/platform/page"
	"basisdienste/platform/tenant"
)

// Routes registers what an operator does about events: list the dead letters of all
// tenants, and replay one.
//
//	GET  /<service>/v1/events/dead
//	POST /<service>/v1/events/dead/{consumer}/{id}/replay
func (r *Router) Routes(m *kit.Mux, operator kit.Guard) {
	base := "/" + r.cfg.Service + "/v1/events/dead"
	kit.Route(m, "GET "+base, operator, r.dead)
	kit.Route(m, "POST "+base+"/{consumer}/{id}/replay", operator, r.replay)
}

type deadRequest struct {
	After time.Time `json:"-"`
	Limit int       `json:"-"`
}

// FromHTTP takes after (RFC 3339) and limit (1 to 500, default 100).
func (q *deadRequest) FromHTTP(r *http.Request) (err error) {
	if s := r.URL.Query().Get("after"); s != "" {
		if q.After, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return fault.Invalid("invalid_time", "after is a time as in RFC 3339, for example 2026-11-22T10:00:00Z")
		}
	}
	q.Limit, err = page.Limit(r.URL.Query().Get("limit"), 100, 500)
	return err
}

func (r *Router) dead(ctx context.Context, q deadRequest) (list page.List[outbox.DeadLetter], err error) {
	sys := db.System(ctx)
	err = r.cfg.DB.Read(sys, func(tx *db.Tx) (err error) {
		list.Items, err = outbox.Dead(sys, tx, db.NewTime(q.After), q.Limit)
		return err
	})
	if list.Items == nil {
		list.Items = []outbox.DeadLetter{}
	}
	return list, err
}

type replayRequest struct {
	kit.NoBody
	Consumer string
	ID       id.ID
}

// FromHTTP takes consumer and id from the path.
func (q *replayRequest) FromHTTP(r *http.Request) (err error) {
	q.Consumer = r.PathValue("consumer")
	q.ID, err = id.Parse(r.PathValue("id"))
	return err
}

// replay runs the handler once more, now. If it fails again the letter stays.
// Errors: dead_letter_not_found, replay_failed.
func (r *Router) replay(ctx context.Context, q replayRequest) (kit.None, error) {
	sys := db.System(ctx)
	var l outbox.DeadLetter
	err := r.cfg.DB.Read(sys, func(tx *db.Tx) (err error) {
		l, err = outbox.Exhume(sys, tx, q.Consumer, q.ID)
		return err
	})
	if err != nil {
		return kit.None{}, err
	}
	c, ok := r.consumers[q.Consumer]
	if !ok {
		return kit.None{}, fault.NotFound("dead_letter_not_found", "this version of the service has no consumer %s", q.Consumer)
	}
	ctx = db.For(obs.WithTraceParent(ctx, l.TraceParent), tenant.Tenant{ID: l.Tenant})
	m := Meta{ID: l.ID, Type: l.Type, Source: l.Source, Subject: l.Subject, Time: l.EventAt.Time, Tenant: l.Tenant}
	if err := r.once(ctx, c, m, []byte(l.Payload)); err != nil {
		return kit.None{}, fault.Conflict("replay_failed", "the handler failed again; the event stays a dead letter").Because(err)
	}
	return kit.None{}, r.cfg.DB.Tx(ctx, func(tx *db.Tx) error { return outbox.Replayed(ctx, tx, q.Consumer, q.ID) })
}
