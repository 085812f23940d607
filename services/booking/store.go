package booking

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

// Closure is a time in which an office, or one resource of it, takes no appointments.
type Closure struct {
	ID         id.ID   `db:"id"`
	OfficeID   string  `db:"office_id"`
	ResourceID string  `db:"resource_id"` // empty: the whole office
	StartsAt   db.Time `db:"starts_at"`
	EndsAt     db.Time `db:"ends_at"`
	Reason     string  `db:"reason"` // for staff
	CreatedAt  db.Time `db:"created_at"`
}

const appointmentColumns = `id, state, service_id, office_id, resource_id, starts_at, ends_at, free_at, sequence, language,
	name, email, reference, room, reason, created_at, expires_at, confirmed_at, ended_at`

// errLost says that a grain was taken although its day was locked: the transaction is to be
// run again, which then sees who has it.
var errLost = errors.New("booking: a grain is taken that its day shows as free")

// lockAppointment reads an appointment that nobody else changes until the commit.
func lockAppointment(ctx context.Context, tx *db.Tx, appointment id.ID) (a Appointment, err error) {
	err = tx.Get(ctx, &a, `SELECT `+appointmentColumns+` FROM appointments WHERE tenant_id = ? AND id = ?`+tx.ForUpdate(), tx.Tenant(), appointment)
	return a, err
}

func getAppointment(ctx context.Context, tx *db.Tx, appointment id.ID) (a Appointment, err error) {
	err = tx.Get(ctx, &a, `SELECT `+appointmentColumns+` FROM appointments WHERE tenant_id = ? AND id = ?`, tx.Tenant(), appointment)
	return a, err
}

func insertAppointment(ctx context.Context, tx *db.Tx, a Appointment) error {
	err := tx.Send(ctx, `INSERT INTO appointments (tenant_id, `+appointmentColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), a.ID, a.State, a.ServiceID, a.OfficeID, a.ResourceID, a.StartsAt, a.EndsAt, a.FreeAt, a.Sequence, a.Language,
		a.Name, a.Email, a.Reference, a.Room, a.Reason, a.CreatedAt, a.ExpiresAt, a.ConfirmedAt, a.EndedAt)
	return err
}

// saveAppointment stores what can change.
func saveAppointment(ctx context.Context, tx *db.Tx, a Appointment) error {
	err := tx.Send(ctx, `UPDATE appointments SET state = ?, resource_id = ?, starts_at = ?, ends_at = ?, free_at = ?, sequence = ?,
		name = ?, email = ?, reason = ?, confirmed_at = ?, ended_at = ? WHERE tenant_id = ? AND id = ?`,
		a.State, a.ResourceID, a.StartsAt, a.EndsAt, a.FreeAt, a.Sequence, a.Name, a.Email, a.Reason, a.ConfirmedAt, a.EndedAt, tx.Tenant(), a.ID)
	return err
}

// lockLapsed reads the holds of an office between two times that are over but not cleared
// away, and locks them.
func lockLapsed(ctx context.Context, tx *db.Tx, office string, from, to db.Time) (out []Appointment, err error) {
	err = tx.Select(ctx, &out, `SELECT `+appointmentColumns+` FROM appointments
		WHERE tenant_id = ? AND state = 'held' AND expires_at <= ? AND office_id = ? AND starts_at < ? AND free_at > ?
		ORDER BY id LIMIT 1000`+tx.ForUpdate(), tx.Tenant(), tx.Now(), office, to, from)
	return out, err
}

// lapsed is the same without locks, for showing.
func lapsed(ctx context.Context, tx *db.Tx, office string) (out []Appointment, err error) {
	err = tx.Select(ctx, &out, `SELECT `+appointmentColumns+` FROM appointments
		WHERE tenant_id = ? AND state = 'held' AND expires_at <= ? AND office_id = ? ORDER BY id LIMIT 1000`, tx.Tenant(), tx.Now(), office)
	return out, err
}

// openOf counts what an e-mail address has: holds, and confirmed appointments to come.
func openOf(ctx context.Context, tx *db.Tx, email string) (holds, confirmed int, err error) {
	var n struct {
		Holds     int `db:"holds"`
		Confirmed int `db:"confirmed"`
	}
	err = tx.Get(ctx, &n, `SELECT COALESCE(SUM(CASE WHEN state = 'held' AND expires_at > ? THEN 1 ELSE 0 END), 0) AS holds,
		COALESCE(SUM(CASE WHEN state = 'confirmed' THEN 1 ELSE 0 END), 0) AS confirmed
		FROM appointments WHERE tenant_id = ? AND email = ? AND starts_at > ? AND state IN ('held', 'confirmed')`,
		tx.Now(), tx.Tenant(), email, tx.Now())
	return n.Holds, n.Confirmed, err
}

