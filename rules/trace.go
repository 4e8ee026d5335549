package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules/expression"
)

// explainPart returns a line for each condition of a part: whether it holds of the event, and what
// the fields in it are.
func (r *Rule) explainPart(p *Step, c *expression.Context) (out []string) {
	name := p.Name
	if p == r.Absent {
		name = "absent"
	}
	parts, err := p.Where.Conjuncts()
	if err != nil {
		return nil
	}
	for _, x := range parts {
		holds, err := x.IsTrue(c)
		word := yesNo(holds)
		if err != nil {
			word = err.Error()
		}
		out = append(out, word+" "+name+": "+x.Source+x.Operands(c))
	}
	if holds, err := p.Where.IsTrue(c); err == nil && holds && len(p.row) > 0 {
		var taken []string
		for _, x := range p.row {
			if v, err := x.Value(c); err == nil {
				taken = append(taken, x.Source+" is "+v.Format(x.Type))
			}
		}
		out = append(out, "    "+name+" takes "+strings.Join(taken, ", "))
	}
	return out
}

func yesNo(holds bool) string {
	if holds {
		return "yes"
	}
	return "no "
}

// Tracer runs a rule on events, for people who ask why it matches or does not. It says of each event
// what the conditions came to, what has added up, and which sequences are under way then. Events are
// grouped by the text of the key and taken in the order of arrival.
type Tracer struct {
	rule   *Rule
	run    Runner
	states map[string]*State
	lines  []string
}

// NewTracer returns a Tracer of a rule.
func NewTracer(r *Rule) *Tracer {
	t := &Tracer{rule: r, states: map[string]*State{}}
	t.run.trace = func(line string) { t.lines = append(t.lines, line) }
	return t
}

// Event runs the rule on an event and returns the lines about it.
func (t *Tracer) Event(e *event.Event, persona string, local int64, enrichment expression.Enrichment) []string {
	t.lines = nil
	r := t.rule
	t.run.Begin(e, persona, local, enrichment)
	for _, p := range r.Parts() {
		t.lines = append(t.lines, r.explainPart(p, t.run.Context())...)
	}
	var key []string
	for _, k := range r.By {
		key = append(key, keyText(k, e, persona))
		if key[len(key)-1] == "" {
			return append(t.lines,
				"the event has no "+k.String()+", by which the rule keeps events apart: it does not count")
		}
	}
	for _, x := range r.Exceptions {
		if t.run.Passes(x.When) {
			t.lines = append(t.lines, "yes exception "+x.Name+": "+x.When.Source)
		}
	}
	taken := Taken{Rows: make([][]expression.Value, len(r.Parts()))}
	for i, p := range r.Parts() {
		if t.run.Passes(p.Where) {
			taken.Mask |= 1 << i
			taken.Rows[i], _ = t.run.Row(nil, p)
		}
	}
	if taken.Mask == 0 {
		return t.lines
	}
	ref := event.Ref{Time: e.Time, ID: e.ID, Agent: e.Agent.ID}
	if !r.Stateful() {
		return t.lines
	}
	name := strings.Join(key, "\x00")
	if t.states[name] == nil {
		t.states[name] = &State{Rule: r.Hash}
	}
	k := t.states[name]
	for _, m := range t.run.Advance(r, k, ref, &taken, nil) {
		line := fmt.Sprintf("    matches, with %d events", m.Count)
		if m.Evicted {
			line = "    is not followed any more: there are too many"
		}
		if m.Approx != "" {
			line += "; " + m.Approx
		}
		t.lines = append(t.lines, line)
	}
	for i := range k.runs {
		t.lines = append(t.lines, "    under way: "+t.underWay(&k.runs[i]))
	}
	for _, w := range k.absences {
		if !w.arrived {
			x := run{stage: len(r.Steps), caps: w.caps}
			t.lines = append(t.lines,
				fmt.Sprintf("    under way: all steps are done, and what must not come is awaited until %s",
					time.UnixMilli(w.until).UTC().Format("15:04:05"))+t.captured(&x))
		}
	}
	return t.lines
}

// underWay says what a run waits for.
func (t *Tracer) underWay(x *run) string {
	s := t.rule.Steps[x.stage]
	out := "waits for " + s.Name
	if s.Times > 1 {
		out += fmt.Sprintf(", has %d of %d", x.count, s.Times)
	}
	return out + t.captured(x)
}

// captured says what a run has captured.
func (t *Tracer) captured(x *run) string {
	var b strings.Builder
	opened := false
	for _, s := range t.rule.Steps[:min(x.stage, len(t.rule.Steps))] {
		for _, c := range s.captures {
			b.WriteString(map[bool]string{true: ", ", false: "   ("}[opened])
			opened = true
			if c.row < 0 {
				fmt.Fprintf(&b, "%s.%s is %s", s.Name, s.Lets[c.let].Name, x.caps[c.slot].Format(expression.Number))
			} else {
				fmt.Fprintf(&b, "%s of %s is %s", s.row[c.row].Source, s.Name, x.caps[c.slot].Format(s.row[c.row].Type))
			}
		}
	}
	if opened {
		b.WriteByte(')')
	}
	return b.String()
}
