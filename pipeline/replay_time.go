package pipeline

// The time of a file: what stands for a broker's stamp.

// farAhead is how far, in milliseconds, an event of a file may be ahead of all before it and be
// believed by itself.
const farAhead = 30 * 86_400_000

// stamp gives an event of a file what a broker's stamp is to one of a topic: a time beyond which
// its own is not believed. The clock of a file is the file's own: when it is replayed must not
// show.
func (x *replaying) stamp(it *item) {
	base := it.stamp // of the file
	if x.clock.seen {
		base = x.clock.newest
	}
	it.stamp = it.e.Time
	if base == 0 || it.e.Time-base <= farAhead {
		return
	}
	if x.clock.seen { // a second agent, or many events of one, are believed
		ahead := x.clock
		if ahead.see(it.e.Time, 0, it.hash); ahead.newest >= it.e.Time-farAhead {
			return
		}
		x.clock = ahead
	}
	it.stamp = base
}

// advanceClock takes the time of an event. One from the future tells no time, but for the first of a
// file, which must not make all that follow late.
func (x *replaying) advanceClock(it *item) {
	t := it.e.Time
	future := t > it.stamp+futureTol
	if future && x.clock.seen {
		t = x.clock.newest
	}
	if !future || x.clock.seen {
		if !x.clock.seen || t < x.sum.First {
			x.sum.First = t
		}
		x.sum.Last = max(x.sum.Last, t)
		x.clock.see(t, 0, it.hash)
	}
	x.sum.Events++
	it.reached = t
	if x.clock.seen {
		it.reached = x.clock.newest
	}
}

// stampUndecoded does what stamp does for a record that did not decode: it moves no clock.
func (x *replaying) stampUndecoded(it *item) {
	base := it.stamp
	if x.clock.seen {
		base = x.clock.newest
	}
	if it.stamp = it.e.Time; it.stamp == 0 || base != 0 && it.stamp-base > farAhead {
		it.stamp = base
	}
}
