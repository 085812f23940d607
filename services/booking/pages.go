package booking

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/kit"
	"basisdienste/platform/run"
	"basisdienste/platform/web"
)

// pages are the citizens': no login, no script. Who has the link of an appointment may see
// and change it.
type pages struct {
	s    *Service
	site *web.Site
}

func newPages(s *Service, h *run.Host) (*pages, error) {
	sub, err := fs.Sub(templates, "templates")
	if err != nil {
		return nil, err
	}
	site, err := h.Site(sub, texts)
	return &pages{s, site}, err
}

const steps = 4 // service, time, details, check

func (p *pages) routes(m *kit.Mux) {
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /t/{tenant}/booking":                             p.home,
		"GET /t/{tenant}/booking/{$}":                         p.start,
		"GET /t/{tenant}/booking/services/{service}":          p.times,
		"GET /t/{tenant}/booking/services/{service}/details":  p.details,
		"POST /t/{tenant}/booking/services/{service}/details": p.hold,
	} {
		m.Handle(pattern, p.site.Protect(h))
	}
	// The secret in the path is what another site would have to know to forge a post.
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request, opened){
		"GET /t/{tenant}/booking/appointments/{id}/{secret}":            p.appointment,
		"POST /t/{tenant}/booking/appointments/{id}/{secret}/confirm":   p.confirm,
		"GET /t/{tenant}/booking/appointments/{id}/{secret}/move":       p.move,
		"POST /t/{tenant}/booking/appointments/{id}/{secret}/move":      p.doMove,
		"GET /t/{tenant}/booking/appointments/{id}/{secret}/cancel":     p.cancel,
		"POST /t/{tenant}/booking/appointments/{id}/{secret}/cancel":    p.doCancel,
		"GET /t/{tenant}/booking/appointments/{id}/{secret}/termin.ics": p.calendarFile,
	} {
		m.Handle(pattern, p.secret(h))
	}
}

func base(r *http.Request) string { return "/t/" + r.PathValue("tenant") + "/booking/" }

// seeOther leads to an address of our own: a path that begins with base.
func seeOther(w http.ResponseWriter, r *http.Request, path string) {
	http.Redirect(w, r, path, http.StatusSeeOther) //nolint:gosec // every caller builds it from base, whose tenant and id were found before
}

func (p *pages) home(w http.ResponseWriter, r *http.Request) {
	seeOther(w, r, base(r)+query("reference", reference(r)))
}

// query is "?a=b" of the pairs whose value is not empty.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// reference is the application that the appointment is about; nonsense is dropped.
func reference(r *http.Request) string {
	s := r.FormValue("reference")
	if len(s) > maxReference || !referenceShape.MatchString(s) {
		return ""
	}
	return s
}

// start lists the services.
func (p *pages) start(w http.ResponseWriter, r *http.Request) {
	e, set, err := p.s.of(r.Context())
	if err == nil {
		err = e.Open()
	}
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	type item struct{ URL, Title, Description, Length string }
	var items []item
	for _, o := range set.Services {
		if len(set.officesOf(o)) > 0 {
			items = append(items, item{
				base(r) + "services/" + o.ID + query("reference", reference(r)),
				o.Title.In(p.site.Lang(r)), o.Description.In(p.site.Lang(r)), p.length(r, o),
			})
		}
	}
	p.site.Render(w, r, http.StatusOK, "start", web.Page{Title: p.site.T(r, "start")}, map[string]any{"Items": items, "Of": steps})
}

func (p *pages) length(r *http.Request, o Offering) string {
	if o.Video {
		return p.site.T(r, "minutes.video", o.Minutes)
	}
	return p.site.T(r, "minutes", o.Minutes)
}

// choice is what the reader has chosen so far.
type choice struct {
	offering Offering
	office   Office
	offices  []Office
}

// chosen reads service and office of the request. Errors: unknown_service, unknown_office,
// tenant_suspended.
func (p *pages) chosen(r *http.Request) (c choice, err error) {
	e, set, err := p.s.of(r.Context())
	if err != nil {
		return c, err
	}
	if err := e.Open(); err != nil {
		return c, err
	}
	if c.offering, err = set.offering(r.PathValue("service")); err != nil {
		return c, err
	}
	c.offices = set.officesOf(c.offering)
	if office := r.FormValue("office"); office != "" {
		c.office, err = set.office(c.offering, office)
		return c, err
	}
	if len(c.offices) == 0 {
		return c, fault.NotFound("unknown_office", "the service is not offered at any office")
	}
	c.office = c.offices[0]
	return c, nil
}

