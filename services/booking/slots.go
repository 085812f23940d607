package booking

import (
	"encoding/binary"
	"math/bits"
	"time"
)

// Grain is the smallest piece of a resource's time. Lengths of slots, buffers and opening
// hours are multiples of it. Grains are counted from 1970 in UTC, so that a day with 23 or
// 25 hours needs no special case.
const Grain = 5 * time.Minute

const grainsPerDay = int64(24 * time.Hour / Grain)

func grainOf(t time.Time) int64    { return floorDiv(t.Unix(), int64(Grain/time.Second)) }
func timeOf(grain int64) time.Time { return time.Unix(grain*int64(Grain/time.Second), 0).UTC() }
func grains(d time.Duration) int64 { return int64((d + Grain - 1) / Grain) }

// dayOf is the UTC day of a grain, counted from 1970.
func dayOf(grain int64) int64 { return floorDiv(grain, grainsPerDay) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// grid is a set of grains from first on, one bit each.
type grid struct {
	first int64
	words []uint64
}

// newGrid holds the grains from first until before end.
func newGrid(first, end int64) grid {
	return grid{first, make([]uint64, (max(end-first, 0)+63)/64)}
}

func (g grid) clone() grid { return grid{g.first, append([]uint64(nil), g.words...)} }

func (g grid) end() int64 { return g.first + int64(len(g.words))*64 }

// each calls f for every word that has grains from until before to, with those bits set.
func (g grid) each(from, to int64, f func(word *uint64, mask uint64)) {
	from, to = max(from, g.first)-g.first, min(to, g.end())-g.first
	for from < to {
		n := min(64-from%64, to-from)
		f(&g.words[from/64], ^uint64(0)>>(64-n)<<(from%64))
		from += n
	}
}

func (g grid) set(from, to int64) { g.each(from, to, func(w *uint64, m uint64) { *w |= m }) }

func (g grid) clear(from, to int64) { g.each(from, to, func(w *uint64, m uint64) { *w &^= m }) }

func (g grid) has(grain int64) bool {
	i := grain - g.first
	return i >= 0 && grain < g.end() && g.words[i/64]>>(i%64)&1 == 1
}

// runs keeps the grains from which on n grains are all in the set.
func (g grid) runs(n int64) {
	for have := int64(1); have < n; {
		step := min(have, n-have)
		skip, shift := int(step/64), uint(step%64)
		for i := range g.words {
			var w uint64
			if i+skip < len(g.words) {
				w = g.words[i+skip] >> shift
			}
			if shift > 0 && i+skip+1 < len(g.words) {
				w |= g.words[i+skip+1] << (64 - shift)
			}
			g.words[i] &= w
		}
		have += step
	}
}

// list returns the grains of the set in their order, at most limit (0: all).
func (g grid) list(limit int) []int64 {
	var out []int64
	for i, w := range g.words {
		for ; w != 0; w &= w - 1 {
			out = append(out, g.first+int64(i)*64+int64(bits.TrailingZeros64(w)))
			if len(out) == limit {
				return out
			}
		}
	}
	return out
}

// busyDay is one row of the table days: what is taken of an office's UTC day. Busy holds,
// for each resource with something taken, the length of its id (one byte), the id, and a
// bit for each grain.
type busyDay struct {
	Day  int64  `db:"day"`
	Busy []byte `db:"busy"`
}

const bitmapSize = int(grainsPerDay / 8)

// each calls f for every resource of the row. A damaged row yields what can be read of it;
// the primary key of the grains still keeps two appointments apart.
func (d busyDay) each(f func(resource string, bitmap []byte)) {
	for b := d.Busy; len(b) > 0; {
		n := 1 + int(b[0])
		if len(b) < n+bitmapSize {
			return
		}
		f(string(b[1:n]), b[n:n+bitmapSize])
		b = b[n+bitmapSize:]
	}
}

// remove takes the taken grains of a bitmap that begins with a day out of the set.
func (g grid) remove(day int64, bitmap []byte) {
	at := day*grainsPerDay - g.first
	for i := 0; i < bitmapSize; i += 4 {
		g.removeBits(at+int64(i)*8, uint64(binary.LittleEndian.Uint32(bitmap[i:])))
	}
}

// removeBits takes the bits of taken, which begin at the position at, out of the set.
func (g grid) removeBits(at int64, taken uint64) {
	if taken == 0 || at <= -64 || at >= int64(len(g.words))*64 {
		return
	}
	if at < 0 {
		taken, at = taken>>-at, 0
	}
	i, shift := at/64, uint(at%64)
	g.words[i] &^= taken << shift
	if shift > 0 && i+1 < int64(len(g.words)) {
		g.words[i+1] &^= taken >> (64 - shift)
	}
}

// question is what plan answers: which starts of an offering are free at an office.
type question struct {
	office   Office
	offering Offering
	closures []Closure
	busy     []busyDay
	lapsed   []Appointment // holds whose time is over: taken in busy, yet free
	from, to Date          // local days, both included
	now      time.Time
}

// plan is the free starts of each resource, in the order of the office's resources.
type plan struct {
	free   []grid
	length int64 // of an appointment with its buffer, in grains
}

// plan intersects, for every resource at once, what is open with what is not taken. It costs
// a few machine words for each resource and day, and asks nobody.
func (q question) plan() plan {
	windows := q.office.windows(q.from, q.to)
	first, end := grainOf(q.from.at(0)), grainOf(q.to.at(24*60))
	earliest := grainOf(q.now.Add(q.offering.notice()).Add(Grain - time.Nanosecond))
	latest := grainOf(dateOf(q.now).add(q.offering.HorizonDays + 1).at(0))
	p := plan{free: make([]grid, len(q.office.Resources)), length: grains(q.offering.duration() + q.offering.buffer())}

	index := make(map[string]int, len(q.office.Resources))
	starts := make([]grid, len(q.office.Resources))
	var open, begin *grid // shared by the resources that no opening hours name
	for i, r := range q.office.Resources {
		index[r.ID] = i
		if q.office.sharedHours() && open != nil {
			p.free[i], starts[i] = open.clone(), *begin
		} else {
			o, b := newGrid(first, end), newGrid(first, end)
			for _, w := range windows {
				if w.of(r.ID) {
					o.set(w.from, w.until)
					for s := w.from; s < w.until; s += q.offering.step() {
						b.set(s, s+1)
					}
				}
			}
			b.clear(b.first, earliest)
			b.clear(latest, b.end())
			shared := o.clone()
			open, begin = &shared, &b
			p.free[i], starts[i] = o, b
		}
		for _, c := range q.closures {
			if c.ResourceID == "" || c.ResourceID == r.ID {
				p.free[i].clear(grainOf(c.StartsAt.Time), grainOf(c.EndsAt.Add(Grain-time.Nanosecond)))
			}
		}
	}
	// A hold that lapsed is in busy still: put its grains back where they were open.
	lapsed := make(map[int]grid)
	for _, a := range q.lapsed {
		if i, ok := index[a.ResourceID]; ok {
			if _, seen := lapsed[i]; !seen {
				lapsed[i] = newGrid(first, end)
			}
			lapsed[i].set(grainOf(a.StartsAt.Time), grainOf(a.FreeAt.Time))
		}
	}
	for i, g := range lapsed {
		for w := range g.words {
			g.words[w] &= p.free[i].words[w]
		}
	}
	for _, d := range q.busy {
		d.each(func(resource string, bitmap []byte) {
			if i, ok := index[resource]; ok {
				p.free[i].remove(d.Day, bitmap)
			}
		})
	}
	for i, g := range lapsed {
		for w := range g.words {
			p.free[i].words[w] |= g.words[w]
		}
	}
	for i, g := range p.free {
		g.runs(p.length)
		for w := range g.words {
			g.words[w] &= starts[i].words[w]
		}
	}
	return p
}

// any returns the starts at which some resource is free.
func (p plan) any() grid {
	if len(p.free) == 0 {
		return grid{}
	}
	all := p.free[0].clone()
	for _, g := range p.free[1:] {
		for w := range g.words {
			all.words[w] |= g.words[w]
		}
	}
	return all
}

// at returns the indexes of the resources that are free at the start.
func (p plan) at(start int64) []int {
	var out []int
	for i, g := range p.free {
		if g.has(start) {
			out = append(out, i)
		}
	}
	return out
}
