package booking_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/booking"
	"basisdienste/services/booking/jitsi"
)

// sunday is the time at which the tests begin: 22 November 2026, noon in Germany.
var sunday = time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// mailbox stands where notify stands: it keeps one message for each Idempotency-Key.
type mailbox struct {
	mu    sync.Mutex
	mails []mail
	keys  map[string]bool
	calls int
	fail  int // so many calls fail before the first succeeds
}

type mail struct {
	Path            string            `json:"-"`
	Template        string            `json:"template"`
	Language        string            `json:"language"`
	Channel         string            `json:"channel"`
	To              map[string]string `json:"to"`
	Personalisation map[string]string `json:"personalisation"`
	Reference       string            `json:"reference"`
	Attachments     []struct {
		Filename    string `json:"filename"`
		ContentType string `json:"content_type"`
		Content     string `json:"content"`
	} `json:"attachments"`
}

func (m mail) calendar(t testing.TB) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(m.Attachments[0].Content)
	if err != nil {
		t.Fatalf("attachment: %v", err)
	}
	return string(text)
}

func (b *mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.fail > 0 {
		b.fail--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	text, err := io.ReadAll(r.Body)
	m := mail{Path: r.URL.Path}
	key := r.Header.Get("Idempotency-Key")
	if err != nil || json.Unmarshal(text, &m) != nil || key == "" || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if !b.keys[key] {
		b.keys[key] = true
		b.mails = append(b.mails, m)
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"id":"x","status":"created"}`)
}

func (b *mailbox) list() []mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]mail(nil), b.mails...)
}

type env struct {
	*runtest.Env
	t      *testing.T
	clock  *clock
	mails  *mailbox
	erfurt tenantdir.Entry
}

const conferenceSecret = "0123456789abcdef0123456789abcdef"

func start(t *testing.T, change ...func(*booking.Settings)) *env {
	t.Helper()
	e := &env{t: t, clock: &clock{now: sunday}, mails: &mailbox{keys: map[string]bool{}}}
	e.Env = runtest.Start(t, []run.App{booking.New(jitsi.Open)}, runtest.Clock(e.clock.read), runtest.Neighbour("notify", e.mails),
		runtest.Set("booking.conference.domain", "meet.example.org"), runtest.Set("booking.conference.id", "basis"),
		runtest.Set("booking.conference.secret", conferenceSecret), runtest.Set("booking.holds_per_minute_and_address", "1000"))
	e.erfurt = e.Tenant("erfurt", "160510000000")
	if len(change) > 0 {
		s := booking.DefaultSettings()
		for _, c := range change {
			c(&s)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		e.erfurt.Settings, e.erfurt.Version = map[string]json.RawMessage{"booking": text}, 2
		e.Put(e.erfurt)
	}
	return e
}

// oneCounter leaves a single resource, so that every time can be taken by one person.
func oneCounter(s *booking.Settings) {
	s.Offices[0].Resources = s.Offices[0].Resources[:1]
	s.MaxHolds, s.MaxAppointments = 50, 50
}

const (
	api     = "/t/erfurt/booking/v1"
	service = "bewohnerparken-video"
	office  = "buergerbuero"
	nine    = "2026-11-23T08:00:00Z"
	half    = "2026-11-23T08:30:00Z"
)

type answer struct {
	ID            string         `json:"id"`
	State         string         `json:"state"`
	StartsAt      string         `json:"starts_at"`
	EndsAt        string         `json:"ends_at"`
	OfficeID      string         `json:"office_id"`
	Sequence      int            `json:"sequence"`
	ExpiresAt     string         `json:"expires_at"`
	Secret        string         `json:"secret"`
	ManageURL     string         `json:"manage_url"`
	ConferenceURL string         `json:"conference_url"`
	Code          string         `json:"code"`
	FreeSlots     []booking.Slot `json:"free_slots"`
	Fields        []struct {
		Name string `json:"name"`
		Code string `json:"code"`
	} `json:"fields"`
}

func holdBody(startsAt, email string) map[string]any {
	return map[string]any{"service_id": service, "office_id": office, "starts_at": startsAt, "name": "Kim Beispiel", "email": email}
}

// document is the API's contract, against which every answer is held.
var document = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("../../contracts/openapi/booking.yaml")
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

// Do sends, and holds the API's answer against its OpenAPI document.
func (e *env) Do(method, path, token string, body any, headers ...string) runtest.Answer {
	e.t.Helper()
	a := e.Env.Do(method, path, token, body, headers...)
	if !strings.Contains(path, "/booking/v1/") {
		return a
	}
	router, err := document()
	if err != nil {
		e.t.Fatalf("booking.yaml: %v", err)
	}
	r, err := http.NewRequestWithContext(e.t.Context(), method, path, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	route, params, err := router.FindRoute(r)
	if err != nil {
		e.t.Errorf("%s %s is not in the document: %v", method, path, err)
		return a
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body))}
	if err := openapi3filter.ValidateResponse(e.t.Context(), out); err != nil {
		e.t.Errorf("%s %s: answer %d breaks the document: %v\n%s", method, path, a.Status, err, a.Body)
	}
	return a
}

// checkEvents holds what was told against the events' schemas.
func (e *env) checkEvents(want ...string) {
	e.t.Helper()
	var rows []struct {
		Type    string `db:"type"`
		Payload string `db:"payload"`
	}
	ctx := db.System(e.t.Context())
	if err := e.Process.Host("booking").DB.Read(ctx, func(tx *db.Tx) error {
		return tx.Select(ctx, &rows, `SELECT type, payload FROM outbox ORDER BY seq`)
	}); err != nil {
		e.t.Fatalf("read the outbox: %v", err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, strings.TrimSuffix(strings.TrimPrefix(r.Type, "booking.appointment."), ".v1"))
		schema, ok := events.Schema(r.Type)
		if !ok {
			e.t.Errorf("event %s has no schema", r.Type)
			continue
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
		if err == nil {
			err = c.AddResource(r.Type, doc)
		}
		if err != nil {
			e.t.Fatalf("schema of %s: %v", r.Type, err)
		}
		payload, err := jsonschema.UnmarshalJSON(strings.NewReader(r.Payload))
		if err == nil {
			err = c.MustCompile(r.Type).Validate(payload)
		}
		if err != nil {
			e.t.Errorf("event %s breaks its schema: %v\n%s", r.Type, err, r.Payload)
		}
		if strings.Contains(r.Payload, "kim@") || strings.Contains(r.Payload, "Kim") {
			e.t.Errorf("event %s holds personal data: %s", r.Type, r.Payload)
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		e.t.Errorf("events: got %q, want %q", got, want)
	}
}

// post sends and reads the answer.
func (e *env) post(path string, body any, headers ...string) (runtest.Answer, answer) {
	e.t.Helper()
	raw := e.Do(http.MethodPost, path, "", body, headers...)
	var a answer
	raw.JSON(e.t, &a)
	return raw, a
}

// hold reserves a time, or fails the test.
func (e *env) hold(startsAt, email string) answer {
	e.t.Helper()
	raw, a := e.post(api+"/appointments", holdBody(startsAt, email))
	if raw.Status != http.StatusCreated || a.State != "held" || len(a.Secret) != 22 {
		e.t.Fatalf("hold %s for %s = %d %s, want 201, held, with a secret", startsAt, email, raw.Status, raw.Body)
	}
	return a
}

func (e *env) confirmed(startsAt, email string) answer {
	e.t.Helper()
	a := e.hold(startsAt, email)
	raw, c := e.post(api+"/appointments/"+a.ID+"/confirm", nil, booking.SecretHeader, a.Secret)
	if raw.Status != http.StatusOK || c.State != "confirmed" {
		e.t.Fatalf("confirm = %d %s, want 200, confirmed", raw.Status, raw.Body)
	}
	c.Secret = a.Secret
	return c
}

func (e *env) slots(query string) []string {
	e.t.Helper()
	var a struct {
		Items []booking.Slot `json:"items"`
	}
	raw := e.Do(http.MethodGet, api+"/services/"+service+"/slots"+query, "", nil)
	if raw.Status != http.StatusOK {
		e.t.Fatalf("GET slots%s = %d %s, want 200", query, raw.Status, raw.Body)
	}
	raw.JSON(e.t, &a)
	var out []string
	for _, s := range a.Items {
		out = append(out, s.StartsAt.Format("02T15:04"))
	}
	return out
}

func TestAPI_Journey(t *testing.T) {
	t.Parallel()
	e := start(t, oneCounter)
	const monday = "?from=2026-11-23&to=2026-11-23"
	if got, want := strings.Join(e.slots(monday), " "), "23T07:00 23T07:30 23T08:00 23T08:30 23T09:00 23T09:30 23T10:00 23T10:30 23T12:00 23T12:30 23T13:00 23T13:30 23T14:00"; got != want {
		t.Fatalf("free on Monday: got %q, want %q", got, want)
	}
	a := e.confirmed(nine, "kim@example.org")
	if strings.Contains(strings.Join(e.slots(monday), " "), "23T08:00") {
		t.Error("9:00 is shown as free after it was confirmed")
	}
	if !strings.HasPrefix(a.ConferenceURL, "https://meet.example.org/termin-") || a.ManageURL != e.URL+"/t/erfurt/booking/appointments/"+a.ID+"/"+a.Secret {
		t.Errorf("links: got %q and %q, want a room and the page of the appointment", a.ConferenceURL, a.ManageURL)
	}
	raw, moved := e.post(api+"/appointments/"+a.ID+"/move", map[string]any{"secret": a.Secret, "starts_at": "2026-11-24T08:00:00Z"})
	if raw.Status != 200 || moved.Sequence != 1 || moved.StartsAt != "2026-11-24T08:00:00Z" || moved.EndsAt != "2026-11-24T08:30:00Z" {
		t.Errorf("move = %d %s, want 200, sequence 1, Tuesday", raw.Status, raw.Body)
	}
	if !strings.Contains(strings.Join(e.slots(monday), " "), "23T08:00") {
		t.Error("9:00 on Monday is not free after the appointment was moved away")
	}
	raw, again := e.post(api+"/appointments/"+a.ID+"/move", map[string]any{"secret": a.Secret, "starts_at": "2026-11-24T08:00:00Z"})
	if raw.Status != 200 || again.Sequence != 1 {
		t.Errorf("move to where it is = %d %s, want 200 and the same sequence", raw.Status, raw.Body)
	}
	raw, gone := e.post(api+"/appointments/"+a.ID+"/cancel", `{"secret":"`+a.Secret+`"}`)
	if raw.Status != 200 || gone.State != "canceled" || gone.Sequence != 2 || gone.ConferenceURL != "" {
		t.Errorf("cancel = %d %s, want 200, canceled, sequence 2, no conference", raw.Status, raw.Body)
	}
	if !strings.Contains(strings.Join(e.slots("?from=2026-11-24&to=2026-11-24"), " "), "24T08:00") {
		t.Error("9:00 on Tuesday is not free after the appointment was canceled")
	}

	e.checkEvents("held", "confirmed", "moved", "canceled")
	runtest.Eventually(t, "three mails are sent", func() bool { return len(e.mails.list()) == 3 })
	mails := map[string]mail{}
	for _, m := range e.mails.list() {
		mails[m.Template] = m
	}
	c, m, x := mails["appointment-confirmed"], mails["appointment-moved"], mails["appointment-canceled"]
	for name, c := range map[string]struct{ got, want string }{
		"path":            {c.Path, "/t/erfurt/notify/v1/messages"},
		"to":              {c.To["email"], "kim@example.org"},
		"channel":         {c.Channel, "email"},
		"language":        {c.Language, "de"},
		"service":         {c.Personalisation["service"], "Beratung Bewohnerparken (Video)"},
		"starts_at":       {c.Personalisation["starts_at"], "2026-11-23T09:00:00+01:00"},
		"moved starts_at": {m.Personalisation["starts_at"], "2026-11-24T09:00:00+01:00"},
		"office":          {c.Personalisation["office"], "Bürgerbüro, Erfurt"},
		"manage_link":     {c.Personalisation["manage_link"], a.ManageURL},
		"content type":    {c.Attachments[0].ContentType, "text/calendar; method=REQUEST; charset=UTF-8; component=VEVENT"},
		"cancel type":     {x.Attachments[0].ContentType, "text/calendar; method=CANCEL; charset=UTF-8; component=VEVENT"},
		"no links":        {x.Personalisation["manage_link"], ""},
	} {
		if c.got != c.want {
			t.Errorf("mail, %s: got %q, want %q", name, c.got, c.want)
		}
	}
	if !strings.HasPrefix(c.Personalisation["conference_link"], "https://meet.example.org/") {
		t.Errorf("mail, conference_link: got %q", c.Personalisation["conference_link"])
	}
	if uid := "UID:" + a.ID + "@"; !strings.Contains(c.calendar(t), uid) || !strings.Contains(x.calendar(t), uid) || !strings.Contains(m.calendar(t), "SEQUENCE:1\r\n") ||
		!strings.Contains(x.calendar(t), "SEQUENCE:2\r\n") || !strings.Contains(x.calendar(t), "STATUS:CANCELLED\r\n") {
		t.Errorf("calendars: want one UID and growing sequences, got\n%s\n%s\n%s", c.calendar(t), m.calendar(t), x.calendar(t))
	}
}

// TestAPI_MailOnce: a neighbour that fails is asked again, and has each mail once.
func TestAPI_MailOnce(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.mails.mu.Lock()
	e.mails.fail = 3
	e.mails.mu.Unlock()
	a := e.confirmed(nine, "kim@example.org")
	for range 3 { // confirming again sends nothing more
		e.post(api+"/appointments/"+a.ID+"/confirm", nil, booking.SecretHeader, a.Secret)
	}
	hold := e.hold(half, "kim@example.org")
	e.post(api+"/appointments/"+hold.ID+"/cancel", nil, booking.SecretHeader, hold.Secret) // never an invitation, so no mail
	last := e.confirmed("2026-11-23T09:00:00Z", "kim@example.org")
	e.post(api+"/appointments/"+last.ID+"/cancel", nil, booking.SecretHeader, last.Secret)
	runtest.Eventually(t, "the mails are there", func() bool { return len(e.mails.list()) >= 3 })
	var got []string
	for _, m := range e.mails.list() {
		got = append(got, m.Template)
	}
	if strings.Count(strings.Join(got, " "), "confirmed") != 2 || strings.Count(strings.Join(got, " "), "canceled") != 1 {
		t.Errorf("mails: got %q, want two confirmations and one cancelation", got)
	}
}

func TestAPI_TwoAtOnce(t *testing.T) {
	t.Parallel()
	e := start(t, oneCounter)
	const many = 12
	results := make([]runtest.Answer, many)
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			results[i] = e.Do(http.MethodPost, api+"/appointments", "", holdBody(nine, fmt.Sprintf("kim%d@example.org", i)))
		})
	}
	wg.Wait()
	var won answer
	for _, r := range results {
		var a answer
		r.JSON(t, &a)
		switch {
		case r.Status == http.StatusCreated && won.ID == "":
			won = a
		case r.Status == http.StatusConflict && a.Code == "slot_taken" && len(a.FreeSlots) == 5:
		default:
			t.Errorf("hold of a taken time = %d %s, want one 201, and 409 slot_taken with 5 free times", r.Status, r.Body)
		}
	}
	// Confirming at once: all are told the same, and it happens once.
	for i := range many {
		wg.Go(func() {
			results[i] = e.Do(http.MethodPost, api+"/appointments/"+won.ID+"/confirm", "", nil, booking.SecretHeader, won.Secret)
		})
	}
	wg.Wait()
	for _, r := range results {
		if r.Status != http.StatusOK {
			t.Errorf("confirm = %d %s, want 200", r.Status, r.Body)
		}
	}
	var confirmed int
	d := e.Process.Host("booking").DB
	ctx := db.System(t.Context())
	if err := d.Read(ctx, func(tx *db.Tx) error {
		return tx.Get(ctx, &confirmed, `SELECT count(*) FROM outbox WHERE type = 'booking.appointment.confirmed.v1'`)
	}); err != nil || confirmed != 1 {
		t.Errorf("events of the confirmation: %d (%v), want 1", confirmed, err)
	}
}

func TestAPI_SeveralResources(t *testing.T) {
	t.Parallel()
	e := start(t)
	for i := range 3 {
		e.hold(nine, fmt.Sprintf("kim%d@example.org", i))
	}
	if raw, a := e.post(api+"/appointments", holdBody(nine, "late@example.org")); raw.Status != 409 || a.Code != "slot_taken" {
		t.Errorf("the fourth at three counters = %d %s, want 409 slot_taken", raw.Status, raw.Body)
	}
	// Those who come next are spread over the counters.
	token := e.Token(authn.Principal{Kind: authn.Staff, TenantID: e.erfurt.ID, Roles: []string{authn.RoleClerk}})
	for i := range 3 {
		e.hold(half, fmt.Sprintf("kim%d@example.org", i))
	}
	var day struct {
		Items []struct {
			ResourceID string `json:"resource_id"`
			Name       string `json:"name"`
		} `json:"items"`
	}
	e.Do(http.MethodGet, api+"/staff/appointments?date=2026-11-23&office_id="+office, token, nil).JSON(t, &day)
	load := map[string]int{}
	for _, i := range day.Items {
		load[i.ResourceID]++
	}
	if len(day.Items) != 6 || load["platz-1"] != 2 || load["platz-2"] != 2 || load["platz-3"] != 2 {
		t.Errorf("appointments by counter: got %v, want two at each of three", load)
	}
}

func TestAPI_HoldLapses(t *testing.T) {
	t.Parallel()
	e := start(t, oneCounter)
	a := e.hold(nine, "kim@example.org")
	if a.ExpiresAt != "2026-11-22T11:15:00Z" {
		t.Errorf("expires_at: got %s, want a quarter of an hour later", a.ExpiresAt)
	}
	e.clock.pass(15 * time.Minute)
	if got := strings.Join(e.slots("?from=2026-11-23&to=2026-11-23"), " "); !strings.Contains(got, "23T08:00") {
		t.Errorf("free after the hold lapsed: got %s, want 9:00 among them", got)
	}
	raw, c := e.post(api+"/appointments/"+a.ID+"/confirm", nil, booking.SecretHeader, a.Secret)
	if raw.Status != http.StatusGone || c.Code != "hold_expired" {
		t.Errorf("confirm after 15 minutes = %d %s, want 410 hold_expired", raw.Status, raw.Body)
	}
	var shown answer
	e.Do(http.MethodGet, api+"/appointments/"+a.ID, "", nil, booking.SecretHeader, a.Secret).JSON(t, &shown)
	if shown.State != "expired" {
		t.Errorf("state of a lapsed hold: got %q, want expired", shown.State)
	}
	b := e.confirmed(nine, "other@example.org")
	raw, c = e.post(api+"/appointments/"+a.ID+"/confirm", nil, booking.SecretHeader, a.Secret)
	if raw.Status != http.StatusGone || c.Code != "hold_expired" {
		t.Errorf("confirm after somebody else did = %d %s, want 410 hold_expired", raw.Status, raw.Body)
	}
	if b.ID == a.ID {
		t.Error("two appointments, one id")
	}
}

func TestAPI_MoveToTakenTime(t *testing.T) {
	t.Parallel()
	e := start(t, oneCounter)
	a, b := e.confirmed(nine, "a@example.org"), e.confirmed(half, "b@example.org")
	raw, got := e.post(api+"/appointments/"+a.ID+"/move", map[string]any{"secret": a.Secret, "starts_at": half})
	if raw.Status != 409 || got.Code != "slot_taken" || len(got.FreeSlots) == 0 {
		t.Errorf("move to a taken time = %d %s, want 409 slot_taken with free times", raw.Status, raw.Body)
	}
	var kept answer
	e.Do(http.MethodGet, api+"/appointments/"+a.ID, "", nil, booking.SecretHeader, a.Secret).JSON(t, &kept)
	if kept.State != "confirmed" || kept.StartsAt != nine || kept.Sequence != 0 {
		t.Errorf("appointment after the failed move: got %+v, want it where it was", kept)
	}
	if raw, got := e.post(api+"/appointments", holdBody(nine, "c@example.org")); raw.Status != 409 || got.Code != "slot_taken" {
		t.Errorf("its time = %d %s, want still taken", raw.Status, raw.Body)
	}
	if raw, _ := e.post(api+"/appointments/"+b.ID+"/cancel", nil, booking.SecretHeader, b.Secret); raw.Status != 200 {
		t.Fatalf("cancel = %d %s", raw.Status, raw.Body)
	}
	if raw, got := e.post(api+"/appointments/"+a.ID+"/move", map[string]any{"secret": a.Secret, "starts_at": half}); raw.Status != 200 || got.StartsAt != half {
		t.Errorf("move to the time that was given back = %d %s, want 200", raw.Status, raw.Body)
	}
}

func TestAPI_BadInput(t *testing.T) {
	t.Parallel()
	e := start(t)
	jena := e.Tenant("jena", "160530000000")
	a, held := e.confirmed(nine, "kim@example.org"), e.hold(half, "kim@example.org")
	people := 0
	with := func(change ...any) map[string]any {
		people++
		b := holdBody("2026-11-23T09:00:00Z", fmt.Sprintf("new%d@example.org", people))
		for i := 0; i < len(change); i += 2 {
			if change[i+1] == nil {
				delete(b, change[i].(string))
			} else {
				b[change[i].(string)] = change[i+1]
			}
		}
		return b
	}
	one := api + "/appointments/" + a.ID
	clerk := e.Token(authn.Principal{Kind: authn.Staff, TenantID: e.erfurt.ID, Roles: []string{authn.RoleClerk}})
	admin := e.Token(authn.Principal{Kind: authn.Staff, TenantID: e.erfurt.ID, Roles: []string{authn.RoleTenantAdmin}})
	citizen := e.Token(authn.Principal{Kind: authn.Citizen, TenantID: e.erfurt.ID})
	foreign := e.Token(authn.Principal{Kind: authn.Staff, TenantID: jena.ID, Roles: []string{authn.RoleTenantAdmin}})
	closure := map[string]any{"office_id": office, "starts_at": "2026-11-25T08:00:00Z", "ends_at": "2026-11-25T12:00:00Z", "reason": "Schulung"}
	for _, c := range []struct {
		name, method, path, token string
		body                      any
		secret                    string
		want                      int
		code, field               string
	}{
		{"unknown tenant", "GET", "/t/nowhere/booking/v1/services", "", nil, "", 404, "unknown_tenant", ""},
		{"unknown service", "GET", api + "/services/nothing/slots", "", nil, "", 404, "unknown_service", ""},
		{"unknown office", "GET", api + "/services/" + service + "/slots?office_id=x", "", nil, "", 404, "unknown_office", ""},
		{"no date", "GET", api + "/services/" + service + "/slots?from=tomorrow", "", nil, "", 400, "invalid_date", "from"},
		{"no day of the calendar", "GET", api + "/services/" + service + "/slots?to=2026-02-30", "", nil, "", 400, "invalid_date", "to"},
		{"range backwards", "GET", api + "/services/" + service + "/slots?from=2026-11-24&to=2026-11-23", "", nil, "", 400, "invalid_range", "to"},
		{"range too long", "GET", api + "/services/" + service + "/slots?from=2026-11-24&to=2027-11-23", "", nil, "", 400, "invalid_range", "to"},
		{"hold: unknown service", "POST", api + "/appointments", "", with("service_id", "nothing"), "", 404, "unknown_service", ""},
		{"hold: unknown office", "POST", api + "/appointments", "", with("office_id", "nothing"), "", 404, "unknown_office", ""},
		{"hold: in the past", "POST", api + "/appointments", "", with("starts_at", "2026-11-20T08:00:00Z"), "", 422, "slot_in_past", ""},
		{"hold: in the first century", "POST", api + "/appointments", "", with("starts_at", "0001-01-02T08:00:00Z"), "", 422, "slot_in_past", ""},
		{"hold: too soon", "POST", api + "/appointments", "", with("starts_at", "2026-11-22T12:30:00Z"), "", 422, "too_soon", ""},
		{"hold: beyond the horizon", "POST", api + "/appointments", "", with("starts_at", "2027-02-22T08:00:00Z"), "", 422, "too_far_ahead", ""},
		{"hold: in the last century", "POST", api + "/appointments", "", with("starts_at", "9999-12-31T08:00:00Z"), "", 422, "too_far_ahead", ""},
		{"hold: at night", "POST", api + "/appointments", "", with("starts_at", "2026-11-23T22:00:00Z"), "", 422, "outside_opening_hours", ""},
		{"hold: between two starts", "POST", api + "/appointments", "", with("starts_at", "2026-11-23T09:10:00Z"), "", 422, "outside_opening_hours", ""},
		{"hold: a second too late", "POST", api + "/appointments", "", with("starts_at", "2026-11-23T09:00:01Z"), "", 422, "outside_opening_hours", ""},
		{"hold: on Christmas Day", "POST", api + "/appointments", "", with("starts_at", "2026-12-25T09:00:00Z"), "", 422, "outside_opening_hours", ""},
		{"hold: no name", "POST", api + "/appointments", "", with("name", " "), "", 400, "invalid_request", "/name"},
		{"hold: a name of two lines", "POST", api + "/appointments", "", with("name", "a\r\nATTENDEE:x"), "", 400, "invalid_request", "/name"},
		{"hold: a long name", "POST", api + "/appointments", "", with("name", strings.Repeat("ä", 201)), "", 400, "invalid_request", "/name"},
		{"hold: no address", "POST", api + "/appointments", "", with("email", nil), "", 400, "invalid_request", "/email"},
		{"hold: two addresses", "POST", api + "/appointments", "", with("email", "a@example.org, b@example.org"), "", 400, "invalid_request", "/email"},
		{"hold: address with name", "POST", api + "/appointments", "", with("email", "Kim <a@example.org>"), "", 400, "invalid_request", "/email"},
		{"hold: language", "POST", api + "/appointments", "", with("language", "fr"), "", 400, "invalid_request", "/language"},
		{"hold: reference", "POST", api + "/appointments", "", with("reference", "<b>"), "", 400, "invalid_request", "/reference"},
		{"hold: no time", "POST", api + "/appointments", "", with("starts_at", nil), "", 400, "invalid_request", "/starts_at"},
		{"hold: not a time", "POST", api + "/appointments", "", with("starts_at", "soon"), "", 400, "wrong_type", "/starts_at"},
		{"hold: unknown field", "POST", api + "/appointments", "", with("price", 1), "", 400, "unknown_field", "/price"},
		{"hold: twice", "POST", api + "/appointments", "", `{"name":"a","name":"b"}`, "", 400, "duplicate_field", "/name"},
		{"hold: byte order mark", "POST", api + "/appointments", "", "\ufeff{}", "", 400, "invalid_json", ""},
		{"no secret", "GET", one, "", nil, "", 404, "appointment_not_found", ""},
		{"wrong secret", "GET", one, "", nil, held.Secret, 404, "appointment_not_found", ""},
		{"confirm: wrong secret", "POST", one + "/confirm", "", nil, held.Secret, 404, "appointment_not_found", ""},
		{"cancel: wrong secret", "POST", one + "/cancel", "", `{"secret":"x"}`, "", 404, "appointment_not_found", ""},
		{"move: wrong secret", "POST", one + "/move", "", map[string]any{"starts_at": half}, "x", 404, "appointment_not_found", ""},
		{"another tenant", "GET", "/t/jena/booking/v1/appointments/" + a.ID, "", nil, a.Secret, 404, "appointment_not_found", ""},
		{"another tenant cancels", "POST", "/t/jena/booking/v1/appointments/" + a.ID + "/cancel", "", nil, a.Secret, 404, "appointment_not_found", ""},
		{"no such appointment", "GET", api + "/appointments/x", "", nil, a.Secret, 404, "appointment_not_found", ""},
		{"move: no time", "POST", one + "/move", "", `{}`, a.Secret, 400, "invalid_request", "/starts_at"},
		{"move: no body", "POST", one + "/move", "", nil, a.Secret, 400, "invalid_json", ""},
		{"move: into the past", "POST", one + "/move", "", map[string]any{"starts_at": "2026-11-20T08:00:00Z"}, a.Secret, 422, "slot_in_past", ""},
		{"move: at night", "POST", one + "/move", "", map[string]any{"starts_at": "2026-11-23T23:00:00Z"}, a.Secret, 422, "outside_opening_hours", ""},
		{"move: a hold", "POST", api + "/appointments/" + held.ID + "/move", "", map[string]any{"starts_at": "2026-11-23T09:00:00Z"}, held.Secret, 409, "not_confirmed", ""},
		{"staff: no token", "GET", api + "/staff/appointments", "", nil, "", 401, "token_missing", ""},
		{"staff: a citizen", "GET", api + "/staff/appointments", citizen, nil, "", 403, "role_missing", ""},
		{"staff: of another tenant", "GET", api + "/staff/appointments", foreign, nil, "", 403, "wrong_tenant", ""},
		{"staff: no reason", "POST", api + "/staff/appointments/" + a.ID + "/cancel", clerk, `{"reason":""}`, "", 400, "invalid_request", "/reason"},
		{"staff: no such appointment", "POST", api + "/staff/appointments/x/cancel", clerk, `{"reason":"krank"}`, "", 404, "appointment_not_found", ""},
		{"closure: a clerk", "POST", api + "/staff/closures", clerk, closure, "", 403, "role_missing", ""},
		{"closure: unknown office", "POST", api + "/staff/closures", admin, map[string]any{"office_id": "x", "starts_at": nine, "ends_at": half, "reason": "x"}, "", 404, "unknown_office", ""},
		{"closure: unknown resource", "POST", api + "/staff/closures", admin, map[string]any{"office_id": office, "resource_id": "x", "starts_at": nine, "ends_at": half, "reason": "x"}, "", 404, "unknown_resource", ""},
		{"closure: backwards", "POST", api + "/staff/closures", admin, map[string]any{"office_id": office, "starts_at": half, "ends_at": nine, "reason": "x"}, "", 400, "invalid_request", "/ends_at"},
		{"closure: not there", "DELETE", api + "/staff/closures/x", admin, nil, "", 404, "closure_not_found", ""},
	} {
		var headers []string
		if c.secret != "" {
			headers = []string{booking.SecretHeader, c.secret}
		}
		raw := e.Do(c.method, c.path, c.token, c.body, headers...)
		var p answer
		raw.JSON(t, &p)
		field := ""
		if len(p.Fields) > 0 {
			field = p.Fields[0].Name
		}
		if raw.Status != c.want || p.Code != c.code || field != c.field {
			t.Errorf("%s: %s %s = %d %s, want %d %s at %q", c.name, c.method, c.path, raw.Status, raw.Body, c.want, c.code, c.field)
		}
	}
	if got := len(e.slots("?from=2026-11-23&to=2026-11-23")); got != 13 {
		t.Errorf("free times after all that: got %d, want the 13 that were there", got)
	}
}

func TestAPI_Suspended(t *testing.T) {
	t.Parallel()
	e := start(t)
	a, held := e.confirmed(nine, "kim@example.org"), e.hold(half, "kim@example.org")
	e.erfurt.Status, e.erfurt.Version = tenantdir.Suspended, 9
	e.Put(e.erfurt)
	if raw, got := e.post(api+"/appointments", holdBody("2026-11-23T09:00:00Z", "new@example.org")); raw.Status != 403 || got.Code != "tenant_suspended" {
		t.Errorf("hold = %d %s, want 403 tenant_suspended", raw.Status, raw.Body)
	}
	if raw := e.Do(http.MethodGet, api+"/services/"+service+"/slots", "", nil); raw.Status != 403 {
		t.Errorf("slots = %d %s, want 403", raw.Status, raw.Body)
	}
	// What is under way goes on.
	if raw, got := e.post(api+"/appointments/"+held.ID+"/confirm", nil, booking.SecretHeader, held.Secret); raw.Status != 200 || got.State != "confirmed" {
		t.Errorf("confirm = %d %s, want 200", raw.Status, raw.Body)
	}
	if raw, got := e.post(api+"/appointments/"+a.ID+"/cancel", nil, booking.SecretHeader, a.Secret); raw.Status != 200 || got.State != "canceled" {
		t.Errorf("cancel = %d %s, want 200", raw.Status, raw.Body)
	}
}

func TestAPI_Bounds(t *testing.T) {
	t.Parallel()
	e := start(t, func(s *booking.Settings) { s.MaxHolds, s.MaxAppointments = 2, 2 })
	first := e.hold(nine, "kim@example.org")
	second := e.hold(half, "KIM@example.org ")
	raw, got := e.post(api+"/appointments", holdBody("2026-11-23T09:00:00Z", "kim@example.org"))
	if raw.Status != 429 || got.Code != "too_many_holds" || raw.Header.Get("Retry-After") == "" {
		t.Errorf("the third hold = %d %s, want 429 too_many_holds with Retry-After", raw.Status, raw.Body)
	}
	for _, a := range []answer{first, second} {
		e.post(api+"/appointments/"+a.ID+"/confirm", nil, booking.SecretHeader, a.Secret)
	}
	if raw, got = e.post(api+"/appointments", holdBody("2026-11-23T09:00:00Z", "kim@example.org")); raw.Status != 409 || got.Code != "too_many_appointments" {
		t.Errorf("the third appointment = %d %s, want 409 too_many_appointments", raw.Status, raw.Body)
	}
	e.hold("2026-11-23T09:00:00Z", "other@example.org")
	// And how often one address may ask, whatever comes of it.
	var limited bool
	for range 12 {
		raw, got = e.post(api+"/appointments", holdBody("2026-11-20T09:00:00Z", "often@example.org"))
		limited = limited || raw.Status == 429 && got.Code == "rate_limited"
	}
	if !limited {
		t.Error("12 attempts for one e-mail address at once: want 429 rate_limited among the answers")
	}
}

func TestAPI_Idempotency(t *testing.T) {
	t.Parallel()
	e := start(t)
	raw, first := e.post(api+"/appointments", holdBody(nine, "kim@example.org"), "Idempotency-Key", "k1")
	_, second := e.post(api+"/appointments", holdBody(nine, "kim@example.org"), "Idempotency-Key", "k1")
	if raw.Status != 201 || first.ID == "" || first.ID != second.ID || first.Secret != second.Secret {
		t.Errorf("hold twice with one key: got %+v and %+v, want the same", first, second)
	}
	if raw, got := e.post(api+"/appointments", holdBody(half, "kim@example.org"), "Idempotency-Key", "k1"); raw.Status != 422 || got.Code != "idempotency_key_reused" {
		t.Errorf("another hold with the key = %d %s, want 422", raw.Status, raw.Body)
	}
	path := api + "/appointments/" + first.ID
	e.post(path+"/confirm", nil, "Idempotency-Key", "k2", booking.SecretHeader, first.Secret)
	if raw, _ := e.post(path+"/confirm", nil, "Idempotency-Key", "k2", booking.SecretHeader, "guess"); raw.Status != 404 {
		t.Errorf("a stored answer for the wrong secret = %d %s, want 404", raw.Status, raw.Body)
	}
	move := map[string]any{"starts_at": half}
	_, a := e.post(path+"/move", move, "Idempotency-Key", "k3", booking.SecretHeader, first.Secret)
	_, b := e.post(path+"/move", move, "Idempotency-Key", "k3", booking.SecretHeader, first.Secret)
	if a.Sequence != 1 || b.Sequence != 1 {
		t.Errorf("move twice with one key: sequences %d and %d, want 1", a.Sequence, b.Sequence)
	}
	// Neither secrets nor names are kept with the answers.
	var kept []string
	ctx := db.System(t.Context())
	if err := e.Process.Host("booking").DB.Read(ctx, func(tx *db.Tx) error {
		return tx.Select(ctx, &kept, `SELECT answer FROM idempotency`)
	}); err != nil || len(kept) != 3 {
		t.Fatalf("stored answers: %q, %v; want 3", kept, err)
	}
	for _, secret := range []string{first.Secret, "Kim", "kim@", "jwt"} {
		if strings.Contains(strings.Join(kept, " "), secret) {
			t.Errorf("stored answers hold %q: %s", secret, kept)
		}
	}
}

func TestAPI_Staff(t *testing.T) {
	t.Parallel()
	e := start(t)
	a := e.confirmed(nine, "kim@example.org")
	clerk := e.Token(authn.Principal{Kind: authn.Staff, TenantID: e.erfurt.ID, Roles: []string{authn.RoleClerk}})
	admin := e.Token(authn.Principal{Kind: authn.Staff, TenantID: e.erfurt.ID, Roles: []string{authn.RoleTenantAdmin}})
	raw := e.Do(http.MethodPost, api+"/staff/closures", admin, map[string]any{"office_id": office, "starts_at": nine, "ends_at": "2026-11-23T09:00:00Z", "reason": "Schulung"})
	var c struct {
		ID       string   `json:"id"`
		Affected []string `json:"affected"`
	}
	raw.JSON(t, &c)
	if raw.Status != 201 || len(c.Affected) != 1 || c.Affected[0] != a.ID {
		t.Errorf("closure = %d %s, want 201 with the appointment that is in it", raw.Status, raw.Body)
	}
	if got := strings.Join(e.slots("?from=2026-11-23&to=2026-11-23"), " "); strings.Contains(got, "23T08:") {
		t.Errorf("free during the closure: %s, want nothing from 9 to 10", got)
	}
	if raw, got := e.post(api+"/appointments", holdBody(nine, "b@example.org")); raw.Status != 422 || got.Code != "outside_opening_hours" {
		t.Errorf("hold during the closure = %d %s, want 422 outside_opening_hours", raw.Status, raw.Body)
	}
	raw = e.Do(http.MethodPost, api+"/staff/appointments/"+a.ID+"/cancel", clerk, map[string]string{"reason": "Wir sind bei einer Schulung."})
	if raw.Status != 200 || !strings.Contains(string(raw.Body), `"canceled"`) {
		t.Errorf("cancel by staff = %d %s, want 200 canceled", raw.Status, raw.Body)
	}
	runtest.Eventually(t, "the citizen is told why", func() bool {
		for _, m := range e.mails.list() {
			if m.Template == "appointment-canceled" {
				return strings.Contains(m.calendar(t), "COMMENT;LANGUAGE=de:Wir sind bei einer Schulung.")
			}
		}
		return false
	})
	if raw := e.Do(http.MethodDelete, api+"/staff/closures/"+c.ID, admin, nil); raw.Status != 204 {
		t.Errorf("remove the closure = %d %s, want 204", raw.Status, raw.Body)
	}
	if got := strings.Join(e.slots("?from=2026-11-23&to=2026-11-23"), " "); !strings.Contains(got, "23T08:00") {
		t.Errorf("free after the closure was removed: %s, want 9:00", got)
	}
	b := e.confirmed(nine, "kim@example.org")
	var day struct {
		Items []answer `json:"items"`
	}
	e.Do(http.MethodGet, api+"/staff/appointments?date=2026-11-23", clerk, nil).JSON(t, &day)
	if len(day.Items) != 2 || day.Items[1].ConferenceURL == "" || day.Items[1].ConferenceURL == b.ConferenceURL {
		t.Errorf("day for staff: got %+v, want the canceled and the confirmed one with the moderator's link", day.Items)
	}
}
