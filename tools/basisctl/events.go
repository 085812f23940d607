package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

type eventsCmd struct {
	Dead   eventsDeadCmd   `cmd:"" help:"List events that were given up on, with their errors."`
	Replay eventsReplayCmd `cmd:"" help:"Handle events again that were given up on."`
}

// services have dead letters of their own.
func services() []string {
	return []string{"tenants", "auth", "notify", "payment", "forms", "booking"}
}

func deadPath(service string) string { return "/" + escape(service) + "/v1/events/dead" }

// deadLetter is an event that a consumer of a service gave up on.
type deadLetter struct {
	TenantID string `json:"tenant_id"`
	ID       string
	Consumer string
	Type     string
	Error    string
	At       time.Time
}

type eventsDeadCmd struct {
	Service string `help:"Of this service; default: of all." placeholder:"NAME"`
}

func (eventsDeadCmd) Help() string {
	return `Example:

  basisctl events dead --service forms`
}

func (c *eventsDeadCmd) Run(a *app) error {
	var items []json.RawMessage
	var rows [][]string
	absent := 0
	of := services()
	if c.Service != "" {
		of = []string{c.Service}
	}
	for _, service := range of {
		some, err := a.dead(service)
		var p *problem
		if errors.As(err, &p) && p.Status == http.StatusNotFound && c.Service == "" {
			fmt.Fprintf(a.err, "%s: not served at %s\n", service, a.api.URL)
			absent++
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
		letters, err := decodeAll[deadLetter](some)
		if err != nil {
			return err
		}
		items = append(items, some...)
		for _, l := range letters {
			rows = append(rows, []string{service, l.Consumer, l.ID, l.Type, l.At.Local().Format(time.DateTime), l.Error})
		}
	}
	if absent == len(of) {
		return errSaid
	}
	if a.json {
		return a.printJSONList(items)
	}
	return table(a.out, "SERVICE CONSUMER ID TYPE GIVEN-UP ERROR", rows)
}

const deadPage = 500

// dead returns all dead letters of a service, the oldest first.
func (a *app) dead(service string) (all []json.RawMessage, err error) {
	for after := (time.Time{}); ; {
		var l struct{ Items []json.RawMessage }
		q := url.Values{"limit": {fmt.Sprint(deadPage)}}
		if !after.IsZero() {
			q.Set("after", after.Format(time.RFC3339Nano))
		}
		if err := a.api.call(a.ctx, http.MethodGet, deadPath(service)+"?"+q.Encode(), nil, &l); err != nil {
			return nil, err
		}
		all = append(all, l.Items...)
		if len(l.Items) < deadPage {
			return all, nil
		}
		var last deadLetter
		if err := json.Unmarshal(l.Items[len(l.Items)-1], &last); err != nil {
			return nil, err
		}
		after = last.At
	}
}

type eventsReplayCmd struct {
	Service  string `arg:"" help:"The service that gave up."`
	Consumer string `arg:"" optional:"" help:"Its consumer; events dead names it."`
	ID       string `arg:"" optional:"" help:"The event."`
	All      bool   `help:"All dead events of the service, or of the consumer."`
}

func (eventsReplayCmd) Help() string {
	return `Examples:

  basisctl events replay forms settle 0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d
  basisctl events replay forms --all`
}

func (c *eventsReplayCmd) Run(a *app) error {
	if c.All == (c.ID != "") {
		return usage("name consumer and event, as events dead shows them, or give --all")
	}
	letters := []deadLetter{{Consumer: c.Consumer, ID: c.ID}}
	if c.All {
		items, err := a.dead(c.Service)
		if err != nil {
			return err
		}
		if letters, err = decodeAll[deadLetter](items); err != nil {
			return err
		}
	}
	done, failed := 0, 0
	for _, l := range letters {
		if c.Consumer != "" && l.Consumer != c.Consumer {
			continue
		}
		err := a.api.call(a.ctx, http.MethodPost, deadPath(c.Service)+"/"+escape(l.Consumer)+"/"+escape(l.ID)+"/replay", nil, nil)
		var p *problem
		switch {
		case err == nil:
			done++
		case c.All && errors.As(err, &p):
			failed++
			fmt.Fprintf(a.err, "%s %s: %s (%s)\n", l.Consumer, l.ID, p.Detail, p.Code)
		default:
			return err
		}
	}
	if a.json {
		if err := json.NewEncoder(a.out).Encode(map[string]int{"replayed": done, "failed": failed}); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(a.out, "%d replayed, %d failed again\n", done, failed); err != nil {
		return err
	}
	if failed > 0 {
		return errSaid
	}
	return nil
}