// lockEmail makes two reservations for one address wait for each other, so that its bounds
// hold. On SQLite there is one writer anyway.
func lockEmail(ctx context.Context, tx *db.Tx, email string) error {
	if !tx.Postgres() {
		return nil
	}
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(?, 0))`, "booking:"+tx.Tenant().String()+":"+email)
	return err
}

// onDay lists the appointments of an office (empty: all) that begin between two times.
func onDay(ctx context.Context, tx *db.Tx, office string, from, until db.Time, limit int) (out []Appointment, err error) {
	query, args := `SELECT `+appointmentColumns+` FROM appointments WHERE tenant_id = ? AND starts_at >= ? AND starts_at < ?
		AND state IN ('held', 'confirmed', 'canceled')`, []any{tx.Tenant(), from, until}
	if office != "" {
		query, args = query+` AND office_id = ?`, append(args, office)
	}
	err = tx.Select(ctx, &out, query+` ORDER BY starts_at, resource_id, id LIMIT ?`, append(args, limit)...)
	return out, err
}

// closuresOf lists an office's closures (empty: all offices') that overlap a time.
func closuresOf(ctx context.Context, tx *db.Tx, office string, from, until db.Time) (out []Closure, err error) {
	query, args := `SELECT id, office_id, resource_id, starts_at, ends_at, reason, created_at FROM closures
		WHERE tenant_id = ? AND ends_at > ? AND starts_at < ?`, []any{tx.Tenant(), from, until}
	if office != "" {
		query, args = query+` AND office_id = ?`, append(args, office)
	}
	err = tx.Select(ctx, &out, query+` ORDER BY starts_at, id LIMIT 1000`, args...)
	return out, err
}

func insertClosure(ctx context.Context, tx *db.Tx, c Closure) error {
	_, err := tx.Exec(ctx, `INSERT INTO closures (tenant_id, id, office_id, resource_id, starts_at, ends_at, reason, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, tx.Tenant(), c.ID, c.OfficeID, c.ResourceID, c.StartsAt, c.EndsAt, c.Reason, c.CreatedAt)
	return err
}

func deleteClosure(ctx context.Context, tx *db.Tx, closure id.ID) (found bool, err error) {
	n, err := tx.Exec(ctx, `DELETE FROM closures WHERE tenant_id = ? AND id = ?`, tx.Tenant(), closure)
	return n > 0, err
}

// busyDays reads what is taken of an office, from a day until another, both included.
func busyDays(ctx context.Context, tx *db.Tx, office string, from, to int64) (out []busyDay, err error) {
	err = tx.Select(ctx, &out, `SELECT day, busy FROM days WHERE tenant_id = ? AND office_id = ? AND day >= ? AND day <= ? ORDER BY day`,
		tx.Tenant(), office, from, to)
	return out, err
}

// book is what is taken of some days of an office, locked.
type book struct {
	office string
	days   map[int64]map[string][]byte // day → resource → bitmap
	dirty  map[int64]bool
}

