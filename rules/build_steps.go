package rules

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/rules/expression"
)

func (c *compiler) sequence(r *Rule) {
	for i, s := range c.src.Steps {
		if st := c.step(fmt.Sprintf("steps[%d]", i), s, true); st != nil {
			r.Steps = append(r.Steps, st)
		}
	}
	for i, s := range c.src.Nots {
		st := c.step(fmt.Sprintf("not[%d]", i), s, false)
		if st == nil {
			continue
		}
		if s.After != "" {
			if st.After = slices.IndexFunc(c.src.Steps, func(o StepSource) bool { return o.Name == s.After }); st.After < 0 {
				c.bad(fmt.Sprintf("not[%d].after", i),
					&expression.Fault{Code: "R140", What: "there is no step " + strconv.Quote(s.After) + "; use the name of one"})
			}
		}
		r.Nots = append(r.Nots, st)
	}
	if c.src.Absent != nil {
		r.Absent = c.step("absent", *c.src.Absent, false)
	}
	if len(r.Steps) == 0 {
		return
	}
	if c.src.Explain != "" {
		last := r.Steps[len(r.Steps)-1]
		r.Explain = c.later("explain", c.src.Explain, last, behind(c.caps, 0), expression.Text)
	}
	for i, s := range r.Steps {
		c.room(s, fmt.Sprintf("steps[%d]", i))
	}
}

// step compiles a condition. What it says of the event alone is its filter; what compares with
// something captured before is looked at where the sequence is kept.
func (c *compiler) step(at string, s StepSource, capturing bool) *Step {
	st := &Step{Name: s.Name, Times: max(s.Times, 1), After: -1, distinct: -1, eqRow: -1}
	more := behind(c.caps, 0)
	whole := c.compile(at+".where", s.Where, c.events(more), expression.Bool)
	if whole == nil {
		return nil
	}
	parts, err := expression.Conjuncts(s.Where, c.events(more))
	if err != nil {
		c.bad(at+".where", err)
		return nil
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
	case len(alone) == 0:
		c.bad(at+".where",
			&expression.Fault{Code: "R141",
				What: "nothing here is of the event alone, so every event would have to be remembered; also say what kind of event, class or tool it is"})
		return nil
	default:
		st.Where = c.compile(at+".where", strings.Join(alone, " and "), c.events(), expression.Bool)
		st.Join = c.later(at+".where", strings.Join(joined, " and "), st, more, expression.Bool)
		if st.Where == nil || st.Join == nil {
			return nil
		}
		for _, p := range parts {
			c.equals(st, p)
		}
	}
	if s.Distinct != "" {
		if x := c.compile(at+".distinct", s.Distinct, c.events(), 0); x != nil {
			st.distinct = st.taken(x)
		}
	}
	if !capturing {
		if s.Times > 1 || s.Distinct != "" || len(s.Capture)+len(s.Lets) > 0 || s.Having != "" {
			c.bad(at,
				&expression.Fault{Code: "R143",
					What: "one event is enough here, and nothing goes on from it; take times, distinct, capture, let and having out"})
		}
		return st
	}
	kept := func(at, name string, from capture, t expression.Type) {
		if len(c.caps) == MaxCaptures {
			c.bad(at,
				&expression.Fault{Code: "R142", What: fmt.Sprintf("more than %d things are captured; leave some out",
					MaxCaptures)})
			return
		}
		if _, twice := c.caps[s.Name+"."+name]; twice {
			c.bad(at, &expression.Fault{Code: "R145", What: "the step has captured " + strconv.Quote(name) + " already; use another name"})
			return
		}
		from.slot = len(c.caps)
		st.captures = append(st.captures, from)
		c.caps[s.Name+"."+name] = expression.Name{Type: t, Slot: from.slot}
	}
	switch {
	case s.Having != "" && (s.Times > 1 || s.Distinct != ""):
		c.bad(at+".having",
			&expression.Fault{Code: "R144",
				What: "having says when the step is done, so times and distinct have nothing to say; use count() and distinct(…) under let"})
	case s.Having != "":
		var names map[string]expression.Name
		before := maps.Clone(c.caps)
		st.Lets, names = c.letsOf(at+".let.", s.Lets, st, before, true)
		more := behind(names, MaxCaptures)
		maps.Copy(more, behind(before, 0))
		st.Having = c.later(at+".having", s.Having, st, more, expression.Bool)
		for i, l := range st.Lets {
			kept(at+".let."+l.Name, l.Name, capture{row: -1, let: i}, names[l.Name].Type)
		}
	case len(s.Lets) > 0:
		c.bad(at+".let",
			&expression.Fault{Code: "R144",
				What: "what adds up in a step says when it is done; add having: total > 500, say, or put what is taken from one event under capture"})
	}
	for _, p := range s.Capture {
		where := at + ".capture." + p.Name
		if x := c.compile(where, p.Expr, c.events(), 0); x != nil {
			kept(where, p.Name, capture{row: st.taken(x)}, x.Type)
		}
	}
	return st
}

// equals notes that a part of a step's condition wants a field of the event to be equal to a thing
// captured.
func (c *compiler) equals(s *Step, part expression.Conjunct) {
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
