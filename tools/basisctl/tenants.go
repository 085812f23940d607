package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

type tenantsCmd struct {
	Create   createCmd   `cmd:"" help:"Make a tenant."`
	Import   importCmd   `cmd:"" help:"Make tenants of a file of municipalities."`
	List     listCmd     `cmd:"" help:"List tenants."`
	Show     showCmd     `cmd:"" help:"Show a tenant with everything."`
	Set      setCmd      `cmd:"" help:"Change name, keys, hosts, settings or limits of a tenant."`
	Activate activateCmd `cmd:"" help:"End the trial of a tenant."`
	Suspend  suspendCmd  `cmd:"" help:"Stop new business of a tenant; what is under way goes on."`
	Resume   resumeCmd   `cmd:"" help:"Let new business in again."`
	Close    closeCmd    `cmd:"" help:"End a tenant's business for good."`
	Usage    usageCmd    `cmd:"" help:"Show what a tenant used in a month."`
}

const tenantsPath = "/tenants/v1/tenants"

// tenantArg names a tenant.
type tenantArg struct {
	Tenant string `arg:"" help:"Slug, ARS, AGS or host of the tenant."`
}

var digits = regexp.MustCompile(`^[0-9]{8}([0-9]{4})?$`)

// path returns the tenant's address in the API; a key or host is resolved first.
func (t tenantArg) path(a *app) (string, error) {
	by := ""
	switch {
	case digits.MatchString(t.Tenant):
		by = "key"
	case strings.Contains(t.Tenant, "."):
		by = "host"
	default:
		return tenantsPath + "/" + escape(t.Tenant), nil
	}
	var found struct{ Slug string }
	err := a.api.call(a.ctx, http.MethodGet, "/tenants/v1/resolve?"+url.Values{by: {t.Tenant}}.Encode(), nil, &found)
	return tenantsPath + "/" + escape(found.Slug), err
}

// tenantView is the part of the answer that is shown as text.
type tenantView struct {
	Slug, Name, Kind, Status string
	Keys                     []struct{ Key, Name string }
	Hosts                    []string
	Settings                 map[string]json.RawMessage
	Limits                   map[string]struct{ Rate, Burst int64 }
	Own                      struct {
		Settings map[string]json.RawMessage
		Limits   map[string]json.RawMessage
	}
	Version   int64
	ChangedAt time.Time `json:"changed_at"`
}

// send does one change and shows the tenant after it.
func (a *app) sendTenant(method, path string, body any) error {
	var answer json.RawMessage
	if err := a.api.call(a.ctx, method, path, body, &answer); err != nil {
		return err
	}
	return a.showTenant(answer)
}

func (a *app) showTenant(answer json.RawMessage) error {
	return a.show(answer, func(w io.Writer) error {
		var t tenantView
		if err := json.Unmarshal(answer, &t); err != nil {
			return err
		}
		return t.print(w)
	})
}

func (t *tenantView) print(w io.Writer) error {
	fmt.Fprintf(w, "%s  %s\n  %s, %s, version %d of %s\n", t.Slug, t.Name, t.Kind, t.Status, t.Version, t.ChangedAt.Local().Format(time.DateTime))
	for _, k := range t.Keys {
		kind := "ARS"
		if len(k.Key) == 8 {
			kind = "AGS"
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("  %s %-12s  %s", kind, k.Key, k.Name), " "))
	}
	for _, h := range t.Hosts {
		fmt.Fprintf(w, "  host %s\n", h)
	}
	for _, service := range slices.Sorted(maps.Keys(t.Settings)) {
		fmt.Fprintf(w, "  settings %s%s: %s\n", service, own(t.Own.Settings[service] != nil), t.Settings[service])
	}
	for _, op := range slices.Sorted(maps.Keys(t.Limits)) {
		fmt.Fprintf(w, "  limit %s%s: %d a minute, %d at once\n", op, own(t.Own.Limits[op] != nil), t.Limits[op].Rate, t.Limits[op].Burst)
	}
	return nil
}

