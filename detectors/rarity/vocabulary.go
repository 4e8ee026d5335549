package rarity

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
)

// Via says why a value counts as known.
type Via uint8

// Ways of becoming known.
const (
	Learned  Via = iota
	Declared     // somebody registered it
	Accepted     // enough agents showed it on enough days
	Approved     // a person said so
)

var vias = [...]string{"learned", "declared", "accepted", "approved"}

func (v Via) String() string { return vias[v] }

// Vocabulary is what is known of one field.
type Vocabulary struct {
	Days   uint64  // agent-days on which the field was there, decaying, in Units
	Recent uint32  // share of the last 200 agent-days or so that brought something new, in 2^−32
	Last   uint32  // probability that an agent-day brings something new, in 2^−32; 0: too young to say
	Open   bool    // there are more values than are kept
	Values []Value // by hash
	// prunedSingles are agent-days of values that were seen once and are not kept, or not known
	// yet, decaying, in Units; prunedDays the last days, by hash, of values not kept.
	prunedSingles uint64
	prunedDays    []uint16

	// Derived.
	once, twice int    // values seen on one agent-day, and on two
	singles     uint64 // those seen once, decayed, in Units
}

// Value is something known.
type Value struct {
	Hash        uint64
	Count       uint32 // agent-days
	First, Last int32  // UTC days
	Via         Via
	Classes     uint16 // of a tool: bit per event.Class that it was seen in
	Of, Form    uint64 // of a definition: hashes of its server and tool, and of the hash's form
	Name        string // of a named field; of a definition the first digits of the hash
}

// Find returns what is known of a value, or nil.
func (o *Vocabulary) Find(hash uint64) *Value {
	i, found := slices.BinarySearchFunc(o.Values, hash, func(v Value, h uint64) int { return cmp.Compare(v.Hash, h) })
	if !found {
		return nil
	}
	return &o.Values[i]
}

// Size is how many values there seem to be, seen or not (Chao 1984): for people.
func (o *Vocabulary) Size() float64 {
	s, one, two := float64(len(o.Values)), float64(o.once), float64(o.twice)
	if two == 0 {
		return s + one*(one-1)/2
	}
	return s + one*one/(2*two)
}

func (o *Vocabulary) insert(x Value) {
	i, found := slices.BinarySearchFunc(o.Values, x.Hash, func(v Value, h uint64) int { return cmp.Compare(v.Hash, h) })
	if !found {
		o.Values = slices.Insert(o.Values, i, x)
		return
	}
	k := &o.Values[i]
	k.Count = baselines.AddSaturating32(k.Count, x.Count)
	k.First, k.Last = min(k.First, x.First), max(k.Last, x.Last)
	k.Via = max(k.Via, x.Via)
}

// prune forgets values that nobody shows any more, and those that are too many: the rarest first.
func (o *Vocabulary) prune(day int32) {
	o.Values = slices.DeleteFunc(o.Values, func(x Value) bool { return x.Last < day-forgetDays })
	if len(o.Values) <= maxValues {
		return
	}
	o.Open = true
	if o.prunedDays == nil {
		o.prunedDays = make([]uint16, maxValues)
	}
	order := slices.Clone(o.Values)
	slices.SortFunc(order, func(a, b Value) int {
		return cmp.Or(cmp.Compare(b.Via, a.Via), cmp.Compare(b.Count, a.Count), cmp.Compare(b.Last, a.Last),
			cmp.Compare(a.Hash, b.Hash))
	})
	for i := range order[maxValues:] {
		x := &order[maxValues+i]
		b := &o.prunedDays[x.Hash%maxValues]
		*b = max(*b, uint16(x.Last))
		if x.Count == 1 {
			o.prunedSingles += weight(day, x.Last)
		}
	}
	o.Values = order[:maxValues:maxValues]
	slices.SortFunc(o.Values, func(a, b Value) int { return cmp.Compare(a.Hash, b.Hash) })
}

// weight is what an agent-day of a past day still weighs, in Units.
func weight(day, past int32) uint64 {
	age := min(max(int(day-past), 0), forgetDays)
	return weights[age]
}

var weights = func() (w [forgetDays + 1]uint64) {
	x := uint64(baselines.Unit) << 24
	for i := range w {
		w[i] = x >> 24
		x = baselines.Decayed(x, halfLife60)
	}
	return w
}()

// estimate sets the probability that an agent-day brings something new: the missing mass of Good
// and Turing, n1/N, which on agent-days is the expected number of new values of the next one
// (incidence data: Chao & Jost 2012), and at least its mean over the last 200 agent-days, since
// roll-outs come in batches. Below 300 agent-days it is the upper end of what n1 still allows with
// 90 %, taken as Poisson; McAllester and Schapire's bound, which assumes nothing, is above 0.48
// there and would never say anything. Integers, but for that bound, whose products are rounded one
// by one: machines must agree on what is stored.
func (o *Vocabulary) estimate(days uint64) {
	if days < YoungDays*baselines.Unit {
		o.Last = 0
		return
	}
	n1 := o.singles + o.prunedSingles
	p := ratio32(n1+baselines.Unit/2, days+baselines.Unit)
	if days < boundDays*baselines.Unit {
		a := float64(n1)/baselines.Unit + 1
		w := 1 - 1/float64(9*a) + z90/float64(3*math.Sqrt(a))
		up := float64(a*float64(float64(w*w)*w)) * baselines.Unit
		p = max(p, ratio32(uint64(up), days))
	}
	p = max(p, uint64(o.Recent))
	if o.Last > 0 {
		p = min(p, rise*uint64(o.Last))
	}
	o.Last = uint32(min(max(p, 1), one-1))
}

const z90 = 1.2815515655446004 // the normal distribution's 90 % point, for Wilson and Hilferty's quantile

// ratio32 is a/b in 2^−32, at most 1.
func ratio32(a, b uint64) uint64 {
	if a >= b {
		return one - 1
	}
	hi, lo := bits.Mul64(a, one)
	q, _ := bits.Div64(hi, lo, b)
	return q
}

// mul32 multiplies two numbers in 2^−32.
func mul32(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi<<32 | lo>>32
}

// power32 is the nth power of a number in 2^−32, of at most 1.
func power32(x, n uint64) uint64 {
	p := uint64(one)
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			p = mul32(p, x)
		}
		x = mul32(x, x)
	}
	return p
}
