package pipeline

import (
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event/wire"
)

// deltas are what a behaviour shard learns, one for each baseline and day. Those of a slice are
// merged into the pages of the shard when the slice counts, so that an abort leaves no trace. They
// go to the relation stage every ten minutes of event time, and with the slice in which the shard's
// clock passes the end of a day by closeAfter: before the watermark that lets the relation stage
// close that day.
type deltas struct {
	shard      *shard
	pages      map[keyDay]*deltaPage // what has not gone to the relation stage. Derived
	gathered   []gathered            // by the slice under way
	gatheredAt map[keyDay]int        // into gathered
	holders    []*detectors.Who      // that have a delta at hand
	discarded  baselines.Delta       // what is not learned ends here
	flushing   bool                  // the slice under way sends all that there is
	flushed    int64                 // ten minutes of event time for which that was last done
}

const (
	flushEvery = 600_000 // ms of event time between two flushes

	maxForkDeltas = 32   // forks of a persona and day
	maxDeltas     = 1024 // baselines of a tenant
	maxRoleName   = 128  // bytes of a persona that has a baseline
)

func newDeltas(s *shard) deltas {
	return deltas{shard: s, pages: map[keyDay]*deltaPage{}, gatheredAt: map[keyDay]int{}}
}

// gathered is a delta, of the slice or of a page.
type gathered struct {
	keyDay
	delta *baselines.Delta
}

// off tells that nothing is learned of a persona.
func off(w *detectors.Who) bool {
	return w.Terms.Off || w.Persona == baselines.TenantWide || len(w.Persona) > maxRoleName
}

// of is where what is learned of a persona on a day goes.
func (d *deltas) of(w *detectors.Who, day int64) *baselines.Delta {
	if w.Delta == nil {
		d.holders = append(d.holders, w)
	}
	if w.Delta == nil || w.Day != day {
		w.Delta, w.Day = d.gather(w, day), day
	}
	return w.Delta
}

// discards tells whether nothing is learned from what goes to a delta.
func (d *deltas) discards(delta *baselines.Delta) bool { return delta == &d.discarded }

func (d *deltas) gather(w *detectors.Who, day int64) *baselines.Delta {
	if off(w) {
		return &d.discarded
	}
	k := keyDay{w.Key, day}
	if i, have := d.gatheredAt[k]; have {
		return d.gathered[i].delta
	}
	if d.pages[k] == nil {
		baselinesOf, forks := d.count(k)
		switch {
		case k.Fork != "" && forks >= maxForkDeltas:
			k.Fork = otherFork
		case baselinesOf >= maxDeltas && w.Role == nil:
			// who makes up personas takes no room from those that are declared
			d.shard.counts.dropped++
			return &d.discarded
		}
		if i, have := d.gatheredAt[k]; have {
			return d.gathered[i].delta
		}
	}
	if d.shard.volatile { // nothing is undone
		return d.page(k).delta
	}
	d.gatheredAt[k] = len(d.gathered)
	d.gathered = append(d.gathered, gathered{k, &baselines.Delta{}})
	return d.gathered[len(d.gathered)-1].delta
}

// count counts the baselines of a tenant and, of these, the forks of a persona on a day.
func (d *deltas) count(k keyDay) (baselinesOf, forks int) {
	count := func(o keyDay) {
		if o.Tenant == k.Tenant {
			if baselinesOf++; o.Persona == k.Persona && o.day == k.day && o.Fork != "" {
				forks++
			}
		}
	}
	for i := range d.gathered {
		count(d.gathered[i].keyDay)
	}
	for o := range d.pages {
		count(o)
	}
	return baselinesOf, forks
}

// page is the page of a baseline and day. It changes between slices alone, so there is nothing to
// undo.
func (d *deltas) page(k keyDay) *deltaPage {
	c := d.pages[k]
	if c == nil {
		pg := makePage(string(appendLearnedKey(nil, deltaKind, k.Key, k.day)))
		pg.tenant = tenantOf(k.Tenant, pg)
		d.shard.put(pg)
		c = pg.content.(*deltaPage)
		d.pages[k] = c
	}
	d.shard.markDirty(&c.page)
	return c
}

// indexed files a page that came from disk or was put back.
func (d *deltas) indexed(c *deltaPage) { d.pages[keyDay{c.baseline, c.day}] = c }

// keep hears that the slice counts: what it gathered goes to the pages, or has gone to the relation
// stage with all that was there.
func (d *deltas) keep() {
	if d.flushing {
		for _, c := range d.pages {
			d.shard.markDirty(&c.page)
			d.shard.remove(&c.page)
		}
		clear(d.pages)
	} else {
		for i := range d.gathered {
			g := &d.gathered[i]
			d.page(g.keyDay).delta.Merge(g.delta)
		}
	}
	if d.flushing || !d.shard.volatile {
		d.forgetSlice()
	}
}

// forgetSlice drops what the slice gathered.
func (d *deltas) forgetSlice() {
	d.flushing = false
	for _, w := range d.holders {
		w.Delta = nil
	}
	clear(d.holders)
	clear(d.gathered)
	clear(d.gatheredAt)
	d.holders, d.gathered = d.holders[:0], d.gathered[:0]
}

// due tells whether it is time to send the deltas: ten minutes of event time have begun, or nobody
// waits for this shard any more, since it is idle.
func (d *deltas) due(reached int64, idle bool) bool {
	if m := wire.FloorDiv(reached, flushEvery); m > d.flushed {
		d.flushed = m
		return true
	}
	return idle && len(d.pages)+len(d.gathered) > 0
}

// flush writes the deltas and what the slice has gathered to the relation stage, in records of
// their own that tell no time: the day must not be closed by the first of several records.
func (d *deltas) flush(head factsHead) {
	head.watermark = noTime
	d.flushing = true
	list := d.sorted()
	out := make([][]byte, d.shard.rules.facts)
	send := func(q int32) {
		d.shard.counts.facts++
		d.shard.emit(output{to: toFacts, partition: q, value: out[q]})
		out[q] = nil
	}
	var scratch []byte
	for _, g := range list {
		q := d.shard.rules.baselineOwner(g.Key)
		if out[q] == nil {
			out[q] = appendFactsHead(nil, head)
		}
		scratch = g.delta.Append(scratch[:0])
		out[q] = appendDelta(out[q], g.keyDay, scratch)
		if len(out[q]) > factsBytes {
			send(q)
		}
	}
	for q := range d.shard.rules.facts {
		if out[q] != nil {
			send(q)
		}
	}
}

// sorted lists all that there is, and behind it what goes to the tenants as a whole: all but what is
// about the order of calls, and the names of tools, servers and domains.
func (d *deltas) sorted() (list []gathered) {
	for k, c := range d.pages {
		list = append(list, gathered{k, c.delta})
	}
	list = append(list, d.gathered...)
	slices.SortStableFunc(list, func(x, y gathered) int { return x.compare(y.keyDay) })
	whole := map[keyDay]*baselines.Delta{}
	for _, g := range list {
		k := keyDay{baselines.Key{Tenant: g.Tenant, Persona: baselines.TenantWide}, g.day}
		if whole[k] == nil {
			whole[k] = &baselines.Delta{}
		}
		whole[k].MergeWide(g.delta)
		if g.delta.Events > 0 {
			whole[k].AddBaseline(xxhash.Sum64String(g.Persona + "\x00" + g.Fork))
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(whole), keyDay.compare) {
		list = append(list, gathered{k, whole[k]})
	}
	return list
}
