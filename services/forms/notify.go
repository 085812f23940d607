package forms

import (
	"context"
	"errors"
	"net/http"

	"basisdienste/platform/tenantdir"
)

// message is what the service notify takes.
type message struct {
	Template        string            `json:"template"`
	Language        string            `json:"language"`
	Channel         string            `json:"channel"`
	To              recipient         `json:"to"`
	Personalisation map[string]string `json:"personalisation"`
	Reference       string            `json:"reference"`
}

type recipient struct {
	Email   string `json:"email,omitempty"`
	Subject string `json:"subject,omitempty"`
}

// tell sends the applicant a message by e-mail and to the mailbox, as far as either is
// known. The same key sends once; a call that failed halfway is repeated as a whole.
func (s *Service) tell(ctx context.Context, e tenantdir.Entry, m *Matter, template, key string, more map[string]string) error {
	lang := m.Language
	values := map[string]string{
		"name": m.Contact.V.Name, "form_title": m.Def.Title.In(lang), "reference": m.Ref(), "municipality": e.Name,
	}
	for k, v := range more {
		values[k] = v
	}
	msg := message{Template: template, Language: lang, Personalisation: values, Reference: m.ID.String()}
	var errs []error
	send := func(channel string, to recipient) {
		if to == (recipient{}) {
			return
		}
		msg.Channel, msg.To = channel, to
		errs = append(errs, post(ctx, s.Notify, "http://notify/t/"+e.Slug+"/notify/v1/messages", key+"-"+channel, msg, nil, http.StatusCreated))
	}
	send("email", recipient{Email: m.Contact.V.Email})
	send("mailbox", recipient{Subject: m.Subject})
	return errors.Join(errs...)
}
