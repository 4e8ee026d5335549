package pipeline

import "github.com/wayward-sec/wayward/baselines"

// What whoever reads a file takes from a relation shard.

// closedDays is what a shard has closed since somebody last took it.
type closedDays struct {
	closings  []*Closing
	baselines []closedBaseline
}

// closedBaseline is what became of one baseline when a day was closed.
type closedBaseline struct {
	keyDay
	model *baselines.Model
	delta *baselines.Delta // what the day added
}

// takeClosed hands over what was closed since it was last called.
func (b *relation) takeClosed() closedDays {
	taken := *b.results
	*b.results = closedDays{}
	return taken
}

// add notes what became of a baseline. A model that was not learned gets the day; without one
// there is nothing in it.
func (r *closedDays) add(k baselines.Key, day int64, m *baselines.Model, d *baselines.Delta) {
	if m == nil {
		m = &baselines.Model{Key: k}
	}
	if m.Day != day {
		n := *m
		n.Day = day
		m = &n
	}
	r.baselines = append(r.baselines, closedBaseline{keyDay{k, day}, m, d})
}

// presentModels are the models of all baselines, sorted by key.
func (b *relation) presentModels() (out []*baselines.Model) {
	for _, l := range b.lineages() {
		if m := b.modelOf(l); m != nil {
			out = append(out, m)
		}
	}
	return out
}

// newestPending is the newest day of which deltas wait; noTime: there are none.
func (b *relation) newestPending() int64 {
	newest := int64(noTime)
	for _, l := range b.lineages() {
		if n := len(l.pending); n > 0 {
			newest = max(newest, l.pending[n-1].day)
		}
	}
	return newest
}

// showPending puts what the days that are not over have added among the results, with the model in
// force. Nothing is learned from it.
func (b *relation) showPending() {
	for _, l := range b.lineages() {
		for _, pg := range l.pending {
			b.results.add(l.key, pg.day, b.modelOf(l), pg.delta)
		}
	}
}