// openBook locks the days, which the caller gives in their order: whoever books, moves or
// cancels at the office on one of them waits until the commit.
func openBook(ctx context.Context, tx *db.Tx, office string, days []int64) (*book, error) {
	b := &book{office: office, days: map[int64]map[string][]byte{}, dirty: map[int64]bool{}}
	for _, day := range days {
		var row busyDay
		query := `SELECT day, busy FROM days WHERE tenant_id = ? AND office_id = ? AND day = ?` + tx.ForUpdate()
		err := tx.Get(ctx, &row, query, tx.Tenant(), office, day)
		if errors.Is(err, db.ErrNoRows) {
			// The first of the day. Of two at once the second waits here, and finds the row.
			if _, err = tx.Exec(ctx, `INSERT INTO days (tenant_id, office_id, day, busy) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				tx.Tenant(), office, day, []byte{}); err == nil {
				err = tx.Get(ctx, &row, query, tx.Tenant(), office, day)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("lock day %d of %s: %w", day, office, err)
		}
		b.days[day] = map[string][]byte{}
		row.each(func(resource string, bitmap []byte) { b.days[day][resource] = bitmap })
	}
	return b, nil
}

// rows is the book as plan reads it.
func (b *book) rows() []busyDay {
	var out []busyDay
	for day := range b.days {
		out = append(out, busyDay{day, b.encode(day)})
	}
	return out
}

func (b *book) encode(day int64) []byte {
	out := []byte{}
	for resource, bitmap := range b.days[day] {
		for _, taken := range bitmap {
			if taken != 0 {
				out = append(append(append(out, byte(len(resource))), resource...), bitmap...)
				break
			}
		}
	}
	return out
}

// load is how many grains of a day a resource has taken.
func (b *book) load(day int64, resource string) (n int) {
	for _, taken := range b.days[day][resource] {
		for ; taken != 0; taken &= taken - 1 {
			n++
		}
	}
	return n
}

// mark notes in the bitmaps that a place is taken, or free.
func (b *book) mark(p Place, taken bool) {
	for grain := grainOf(p.StartsAt.Time); grain < grainOf(p.FreeAt.Time); grain++ {
		day := dayOf(grain)
		bitmap := b.days[day][p.ResourceID]
		if bitmap == nil {
			bitmap = make([]byte, bitmapSize)
			b.days[day][p.ResourceID] = bitmap
		}
		i := grain - day*grainsPerDay
		if taken {
			bitmap[i/8] |= 1 << (i % 8)
		} else {
			bitmap[i/8] &^= 1 << (i % 8)
		}
		b.dirty[day] = true
	}
}

// take makes the place the appointment's. Error: errLost.
func (b *book) take(ctx context.Context, tx *db.Tx, appointment id.ID, p Place) error {
	first, end := grainOf(p.StartsAt.Time), grainOf(p.FreeAt.Time)
	var args []any
	for grain := first; grain < end; grain++ {
		args = append(args, tx.Tenant(), b.office, p.ResourceID, grain, appointment)
	}
	_, err := tx.Exec(ctx, `INSERT INTO grains (tenant_id, office_id, resource_id, grain, appointment_id) VALUES (?, ?, ?, ?, ?)`+
		strings.Repeat(`, (?, ?, ?, ?, ?)`, int(end-first)-1), args...)
	if db.IsUnique(err) {
		return errLost
	}
	b.mark(p, true)
	return err
}

// give makes what the appointment has free again.
func (b *book) give(ctx context.Context, tx *db.Tx, a Appointment) error {
	_, err := tx.Exec(ctx, `DELETE FROM grains WHERE tenant_id = ? AND appointment_id = ?`, tx.Tenant(), a.ID)
	b.mark(a.place(), false)
	return err
}

// save writes the days that changed.
func (b *book) save(ctx context.Context, tx *db.Tx) error {
	for day := range b.dirty {
		if err := tx.Send(ctx, `UPDATE days SET busy = ? WHERE tenant_id = ? AND office_id = ? AND day = ?`,
			b.encode(day), tx.Tenant(), b.office, day); err != nil {
			return fmt.Errorf("save day %d of %s: %w", day, b.office, err)
		}
	}
	return nil
}

// daysOf are the UTC days that places touch, each once, in their order.
func daysOf(places ...Place) []int64 {
	seen := map[int64]bool{}
	for _, p := range places {
		for day := dayOf(grainOf(p.StartsAt.Time)); day <= dayOf(grainOf(p.FreeAt.Time)-1); day++ {
			seen[day] = true
		}
	}
	return sortedKeys(seen)
}

// work is a row that a job takes: an appointment of some tenant.
type work struct {
	Tenant id.ID `db:"tenant_id"`
	ID     id.ID `db:"id"`
}

// lapsedWork lists holds of all tenants that are over, for a system transaction.
func lapsedWork(ctx context.Context, tx *db.Tx, limit int) (out []work, err error) {
	err = tx.Select(ctx, &out, `SELECT tenant_id, id FROM appointments WHERE state = 'held' AND expires_at <= ?
		ORDER BY tenant_id, id LIMIT ?`, tx.Now(), limit)
	return out, err
}

// purge deletes up to limit rows of each table that ended before a time, of all tenants.
func purge(ctx context.Context, tx *db.Tx, before db.Time, limit int) error {
	if _, err := tx.Exec(ctx, `DELETE FROM appointments WHERE free_at < ? AND (tenant_id, id) IN (
		SELECT tenant_id, id FROM appointments WHERE free_at < ? ORDER BY tenant_id, id LIMIT ?)`, before, before, limit); err != nil {
		return fmt.Errorf("purge appointments: %w", err)
	}
	first := dayOf(grainOf(before.Time))
	if _, err := tx.Exec(ctx, `DELETE FROM days WHERE day < ? AND (tenant_id, office_id, day) IN (
		SELECT tenant_id, office_id, day FROM days WHERE day < ? ORDER BY tenant_id, office_id, day LIMIT ?)`, first, first, limit); err != nil {
		return fmt.Errorf("purge days: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM closures WHERE (tenant_id, id) IN (
		SELECT tenant_id, id FROM closures WHERE ends_at < ? ORDER BY tenant_id, id LIMIT ?)`, before, limit); err != nil {
		return fmt.Errorf("purge closures: %w", err)
	}
	return nil
}