func own(yes bool) string {
	if yes {
		return " (own)"
	}
	return ""
}

type createCmd struct {
	Slug   string   `arg:"" help:"Name in addresses, for good: up to 63 of a-z, 0-9 and hyphens."`
	Name   string   `required:"" help:"Official name."`
	Kind   string   `help:"municipality (default), verwaltungsgemeinschaft, erfuellende-gemeinde, district, …"`
	Active bool     `help:"Begin as active; otherwise as trial."`
	Key    []string `help:"ARS, whose AGS is added, or AGS; may be repeated." placeholder:"KEY"`
	Host   []string `help:"Host name of its own; may be repeated." placeholder:"NAME"`
}

func (createCmd) Help() string {
	return `Example:

  basisctl tenants create erfurt --name "Erfurt, Stadt" --key 160510000000 --active`
}

func (c *createCmd) Run(a *app) error {
	body := map[string]any{"slug": c.Slug, "name": c.Name, "keys": withAGS(c.Key), "hosts": slices.Concat([]string{}, c.Host)}
	if c.Kind != "" {
		body["kind"] = c.Kind
	}
	if c.Active {
		body["status"] = "active"
	}
	return a.sendTenant(http.MethodPost, tenantsPath, body)
}

// withAGS adds to each ARS the AGS that is part of it.
func withAGS(keys []string) []string {
	out := []string{}
	for _, k := range keys {
		more := []string{k}
		if len(k) == 12 {
			more = append(more, k[:5]+k[9:])
		}
		for _, m := range more {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

type importCmd struct {
	File   string `arg:"" help:"CSV with ars, ags, name, district, association, association_kind; - is standard input."`
	Each   bool   `help:"A tenant for each municipality, not for each administration."`
	Active bool   `help:"New tenants begin as active; otherwise as trial."`
}

func (importCmd) Help() string {
	return `One tenant for each administration (the first nine digits of the ARS), with all its
ARS and AGS. The file may be imported again: what is there is left alone. A row that cannot be
used is named with its line and its reason, the rest goes in, and the exit code is 1.

Examples:

  basisctl tenants import services/tenants/municipalities/thueringen.csv
  basisctl --json tenants import --each germany.csv | jq '.errors[]'`
}

func (c *importCmd) Run(a *app) (err error) {
	in, size := a.in, int64(0)
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return usage("%w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		in, size = f, info.Size()
	}
	q := url.Values{}
	if c.Each {
		q.Set("each", "true")
	}
	if c.Active {
		q.Set("status", "active")
	}
	body := in
	if a.progress {
		body = &meter{in: in, to: a.err, total: size, began: time.Now()}
	}
	req, err := http.NewRequestWithContext(a.ctx, http.MethodPost, a.api.URL+"/tenants/v1/import?"+q.Encode(), body)
	if err != nil {
		return err
	}
	if size > 0 {
		req.ContentLength = size
	}
	req.Header.Set("Content-Type", "text/csv")
	var answer json.RawMessage
	if err := a.api.send(req, &answer); err != nil {
		return err
	}
	var done struct {
		Created, Updated, Unchanged, Refused int
		Errors                               []struct {
			Line         int
			Code, Reason string
		}
	}
	if err := json.Unmarshal(answer, &done); err != nil {
		return err
	}
	err = a.show(answer, func(w io.Writer) error {
		for _, e := range done.Errors {
			fmt.Fprintf(a.err, "line %d: %s (%s)\n", e.Line, e.Reason, e.Code)
		}
		if more := done.Refused - len(done.Errors); more > 0 {
			fmt.Fprintf(a.err, "and %d more\n", more)
		}
		_, err := fmt.Fprintf(w, "%d created, %d updated, %d unchanged, %d rows refused\n", done.Created, done.Updated, done.Unchanged, done.Refused)
		return err
	})
	if err == nil && done.Refused > 0 {
		return errSaid
	}
	return err
}

type listCmd struct {
	Status string `help:"trial, active, suspended, closing or erased."`
	Query  string `short:"q" help:"Part of slug, name or the name of a municipality, or the beginning of a key." placeholder:"TEXT"`
	Limit  int    `help:"At most so many; 0 means all." default:"0"`
}

func (c *listCmd) Run(a *app) error {
	q := url.Values{"limit": {"500"}}
	if c.Status != "" {
		q.Set("status", c.Status)
	}
	if c.Query != "" {
		q.Set("q", c.Query)
	}
	items, err := collect[json.RawMessage](a, tenantsPath+"?"+q.Encode(), c.Limit)
	if err != nil {
		return err
	}
	type item struct {
		Slug, Name, Kind, Status string
		Municipalities           int
		Version                  int64
	}
	return showList(a, items, "SLUG STATUS KIND MUNICIPALITIES VERSION NAME", func(i item) []string {
		return []string{i.Slug, i.Status, i.Kind, fmt.Sprint(i.Municipalities), fmt.Sprint(i.Version), i.Name}
	})
}

type showCmd struct{ tenantArg }

func (showCmd) Help() string {
	return `Examples:

  basisctl tenants show erfurt
  basisctl tenants show 160510000000
  basisctl tenants show service.erfurt.example`
}

func (c *showCmd) Run(a *app) error {
	path, err := c.path(a)
	if err != nil {
		return err
	}
	return a.sendTenant(http.MethodGet, path, nil)
}

// reasonArg is why a step of the lifecycle is taken.
type reasonArg struct {
	Reason string `required:"" help:"Why; goes into the audit log, so no personal data." placeholder:"TEXT"`
}

type (
	activateCmd struct {
		tenantArg
		reasonArg
	}
	suspendCmd struct {
		tenantArg
		reasonArg
	}
	resumeCmd struct {
		tenantArg
		reasonArg
	}
	closeCmd struct {
		tenantArg
		reasonArg
		Yes bool `help:"Nothing leads back from closing; say that you mean it."`
	}
)

func (c *activateCmd) Run(a *app) error { return a.move(c.tenantArg, "activate", c.reasonArg) }
func (c *suspendCmd) Run(a *app) error  { return a.move(c.tenantArg, "suspend", c.reasonArg) }
func (c *resumeCmd) Run(a *app) error   { return a.move(c.tenantArg, "resume", c.reasonArg) }

func (c *closeCmd) Run(a *app) error {
	if !c.Yes {
		return usage("closing %s is for good: its citizens can begin nothing any more, and erasure follows; add --yes if you mean it", c.Tenant)
	}
	return a.move(c.tenantArg, "close", c.reasonArg)
}

func (a *app) move(t tenantArg, step string, r reasonArg) error {
	path, err := t.path(a)
	if err != nil {
		return err
	}
	return a.sendTenant(http.MethodPost, path+"/"+step, map[string]string{"reason": r.Reason})
}

type usageCmd struct {
	tenantArg
	Month string `help:"As 2026-11; default: the current one." placeholder:"YYYY-MM"`
}

func (c *usageCmd) Run(a *app) error {
	path, err := c.path(a)
	if err != nil {
		return err
	}
	if c.Month != "" {
		path += "/usage?" + url.Values{"month": {c.Month}}.Encode()
	} else {
		path += "/usage"
	}
	var answer json.RawMessage
	if err := a.api.call(a.ctx, http.MethodGet, path, nil, &answer); err != nil {
		return err
	}
	return a.show(answer, func(w io.Writer) error {
		var u struct {
			Tenant, Month string
			Counters      []struct {
				Counter string
				Count   int64
				Amount  json.Number
			}
		}
		d := json.NewDecoder(bytes.NewReader(answer))
		d.UseNumber()
		if err := d.Decode(&u); err != nil {
			return err
		}
		fmt.Fprintf(w, "%s in %s\n", u.Tenant, u.Month)
		var rows [][]string
		for _, x := range u.Counters {
			rows = append(rows, []string{x.Counter, fmt.Sprint(x.Count), x.Amount.String()})
		}
		return table(w, "COUNTER COUNT EUR", rows)
	})
}
