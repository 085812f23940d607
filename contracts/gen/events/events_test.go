package events_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"basisdienste/contracts/gen/events"
)

type event interface {
	EventType() string
	Subject() string
}

// all holds one pointer per event type; the test fails if one is missing.
func all() []event {
	return []event{
		&events.AppointmentCanceled{}, &events.AppointmentConfirmed{}, &events.AppointmentHeld{}, &events.AppointmentMoved{},
		&events.ApplicationAccepted{}, &events.ApplicationDelivered{}, &events.ApplicationPaid{},
		&events.ApplicationRejected{}, &events.ApplicationSubmitted{}, &events.ApplicationWithdrawn{},
		&events.ClientChanged{},
		&events.DisputeChanged{},
		&events.MessageAccepted{}, &events.MessageDelivered{}, &events.MessageFailed{},
		&events.TenantChanged{},
		&events.RefundRequested{}, &events.RefundSucceeded{}, &events.RefundFailed{},
		&events.SettlementCompleted{},
		&events.TransactionAuthorised{}, &events.TransactionCanceled{}, &events.TransactionCreated{}, &events.TransactionExpired{},
		&events.TransactionFailed{}, &events.TransactionPayed{},
	}
}

func TestEveryTypeIsTested(t *testing.T) {
	t.Parallel()
	var got []string
	for _, e := range all() {
		got = append(got, e.EventType())
	}
	slices.Sort(got)
	if want := events.Types(); !slices.Equal(got, want) {
		t.Errorf("events under test = %v, want %v", got, want)
	}
}

// TestExamplesFitTypeAndSchema takes the examples of each schema through the Go type and
// back: nothing is lost, nothing is unknown, and the result is valid.
func TestExamplesFitTypeAndSchema(t *testing.T) {
	t.Parallel()
	for _, e := range all() {
		t.Run(e.EventType(), func(t *testing.T) {
			t.Parallel()
			schema, sample := load(t, e.EventType())
			dec := json.NewDecoder(bytes.NewReader(sample))
			dec.DisallowUnknownFields()
			if err := dec.Decode(e); err != nil {
				t.Fatalf("Decode(%s): %v", sample, err)
			}
			out, err := json.Marshal(e)
			if err != nil {
				t.Fatalf("Marshal(%+v): %v", e, err)
			}
			got, want := value(t, out), value(t, sample)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("Marshal = %s, want %s", out, sample)
			}
			if err := schema.Validate(got); err != nil {
				t.Errorf("Validate(%s): %v", out, err)
			}
			if e.Subject() == "" {
				t.Errorf("Subject() of %s is empty", out)
			}
			withMore, ok := got.(map[string]any)
			if !ok {
				t.Fatalf("Marshal = %s, want an object", out)
			}
			withMore["name"], withMore["first_name"] = "Erika", "Erika"
			if schema.Validate(withMore) == nil {
				t.Errorf("Validate accepts an unknown field, want an error")
			}
		})
	}
}

// load compiles the schema with formats asserted and builds an object of its examples.
func load(t *testing.T, eventType string) (*jsonschema.Schema, []byte) {
	t.Helper()
	data, ok := events.Schema(eventType)
	if !ok {
		t.Fatalf("Schema(%q) = not found", eventType)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("event.json", value(t, data)); err != nil {
		t.Fatalf("AddResource(%s): %v", eventType, err)
	}
	schema, err := compiler.Compile("event.json")
	if err != nil {
		t.Fatalf("Compile(%s): %v", eventType, err)
	}
	var doc struct {
		Properties map[string]struct{ Examples []any }
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatalf("Unmarshal(%s): %v", eventType, err)
	}
	sample := map[string]any{}
	for name, p := range doc.Properties {
		sample[name] = p.Examples[0]
	}
	out, err := json.Marshal(sample)
	if err != nil {
		t.Fatalf("Marshal(%v): %v", sample, err)
	}
	return schema, out
}

func value(t *testing.T, data []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("UnmarshalJSON(%s): %v", data, err)
	}
	return v
}

func TestSchema_Unknown(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "payment.transaction.payed.v9", "../asyncapi"} {
		if _, ok := events.Schema(name); ok {
			t.Errorf("Schema(%q) = found, want not found", name)
		}
	}
}