// times shows a week of free times.
func (p *pages) times(w http.ResponseWriter, r *http.Request) {
	c, err := p.chosen(r)
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	ref := reference(r)
	here := base(r) + "services/" + c.offering.ID
	week, err := p.week(r, c, func(from string) string { return here + query("office", c.office.ID, "reference", ref, "from", from) },
		func(starts string) string {
			return here + "/details" + query("office", c.office.ID, "reference", ref, "starts_at", starts)
		})
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	var others []web.Link
	for _, o := range c.offices {
		others = append(others, web.Link{URL: here + query("office", o.ID, "reference", ref), Text: o.Name.In(p.site.Lang(r)), Current: o.ID == c.office.ID})
	}
	if len(others) == 1 {
		others = nil
	}
	p.site.Render(w, r, http.StatusOK, "times", web.Page{Title: p.site.T(r, "times"), Back: base(r) + query("reference", ref)}, map[string]any{
		"Week": week, "Service": c.offering.Title.In(p.site.Lang(r)), "Length": p.length(r, c.offering), "Step": 2, "Of": steps, "Offices": others,
	})
}

// week is the calendar of seven days.
type week struct {
	From, To       time.Time
	Days           []dayOfWeek
	Earlier, Later string // URL, "" for none
	First          string // URL of the next free day, if this week has none
	Horizon        int
}

type dayOfWeek struct {
	ID    string
	Date  time.Time
	Times []timeLink
}

type timeLink struct {
	URL string
	At  time.Time
}

const weekDays = 7

// week reads the days from the parameter from on; without one the week begins with the first
// free day.
func (p *pages) week(r *http.Request, c choice, page func(from string) string, slot func(starts string) string) (week, error) {
	today := dateOf(p.s.clock())
	last := today.add(c.offering.HorizonDays)
	all, err := p.s.free(r.Context(), c.offering, []Office{c.office}, today, last)
	if err != nil {
		return week{}, err
	}
	from, err := ParseDate(r.FormValue("from"))
	if err != nil || from.before(today) || last.before(from) {
		from = today
		if len(all) > 0 {
			from = dateOf(all[0].StartsAt)
		}
	}
	v := week{From: from.at(12 * 60), To: from.add(weekDays - 1).at(12 * 60), Horizon: c.offering.HorizonDays}
	if today.before(from) {
		earlier := from.add(-weekDays)
		if earlier.before(today) {
			earlier = today
		}
		v.Earlier = page(earlier.String())
	}
	if next := from.add(weekDays); !last.before(next) {
		v.Later = page(next.String())
	}
	for _, s := range all {
		d := dateOf(s.StartsAt)
		switch {
		case d.before(from):
		case d.before(from.add(weekDays)):
			if n := len(v.Days); n == 0 || v.Days[n-1].ID != d.String() {
				v.Days = append(v.Days, dayOfWeek{ID: d.String(), Date: d.at(12 * 60)})
			}
			day := &v.Days[len(v.Days)-1]
			day.Times = append(day.Times, timeLink{slot(s.StartsAt.Format(time.RFC3339)), s.StartsAt})
		case len(v.Days) == 0 && v.First == "":
			v.First = page(d.String())
		}
	}
	if len(v.Days) == 0 && v.First == "" && len(all) > 0 { // everything free lies before
		v.First = page(dateOf(all[0].StartsAt).String())
	}
	return v, nil
}

func (p *pages) rows(r *http.Request, o Offering, office Office, starts time.Time) []web.Row {
	lang := p.site.Lang(r)
	where := office.Name.In(lang)
	if office.Address != "" {
		where += ", " + office.Address
	}
	if o.Video {
		where = p.site.T(r, "row.by_video", where)
	}
	return []web.Row{
		{Key: p.site.T(r, "row.service"), Value: o.Title.In(lang)},
		{Key: p.site.T(r, "row.time"), Value: starts},
		{Key: p.site.T(r, "row.office"), Value: where},
	}
}

func (p *pages) form(r *http.Request, starts string) web.Form {
	return web.Form{
		{Name: "name", Label: p.site.T(r, "name"), Autocomplete: "name", Required: true, MaxLength: maxName},
		{Name: "email", Kind: "email", Label: p.site.T(r, "email"), Hint: p.site.T(r, "email.hint"), Autocomplete: "email", Required: true, MaxLength: maxEmail},
		{Name: "consent", Kind: "checkbox", Label: p.site.T(r, "consent", int(p.s.cfg.Keep/(24*time.Hour))), Required: true},
		{Name: "starts_at", Kind: "hidden", Value: starts},
		{Name: "office", Kind: "hidden", Value: r.FormValue("office")},
		{Name: "reference", Kind: "hidden", Value: reference(r)},
		{Name: "once", Kind: "hidden", Value: id.Secret(16)},
	}
}

// details asks who comes.
func (p *pages) details(w http.ResponseWriter, r *http.Request) {
	c, err := p.chosen(r)
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	p.showDetails(w, r, http.StatusOK, c, p.form(r, r.FormValue("starts_at")), "")
}

