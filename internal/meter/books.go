package meter

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/redis"
)

// books are what was used on days that are in memory: the present one, and those
// that could not be written yet.
type books struct {
	cfg Config

	io sync.Mutex // one at a time reads or writes Redis; before mu

	mu     sync.Mutex
	days   map[time.Time]*book
	away   bool // it could not be written the last time, and that was said
	full   bool // a day has too many functions, and that was said
	logged time.Time
}

// A book is what was used on a day, by function.
type book struct {
	read    bool // what this instance had kept of it is in it
	records map[string]*record
}

type record struct {
	hours   hoursOfDay
	changed bool // since it was written
}

func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// charge adds what a function used now.
func (b *books) charge(name string, u Usage) {
	now := b.cfg.Now().UTC()
	b.mu.Lock()
	defer b.mu.Unlock()
	day := b.days[dayOf(now)]
	if day == nil {
		day = &book{records: map[string]*record{}}
		b.days[dayOf(now)] = day
		b.forget(dayOf(now))
	}
	if day.records[name] == nil && len(day.records) >= maxFunctions {
		if name = Others; !b.full {
			b.full = true
			b.cfg.Log.Warn("so many functions are metered in one day only; the others are summed up",
				"functions", maxFunctions, "as", Others)
		}
	}
	day.add(name, now.Hour(), u)
	day.records[name].changed = true
}

func (d *book) add(name string, hour int, u Usage) {
	r := d.records[name]
	if r == nil {
		r = &record{}
		d.records[name] = r
	}
	if r.hours[hour] == nil {
		r.hours[hour] = &Usage{}
	}
	r.hours[hour].Add(u)
}

// forget drops the oldest days if there are too many that Redis does not take. b.mu is held.
func (b *books) forget(today time.Time) {
	for len(b.days) > maxDays {
		oldest := today
		for day := range b.days {
			if day != today && (oldest == today || day.Before(oldest)) {
				oldest = day
			}
		}
		b.cfg.Log.Error("what functions used on a day is lost: Redis has not taken it for days", "day",
			oldest.Format(time.DateOnly))
		delete(b.days, oldest)
	}
}

// save writes what has changed. What cannot be written stays for the next time.
func (b *books) save(ctx context.Context) {
	b.io.Lock()
	defer b.io.Unlock()
	err := b.saveAll(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil && !b.away:
		b.cfg.Log.Warn("what functions use is kept in memory until Redis takes it", "error", err)
	case err == nil && b.away:
		b.cfg.Log.Info("Redis takes again what functions use")
	}
	b.away = err != nil
}

// saveAll is save. b.io is held.
func (b *books) saveAll(ctx context.Context) error {
	b.mu.Lock()
	days := slices.SortedFunc(maps.Keys(b.days), time.Time.Compare)
	b.mu.Unlock()
	for _, day := range days {
		if err := b.read(ctx, day); err != nil {
			return err
		}
		list := b.changed(day)
		if err := b.cfg.Queue.KeepUsage(ctx, day, list, Retention); err != nil {
			b.unwritten(day)
			return err
		}
		b.close(day)
	}
	return nil
}

// read adds to a day what this instance has kept of it in an earlier run, once. b.io is held.
func (b *books) read(ctx context.Context, day time.Time) error {
	b.mu.Lock()
	d := b.days[day]
	b.mu.Unlock()
	if d == nil || d.read {
		return nil
	}
	kept, err := b.cfg.Queue.Usage(ctx, day)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d.read = true
	for _, u := range kept {
		if u.Instance != b.cfg.Instance {
			continue
		}
		for hour, used := range b.decode(day, u) {
			if used != nil {
				d.add(u.Function, hour, *used)
			}
		}
	}
	return nil
}

// decode reads a value. One that cannot be read is left out, and said once a minute at most.
func (b *books) decode(day time.Time, u redis.Used) hoursOfDay {
	hours, err := decode(u.Value)
	if err != nil && time.Since(b.logged) > time.Minute {
		b.logged = time.Now()
		b.cfg.Log.Error("what a function used on a day cannot be read, and is left out", "day",
			day.Format(time.DateOnly), "function", u.Function, "instance", u.Instance, "error", err)
	}
	if err != nil {
		return hoursOfDay{}
	}
	return hours
}

// changed is what is to be written of a day. It counts as written.
func (b *books) changed(day time.Time) (list []redis.Used) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.days[day]
	if d == nil {
		return nil
	}
	for name, r := range d.records {
		if r.changed {
			r.changed = false
			list = append(list, redis.Used{Function: name, Instance: b.cfg.Instance, Value: r.hours.encode()})
		}
	}
	return list
}

// unwritten marks all of a day as changed: a Redis that was unavailable may have
// forgotten more than what it was given last.
func (b *books) unwritten(day time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.days[day]; d != nil {
		for _, r := range d.records {
			r.changed = true
		}
	}
}

// close takes a day that is over, and all of it written, out of memory.
func (b *books) close(day time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.days[day]
	if d == nil || day.Equal(dayOf(b.cfg.Now())) {
		return
	}
	for _, r := range d.records {
		if r.changed {
			return
		}
	}
	delete(b.days, day)
}
