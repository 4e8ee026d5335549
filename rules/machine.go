package rules

import (
	"math"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Runner runs rules: on events it looks whether a condition holds and takes what is needed later;
// on what was taken it keeps windows and sequences. Not for use by several goroutines at a time.
type Runner struct {
	c    Context
	vars []Value
	adds []Value // what lets have come to

	failures, drops int // since Tell

	trace func(line string) // hears what conditions came to; nil: nobody listens
}

// Tell returns how many expressions have failed, and how many things were forgotten for want of
// room, since it was last called. An expression that fails is not true, and what it should have
// said is left out.
func (m *Runner) Tell() (failures, drops int) {
	failures, drops = m.failures, m.drops
	m.failures, m.drops = 0, 0
	return failures, drops
}

// Drop adds what whoever keeps the states has forgotten.
func (m *Runner) Drop(n int) { m.drops += n }

// isTrue runs a condition.
func (m *Runner) isTrue(x *Expr) bool {
	ok, err := x.IsTrue(&m.c)
	if err != nil {
		m.failures++
	}
	return err == nil && ok
}

// value runs an expression; ok: it did not fail.
func (m *Runner) value(x *Expr) (v Value, ok bool) {
	v, err := x.Value(&m.c)
	if err != nil {
		m.failures++
	}
	return v, err == nil
}

// Taken is what one event is to one rule: which of its parts it passes, one bit each in the order
// of Rule.Parts, and for each of these what was taken.
type Taken struct {
	Mask uint32
	Rows [][]Value // by part; nil where the bit is not set
}

// Begin sets the event that is looked at next.
func (m *Runner) Begin(e *event.Event, persona string, local int64, around Around) {
	m.c.E, m.c.Persona, m.c.Local, m.c.Around, m.c.args, m.c.digest = e, persona, local, around, m.c.args[:0],
		m.c.digest[:0]
}

// Passes tells whether the event meets a condition by itself.
func (m *Runner) Passes(x *Expr) bool { return m.isTrue(x) }

// Context is what expressions see of the event that was begun.
func (m *Runner) Context() *Context { return &m.c }

// Row appends what a step takes from the event; false: an expression has failed.
func (m *Runner) Row(row []Value, s *Step) ([]Value, bool) {
	for _, x := range s.row {
		v, ok := m.value(x)
		if !ok {
			return row, false
		}
		v.S = strings.Clone(event.Clip(v.S, maxText))
		row = append(row, v)
	}
	return row, true
}

// State is what is remembered for one rule under one key.
type State struct {
	Rule, Sub uint64  // hash of the rule, and of the parts of the key that are not the page's
	Newest    int64   // event time
	win       *window // of a rule with a window
	runs      []run
	open      []*wait // by deadline; the first is not answered
	holds     bool    // having was true with the newest event
	Dropped   bool    // something was forgotten for want of room

	answered int                // of open; derived, as what follows
	weight   int                // of open
	byValue  map[uint64][]*wait // open, by the value that an answer must have; nil: not many
}

// run is a sequence under way.
type run struct {
	stage  int     // the step that it waits for
	start  int64   // event time of its first event
	done   []int64 // event times at which the steps before were done
	newest int64   // event time of the newest event of the step that it waits for
	count  int     // events that the step has had so far
	caps   []Value
	refs   []event.Ref // the first three and the last three
	seen   []uint64    // hashes of what is distinct in the step; of the first step: times
	win    *window     // of a step that adds up: its events
}

// since is the event time before which nothing can be the step that the sequence waits for.
func (x *run) since() int64 {
	if n := len(x.done); n > 0 {
		return x.done[n-1]
	}
	return math.MinInt64
}

// weight is about how many bytes it takes.
func (x *run) weight() int { return 24 + weightOf(x.caps, x.refs) + 8*(len(x.seen)+len(x.done)) }

func weightOf(caps []Value, refs []event.Ref) (n int) {
	for i := range caps {
		n += 3 + len(caps[i].S)
	}
	for i := range refs {
		n += 9 + len(refs[i].ID) + len(refs[i].Agent)
	}
	return n
}

// wait is a sequence that is done, of which it is awaited that something does not come.
type wait struct {
	since, until int64 // event times between which it may come
	caps         []Value
	refs         []event.Ref
	answered     bool
}

func (w *wait) weight() int { return 16 + weightOf(w.caps, w.refs) }

// Match is a rule that matched.
type Match struct {
	Time    int64
	Refs    []event.Ref // what it is made of, oldest first; the last is the trigger
	Count   int64       // events in it
	Why     string      // by explain; "" if there is none
	Awaited int64       // until when something was awaited that did not come; 0: nothing was
	Goes    bool        // it only goes on: having was true before
	Partial bool        // something was forgotten before
	Approx  string      // what of it is not exact, in words; "": all is
	// Unfollowed: it has not matched. It was let go for want of room, so nobody will see whether it
	// does.
	Unfollowed bool
	Until      int64 // of one that is unfollowed: until when something was awaited; 0: it waited for a step
}

// forget notes that something of the state was forgotten for want of room.
func (m *Runner) forget(k *State) {
	k.Dropped = true
	m.drops++
}

// Late is by how many milliseconds an event may come after a newer one and still have its place in
// a sequence.
const Late = 10_000

// Advance shows a state what was taken of an event, and appends what matches. Absences whose time
// has passed before match first.
func (m *Runner) Advance(r *Rule, k *State, ref event.Ref, t *Taken, out []Match) []Match {
	out = m.Expire(r, k, ref.Time-1, out)
	late := ref.Time < k.Newest-Late
	k.Newest = max(k.Newest, ref.Time)
	if r.Having != nil {
		return m.window(r, k, ref, t.Rows[0], out)
	}
	return m.sequence(r, k, ref, t, late, out)
}

// join tells whether a step's condition on what was captured holds.
func (m *Runner) join(s *Step, row, caps []Value) bool {
	if s.Join == nil {
		return true
	}
	if s.eqRow >= 0 && m.trace == nil && row[s.eqRow] != caps[s.eqCap] {
		return false // mostly it is somebody else's
	}
	m.lay(row, caps, nil)
	holds := m.isTrue(s.Join)
	if m.trace != nil {
		m.trace(yesNo(holds) + " " + s.Name + ": " + s.Join.Source + m.with(s.Join))
	}
	return holds
}

// lay puts what was taken, what was captured and what adds up where expressions look for them.
func (m *Runner) lay(row, caps, lets []Value) {
	if m.vars == nil {
		m.vars = make([]Value, rowRoom+MaxCaptures+maxLets)
	}
	copy(m.vars, row)
	clear(m.vars[rowRoom+copy(m.vars[rowRoom:], caps) : rowRoom+MaxCaptures])
	copy(m.vars[rowRoom+MaxCaptures:], lets)
	m.c.Vars = m.vars
}

// alive tells whether a sequence may go on with an event of a time.
func (x *run) alive(r *Rule, t int64) bool { return t-x.start <= r.Within }

// ends tells whether a not that came at a time ends the sequence: it lies behind the step after
// which it counts, and before the next one, however late it is told.
func (x *run) ends(s *Step, t int64) bool {
	switch {
	case x.stage == 0 && x.count == 0 || t < x.start:
		return false
	case s.After < 0:
		return true
	}
	return x.stage > s.After && t >= x.done[s.After] && (x.stage == s.After+1 || t < x.done[s.After+1])
}

// sequence shows a sequence an event. One that is too late to be a step still ends what it speaks
// against: an absence that was answered in time is none.
func (m *Runner) sequence(r *Rule, k *State, ref event.Ref, t *Taken, late bool, out []Match) []Match {
	n := len(r.Steps)
	// One that is over stays for those that are still to come late.
	k.runs = slices.DeleteFunc(k.runs, func(x run) bool { return x.stage > 0 && !x.alive(r, k.Newest-Late) })
	for j, s := range r.Nots {
		if bit := n + j; t.Mask&(1<<bit) != 0 {
			k.runs = slices.DeleteFunc(k.runs, func(x run) bool {
				return x.ends(s, ref.Time) &&
					m.join(s, t.Rows[bit], x.caps)
			})
		}
	}
	if bit := n + len(r.Nots); r.Absent != nil && t.Mask&(1<<bit) != 0 {
		m.answer(r, k, ref.Time, t.Rows[bit])
	}
	if late {
		return out
	}
	// From the last step to the first, so that one event is not two steps of one sequence.
	for i := n - 1; i >= 0; i-- {
		if t.Mask&(1<<i) == 0 {
			continue
		}
		s, row := r.Steps[i], t.Rows[i]
		if i == 0 {
			out = m.start(r, k, s, ref, row, out)
			continue
		}
		var done []run
		stay := k.runs[:0]
		for _, x := range k.runs {
			// What happened before a step does not follow it, whenever it is told.
			if x.stage == i && ref.Time >= x.since() && x.alive(r, ref.Time) && m.join(s, row, x.caps) &&
				x.counts(s, row) {
				x.note(ref)
				x.newest = max(x.newest, ref.Time)
				if lets, whole := m.whole(&x, s, ref, row, math.MinInt64); whole {
					x.capture(s, row, lets)
					done = append(done, x)
					continue
				}
			}
			stay = append(stay, x)
		}
		clear(k.runs[len(stay):])
		k.runs = stay
		for _, x := range done {
			out = m.step(r, k, x, ref, row, out)
		}
	}
	return out
}

// answer ends the absences that an event answers. It does not answer what it came before.
func (m *Runner) answer(r *Rule, k *State, t int64, row []Value) {
	list := k.open
	s := r.Absent
	if k.byValue == nil && s.eqRow >= 0 && len(k.open) > fewOpen {
		k.byValue = map[uint64][]*wait{}
		for _, w := range k.open {
			if h := hashValue(w.caps[s.eqCap]); !w.answered {
				k.byValue[h] = append(k.byValue[h], w)
			}
		}
	}
	h := uint64(0)
	if k.byValue != nil {
		h = hashValue(row[s.eqRow])
		list = k.byValue[h]
	}
	found := false
	for _, w := range list {
		if !w.answered && t >= w.since && t <= w.until && m.join(s, row, w.caps) {
			w.answered, found = true, true
			k.answered++
			k.weight -= w.weight()
		}
	}
	if !found {
		return
	}
	if k.byValue != nil {
		k.byValue[h] = slices.DeleteFunc(list, isAnswered)
		if len(k.byValue[h]) == 0 {
			delete(k.byValue, h)
		}
	}
	k.tidy()
}

func isAnswered(w *wait) bool { return w.answered }

// fewOpen absences are looked through one by one.
const fewOpen = 32

// tidy lets go of absences that were answered.
func (k *State) tidy() {
	i := 0
	for i < len(k.open) && k.open[i].answered {
		i++
	}
	clear(k.open[:i])
	k.open, k.answered = k.open[i:], k.answered-i
	if k.answered > fewOpen && k.answered > len(k.open)/2 {
		k.open, k.answered = slices.DeleteFunc(k.open, isAnswered), 0
	}
}

// await waits for what may not come.
func (k *State) await(r *Rule, w *wait) {
	i := len(k.open)
	for i > 0 && k.open[i-1].until > w.until {
		i--
	}
	k.open = slices.Insert(k.open, i, w)
	k.weight += w.weight()
	if k.byValue != nil {
		h := hashValue(w.caps[r.Absent.eqCap])
		k.byValue[h] = append(k.byValue[h], w)
	}
}

// oldest takes away the absence that is over first.
func (k *State) oldest(r *Rule) *wait {
	w := k.open[0]
	k.open[0], k.open = nil, k.open[1:]
	k.weight -= w.weight()
	if k.byValue != nil {
		h := hashValue(w.caps[r.Absent.eqCap])
		list := k.byValue[h]
		if i := slices.Index(list, w); i == 0 {
			list = list[1:]
		} else if i > 0 {
			list = slices.Delete(list, i, i+1)
		}
		if k.byValue[h] = list; len(list) == 0 {
			delete(k.byValue, h)
		}
	}
	k.tidy()
	return w
}

// Release lets go of the oldest thing that is open, and says so in a match: nobody who brings much
// at a time makes what is awaited disappear. An absence goes last, since only it is a decision.
func (m *Runner) Release(r *Rule, k *State, t int64, out []Match) []Match {
	m.forget(k)
	if len(k.runs) > 0 {
		x := k.runs[0]
		k.runs = slices.Delete(k.runs, 0, 1)
		if x.stage == 0 {
			return out
		}
		return append(out, Match{Time: t, Refs: x.refs, Count: int64(len(x.refs)), Partial: true, Unfollowed: true})
	}
	if len(k.open) > 0 {
		w := k.oldest(r)
		out = append(out, Match{Time: t, Refs: w.refs, Count: int64(len(w.refs)), Why: m.explain(r, nil, w.caps, nil),
			Partial: true, Unfollowed: true, Until: w.until})
	}
	return out
}

// counts adds an event to a step that may take several.
func (x *run) counts(s *Step, row []Value) bool {
	if s.distinct >= 0 {
		if s.nothing(row) {
			return false
		}
		h := hashValue(row[s.distinct])
		if slices.Contains(x.seen, h) {
			return false
		}
		x.seen = append(x.seen, h)
	}
	x.count++
	return true
}

func (x *run) note(ref event.Ref) {
	if len(x.refs) < 6 {
		x.refs = append(x.refs, ref.Clone())
		return
	}
	copy(x.refs[3:], x.refs[4:])
	x.refs[5] = ref.Clone()
}

func (x *run) capture(s *Step, row, lets []Value) {
	for _, c := range s.captures {
		for len(x.caps) <= c.slot {
			x.caps = append(x.caps, Value{})
		}
		if c.row < 0 {
			x.caps[c.slot] = lets[c.let]
		} else {
			x.caps[c.slot] = row[c.row]
		}
	}
}

// whole adds an event to a step that a sequence waits for, and tells whether the step is done, and
// what has added up by then.
func (m *Runner) whole(x *run, s *Step, ref event.Ref, row []Value, edge int64) (lets []Value, ok bool) {
	if s.Having == nil {
		return nil, x.count >= s.Times
	}
	if x.win == nil {
		x.win = &window{}
	}
	x.win.add(s.Lets, ref, row, edge, MaxTimes)
	return m.having(s.Lets, s.Having, row, x.caps, x.win, edge)
}

// start begins a sequence with an event, or goes on with a first step that takes several.
func (m *Runner) start(r *Rule, k *State, s *Step, ref event.Ref, row []Value, out []Match) []Match {
	if s.many() {
		return m.startMany(r, k, s, ref, row, out)
	}
	if r.Select == First && len(r.Steps) > 1 {
		i := slices.IndexFunc(k.runs, func(x run) bool { return x.alive(r, ref.Time) })
		switch {
		case i < 0:
		case k.runs[i].stage == 1 && ref.Time < k.runs[i].start: // it comes late, and was the first
			k.runs = slices.Delete(k.runs, i, i+1)
		default:
			return out
		}
	}
	x := run{start: ref.Time, newest: ref.Time}
	x.note(ref)
	x.capture(s, row, nil)
	return m.step(r, k, x, ref, row, out)
}

// startMany keeps the times of the newest events of a first step: the sequence starts with the
// oldest of those that suffice.
func (m *Runner) startMany(r *Rule, k *State, s *Step, ref event.Ref, row []Value, out []Match) []Match {
	if s.distinct >= 0 && s.nothing(row) {
		return out
	}
	j := slices.IndexFunc(k.runs, func(x run) bool { return x.stage == 0 })
	if j < 0 {
		k.runs = append(k.runs, run{start: ref.Time, newest: ref.Time})
		j = len(k.runs) - 1
	}
	x := &k.runs[j]
	newest := max(x.newest, ref.Time)
	if newest-ref.Time > r.Within {
		return out
	}
	x.newest = newest
	if s.Having != nil {
		x.note(ref)
		edge := newest - r.Within - 1
		lets, whole := m.whole(x, s, ref, row, edge)
		x.begin(max(x.win.first(), edge+1), int(x.win.n))
		if !whole {
			return out
		}
		x.capture(s, row, lets)
		return m.begun(r, k, j, ref, row, out)
	}
	// seen holds pairs, by time: what is distinct (or nothing), and when it was last seen.
	what, at := uint64(0), ref.Time
	if s.distinct >= 0 {
		what = hashValue(row[s.distinct])
		for i := 0; i < len(x.seen); i += 2 {
			if x.seen[i] == what {
				at = max(at, int64(x.seen[i+1]))
				x.seen = slices.Delete(x.seen, i, i+2)
				break
			}
		}
	}
	i := len(x.seen)
	for i > 0 && int64(x.seen[i-1]) > at {
		i -= 2
	}
	x.seen = slices.Insert(x.seen, i, what, uint64(at))
	for len(x.seen) > 2 && newest-int64(x.seen[1]) > r.Within || len(x.seen) > 2*s.Times {
		x.seen = x.seen[2:]
	}
	x.seen = slices.Clip(x.seen)
	x.note(ref)
	x.begin(int64(x.seen[1]), len(x.seen)/2)
	if x.count < s.Times {
		return out
	}
	x.capture(s, row, nil)
	return m.begun(r, k, j, ref, row, out)
}

// begin sets when a sequence began whose first step takes several events, and forgets what came
// before.
func (x *run) begin(start int64, count int) {
	x.start, x.count = start, count
	x.refs = slices.DeleteFunc(x.refs, func(r event.Ref) bool { return r.Time < start })
}

// begun goes on with a sequence whose first step took several events.
func (m *Runner) begun(r *Rule, k *State, j int, ref event.Ref, row []Value, out []Match) []Match {
	whole := k.runs[j]
	k.runs = slices.Delete(k.runs, j, j+1)
	return m.step(r, k, whole, ref, row, out)
}

// step moves a sequence on to its next step, or ends it.
func (m *Runner) step(r *Rule, k *State, x run, ref event.Ref, row []Value, out []Match) []Match {
	x.done = append(x.done, x.newest)
	x.stage, x.count, x.seen, x.win = x.stage+1, 0, nil, nil
	if x.stage == len(r.Steps) {
		if r.Absent == nil {
			return append(out, Match{Time: ref.Time, Refs: x.refs, Count: int64(len(x.refs)),
				Why: m.explain(r, row, x.caps, nil), Partial: k.Dropped})
		}
		for len(k.open)-k.answered >= MaxOpen {
			m.forget(k)
			w := k.oldest(r)
			out = append(out, Match{Time: ref.Time, Refs: w.refs, Count: int64(len(w.refs)),
				Why: m.explain(r, nil, w.caps, nil), Partial: true, Unfollowed: true, Until: w.until})
		}
		k.await(r, &wait{since: x.newest, until: x.newest + r.AbsentFor, caps: x.caps, refs: slices.Clip(x.refs)})
		return out
	}
	if r.Select == Each {
		same, oldest := 0, -1
		for i := range k.runs {
			if o := &k.runs[i]; o.stage == x.stage {
				if same++; oldest < 0 || o.start < k.runs[oldest].start {
					oldest = i
				}
			}
		}
		if same >= MaxRuns {
			if o := &k.runs[oldest]; o.alive(r, k.Newest) {
				m.forget(k)
				out = append(out, Match{Time: ref.Time, Refs: o.refs, Count: int64(len(o.refs)), Partial: true,
					Unfollowed: true})
			}
			k.runs = slices.Delete(k.runs, oldest, oldest+1)
		}
	} else if i := slices.IndexFunc(k.runs, func(o run) bool { return o.stage == x.stage }); i >= 0 {
		o := &k.runs[i]
		if r.Select == First && o.alive(r, ref.Time) || r.Select == Latest && o.since() > x.newest {
			return out // the newer one is there already
		}
		k.runs = slices.Delete(k.runs, i, i+1)
	}
	k.runs = append(k.runs, x)
	return out
}

// explain writes the rule's sentence; of what was taken by the last event, what was captured and
// what has added up.
func (m *Runner) explain(r *Rule, row, caps, lets []Value) string {
	if r.Explain == nil {
		return ""
	}
	m.lay(row, caps, lets)
	v, _ := m.value(r.Explain)
	return strings.Clone(event.Clip(v.S, 4*maxText))
}

// Due is when the state next has something to say if nothing comes; math.MaxInt64: never.
func (k *State) Due() int64 {
	if len(k.open) == 0 {
		return math.MaxInt64
	}
	return k.open[0].until
}

// Expire ends what was awaited up to a time and has not come.
func (m *Runner) Expire(r *Rule, k *State, t int64, out []Match) []Match {
	if r.Absent == nil {
		return out
	}
	for k.Due() <= t {
		w := k.oldest(r)
		out = append(out, Match{Time: w.until, Refs: w.refs, Count: int64(len(w.refs)),
			Why: m.explain(r, nil, w.caps, nil), Awaited: w.until, Partial: k.Dropped})
	}
	return out
}

// Single is the match of a rule that is one event and no more.
func (m *Runner) Single(r *Rule, ref event.Ref, t *Taken) Match {
	return Match{Time: ref.Time, Refs: []event.Ref{ref}, Count: 1,
		Why: m.explain(r, t.Rows[0], nil, m.lets(r, t.Rows[0]))}
}

// lets are the names of a rule without a window.
func (m *Runner) lets(r *Rule, row []Value) []Value {
	if len(r.Lets) == 0 {
		return nil
	}
	out := make([]Value, len(r.Lets))
	for j, l := range r.Lets {
		if l.row >= 0 {
			out[j] = row[l.row]
		} else if l.expr != nil {
			m.lay(row, nil, out)
			out[j], _ = m.value(l.expr)
		}
	}
	return out
}

// Forget ends what the state waits for.
func (k *State) Forget() { k.runs, k.open, k.answered, k.weight, k.byValue = nil, nil, 0, 0, nil }

// Open is how many absences are awaited.
func (k *State) Open() int { return len(k.open) - k.answered }

// Progress is how far the state has come: what would be lost with it.
func (k *State) Progress() int {
	n := k.Held()
	for i := range k.runs {
		n += sampleNumbers * (k.runs[i].stage + k.runs[i].count)
	}
	return n
}

// Weight is about how many bytes sequences and absences take.
func (k *State) Weight() int {
	n := k.weight
	for i := range k.runs {
		n += k.runs[i].weight()
	}
	return n
}

// Held is how many numbers the state holds because something adds up over events.
func (k *State) Held() (n int) {
	if k.win != nil {
		n = k.win.numbers()
	}
	for i := range k.runs {
		if w := k.runs[i].win; w != nil {
			n += w.numbers()
		}
	}
	return n
}

// Tighten makes windows of the state hold half as much: less is kept of events one by one, and
// nothing is left out of what they add up to.
func (k *State) Tighten(r *Rule) {
	if k.win != nil {
		k.win.tighten(r.Lets, MaxSamples)
	}
	for i := range k.runs {
		if x := &k.runs[i]; x.win != nil {
			x.win.tighten(r.Steps[x.stage].Lets, MaxTimes)
		}
	}
}

// Runs tells whether a sequence is under way.
func (k *State) Runs() bool { return len(k.runs)+len(k.open) > 0 }
