package booking

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/tenantdir"
)

// Config is the section "booking" of the process's configuration.
type Config struct {
	// SweepEvery is how often holds whose time is over are cleared away. They are free for
	// others at once; this only forgets their names.
	SweepEvery time.Duration `config:"sweep_every"`
	// SweepBatch bounds how many rows one round takes.
	SweepBatch int `config:"sweep_batch"`
	// Keep is how long after its end an appointment is kept, then it is deleted.
	Keep time.Duration `config:"keep"`
	// HoldsPerMinute bounds the reservations from one address.
	HoldsPerMinute int `config:"holds_per_minute_and_address"`
	// Conference is where video appointments take place.
	Conference ConferenceConfig `config:"conference"`
}

// ConferenceConfig reaches a conference system; the adapter says what the parts mean there.
type ConferenceConfig struct {
	Domain string `config:"domain"` // host name
	ID     string `config:"id"`     // under which the system knows this installation
	Secret string `config:"secret,secret"`
}

// DefaultConfig is used where nothing else is said.
func DefaultConfig() Config {
	return Config{SweepEvery: 15 * time.Second, SweepBatch: 500, Keep: 30 * 24 * time.Hour, HoldsPerMinute: 60}
}

// Validate implements the check of package config.
func (c *Config) Validate() error {
	var errs []error
	if c.SweepEvery < 100*time.Millisecond {
		errs = append(errs, fmt.Errorf("sweep_every: %s is too short, want at least 100ms", c.SweepEvery))
	}
	if c.SweepBatch < 1 || c.SweepBatch > 10_000 {
		errs = append(errs, errors.New("sweep_batch: want 1 to 10000"))
	}
	if c.Keep < 24*time.Hour {
		errs = append(errs, fmt.Errorf("keep: %s is too short, want at least 24h", c.Keep))
	}
	if c.HoldsPerMinute < 1 {
		errs = append(errs, errors.New("holds_per_minute_and_address: want at least 1"))
	}
	return errors.Join(errs...)
}

// Text is a text by language: "de" and "en".
type Text map[string]string

// In returns the text in the language, else in German.
func (t Text) In(language string) string {
	if s := t[language]; s != "" {
		return s
	}
	return t["de"]
}

// Settings are a municipality's own, under "booking" of its settings; what it leaves out is
// the operator's default. A list that it gives replaces the default as a whole.
type Settings struct {
	Offices  []Office   `json:"offices"`
	Services []Offering `json:"services"`
	// HoldMinutes is how long a chosen time is reserved until it must be confirmed.
	HoldMinutes int `json:"hold_minutes"`
	// MaxHolds and MaxAppointments bound what one e-mail address has at a time: times that
	// are reserved, and appointments to come.
	MaxHolds        int `json:"max_holds"`
	MaxAppointments int `json:"max_appointments"`
}

// Office is a place with people or counters that can be booked.
type Office struct {
	ID        string     `json:"id"`
	Name      Text       `json:"name"`
	Address   string     `json:"address"`
	Email     string     `json:"email"` // organizer of its appointments in calendars
	Resources []Resource `json:"resources"`
	Hours     []Hours    `json:"hours"`
	Holidays  string     `json:"holidays"` // TH (default) or none
	Closed    []string   `json:"closed"`   // "12-24", "2026-12-28", "fronleichnam"
}

// Resource is a person or counter that has one appointment at a time.
type Resource struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Hours are opening hours that come back every week.
type Hours struct {
	Weekdays   []int    `json:"weekdays"` // 1 Monday … 7 Sunday
	From       string   `json:"from"`     // "08:30", in Germany
	Until      string   `json:"until"`
	ValidFrom  string   `json:"valid_from,omitempty"`  // "2026-01-01"; empty: always
	ValidUntil string   `json:"valid_until,omitempty"` // the last day
	Resources  []string `json:"resources,omitempty"`   // empty: all

	from, until int // minutes after midnight, set by Validate
}

// Offering is a service that appointments are made for.
type Offering struct {
	ID            string   `json:"id"`
	Title         Text     `json:"title"`
	Description   Text     `json:"description"`
	Offices       []string `json:"offices"` // empty: all
	Minutes       int      `json:"minutes"`
	EveryMinutes  int      `json:"every_minutes"`  // from start to start; 0: as long as it takes
	BufferMinutes int      `json:"buffer_minutes"` // free time after it
	NoticeMinutes int      `json:"notice_minutes"` // at least that long before
	HorizonDays   int      `json:"horizon_days"`   // at most that many days ahead
	Video         bool     `json:"video"`
}

