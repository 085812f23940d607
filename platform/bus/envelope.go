package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"basisdienste/platform/bus/jetstream"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
)

// The CloudEvents 1.0 attributes, as message metadata; the id is the message's UUID.
const (
	metaType    = "type"
	metaSource  = "source"
	metaTime    = "time"
	metaTrace   = "traceparent"
	metaVersion = "specversion"
	metaPrior   = "prior" // an extension: see outbox.Put
)

func metaOf(msg *message.Message) Meta {
	at, err := time.Parse(time.RFC3339Nano, msg.Metadata.Get(metaTime))
	if err != nil {
		at = time.Time{} // not one of ours; the handler may not need it
	}
	return Meta{
		ID: id.ID(msg.UUID), Type: msg.Metadata.Get(metaType), Source: msg.Metadata.Get(metaSource),
		Subject: msg.Metadata.Get(jetstream.MetadataSubject), Time: at, Tenant: id.ID(msg.Metadata.Get(jetstream.MetadataTenant)),
		prior: id.ID(msg.Metadata.Get(metaPrior)),
	}
}

// check says why the event is none of ours: ours have the ids of an event and of a tenant.
func (m Meta) check() error {
	if _, err := id.Parse(m.ID.String()); err != nil {
		return fmt.Errorf("id %q: %w", m.ID, err)
	}
	if _, err := id.Parse(m.Tenant.String()); err != nil {
		return fmt.Errorf("tenant %q: %w", m.Tenant, err)
	}
	return nil
}

// Publish sends one event at once, without an outbox: for tests and tools.
func Publish(ctx context.Context, t *jetstream.Transport, source string, tenantID id.ID, e outbox.Event, at time.Time) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return err
	}
	msg := toMessage(source, outbox.Record{
		ID: id.New(), Tenant: tenantID, Type: e.EventType(), Subject: e.Subject(), Payload: string(payload), At: db.NewTime(at),
	})
	msg.SetContext(ctx)
	return t.Publisher().Publish(e.EventType(), msg)
}

func toMessage(source string, rec outbox.Record) *message.Message {
	msg := message.NewMessage(rec.ID.String(), []byte(rec.Payload))
	msg.Metadata = message.Metadata{
		metaVersion: "1.0", metaType: rec.Type, metaSource: source,
		metaTime:                  rec.At.Format(time.RFC3339Nano),
		jetstream.MetadataSubject: rec.Subject, jetstream.MetadataTenant: rec.Tenant.String(),
	}
	if rec.TraceParent != "" {
		msg.Metadata[metaTrace] = rec.TraceParent
	}
	// Of snapshots the stream keeps the last one alone: nobody can wait for those before it.
	if rec.Prior != "" && !isSnapshot(rec.Type) {
		msg.Metadata[metaPrior] = rec.Prior.String()
	}
	return msg
}

// Streams declares the stream of each service's events. The tenants' stream keeps the last
// snapshot of each tenant for ever, so that a new service learns them all; the others are
// transport, and the outbox is the record.
func Streams() []jetstream.Stream {
	const week = 7 * 24 * time.Hour
	snapshot := func(name string) jetstream.Stream {
		return jetstream.Stream{Name: name, Subjects: []string{name + ".>"}, MaxMsgsPerSubject: 1}
	}
	events := func(name string) jetstream.Stream {
		return jetstream.Stream{Name: name, Subjects: []string{name + ".>"}, MaxAge: week}
	}
	return []jetstream.Stream{
		snapshot(snapshots), events("auth"), events("payment"), events("forms"), events("notify"), events("booking"),
	}
}

func isSnapshot(topic string) bool { return strings.HasPrefix(topic, snapshots+".") }

// snapshots is the stream of what is told whole each time.
const snapshots = "tenants"
