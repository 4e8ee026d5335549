package baselines

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/sketch"
)

// Field is one thing about a call that may be seen for the first time.
type Field uint8

// Fields. Some lie within another: an address is judged only where its domain is known, a pair of
// tool and domain only where both are, a tool for an intent only where the tool is. So one new
// thing is new once.
const (
	ToolField       Field = iota
	IntentToolField       // a tool for an intent
	ServerField
	DefinitionField // what a tool of a server says of itself: a hash
	DomainField     // of a destination; of one without, its kind
	AddressField    // the destination in full
	ToolDomainField // a domain through a tool
	ResourceField   // type, environment and labels of a resource
	UserField
	EdgeField // persona, else agent, that work is handed to or that is written to
	Fields
)

var fieldDefs = [Fields]struct {
	name  string
	test  Test
	named bool // names are kept beside hashes
	// sent: whether it is there is up to the producer, so what appears for the first time says
	// nothing before it has been there for long. The others are there as soon as the agent does it:
	// a persona that never sends is known never to send.
	sent bool
	wide bool // part of the tenant's vocabulary
}{
	{name: "tool", test: ToolTest, named: true, wide: true},
	{name: "intent_tool", test: ToolTest, sent: true},
	{name: "server", test: ServerTest, named: true, sent: true, wide: true},
	{name: "definition", test: DefinitionTest, named: true, sent: true},
	{name: "domain", test: DestinationTest, named: true, wide: true},
	{name: "address", test: DestinationTest},
	{name: "tool_domain", test: DestinationTest},
	{name: "resource", test: ResourceTest, named: true, sent: true},
	{name: "user", test: UserTest, sent: true},
	{name: "edge", test: EdgeTest},
}

func (f Field) String() string { return fieldDefs[f].name }

// Test is the test of the field, as the audit counts it.
func (f Field) Test() Test { return fieldDefs[f].test }

// Named tells whether names of the field's values are kept; of the others a hash is all there is.
func (f Field) Named() bool { return fieldDefs[f].named }

// Wide tells whether the tenant as a whole has a vocabulary of the field.
func (f Field) Wide() bool { return fieldDefs[f].wide }

// ParseField returns the field that a word names.
func ParseField(word string) (Field, bool) {
	for f := range Fields {
		if fieldDefs[f].name == word {
			return f, true
		}
	}
	return 0, false
}

// Circumstance is what makes something new worse: each is part of the one it is listed under.
type Circumstance uint8