func (o Offering) duration() time.Duration { return time.Duration(o.Minutes) * time.Minute }
func (o Offering) buffer() time.Duration   { return time.Duration(o.BufferMinutes) * time.Minute }
func (o Offering) notice() time.Duration   { return time.Duration(o.NoticeMinutes) * time.Minute }

// step is the distance of two starts in grains.
func (o Offering) step() int64 {
	if o.EveryMinutes > 0 {
		return grains(time.Duration(o.EveryMinutes) * time.Minute)
	}
	return grains(o.duration())
}

func (o Offering) at(office string) bool {
	return len(o.Offices) == 0 || slices.Contains(o.Offices, office)
}

// DefaultSettings are the catalogue's defaults: a citizens' office that advises by video.
func DefaultSettings() Settings {
	week := []int{1, 2, 3, 4, 5}
	return Settings{
		HoldMinutes: 15, MaxHolds: 3, MaxAppointments: 5,
		Offices: []Office{{
			ID: "buergerbuero", Name: Text{"de": "Bürgerbüro", "en": "Citizens' office"}, Holidays: HolidaysTH,
			Resources: []Resource{{"platz-1", "Platz 1"}, {"platz-2", "Platz 2"}, {"platz-3", "Platz 3"}},
			Hours: []Hours{
				{Weekdays: week, From: "08:00", Until: "12:00"},
				{Weekdays: []int{1, 3}, From: "13:00", Until: "15:30"},
				{Weekdays: []int{2, 4}, From: "13:00", Until: "18:00"},
			},
			Closed: []string{"12-24", "12-31"},
		}},
		Services: []Offering{
			{
				ID: "bewohnerparken-video", Title: Text{"de": "Beratung Bewohnerparken (Video)", "en": "Advice on resident parking (video)"},
				Description: Text{"de": "Fragen zum Antrag, zur Parkzone oder zum Fahrzeug", "en": "Questions about the application, the zone or the vehicle"},
				Minutes:     30, NoticeMinutes: 120, HorizonDays: 60, Video: true,
			},
			{
				ID: "meldewesen-video", Title: Text{"de": "Beratung Meldewesen (Video)", "en": "Advice on registration (video)"},
				Description: Text{"de": "Umzug, Meldebescheinigung, Auskunftssperre", "en": "Moving house, certificate of registration, blocking of information"},
				Minutes:     20, BufferMinutes: 10, NoticeMinutes: 120, HorizonDays: 60, Video: true,
			},
			{
				ID: "hundesteuer-video", Title: Text{"de": "Beratung Hundesteuer (Video)", "en": "Advice on dog tax (video)"},
				Description: Text{"de": "Anmeldung, Befreiung, Ermäßigung", "en": "Registration, exemption, reduction"},
				Minutes:     15, NoticeMinutes: 120, HorizonDays: 60, Video: true,
			},
		},
	}
}

// UnmarshalJSON reads settings over what s holds; a list replaces, it does not mix.
func (s *Settings) UnmarshalJSON(text []byte) error {
	type plain Settings
	fresh := plain(*s)
	fresh.Offices, fresh.Services = nil, nil
	if err := json.Unmarshal(text, &fresh); err != nil {
		return err
	}
	if fresh.Offices == nil {
		fresh.Offices = s.Offices
	}
	if fresh.Services == nil {
		fresh.Services = s.Services
	}
	*s = Settings(fresh)
	return nil
}

var idShape = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Validate names the first mistake and fills what is left out.
func (s *Settings) Validate() error {
	if s.HoldMinutes < 1 || s.HoldMinutes > 120 || s.MaxHolds < 1 || s.MaxAppointments < 1 {
		return errors.New("hold_minutes: want 1 to 120; max_holds, max_appointments: want at least 1")
	}
	offices := map[string]bool{}
	for i := range s.Offices {
		o := &s.Offices[i]
		if !idShape.MatchString(o.ID) || offices[o.ID] {
			return fmt.Errorf("offices: id %q is there twice, or not made of a-z, 0-9 and hyphens", o.ID)
		}
		offices[o.ID] = true
		if err := o.validate(); err != nil {
			return fmt.Errorf("offices: %s: %w", o.ID, err)
		}
	}
	services := map[string]bool{}
	for _, o := range s.Services {
		if !idShape.MatchString(o.ID) || services[o.ID] {
			return fmt.Errorf("services: id %q is there twice, or not made of a-z, 0-9 and hyphens", o.ID)
		}
		services[o.ID] = true
		if err := o.validate(offices); err != nil {
			return fmt.Errorf("services: %s: %w", o.ID, err)
		}
	}
	return nil
}

