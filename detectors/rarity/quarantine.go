package rarity

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/sketch"
)

// Quarantined is something that was seen in what raised an alert: it stays new until enough
// agents have shown it on enough days, or somebody says so.
type Quarantined struct {
	Value
	Field    Field
	Sink     bool   // never accepted without a person
	Rejected bool   // never accepted
	Judged   uint8  // see Sighting
	counted  bool   // it has been counted as something new that happens
	Agents   uint64 // bit per hash of an agent
	Most     uint32 // agents on the day on which they were most
	Days     uint32 // on which it was seen
}

// Item names a quarantined value for people: field:name, or field:#hash.
func (q *Quarantined) Item() string { return itemOf(q.Field, &q.Value) }

func itemOf(f Field, v *Value) string {
	if v.Name != "" {
		return f.String() + ":" + v.Name
	}
	return fmt.Sprintf("%s:#%016x", f, v.Hash)
}

// Held returns the quarantined value, or nil.
func (v *Model) Held(f Field, hash uint64) *Quarantined {
	i, found := v.quarantineIndex(f, hash)
	if !found {
		return nil
	}
	return &v.Quarantine[i]
}

func (v *Model) quarantineIndex(f Field, hash uint64) (int, bool) {
	return slices.BinarySearchFunc(v.Quarantine, 0, func(q Quarantined, _ int) int {
		return cmp.Or(cmp.Compare(q.Field, f), cmp.Compare(q.Hash, hash))
	})
}

// Decide takes a person's decision about a quarantined item.
func (v *Model) Decide(item string, accept bool, _ int64) bool {
	if accept {
		return v.Approve(item)
	}
	return v.Reject(item)
}

// Approve makes a quarantined item known. It returns false if there is none of that name. Models
// are shared, so Approve and Reject must be called on a copy that nobody else has yet.
func (v *Model) Approve(item string) bool {
	done := false
	v.Quarantine = slices.DeleteFunc(v.Quarantine, func(q Quarantined) bool {
		if q.Item() != item {
			return false
		}
		q.Via, q.Count = Approved, max(q.Count, declaredFor)
		v.Of[q.Field].insert(q.Value)
		done = true
		return true
	})
	v.derive(v.day)
	return done
}

// Reject keeps a quarantined item from being accepted. See Approve.
func (v *Model) Reject(item string) bool {
	done := false
	for i := range v.Quarantine {
		if q := &v.Quarantine[i]; q.Item() == item {
			q.Rejected, done = true, true
		}
	}
	return done
}

// reviewQuarantine accepts what enough agents have shown on enough days, and forgets what nobody
// shows any more.
//
// What raised an alert is not learned. Where something new comes often, its probability would then
// stay too low for ever, and the alerts beyond their budget. So what nobody rejected in 14 days
// counts as something new that happens, though the value itself stays unknown. An attacker who
// wants to make new things look usual in this way raises several alerts first, and must be
// overlooked for two weeks.
func (v *Model) reviewQuarantine(m *baselines.Model, day int32, terms baselines.Terms) {
	for i := range v.Quarantine {
		q := &v.Quarantine[i]
		if q.counted || q.Rejected || day-q.First < objectionDays {
			continue
		}
		q.counted = true
		if q.Judged != 0 {
			v.Of[q.Field].prunedSingles += weight(day, q.First)
		}
		for c := range v.Worse {
			if q.Judged&(2<<c) != 0 {
				v.Worse[c] += weight(day, q.First)
			}
		}
	}
	agents := max(terms.AcceptAgents, (terms.AcceptPercent*m.Agents+99)/100)
	days := terms.AcceptDays
	if m.Agents < terms.AcceptAgents { // so few that they can never be enough: then it takes as many days
		agents, days = 1, max(days, terms.AcceptAgents)
	}
	v.Quarantine = slices.DeleteFunc(v.Quarantine, func(q Quarantined) bool {
		if q.Last < day-graceDays && !(q.Rejected && q.Last >= day-forgetDays) {
			return true
		}
		if q.Sink || q.Rejected || uint64(q.Days) < days || q.agents() < agents {
			return false
		}
		q.Via = Accepted
		v.Of[q.Field].insert(q.Value)
		return true
	})
	if n := len(v.Quarantine) - maxQuarantine; n > 0 {
		// Of those that are too many the ones go that were last seen longest ago; a person's word
		// is kept.
		order := make([]int, len(v.Quarantine))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			p, q := &v.Quarantine[a], &v.Quarantine[b]
			if p.Rejected != q.Rejected {
				return cmp.Compare(b2i(p.Rejected), b2i(q.Rejected))
			}
			return cmp.Or(cmp.Compare(p.Last, q.Last), cmp.Compare(p.Count, q.Count))
		})
		gone := map[int]bool{}
		for _, i := range order[:n] {
			gone[i] = true
		}
		kept := v.Quarantine[:0:0]
		for i := range v.Quarantine {
			if !gone[i] {
				kept = append(kept, v.Quarantine[i])
			}
		}
		v.Quarantine = kept
	}
}

// agents is how many agents have shown it, by its bitmap, and at least as many as on its fullest
// day.
func (q *Quarantined) agents() uint64 {
	return max(uint64(q.Most), uint64(sketch.LinearCount(64, float64(bits.OnesCount64(q.Agents)))))
}