// Circumstances.
const (
	NewReach     Circumstance = iota // a sink call (send, pay, grant, delegate …) reached a new destination
	TaintedReach                     // … which came out of a tool's result
	NewSink                          // a tool that is new, or new for its intent, was a sink
	Circumstances
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

// Bounds and settings of vocabularies.
const (
	maxValues     = 4096 // of a field; beyond, the field is open
	maxQuarantine = 1024
	forgetDays    = 180 // after which a value that nobody showed is forgotten
	graceDays     = 30  // … one in quarantine
	objectDays    = 14  // that people have to say that what they were called for was no false alarm
	declaredFor   = 3   // agent-days that a declaration is worth
	// Vocabularies last longer than habits: with the 14 days of volumes a persona of four agents
	// would never have enough support, while what changes of late is what Recent is for.
	halfLife60 = 64783 // 2^(−1/60) in 65,536ths

	// YoungDays is the support, in agent-days, below which a vocabulary calls nobody.
	YoungDays = 100
	boundDays = 300     // … below which the estimate is an upper bound
	recentFor = 200     // agent-days over which Recent is a mean
	one       = 1 << 32 // probabilities are stored in 2^−32
	// the probability of something new rises by no more than this factor a day: nobody may drown
	// what is new in novelties
	rise = 2
)

// Odd is the probability above which something new is no test: what can only come out above every
// threshold must not use up the budget of the others (Tarone 1990).
const Odd = 0.01

// RarityModel is what was learned about what agents of a persona use and touch: for each field the
// values seen, counted in agent-days, from which Good and Turing's estimate gives how often an
// agent-day brings a new one (science §4).
//
// An agent-day without a field counts as one that brings nothing new: what is tested is whether the
// day of an agent brings something new, so the denominator is all days on which it did anything.
type RarityModel struct {
	Days       uint64 // agent-days with any call, decaying with 60 days, in Units
	Total      uint64 // … since the first, not decaying: what counts of values are shares of
	Of         [Fields]Vocabulary
	Worse      [Circumstances]uint64 // agent-days on which it happened, likewise
	Quarantine []Quarantined         // by field and hash

	// Derived.
	keys []uint64 // hashes of values, open addressing
	made [Tests]uint8
	day  int64
}

// Vocabulary is what is known of one field.
type Vocabulary struct {
	Days   uint64  // agent-days on which the field was there, decaying, in Units
	Recent uint32  // share of the last 200 agent-days or so that brought something new, in 2^−32
	Last   uint32  // probability that an agent-day brings something new, likewise; 0: too young to say
	Open   bool    // there are more values than are kept
	Values []Value // by hash
	// spilled are agent-days of values that were seen once and are not kept, or not known yet,
	// decaying, in Units; buckets the last days, by hash, of values not kept.
	spilled uint64
	buckets []uint16

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

// Quarantined is something that was seen in what somebody was called for: it stays new until enough
// agents have shown it on enough days, or somebody says so.
type Quarantined struct {
	Value
	Field    Field
	Sink     bool   // never accepted without a person
	Rejected bool   // never accepted
	Judged   uint8  // as of a Sighting
	settled  bool   // it has been counted as something new that happens
	Agents   uint64 // bit per hash of an agent
	Most     uint32 // agents on one day
	Days     uint32
}

// Item names a quarantined value for people: field:name, or field:#hash.
func (q *Quarantined) Item() string { return itemOf(q.Field, &q.Value) }

func itemOf(f Field, v *Value) string {
	if v.Name != "" {
		return f.String() + ":" + v.Name
	}
	return fmt.Sprintf("%s:#%016x", f, v.Hash)
}

// Ready tells whether there is enough support to make p-values from.
func (v *RarityModel) Ready() bool { return v.Days >= YoungDays*Unit }

// Support is the number of agent-days that the model rests on, decayed.
func (v *RarityModel) Support() float64 { return float64(v.Days) / Unit }

// New is the probability that an agent-day brings a new value of the field; 0: not known.
func (v *RarityModel) New(f Field) float64 { return float64(v.Of[f].Last) / one }

// Supported tells whether a new value of the field says anything: the field has been there for long
// enough to know.
func (v *RarityModel) Supported(f Field) bool {
	return v.Of[f].Last > 0 && (!fieldDefs[f].sent || v.Of[f].Days >= YoungDays*Unit)
}

// Tested tells whether a new value of the field is a test: it would be odd.
func (v *RarityModel) Tested(f Field) bool { return v.Supported(f) && v.New(f) < Odd }

// Made is how many tests of a kind each agent-day is. Each field that is tested is one; where no
// field is, what is worse than new may still be.
func (v *RarityModel) Made(t Test) uint64 { return uint64(v.made[t]) }

// Happens is the probability that an agent-day brings the circumstance.
func (v *RarityModel) Happens(c Circumstance) float64 {
	return (float64(v.Worse[c]) + Unit/2) / (float64(v.Days) + Unit)
}

// Known tells whether a value of the field has been seen and learned.
func (v *RarityModel) Known(f Field, hash uint64) bool {
	if len(v.keys) > 0 {
		k := keyOf(f, hash)
		for i := k; ; i++ {
			switch v.keys[i&uint64(len(v.keys)-1)] {
			case k:
				return true
			case 0:
				return v.Of[f].buckets != nil && v.spilt(f, hash)
			}
		}
	}
	return false
}

func keyOf(f Field, hash uint64) uint64 {
	return max((hash^uint64(f+1)*0x9e3779b97f4a7c15)*0xd6e8feb86659fd93, 1)
}

// spilt tells whether a value that is not kept may have been seen: another of its bucket may be
// meant.
func (v *RarityModel) spilt(f Field, hash uint64) bool {
	last := v.Of[f].buckets[hash%maxValues]
	return last != 0 && v.day-int64(last) <= forgetDays
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

// Held returns the quarantined value, or nil.
func (v *RarityModel) Held(f Field, hash uint64) *Quarantined {
	i, found := v.heldAt(f, hash)
	if !found {
		return nil
	}
	return &v.Quarantine[i]
}

func (v *RarityModel) heldAt(f Field, hash uint64) (int, bool) {
	return slices.BinarySearchFunc(v.Quarantine, 0, func(q Quarantined, _ int) int {
		return cmp.Or(cmp.Compare(q.Field, f), cmp.Compare(q.Hash, hash))
	})
}

// Definition says what is known of the definition of a tool of a server, apart from this one: the
// newest of the same form, nil if there is none, and whether there is any at all. A hash of another
// form says nothing of the definition.
func (v *RarityModel) Definition(of, form uint64) (same *Value, any bool) {
	values := v.Of[DefinitionField].Values
	for i := range values {
		if d := &values[i]; d.Of == of {
			any = true
			if d.Form == form && (same == nil || d.Last > same.Last || d.Last == same.Last && d.First > same.First) {
				same = d
			}
		}
	}
	return same, any
}

// Decide takes a person's decision about a quarantined item.
func (v *RarityModel) Decide(item string, accept bool, _ int64) bool {
	if accept {
		return v.Approve(item)
	}
	return v.Reject(item)
}

// Approve makes a quarantined item known, Reject keeps it from ever being accepted. False: there is
// none of that name. Models are shared: call them on a copy that nobody has yet.
func (v *RarityModel) Approve(item string) bool {
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
func (v *RarityModel) Reject(item string) bool {
	done := false
	for i := range v.Quarantine {
		if q := &v.Quarantine[i]; q.Item() == item {
			q.Rejected, done = true, true
		}
	}
	return done
}

func (o *Vocabulary) insert(x Value) {
	i, found := slices.BinarySearchFunc(o.Values, x.Hash, func(v Value, h uint64) int { return cmp.Compare(v.Hash, h) })
	if !found {
		o.Values = slices.Insert(o.Values, i, x)
		return
	}
	k := &o.Values[i]
	k.Count = addSaturating32(k.Count, x.Count)
	k.First, k.Last = min(k.First, x.First), max(k.Last, x.Last)
	k.Via = max(k.Via, x.Via)
}

// Learn closes a day.
func (v *RarityModel) Learn(m *Model, part DeltaPart, terms Terms) {
	d, day := part.(*RarityDelta), int32(m.Day)
	v.Days = Decayed(v.Days, halfLife60) + min(d.Days, maxDay)*Unit
	v.Total = min(v.Total+min(d.Days, maxDay), 1<<56)
	for c := range v.Worse {
		v.Worse[c] = Decayed(v.Worse[c], halfLife60) + min(d.Worse[c], maxDay)*Unit
	}
	passed := power32(one-one/recentFor, d.Days)
	for f := range Fields {
		o, n := &v.Of[f], &d.of[f]
		o.Days = Decayed(o.Days, halfLife60) + min(n.Days, maxDay)*Unit
		o.spilled = Decayed(o.spilled, halfLife60)
		if d.Days > 0 {
			o.Recent = uint32(min(mul32(uint64(o.Recent), passed)+mul32(ratio32(n.New, d.Days), one-passed), one-1))
		}
		v.learn(f, n.sorted(), day, terms)
		o.prune(day)
		if n.over() {
			o.Open = true
		}
	}
	v.settle(m, day, terms)
	v.derive(m.Day)
	for f := range Fields {
		v.Of[f].estimate(v.Days)
	}
	v.derive(m.Day)
}

// learn adds what was seen of a field on a day.
func (v *RarityModel) learn(f Field, seen []Sighting, day int32, terms Terms) {
	o := &v.Of[f]
	var fresh []Value
	for i := range seen {
		s := &seen[i]
		x := Value{Hash: s.Hash, Count: s.Count, First: day, Last: day, Classes: s.Classes, Of: s.Of, Form: s.Form,
			Name: s.Name}
		if s.Declared {
			x.Via, x.Count = Declared, max(x.Count, declaredFor)
		}
		if k := o.Find(s.Hash); k != nil {
			if s.Count > 0 {
				k.Count = addSaturating32(k.Count, s.Count)
				k.Last = max(k.Last, day)
			}
			k.Classes |= s.Classes
			if k.Name == "" {
				k.Name = s.Name
			}
			if s.Declared && k.Via == Learned {
				k.Via, k.Count = Declared, max(k.Count, declaredFor)
			}
			continue
		}
		at, held := v.heldAt(f, s.Hash)
		if terms.Approved || s.Declared && !(held && v.Quarantine[at].Rejected) {
			x.Count = addSaturating32(x.Count, s.Held)
			if held {
				x.Count, x.First = addSaturating32(x.Count, v.Quarantine[at].Count), v.Quarantine[at].First
				v.Quarantine = slices.Delete(v.Quarantine, at, at+1)
			}
			fresh = append(fresh, x)
			continue
		}
		if !held && s.Held == 0 {
			if s.Count > 0 {
				fresh = append(fresh, x)
			}
			continue
		}
		if !held {
			x.Count = 0
			v.Quarantine = slices.Insert(v.Quarantine, at, Quarantined{Value: x, Field: f})
		}
		q := &v.Quarantine[at]
		shown := addSaturating32(s.Count, s.Held)
		q.Count = addSaturating32(q.Count, shown)
		q.Agents |= s.Agents
		q.Most = max(q.Most, shown)
		q.Days = addSaturating32(q.Days, 1)
		q.Last = max(q.Last, day)
		q.Classes |= s.Classes
		q.Sink = q.Sink || s.Sink
		q.Judged |= s.Judged
	}
	if len(fresh) > 0 {
		o.Values = append(o.Values, fresh...)
		slices.SortFunc(o.Values, func(a, b Value) int { return cmp.Compare(a.Hash, b.Hash) })
	}
}

// settle accepts what enough agents have shown on enough days, and forgets what nobody shows any
// more.
//
// What called somebody is not learned, so where something new comes often the probability of it
// would stay too low for ever, and the alerts beyond their budget. Hence what nobody rejected in 14
// days counts as something new that happens, though the value itself stays unknown. Whoever wants
// to drown what is new in that has to be an alert first, several times, and be overlooked for two
// weeks.
func (v *RarityModel) settle(m *Model, day int32, terms Terms) {
	for i := range v.Quarantine {
		q := &v.Quarantine[i]
		if q.settled || q.Rejected || day-q.First < objectDays {
			continue
		}
		q.settled = true
		if q.Judged != 0 {
			v.Of[q.Field].spilled += weight(day, q.First)
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

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// agents is how many agents have shown it, by its bitmap, and at least as many as on its fullest
// day.
func (q *Quarantined) agents() uint64 {
	return max(uint64(q.Most), uint64(sketch.LinearCount(64, float64(bits.OnesCount64(q.Agents)))))
}

// prune forgets values that nobody shows any more, and those that are too many: the rarest first.
func (o *Vocabulary) prune(day int32) {
	o.Values = slices.DeleteFunc(o.Values, func(x Value) bool { return x.Last < day-forgetDays })
	if len(o.Values) <= maxValues {
		return
	}
	o.Open = true
	if o.buckets == nil {
		o.buckets = make([]uint16, maxValues)
	}
	order := slices.Clone(o.Values)
	slices.SortFunc(order, func(a, b Value) int {
		return cmp.Or(cmp.Compare(b.Via, a.Via), cmp.Compare(b.Count, a.Count), cmp.Compare(b.Last, a.Last),
			cmp.Compare(a.Hash, b.Hash))
	})
	for i := range order[maxValues:] {
		x := &order[maxValues+i]
		b := &o.buckets[x.Hash%maxValues]
		*b = max(*b, uint16(x.Last))
		if x.Count == 1 {
			o.spilled += weight(day, x.Last)
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
	x := uint64(Unit) << 24
	for i := range w {
		w[i] = x >> 24
		x = Decayed(x, halfLife60)
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
	if days < YoungDays*Unit {
		o.Last = 0
		return
	}
	n1 := o.singles + o.spilled
	p := ratio32(n1+Unit/2, days+Unit)
	if days < boundDays*Unit {
		a := float64(n1)/Unit + 1
		w := 1 - 1/float64(9*a) + z90/float64(3*math.Sqrt(a))
		up := float64(a*float64(float64(w*w)*w)) * Unit
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

// derive makes what is not stored.
func (v *RarityModel) derive(day int64) {
	v.day = day
	n := 0
	for f := range v.Of {
		o := &v.Of[f]
		n += len(o.Values)
		o.once, o.twice, o.singles = 0, 0, 0
		for i := range o.Values {
			switch x := &o.Values[i]; x.Count {
			case 1:
				o.once++
				o.singles += weight(int32(day), x.Last)
			case 2:
				o.twice++
			}
		}
	}
	v.keys, v.made = nil, [Tests]uint8{}
	if n > 0 {
		v.keys = make([]uint64, 2<<bits.Len(uint(n)))
	}
	mask := uint64(len(v.keys) - 1)
	for f := range Fields {
		for i := range v.Of[f].Values {
			k := keyOf(f, v.Of[f].Values[i].Hash)
			at := k
			for v.keys[at&mask] != 0 && v.keys[at&mask] != k {
				at++
			}
			v.keys[at&mask] = k
		}
		if v.Tested(f) {
			v.made[f.Test()]++
		}
	}
	if v.Ready() {
		v.made[DestinationTest] = max(v.made[DestinationTest], 1)
		v.made[ToolTest] = max(v.made[ToolTest], 1)
	}
	if v.keys == nil && slices.ContainsFunc(v.Of[:], func(o Vocabulary) bool { return o.buckets != nil }) {
		v.keys = make([]uint64, 1) // so that buckets are looked at
	}
}

// Append encodes the model.
func (v *RarityModel) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, v.Days)
	b = binary.AppendUvarint(b, v.Total)
	for _, n := range v.Worse {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendVarint(b, v.day)
	for f := range Fields {
		o := &v.Of[f]
		b = binary.AppendUvarint(b, o.Days)
		b = binary.AppendUvarint(b, uint64(o.Recent))
		b = binary.AppendUvarint(b, uint64(o.Last))
		flags := byte(b2i(o.Open)) | byte(b2i(o.buckets != nil))<<1
		b = append(b, flags)
		b = binary.AppendUvarint(b, o.spilled)
		if o.buckets != nil {
			for _, d := range o.buckets {
				b = binary.AppendUvarint(b, uint64(d))
			}
		}
		b = binary.AppendUvarint(b, uint64(len(o.Values)))
		for i := range o.Values {
			b = o.Values[i].append(b, f)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(v.Quarantine)))
	for i := range v.Quarantine {
		q := &v.Quarantine[i]
		b = append(b, byte(q.Field), byte(b2i(q.Sink))|byte(b2i(q.Rejected))<<1|byte(b2i(q.settled))<<2, q.Judged)
		b = q.Value.append(b, q.Field)
		b = binary.BigEndian.AppendUint64(b, q.Agents)
		b = binary.AppendUvarint(b, uint64(q.Most))
		b = binary.AppendUvarint(b, uint64(q.Days))
	}
	return b
}

func (x *Value) append(b []byte, f Field) []byte {
	b = binary.BigEndian.AppendUint64(b, x.Hash)
	b = binary.AppendUvarint(b, uint64(x.Count))
	b = binary.AppendVarint(b, int64(x.First))
	b = binary.AppendVarint(b, int64(x.Last-x.First))
	b = append(b, byte(x.Via))
	switch f {
	case ToolField:
		b = binary.AppendUvarint(b, uint64(x.Classes))
	case DefinitionField:
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, x.Of), x.Form)
	}
	if fieldDefs[f].named {
		b = wire.AppendString(b, x.Name)
	}
	return b
}

// Decode reads what Append wrote and derives the rest.
func (v *RarityModel) Decode(r *wire.Reader) {
	*v = RarityModel{Days: readCount(r), Total: readCount(r)}
	for c := range v.Worse {
		v.Worse[c] = readCount(r)
	}
	day := r.Varint()
	for f := range Fields {
		o := &v.Of[f]
		o.Days, o.Recent, o.Last = readCount(r), r.Uvarint32(), r.Uvarint32()
		flags := r.Byte()
		if flags > 3 {
			r.Fail()
		}
		o.Open, o.spilled = flags&1 != 0, readCount(r)
		if flags&2 != 0 && r.Err == nil {
			o.buckets = make([]uint16, maxValues)
			for i := range o.buckets {
				d := r.Uvarint()
				if d > math.MaxUint16 {
					r.Fail()
				}
				o.buckets[i] = uint16(d)
			}
		}
		n := r.Len()
		if n > maxValues {
			r.Fail()
			return
		}
		if n > 0 {
			o.Values = make([]Value, n)
		}
		for i := range o.Values {
			o.Values[i].decode(r, f)
			if i > 0 && o.Values[i].Hash <= o.Values[i-1].Hash {
				r.Fail()
			}
			if r.Err != nil {
				return
			}
		}
	}
	n := r.Len()
	if n > maxQuarantine {
		r.Fail()
		return
	}
	for range n {
		q := Quarantined{Field: Field(r.Byte())}
		flags := r.Byte()
		if q.Field >= Fields || flags > 7 {
			r.Fail()
			return
		}
		q.Sink, q.Rejected, q.settled, q.Judged = flags&1 != 0, flags&2 != 0, flags&4 != 0, r.Byte()
		q.Value.decode(r, q.Field)
		q.Agents, q.Most, q.Days = r.Uint64(), r.Uvarint32(), r.Uvarint32()
		if k := len(v.Quarantine); k > 0 && cmp.Or(cmp.Compare(v.Quarantine[k-1].Field, q.Field),
			cmp.Compare(v.Quarantine[k-1].Hash, q.Hash)) >= 0 {
			r.Fail()
		}
		if r.Err != nil {
			return
		}
		v.Quarantine = append(v.Quarantine, q)
	}
	v.derive(day)
}

func (x *Value) decode(r *wire.Reader, f Field) {
	x.Hash, x.Count = r.Uint64(), r.Uvarint32()
	first, span := r.Varint(), r.Varint()
	x.First, x.Last, x.Via = int32(first), int32(first+span), Via(r.Byte())
	if int64(x.First) != first || int64(x.Last) != first+span || span < 0 || int(x.Via) >= len(vias) {
		r.Fail()
	}
	switch f {
	case ToolField:
		c := r.Uvarint()
		if c > math.MaxUint16 {
			r.Fail()
		}
		x.Classes = uint16(c)
	case DefinitionField:
		x.Of, x.Form = r.Uint64(), r.Uint64()
	}
	if fieldDefs[f].named {
		if x.Name = r.String(); len(x.Name) > maxName {
			r.Fail()
		}
	}
}

// count reads a count in Units: what no honest sum can reach is malformed, so that sums do not
// overflow.
func readCount(r *wire.Reader) uint64 {
	n := r.Uvarint()
	if n > 1<<56 {
		r.Fail()
		return 0
	}
	return n
}

// RaritySlot is the slot of the parts.
const RaritySlot = 8

var emptyRarity RarityModel

// RarityOf is the part of a model; never nil, and not to be changed.
func RarityOf(m *Model) *RarityModel {
	if p, ok := m.parts[RaritySlot].(*RarityModel); ok {
		return p
	}
	return &emptyRarity
}

// RarityDeltaOf is the part of a delta.
func RarityDeltaOf(d *Delta) *RarityDelta {
	if p, ok := d.parts[RaritySlot].(*RarityDelta); ok {
		return p
	}
	return d.Ensure(RaritySlot).(*RarityDelta)
}
