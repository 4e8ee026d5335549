package rules

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules/expression"
)

// Runner runs rules: on events it looks whether a condition holds and takes what is needed later;
// on what was taken it keeps windows and sequences. Not for use by several goroutines at a time.
type Runner struct {
	c    expression.Context
	vars []expression.Value
	adds []expression.Value // what lets have come to

	failures, drops int // since TakeCounts

	trace func(line string) // hears what conditions came to; nil: nobody listens
}

// TakeCounts returns how many expressions have failed, and how many things were forgotten for want of
// room, since it was last called. An expression that fails is not true, and what it should have
// said is left out.
func (m *Runner) TakeCounts() (failures, drops int) {
	failures, drops = m.failures, m.drops
	m.failures, m.drops = 0, 0
	return failures, drops
}

// CountDrops adds what whoever keeps the states has forgotten.
func (m *Runner) CountDrops(n int) { m.drops += n }

// isTrue runs a condition.
func (m *Runner) isTrue(x *expression.Expr) bool {
	ok, err := x.IsTrue(&m.c)
	if err != nil {
		m.failures++
	}
	return err == nil && ok
}

// value runs an expression; ok: it did not fail.
func (m *Runner) value(x *expression.Expr) (v expression.Value, ok bool) {
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
	Rows [][]expression.Value // by part; nil where the bit is not set
}

// Begin sets the event that is looked at next.
func (m *Runner) Begin(e *event.Event, persona string, local int64, enrichment expression.Enrichment) {
	m.c.Reset(e, persona, local, enrichment)
}

// Passes tells whether the event meets a condition by itself.
func (m *Runner) Passes(x *expression.Expr) bool { return m.isTrue(x) }

// Context is what expressions see of the event that was begun.
func (m *Runner) Context() *expression.Context { return &m.c }

// Row appends what a step takes from the event; false: an expression has failed.
func (m *Runner) Row(row []expression.Value, s *Step) ([]expression.Value, bool) {
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

// Match is a rule that matched.
type Match struct {
	Time      int64
	Refs      []event.Ref // what it is made of, oldest first; the last is the trigger
	Count     int64       // events in it
	Why       string      // by explain; "" if there is none
	Deadline  int64       // until when something was awaited that did not come; 0: nothing was
	Continues bool        // it only goes on: having was true before
	Partial   bool        // something was forgotten before
	Approx    string      // what of it is not exact, in words; "": all is
	// Evicted: it has not matched. It was let go for want of room, so nobody will see whether it
	// does.
	Evicted bool
	Until   int64 // of one that is unfollowed: until when something was awaited; 0: it waited for a step
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
func (m *Runner) join(s *Step, row, caps []expression.Value) bool {
	if s.Join == nil {
		return true
	}
	if s.eqRow >= 0 && m.trace == nil && row[s.eqRow] != caps[s.eqCap] {
		return false // mostly it is somebody else's
	}
	m.lay(row, caps, nil)
	holds := m.isTrue(s.Join)
	if m.trace != nil {
		m.trace(yesNo(holds) + " " + s.Name + ": " + s.Join.Source + s.Join.Operands(&m.c))
	}
	return holds
}

// lay puts what was taken, what was captured and what adds up where expressions look for them.
func (m *Runner) lay(row, caps, lets []expression.Value) {
	if m.vars == nil {
		m.vars = make([]expression.Value, rowRoom+MaxCaptures+maxLets)
	}
	copy(m.vars, row)
	clear(m.vars[rowRoom+copy(m.vars[rowRoom:], caps) : rowRoom+MaxCaptures])
	copy(m.vars[rowRoom+MaxCaptures:], lets)
	m.c.Vars = m.vars
}

// explain writes the rule's sentence; of what was taken by the last event, what was captured and
// what has added up.
func (m *Runner) explain(r *Rule, row, caps, lets []expression.Value) string {
	if r.Explain == nil {
		return ""
	}
	m.lay(row, caps, lets)
	v, _ := m.value(r.Explain)
	return strings.Clone(event.Clip(v.S, 4*maxText))
}

// SingleMatch is the match of a rule that is one event and no more.
func (m *Runner) SingleMatch(r *Rule, ref event.Ref, t *Taken) Match {
	return Match{Time: ref.Time, Refs: []event.Ref{ref}, Count: 1,
		Why: m.explain(r, t.Rows[0], nil, m.lets(r, t.Rows[0]))}
}

// lets are the names of a rule without a window.
func (m *Runner) lets(r *Rule, row []expression.Value) []expression.Value {
	if len(r.Lets) == 0 {
		return nil
	}
	out := make([]expression.Value, len(r.Lets))
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
