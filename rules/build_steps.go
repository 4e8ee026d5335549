package rules

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/rules/expression"
)

// compileSequence compiles the steps of a rule, its nots and its absent.
func (c *compiler) compileSequence(r *Rule) {
	for i, s := range c.src.Steps {
		if st := c.compileStep(fmt.Sprintf("steps[%d]", i), s, true); st != nil {
			r.Steps = append(r.Steps, st)
		}
	}
	for i, s := range c.src.Nots {
		st := c.compileStep(fmt.Sprintf("not[%d]", i), s, false)
		if st == nil {
			continue
		}
		if s.After != "" {
			st.After = slices.IndexFunc(c.src.Steps, func(o StepSource) bool { return o.Name == s.After })
			if st.After < 0 {
				c.report(fmt.Sprintf("not[%d].after", i), &expression.Fault{Code: "R140",
					What: "there is no step " + strconv.Quote(s.After) + "; use the name of one"})
			}
		}
		r.Nots = append(r.Nots, st)
	}
	if c.src.Absent != nil {
		r.Absent = c.compileStep("absent", *c.src.Absent, false)
	}
	if len(r.Steps) == 0 {
		return
	}
	if c.src.Explain != "" {
		last := r.Steps[len(r.Steps)-1]
		r.Explain = c.compileDeferred("explain", c.src.Explain, last, shiftSlots(c.caps, 0), expression.Text)
	}
	for i, s := range r.Steps {
		c.checkRow(s, fmt.Sprintf("steps[%d]", i))
	}
}

// compileStep compiles a step, a not or an absent. Of these only steps capture.
func (c *compiler) compileStep(at string, s StepSource, capturing bool) *Step {
	st := &Step{Name: s.Name, Times: max(s.Times, 1), After: -1, distinct: -1, eqRow: -1}
	if !c.compileCondition(at+".where", s.Where, st) {
		return nil
	}
	if s.Distinct != "" {
		if x := c.compile(at+".distinct", s.Distinct, c.eventScope(), 0); x != nil {
			st.distinct = st.rowIndex(x)
		}
	}
	switch {
	case capturing:
		c.compileCaptures(at, s, st)
	case s.Times > 1 || s.Distinct != "" || len(s.Capture)+len(s.Lets) > 0 || s.Having != "":
		c.report(at, &expression.Fault{Code: "R143",
			What: "one event is enough here, and nothing goes on from it; take times, distinct, capture, let and having out"})
	}
	return st
}

// compileCondition cuts a condition in two: Where says what the event must be like by itself, Join
// compares it with captured values. False: it has a fault.
func (c *compiler) compileCondition(at, src string, st *Step) bool {
	captured := shiftSlots(c.caps, 0)
	whole := c.compile(at, src, c.eventScope(captured), expression.Bool)
	if whole == nil {
		return false
	}
	parts, err := expression.Conjuncts(src, c.eventScope(captured))
	if err != nil {
		c.report(at, err)
		return false
	}
	var alone, joined []string
	for _, p := range parts {
		if p.Mentions(c.caps) {
			joined = append(joined, p.Source)
		} else {
			alone = append(alone, p.Source)
		}
	}
	switch {
	case len(joined) == 0:
		st.Where = whole
		return true
	case len(alone) == 0:
		c.report(at, &expression.Fault{Code: "R141",
			What: "nothing here is of the event alone, so every event would have to be remembered; also say what kind of event, class or tool it is"})
		return false
	}
	st.Where = c.compile(at, strings.Join(alone, " and "), c.eventScope(), expression.Bool)
	st.Join = c.compileDeferred(at, strings.Join(joined, " and "), st, captured, expression.Bool)
	if st.Where == nil || st.Join == nil {
		return false
	}
	for _, p := range parts {
		c.noteEquality(st, p)
	}
	return true
}

// compileCaptures compiles what later steps may use of a step: its lets, and what it captures of its
// last event.
func (c *compiler) compileCaptures(at string, s StepSource, st *Step) {
	switch {
	case s.Having != "" && (s.Times > 1 || s.Distinct != ""):
		c.report(at+".having", &expression.Fault{Code: "R144",
			What: "having says when the step is done, so times and distinct have nothing to say; use count() and distinct(…) under let"})
	case s.Having != "":
		var names map[string]expression.Name
		before := maps.Clone(c.caps)
		st.Lets, names = c.compileLets(at+".let.", s.Lets, st, before, true)
		more := shiftSlots(names, MaxCaptures)
		maps.Copy(more, shiftSlots(before, 0))
		st.Having = c.compileDeferred(at+".having", s.Having, st, more, expression.Bool)
		for i, l := range st.Lets {
			c.addCapture(at+".let."+l.Name, st, l.Name, capture{row: -1, let: i}, names[l.Name].Type)
		}
	case len(s.Lets) > 0:
		c.report(at+".let", &expression.Fault{Code: "R144",
			What: "what adds up in a step says when it is done; add having: total > 500, say, or put what is taken from one event under capture"})
	}
	for _, p := range s.Capture {
		where := at + ".capture." + p.Name
		if x := c.compile(where, p.Expr, c.eventScope(), 0); x != nil {
			c.addCapture(where, st, p.Name, capture{row: st.rowIndex(x)}, x.Type)
		}
	}
}

// addCapture gives a captured value the next slot, under the name step.name.
func (c *compiler) addCapture(at string, st *Step, name string, from capture, t expression.Type) {
	full := st.Name + "." + name
	if len(c.caps) == MaxCaptures {
		c.report(at, &expression.Fault{Code: "R142",
			What: fmt.Sprintf("more than %d things are captured; leave some out", MaxCaptures)})
		return
	}
	if _, twice := c.caps[full]; twice {
		c.report(at, &expression.Fault{Code: "R145",
			What: "the step has captured " + strconv.Quote(name) + " already; use another name"})
		return
	}
	from.slot = len(c.caps)
	st.captures = append(st.captures, from)
	c.caps[full] = expression.Name{Type: t, Slot: from.slot}
}

// noteEquality sets eqRow and eqCap if a part of the step's condition is: field == captured value.
func (c *compiler) noteEquality(s *Step, part expression.Conjunct) {
	left, right, ok := part.Equality()
	if !ok || s.eqRow >= 0 {
		return
	}
	for _, side := range [...][2]string{{left, right}, {right, left}} {
		captured, is := c.caps[side[1]]
		if f := expression.FieldNamed(side[0]); !is || f == nil || f.Type != captured.Type {
			continue
		}
		if i := slices.IndexFunc(s.row, func(x *expression.Expr) bool { return x.Source == side[0] }); i >= 0 {
			s.eqRow, s.eqCap = i, captured.Slot
			return
		}
	}
}