// showDetails shows the form; refused is the text key of why the last try failed.
func (p *pages) showDetails(w http.ResponseWriter, r *http.Request, status int, c choice, form web.Form, refused string) {
	back := base(r) + "services/" + c.offering.ID + query("office", c.office.ID, "reference", reference(r))
	starts, err := time.Parse(time.RFC3339, form.Value("starts_at"))
	if err != nil && form.Field("starts_at").Kind == "hidden" {
		seeOther(w, r, back)
		return
	}
	var rows []web.Row
	if form.Field("starts_at").Kind == "hidden" {
		back += map[bool]string{true: "&", false: "?"}[strings.Contains(back, "?")] + "from=" + dateOf(starts).String()
		rows = p.rows(r, c.offering, c.office, starts)
		rows[1].Change = back
	}
	action := base(r) + "services/" + c.offering.ID + "/details"
	self := action + query("office", c.office.ID, "reference", reference(r), "starts_at", form.Value("starts_at"))
	p.site.Render(w, r, status, "details", web.Page{Title: p.site.T(r, "details"), Back: back, Self: self},
		map[string]any{"Form": form, "Rows": rows, "Action": action, "Refused": refused, "Times": back, "Step": 3, "Of": steps})
}

const maxForm = 64 << 10

// hold reserves the time and leads to the page where it is checked and confirmed.
func (p *pages) hold(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.site.ErrorPage(w, r, fault.Invalid("form_unreadable", "the form cannot be read; send it again").Because(err))
		return
	}
	c, err := p.chosen(r)
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	form := p.form(r, "")
	form.Fill(r.PostForm)
	if !p.site.Check(r, form) {
		p.showDetails(w, r, http.StatusUnprocessableEntity, c, form, "")
		return
	}
	q := HoldRequest{
		ServiceID: c.offering.ID, OfficeID: c.office.ID, Name: form.Value("name"), Email: form.Value("email"),
		Language: p.site.Lang(r), Reference: form.Value("reference"),
	}
	if q.StartsAt, err = time.Parse(time.RFC3339, form.Value("starts_at")); err != nil {
		seeOther(w, r, base(r)+"services/"+c.offering.ID+query("office", c.office.ID, "reference", q.Reference))
		return
	}
	answer, err := p.holdOnce(r, q, form.Value("once"))
	switch f := fault.From(err); {
	case err == nil:
		seeOther(w, r, strings.TrimPrefix(answer.ManageURL, p.s.baseURL))
	case f.Code == "invalid_request" && p.site.Fail(r, form, err) == nil:
		p.showDetails(w, r, http.StatusUnprocessableEntity, c, form, "")
	case f.Code == "slot_taken":
		p.offerOthers(w, r, c, form, err)
	case slices.Contains([]string{"too_many_holds", "too_many_appointments", "rate_limited"}, f.Code):
		p.showDetails(w, r, f.Kind.Status(), c, form, "refused."+f.Code)
	case slices.Contains([]string{"slot_in_past", "too_soon", "too_far_ahead", "outside_opening_hours"}, f.Code):
		p.showDetails(w, r, f.Kind.Status(), c, form, "refused.time")
	default:
		p.site.ErrorPage(w, r, err)
	}
}

// holdOnce: sending the same form twice reserves once.
func (p *pages) holdOnce(r *http.Request, q HoldRequest, once string) (HoldAnswer, error) {
	if err := q.Validate(); err != nil {
		return HoldAnswer{}, err
	}
	text, err := json.Marshal(q)
	if err != nil {
		return HoldAnswer{}, err
	}
	sum := sha256.Sum256(append([]byte(once), text...))
	ctx, err := idem.With(r.Context(), "page", hex.EncodeToString(sum[:]), r.URL.Path, text)
	if err != nil {
		return HoldAnswer{}, err
	}
	return p.s.Hold(ctx, q)
}

// offerOthers shows the form again, with free times nearby to choose from.
func (p *pages) offerOthers(w http.ResponseWriter, r *http.Request, c choice, form web.Form, err error) {
	var taken *takenError
	asTaken(err, &taken)
	field := form.Field("starts_at")
	if taken == nil || len(taken.Free) == 0 {
		p.showDetails(w, r, http.StatusConflict, c, form, "taken")
		return
	}
	*field = web.Field{Name: "starts_at", Kind: "radios", Label: p.site.T(r, "other"), Required: true}
	for _, s := range taken.Free {
		field.Options = append(field.Options, web.Option{Value: s.StartsAt.Format(time.RFC3339), Label: p.when(r, s.StartsAt)})
	}
	i := slices.IndexFunc(form, func(f web.Field) bool { return f.Name == "starts_at" })
	form = append(web.Form{form[i]}, slices.Delete(slices.Clone(form), i, i+1)...)
	p.showDetails(w, r, http.StatusConflict, c, form, "taken")
}
