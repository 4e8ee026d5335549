package rules

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules/expression"
)

// Runner runs rules in two halves. On an event it evaluates conditions and takes the values that
// are needed later (Begin, Passes, Row). On those values, perhaps elsewhere, it keeps windows and
// sequences (Advance). One goroutine at a time.
type Runner struct {
	c         expression.Context
	vars      []expression.Value // behind c.Vars, see bind
	letValues []expression.Value // scratch of havingHolds

	failures, drops int // since TakeCounts

	trace func(line string) // is called with what each condition came to; nil: no trace
}

// TakeCounts returns how many expressions failed, and how much was forgotten for want of room, since
// it was last called. An expression that fails counts as false, or as the zero value.
func (m *Runner) TakeCounts() (failures, drops int) {
	failures, drops = m.failures, m.drops
	m.failures, m.drops = 0, 0
	return failures, drops
}

// CountDrops adds what the keeper of the states forgot for want of room.
func (m *Runner) CountDrops(n int) { m.drops += n }

// isTrue runs a condition.
func (m *Runner) isTrue(x *expression.Expr) bool {
	ok, err := x.IsTrue(&m.c)
	if err != nil {
		m.failures++
	}
	return err == nil && ok
}

// value runs an expression; false: it failed.
func (m *Runner) value(x *expression.Expr) (v expression.Value, ok bool) {
	v, err := x.Value(&m.c)
	if err != nil {
		m.failures++
	}
	return v, err == nil
}

// Taken is what a rule took from one event: which parts the event passes, one bit each in the order
// of Rule.Parts, and the row of values for each of these.
type Taken struct {
	Mask uint32
	Rows [][]expression.Value // by part; nil where the bit is not set
}

// Begin sets the event that Passes and Row look at.
func (m *Runner) Begin(e *event.Event, persona string, local int64, enrichment expression.Enrichment) {
	m.c.Reset(e, persona, local, enrichment)
}

// Passes tells whether a condition holds of the event.
func (m *Runner) Passes(x *expression.Expr) bool { return m.isTrue(x) }

// Context is what expressions see of the event.
func (m *Runner) Context() *expression.Context { return &m.c }

// Row appends what a step takes from the event; false: an expression failed.
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

// Match is a match of a rule, or with Evicted a sequence that was dropped before it could match.
type Match struct {
	Time      int64
	Refs      []event.Ref // contributing events, oldest first; the last is the trigger
	Count     int64       // contributing events in all
	Why       string      // by explain; "" if there is none
	Deadline  int64       // event time until which an awaited event did not come; 0: none was awaited
	Continues bool        // having held with the event before, too
	Partial   bool        // something was forgotten before, for want of room
	Approx    string      // what of it is not exact, in words; "": all is
	Evicted   bool        // no match: it was dropped for want of room, so nobody will see whether it matches
	Until     int64       // of an evicted absence its deadline; 0: a sequence was evicted
}

// countDrop notes that something of the state was forgotten for want of room.
func (m *Runner) countDrop(k *State) {
	k.Dropped = true
	m.drops++
}

// Late is by how many milliseconds an event may be older than the newest one and still be a step of a
// sequence.
const Late = 10_000

// Advance applies what was taken from an event to a state and appends the matches. Absences whose
// deadline lies before the event match first.
func (m *Runner) Advance(r *Rule, k *State, ref event.Ref, t *Taken, out []Match) []Match {
	out = m.Expire(r, k, ref.Time-1, out)
	late := ref.Time < k.Newest-Late
	k.Newest = max(k.Newest, ref.Time)
	if r.Having != nil {
		return m.window(r, k, ref, t.Rows[0], out)
	}
	return m.sequence(r, k, ref, t, late, out)
}

// joins tells whether the step's condition on captured values holds.
func (m *Runner) joins(s *Step, row, caps []expression.Value) bool {
	if s.Join == nil {
		return true
	}
	if s.eqRow >= 0 && m.trace == nil && row[s.eqRow] != caps[s.eqCap] {
		return false // the usual case: another subject, or another resource
	}
	m.bind(row, caps, nil)
	holds := m.isTrue(s.Join)
	if m.trace != nil {
		m.trace(yesNo(holds) + " " + s.Name + ": " + s.Join.Source + s.Join.Operands(&m.c))
	}
	return holds
}

// bind puts the row, the captured values and the values of lets into the slots where expressions
// look for them: see shiftSlots.
func (m *Runner) bind(row, caps, lets []expression.Value) {
	if m.vars == nil {
		m.vars = make([]expression.Value, rowRoom+MaxCaptures+maxLets)
	}
	copy(m.vars, row)
	clear(m.vars[rowRoom+copy(m.vars[rowRoom:], caps) : rowRoom+MaxCaptures])
	copy(m.vars[rowRoom+MaxCaptures:], lets)
	m.c.Vars = m.vars
}

// explain returns the rule's sentence about a match.
func (m *Runner) explain(r *Rule, row, caps, lets []expression.Value) string {
	if r.Explain == nil {
		return ""
	}
	m.bind(row, caps, lets)
	v, _ := m.value(r.Explain)
	return strings.Clone(event.Clip(v.S, 4*maxText))
}

// SingleMatch is the match of a rule that needs one event and no state.
func (m *Runner) SingleMatch(r *Rule, ref event.Ref, t *Taken) Match {
	return Match{Time: ref.Time, Refs: []event.Ref{ref}, Count: 1,
		Why: m.explain(r, t.Rows[0], nil, m.letsOfEvent(r, t.Rows[0]))}
}

// letsOfEvent are the values of the lets of a rule without a window.
func (m *Runner) letsOfEvent(r *Rule, row []expression.Value) []expression.Value {
	if len(r.Lets) == 0 {
		return nil
	}
	out := make([]expression.Value, len(r.Lets))
	for j, l := range r.Lets {
		if l.row >= 0 {
			out[j] = row[l.row]
		} else if l.expr != nil {
			m.bind(row, nil, out)
			out[j], _ = m.value(l.expr)
		}
	}
	return out
}
