package notify

import (
	"time"

	"basisdienste/platform/db"
)

// fact is what all events of this service say: no address, no name, no text. Its fields are
// those of the generated types, into which it is converted.
type fact struct {
	MessageID       string    `json:"message_id"`
	Channel         string    `json:"channel"`
	TemplateID      string    `json:"template_id"`
	TemplateVersion int64     `json:"template_version"`
	Reference       string    `json:"reference,omitempty"`
	ReasonCode      string    `json:"reason_code,omitempty"`
	At              time.Time `json:"at"`
}

func factOf(m *Message, at db.Time) fact {
	f := fact{
		MessageID: m.ID.String(), Channel: string(m.Channel), TemplateID: m.TemplateID.String(),
		TemplateVersion: m.TemplateVersion, Reference: m.Reference, At: at.Time,
	}
	if m.Status == PermanentFailure || m.Status == TechnicalFailure {
		f.ReasonCode = m.History.V[len(m.History.V)-1].Reason
	}
	return f
}
