package sequence

import (
	"cmp"
	"slices"
)

// Habit is a call that comes after another one, for people.
type Habit struct {
	Before, Call        string
	Share               float64 // of what comes after Before, by sessions
	Sessions, AgentDays uint32  // in which it came, aged as the model's counts are
}

// Mean is what a step costs on average, in bits; 0 if nothing was learned.
func (m *Model) Mean() float64 {
	if m.steps == 0 {
		return 0
	}
	return float64(m.bits) / float64(m.steps) / seqBit
}

// Calls are the calls that the model knows, sorted.
func (m *Model) Calls() []string {
	out := make([]string, 0, len(m.symbols))
	for i := range m.symbols {
		out = append(out, m.symbols[i].String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Habits are the pairs of calls that came in most sessions, most first. A call before is taken as
// having ended well.
func (m *Model) Habits(most int) (out []Habit) {
	name := func(id uint32) string {
		if s := m.Symbol(id); s != nil {
			return s.String()
		}
		return ""
	}
	of := func(before uint32) {
		context := after(orderSeed, before) & upper
		i, _ := slices.BinarySearchFunc(m.grams, context,
			func(g gram, key uint64) int { return cmp.Compare(g.key, key) })
		first, total := len(out), 0.0
		for ; i < len(m.grams) && m.grams[i].key&upper == context; i++ {
			g := &m.grams[i]
			if call := name(uint32(g.key)); call != "" && uint32(g.key) != beginSymbol {
				out = append(out, Habit{Before: name(before), Call: call, Sessions: g.n, AgentDays: g.u})
				total += float64(g.n)
			}
		}
		for j := first; j < len(out) && total > 0; j++ {
			out[j].Share = float64(out[j].Sessions) / total
		}
	}
	of(beginSymbol)
	for i := range m.symbols {
		of(m.symbols[i].ID)
	}
	slices.SortStableFunc(out, func(a, b Habit) int {
		return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.Before, b.Before), cmp.Compare(a.Call, b.Call))
	})
	return out[:min(len(out), most)]
}
