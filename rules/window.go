package rules

import (
	"math"
	"slices"

	"github.com/wayward-sec/wayward/event"
)

// window adds an event to a rule's window and matches if having holds of all that lies in it.
func (m *Runner) window(r *Rule, k *State, ref event.Ref, row []Value, out []Match) []Match {
	if ref.Time <= k.Newest-r.Window {
		return out
	}
	if k.sums == nil {
		k.sums = make([]sum, len(r.Lets))
		for j, l := range r.Lets {
			for i := range k.samples {
				k.sums[j].add(l, k.samples[i].row)
			}
		}
	}
	i, _ := slices.BinarySearchFunc(k.samples, ref, func(s sample, r event.Ref) int {
		if s.ref.Before(r) {
			return -1
		}
		return 1
	})
	row = slices.Clone(row)
	k.samples = slices.Insert(k.samples, i, sample{ref.Clone(), row})
	first := 0
	for first < len(k.samples) && k.samples[first].ref.Time <= k.Newest-r.Window {
		first++
	}
	if over := len(k.samples) - MaxSamples; over > first {
		first = over
		m.forget(k)
	}
	for j, l := range r.Lets {
		k.sums[j].add(l, row)
		for i := range first {
			k.sums[j].remove(l, k.samples[i].row)
		}
	}
	clear(k.samples[:first])
	k.samples = k.samples[first:]
	lets, holds := m.having(r.Lets, r.Having, row, nil, k.samples, k.sums)
	was := k.holds
	if k.holds = holds; !holds {
		return out
	}
	refs := make([]event.Ref, 0, 6)
	for j := range k.samples {
		if j < 5 || j == len(k.samples)-1 {
			refs = append(refs, k.samples[j].ref)
		}
	}
	return append(out, Match{Time: ref.Time, Refs: refs, Count: int64(len(k.samples)), Why: m.explain(r, row, nil, lets), Goes: was, Partial: k.Dropped})
}

// having reckons what adds up over samples, the newest of which has taken row, and tells whether a condition on it holds. sums are over the same samples; nil: they are
// reckoned anew. What is returned is overwritten by the next call.
func (m *Runner) having(lets []*Let, cond *Expr, row, caps []Value, samples []sample, sums []sum) ([]Value, bool) {
	m.adds = m.adds[:0]
	for j, l := range lets {
		var v Value
		switch {
		case l.Aggregate != "":
			var own sum
			s := &own
			if sums != nil {
				s = &sums[j]
			} else {
				for i := range samples {
					s.add(l, samples[i].row)
				}
			}
			v.N = s.value(l, samples)
		case l.row >= 0:
			v = row[l.row]
		default:
			m.lay(row, caps, m.adds)
			var ok bool
			if v, ok = m.value(l.expr); !ok {
				return nil, false
			}
		}
		m.adds = append(m.adds, v)
	}
	m.lay(row, caps, m.adds)
	holds := m.isTrue(cond)
	if m.trace != nil {
		m.trace(yesNo(holds) + " having: " + cond.Source + m.with(cond))
	}
	return m.adds, holds
}

// sum is what one let has come to over events, kept as they come and go. It depends on which events there are and on nothing else, not on their order: a restart reckons it anew.
type sum struct {
	n      int
	micro  int64          // in millionths, of those that fit
	large  int            // how many do not
	values map[uint64]int // of distinct: how many of each
	sorted []float64      // of min, max and quantile
}

// mostMicro bounds numbers that are added up in millionths: a window of the largest of them does not overflow.
const mostMicro = math.MaxInt64 / 1e6 / (MaxSamples + 1)

func micro(v float64) (int64, bool) {
	if !(v > -mostMicro && v < mostMicro) {
		return 0, false
	}
	return int64(math.Round(v * 1e6)), true
}

func (s *sum) add(l *Let, row []Value)    { s.change(l, row, 1) }
func (s *sum) remove(l *Let, row []Value) { s.change(l, row, -1) }

func (s *sum) change(l *Let, row []Value, by int) {
	switch l.Aggregate {
	case "":
	case "count":
		if l.row < 0 || row[l.row].N != 0 {
			s.n += by
		}
	case "distinct":
		v := row[l.row]
		if v == (Value{}) {
			return
		}
		if s.values == nil {
			s.values = map[uint64]int{}
		}
		h := hashValue(v)
		if s.values[h] += by; s.values[h] == 0 {
			delete(s.values, h)
		}
	case "sum", "avg":
		s.n += by
		if v, fits := micro(row[l.row].N); fits {
			s.micro += int64(by) * v
		} else {
			s.large += by
		}
	default:
		v := row[l.row].N
		i, found := slices.BinarySearch(s.sorted, v)
		if by > 0 {
			s.sorted = slices.Insert(s.sorted, i, v)
		} else if found {
			s.sorted = slices.Delete(s.sorted, i, i+1)
		}
	}
}

func (s *sum) value(l *Let, samples []sample) float64 {
	switch l.Aggregate {
	case "count":
		return float64(s.n)
	case "distinct":
		return float64(len(s.values))
	case "min", "max", "quantile":
		n := len(s.sorted)
		switch {
		case n == 0:
			return 0
		case l.Aggregate == "min":
			return s.sorted[0]
		case l.Aggregate == "max":
			return s.sorted[n-1]
		}
		return s.sorted[min(int(l.q*float64(n)), n-1)]
	}
	total := float64(s.micro) / 1e6
	if s.large > 0 {
		total = 0
		for i := range samples {
			total += samples[i].row[l.row].N
		}
	}
	if l.Aggregate == "avg" && s.n > 0 {
		return total / float64(s.n)
	}
	return total
}