func (o *Office) validate() error {
	if o.Holidays == "" {
		o.Holidays = HolidaysTH
	}
	if o.Holidays != HolidaysTH && o.Holidays != NoHolidays {
		return fmt.Errorf("holidays: %q, want %s or %s", o.Holidays, HolidaysTH, NoHolidays)
	}
	if o.Name["de"] == "" {
		return errors.New("name: the German one is missing")
	}
	if _, err := mail.ParseAddress(o.Email); o.Email != "" && err != nil {
		return errors.New("email: is no address")
	}
	resources := map[string]bool{}
	for _, r := range o.Resources {
		if !idShape.MatchString(r.ID) || resources[r.ID] {
			return fmt.Errorf("resources: id %q is there twice, or not made of a-z, 0-9 and hyphens", r.ID)
		}
		resources[r.ID] = true
	}
	for _, rule := range o.Closed {
		full := rule
		if len(rule) == len("12-24") {
			full = "2000-" + rule
		}
		if _, err := ParseDate(full); rule != CorpusChristi && err != nil {
			return fmt.Errorf("closed: %q, want a date as 2026-12-28, a day of every year as 12-24, or %s", rule, CorpusChristi)
		}
	}
	for i := range o.Hours {
		if err := o.Hours[i].validate(resources); err != nil {
			return fmt.Errorf("hours: %w", err)
		}
	}
	return nil
}

func (h *Hours) validate(resources map[string]bool) (err error) {
	if h.from, err = parseClock(h.From); err != nil {
		return err
	}
	if h.until, err = parseClock(h.Until); err != nil {
		return err
	}
	grain := int(Grain / time.Minute)
	if h.from >= h.until || h.from%grain != 0 || h.until%grain != 0 {
		return fmt.Errorf("%s to %s: want multiples of %d minutes, the end after the beginning", h.From, h.Until, grain)
	}
	for _, d := range h.Weekdays {
		if d < 1 || d > 7 {
			return fmt.Errorf("weekday %d: want 1 (Monday) to 7 (Sunday)", d)
		}
	}
	for _, day := range []string{h.ValidFrom, h.ValidUntil} {
		if _, err := ParseDate(day); day != "" && err != nil {
			return fmt.Errorf("valid from %q until %q: want dates as 2026-01-01", h.ValidFrom, h.ValidUntil)
		}
	}
	for _, r := range h.Resources {
		if !resources[r] {
			return fmt.Errorf("resource %q is none of the office", r)
		}
	}
	return nil
}

const maxHorizon = 400 // days

func (o Offering) validate(offices map[string]bool) error {
	grain := int(Grain / time.Minute)
	switch {
	case o.Title["de"] == "":
		return errors.New("title: the German one is missing")
	case o.Minutes < grain || o.Minutes > 8*60 || o.Minutes%grain != 0:
		return fmt.Errorf("minutes: %d, want a multiple of %d up to 480", o.Minutes, grain)
	case o.EveryMinutes < 0 || o.EveryMinutes%grain != 0 || o.BufferMinutes < 0 || o.BufferMinutes > 8*60 || o.BufferMinutes%grain != 0:
		return fmt.Errorf("every_minutes, buffer_minutes: want multiples of %d", grain)
	case o.NoticeMinutes < 0 || o.HorizonDays < 1 || o.HorizonDays > maxHorizon:
		return fmt.Errorf("notice_minutes: want at least 0; horizon_days: want 1 to %d", maxHorizon)
	}
	for _, id := range o.Offices {
		if !offices[id] {
			return fmt.Errorf("office %q is not known", id)
		}
	}
	return nil
}

// settingsOf reads the tenant's settings. A mistake in them is the operator's, not the
// caller's: it is an internal error.
func settingsOf(e tenantdir.Entry) (Settings, error) {
	s, err := tenantdir.Settings(e, "booking", DefaultSettings())
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		return s, fmt.Errorf("booking settings of %s: %w", e.Slug, err)
	}
	return s, nil
}

// offering finds a service. Error: unknown_service.
func (s Settings) offering(id string) (Offering, error) {
	i := slices.IndexFunc(s.Services, func(o Offering) bool { return o.ID == id })
	if i < 0 {
		return Offering{}, fault.NotFound("unknown_service", "there is no such service; see the list of services")
	}
	return s.Services[i], nil
}

// officesOf returns the offices at which the service can be had.
func (s Settings) officesOf(o Offering) []Office {
	var out []Office
	for _, office := range s.Offices {
		if o.at(office.ID) {
			out = append(out, office)
		}
	}
	return out
}

// office finds an office at which the service can be had. Error: unknown_office.
func (s Settings) office(o Offering, id string) (Office, error) {
	i := slices.IndexFunc(s.Offices, func(office Office) bool { return office.ID == id })
	if i < 0 || !o.at(id) {
		return Office{}, fault.NotFound("unknown_office", "the service is not offered at such an office; see the list of services")
	}
	return s.Offices[i], nil
}
