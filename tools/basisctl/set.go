package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

type setCmd struct {
	tenantArg
	Settings []string `arg:"" optional:"" help:"SERVICE.MEMBER=VALUE, or SERVICE=@FILE." placeholder:"SETTING"`
	Name     *string  `help:"New official name."`
	Kind     *string  `help:"New kind."`
	Key      []string `help:"All its keys from now on: ARS (whose AGS is added) or AGS; may be repeated." placeholder:"KEY"`
	Host     []string `help:"All its host names from now on; may be repeated." placeholder:"NAME"`
	NoHosts  bool     `help:"Take all its host names away." xor:"hosts"`
	Limit    []string `help:"OPERATION=RATE/BURST: requests a minute, and at once; OPERATION=default takes the catalogue's." placeholder:"LIMIT" sep:"none"`
}

func (setCmd) Help() string {
	return `A VALUE that is JSON is taken as JSON (true, 30, "30", {"a":1}), everything else as text;
null takes the tenant's own value back, so that the catalogue's holds. SERVICE=@FILE replaces
everything that the tenant has of its own for the service by the JSON object in the file; a null
in it takes away what the catalogue has. Each service is one change; if a later one is refused,
those before it stay.

Examples:

  basisctl tenants set erfurt notify.sender_name="Stadtverwaltung Erfurt" forms.fees.hundesteuer=108.00
  basisctl tenants set erfurt payment=@erfurt-payment.json --limit payment.create=600/100
  basisctl tenants set erfurt --name "Erfurt, Landeshauptstadt" --host service.erfurt.example`
}

// change is one request.
type change struct {
	method, path string
	body         any
}

func (c *setCmd) Run(a *app) error {
	changes, err := c.changes(a.in)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		return usage("nothing to set; see basisctl tenants set --help")
	}
	path, err := c.path(a)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	for i, ch := range changes {
		if err := a.api.call(a.ctx, ch.method, path+ch.path, ch.body, &answer); err != nil {
			if i > 0 {
				return fmt.Errorf("%d of %d changes were done, the next was refused: %w", i, len(changes), err)
			}
			return err
		}
	}
	return a.showTenant(answer)
}

// changes returns the requests: the tenant's own fields, then each service, then limits.
func (c *setCmd) changes(stdin io.Reader) (out []change, err error) {
	fields := map[string]any{}
	if c.Name != nil {
		fields["name"] = *c.Name
	}
	if c.Kind != nil {
		fields["kind"] = *c.Kind
	}
	if len(c.Key) > 0 {
		fields["keys"] = withAGS(c.Key)
	}
	if len(c.Host) > 0 || c.NoHosts {
		fields["hosts"] = append([]string{}, c.Host...)
	}
	if len(fields) > 0 {
		out = append(out, change{http.MethodPatch, "", fields})
	}
	patches, order := map[string]map[string]any{}, []string{}
	for _, s := range c.Settings {
		name, value, ok := strings.Cut(s, "=")
		service, member, nested := strings.Cut(name, ".")
		switch {
		case !ok || service == "":
			return nil, usage("%q is no setting; write SERVICE.MEMBER=VALUE or SERVICE=@FILE", s)
		case !nested && strings.HasPrefix(value, "@"):
			doc, err := readObject(value[1:], stdin)
			if err != nil {
				return nil, err
			}
			out = append(out, change{http.MethodPut, "/settings/" + escape(service), doc})
		case !nested:
			return nil, usage("%q sets a whole service; write %s.MEMBER=VALUE, or %s=@FILE with a JSON object", s, service, service)
		default:
			if patches[service] == nil {
				patches[service], order = map[string]any{}, append(order, service)
			}
			if err := put(patches[service], member, parseValue(value)); err != nil {
				return nil, err
			}
		}
	}
	for _, service := range order {
		out = append(out, change{http.MethodPatch, "/settings/" + escape(service), patches[service]})
	}
	if len(c.Limit) == 0 {
		return out, nil
	}
	limits, err := parseLimits(c.Limit)
	return append(out, change{http.MethodPatch, "/limits", limits}), err
}

// put sets the member "a.b.c" of a nested object.
func put(object map[string]any, path string, value any) error {
	name, rest, nested := strings.Cut(path, ".")
	if name == "" {
		return usage("%q has an empty member", path)
	}
	if !nested {
		object[name] = value
		return nil
	}
	inner, ok := object[name].(map[string]any)
	if !ok {
		inner = map[string]any{}
		object[name] = inner
	}
	return put(inner, rest, value)
}

// parseValue takes JSON as JSON and everything else as text.
func parseValue(s string) any {
	if json.Valid([]byte(s)) {
		return json.RawMessage(s)
	}
	return s
}

func readObject(file string, stdin io.Reader) (json.RawMessage, error) {
	text, err := []byte(nil), error(nil)
	if file == "-" {
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, usage("%w", err)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, usage("%s is not a JSON object: %w", file, err)
	}
	return text, nil
}

func parseLimits(limits []string) (map[string]any, error) {
	out := map[string]any{}
	for _, l := range limits {
		op, value, _ := strings.Cut(l, "=")
		rate, burst, _ := strings.Cut(value, "/")
		r, errRate := strconv.ParseInt(rate, 10, 64)
		b, errBurst := strconv.ParseInt(burst, 10, 64)
		switch {
		case op != "" && value == "default":
			out[op] = nil
		case op == "" || errRate != nil || errBurst != nil:
			return nil, usage("%q is no limit; write OPERATION=RATE/BURST, for example payment.create=600/100, or OPERATION=default", l)
		default:
			out[op] = map[string]int64{"rate": r, "burst": b}
		}
	}
	return out, nil
}

type catalogueCmd struct {
	Show catalogueShowCmd `cmd:"" help:"Show the default settings of a service, or the default limits."`
	Put  cataloguePutCmd  `cmd:"" help:"Replace them; every tenant follows soon."`
}

type catalogueShowCmd struct {
	Service string `arg:"" optional:"" help:"A service, or limits; without it, the services that have defaults are listed."`
}

func cataloguePath(service string) string {
	if service == "limits" {
		return "/tenants/v1/limits"
	}
	return "/tenants/v1/catalogue/" + escape(service)
}

func (c *catalogueShowCmd) Run(a *app) error {
	if c.Service != "" {
		var answer json.RawMessage
		if err := a.api.call(a.ctx, http.MethodGet, cataloguePath(c.Service), nil, &answer); err != nil {
			return err
		}
		return a.printJSON(answer)
	}
	var services struct{ Items []string }
	var answer json.RawMessage
	if err := a.api.call(a.ctx, http.MethodGet, "/tenants/v1/catalogue", nil, &answer); err != nil {
		return err
	}
	if err := json.Unmarshal(answer, &services); err != nil {
		return err
	}
	return a.show(answer, func(w io.Writer) error {
		for _, s := range services.Items {
			if _, err := fmt.Fprintln(w, s); err != nil {
				return err
			}
		}
		return nil
	})
}

type cataloguePutCmd struct {
	Service string `arg:"" help:"A service, or limits."`
	File    string `arg:"" help:"File with a JSON object; - is standard input."`
}

func (cataloguePutCmd) Help() string {
	return `Examples:

  basisctl catalogue put payment payment-defaults.json
  echo '{"payment.create":{"rate":600,"burst":100}}' | basisctl catalogue put limits -`
}

func (c *cataloguePutCmd) Run(a *app) error {
	doc, err := readObject(c.File, a.in)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	if err := a.api.call(a.ctx, http.MethodPut, cataloguePath(c.Service), doc, &answer); err != nil {
		return err
	}
	return a.printJSON(answer)
}
