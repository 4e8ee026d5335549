package volume

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/sketch"
)

// volumePart is what volume remembers of an agent or of a session.
type volumePart struct {
	agent   *agentVolume   // of an agent; nil until a feature occurs a second time
	session *sessionVolume // of a session
	open    *episode       // the open finding; nil: there is none
	first   firsts
}

// firsts are the first values of the agent's features, in seconds and as they came. A feature gets
// a column when it occurs again: most agents of a million act once.
type firsts struct {
	Currency uint64 // of the agent's amounts
	Value    [Features]float32
	At       [Features]uint32 // 0: did not occur
	Distinct [2]uint32        // hashes of subject and resource
}

// inSeconds is a time in seconds, never 0.
func inSeconds(t int64) uint32 { return uint32(min(max(t/1000, 1), math.MaxUint32)) }

func seconds(s uint32) int64 { return int64(s) * 1000 }

// agentVolume are an agent's windows, rates and running tests.
type agentVolume struct {
	agentNumbers
	sliding  baselines.SlidingSums
	distinct [2]sketch.Timestamps
	contacts []uint16 // hashes of the newest first contacts, the oldest at NextContact: see contact
	detail   *agentDetail
}

// agentDetail is what few agents have.
type agentDetail struct {
	watch   []event.Ref // events since a sum passed what is usual
	budgets []burning
}

// ensureDetail returns what few agents have; it is made if there is none.
func (a *agentVolume) ensureDetail() *agentDetail {
	if a.detail == nil {
		a.detail = &agentDetail{}
	}
	return a.detail
}

// agentNumbers is the part without pointers and without gaps, which is saved by copying it.
type agentNumbers struct {
	Head        [baselines.Windows]int64   // newest step of each window
	Exposure    float64                    // seasonal hours, decayed with 14 days
	Anchored    float64                    // seasonal hours of the anchor, decayed with 60 days, up to a week ago
	OddsP       float64                    // least p-value of the sequential tests today
	Least       [baselines.Windows]float64 // p-value of the block that goes on
	Run         baselines.IDRun
	Hours       [baselines.Windows]float32 // seasonal hours of the block
	Odds        [Outcomes]baselines.SequentialTest
	OddsTop     float32         // largest logarithm of the likelihood ratio today
	Of          [Features]uint8 // column + 1; 0: none
	Features    [Features]uint8 // of each column
	Active      [2]uint8        // blocks of 1 m and 10 m in this hour
	Elevated    uint8           // bit per window whose sum is above what is usual; see elevatedOutcome
	Alerted     uint8           // likewise a bit per window that raised an alert: its block is not learned
	Refs        uint8           // bit per window whose contributors are kept
	Peer        uint8           // bit per feature in which the agent stands out among its peers
	Days        uint8           // since the first event, at most 255
	Lost        uint8           // events in a row that were too late for the hour
	RunTop      uint8           // longest run over ids today
	NextContact uint8           // place in contacts that is written next
	// bit for each of the last seven days that counts: on the others the agent was away, or not
	// there yet
	Week uint8
	_    [3]uint8
}

// Bits of Elevated and Alerted beside those of the windows.
const (
	elevatedOutcome = 1 << (4 + iota)
	elevatedRun
	elevatedRamp
)

const maxContacts = 32

func (a *agentVolume) start(t int64) {
	indexes(t, &a.Head)
	for w := range a.Least {
		a.Least[w] = 1
	}
	a.OddsP = 1
}

// restart begins the windows anew at a time: the clock was wrong.
func (a *agentVolume) restart(t int64) {
	indexes(t, &a.Head)
	a.sliding.Reset()
	a.distinct[0].Reset()
	a.distinct[1].Reset()
	a.Lost, a.Elevated, a.Alerted, a.Active = 0, 0, 0, [2]uint8{}
	for c := range a.sliding.Columns() {
		for w := range baselines.Windows {
			a.sliding.Limits(w)[c] = math.MaxFloat32
		}
	}
	for w := range a.Least {
		a.Least[w] = 1
	}
}

// indexes are the steps of a time.
func indexes(t int64, index *[baselines.Windows]int64) {
	index[0] = wire.FloorDiv(t, 5000)
	index[1] = wire.FloorDiv(index[0], 10)
	index[2] = wire.FloorDiv(index[0], 60)
	index[3] = wire.FloorDiv(index[0], 1440)
}

// inStep is the step of a window in which a step of the shortest lies.
func inStep(w int, step int64) int64 {
	return wire.FloorDiv(step, [baselines.Windows]int64{1, 10, 60, 1440}[w])
}

// size is a sum as it is judged: of what is different an estimate.
func (a *agentVolume) size(c int, sum float32) float64 {
	if f := Feature(a.Features[c]); f.Distinct() {
		return a.distinct[f-SubjectCount].Estimate(sum)
	}
	return float64(sum)
}

// above tells whether some sum of a window is above what is usual.
func (a *agentVolume) above(w int) bool {
	sums, limits := a.sliding.Sums(w), a.sliding.Limits(w)
	for c := range sums {
		if sums[c] > limits[c] {
			return true
		}
	}
	return false
}

// seeDistinct notes a subject or a resource, by its hash, in the windows of a column. It counts in
// the step in which it was last seen alone, so what leaves a window leaves the count.
func (a *agentVolume) seeDistinct(i, c int, hash uint32, now int64) (closely uint8) {
	d := &a.distinct[i]
	leave := func(was int64) {
		for w := range baselines.Windows {
			if at := inStep(w, was); at > a.Head[w]-baselines.WindowSteps && at <= a.Head[w] {
				if row := a.sliding.Steps(w, at); row[c] >= 1 {
					row[c]--
					a.sliding.Sums(w)[c] = max(0, a.sliding.Sums(w)[c]-1)
				}
			}
		}
	}
	if d.Full() {
		d.Forget(now, stepsOfDay)
		if d.Full() {
			d.Spread(now, leave)
		}
	}
	d.See(hash, now, func(was int64, ok bool) {
		if ok {
			leave(was)
		}
	})
	for w := range baselines.Windows {
		at := inStep(w, now)
		if at <= a.Head[w]-baselines.WindowSteps || at > a.Head[w] {
			continue
		}
		a.sliding.Steps(w, at)[c]++
		sums, tops := a.sliding.Sums(w), a.sliding.Tops(w)
		if sums[c]++; sums[c] > tops[c] {
			if tops[c] = sums[c]; sums[c] > a.sliding.Limits(w)[c] {
				closely |= 1 << w
			}
		}
	}
	return closely
}

// stepsOfDay is how many steps of the shortest window a day has.
const stepsOfDay = baselines.DayMS / 5000

// forget drops things that were last seen a day ago.
func (a *agentVolume) forget(now int64) {
	for i := range a.distinct {
		a.distinct[i].Forget(now, stepsOfDay)
	}
}

// contact tells whether a call is the first of its kind among the newest. Hashes have 16 bits: one
// new contact in two thousand is taken for a known one. The next place of the ring lies among
// agentNumbers, which are copied to disk as they lie in memory.
func (a *agentVolume) contact(hash uint16) bool {
	if slices.Contains(a.contacts, hash) {
		return false
	}
	list, next := sketch.AddRecent(a.contacts, int(a.NextContact%maxContacts), hash, maxContacts)
	a.contacts, a.NextContact = list, uint8(next)
	return true
}

// sessionVolume are the running totals of a session.
type sessionVolume struct {
	sessionNumbers
	distinct [2]sketch.Bitmap
}

// sessionNumbers is the part without pointers and without gaps.
type sessionNumbers struct {
	Totals     [Features]float64
	Last       int64
	Intent     uint64
	Currency   uint64
	Even       float64
	Limits     [Features]float32 // totals at which to look closely: next, and at all
	Screens    [Features]float32
	GapSum     float32
	GapSquares float32
	Base       int32 // of which baseline the limits are
	Events     uint32
	Has        uint8
	Gaps       uint8
	Elevated   bool // a total is above what is usual
	Alerted    bool // and raised an alert: not learned
	_          [4]uint8
}

// episode is the open finding of an agent. There is one for all its sums that are above what is
// usual, until none has been so for an hour.
type episode struct {
	detectors.OpenFinding
	test     baselines.Test
	feature  Feature
	what     string
	session  string // of a finding about a session
	p        float64
	observed float64
	alert    bool
	elevated int64 // newest time at which a sum was above what is usual
	first    int64
	count    int64
}

// Parts of a volumePart that are there.
const (
	hasFirsts = 1 << iota
	hasAgent
	hasSession
	hasEpisode
)

// Append encodes the part: copies, no sorting.
func (p *volumePart) Append(b []byte) []byte {
	at := len(b)
	b = append(b, 0)
	if p.first != (firsts{}) {
		b[at] |= hasFirsts
		b = wire.AppendStruct(b, &p.first)
	}
	if a := p.agent; a != nil {
		b[at] |= hasAgent
		b = append(b, byte(a.sliding.Columns()))
		b = wire.AppendStruct(b, &a.agentNumbers)
		b = a.sliding.Append(b)
		b = a.distinct[1].Append(a.distinct[0].Append(b))
		b = append(b, byte(len(a.contacts)))
		for _, c := range a.contacts {
			b = binary.LittleEndian.AppendUint16(b, c)
		}
		if m := a.detail; m == nil {
			b = append(b, 0, 0)
		} else {
			b = append(b, byte(len(m.watch)))
			for _, r := range m.watch {
				b = wire.AppendRef(b, r)
			}
			b = append(b, byte(len(m.budgets)))
			for i := range m.budgets {
				b = wire.AppendStruct(b, &m.budgets[i])
			}
		}
	}
	if s := p.session; s != nil {
		b[at] |= hasSession
		b = wire.AppendStruct(b, &s.sessionNumbers)
		b = s.distinct[1].Append(s.distinct[0].Append(b))
	}
	if o := p.open; o != nil {
		b[at] |= hasEpisode
		b = o.append(b)
	}
	if b[at] == 0 {
		return b[:at]
	}
	return b
}

// Decode reads what Append wrote.
func (p *volumePart) Decode(r *wire.Reader) {
	*p = volumePart{}
	if len(r.B) == 0 && r.Err == nil {
		return
	}
	flags := r.Byte()
	if flags&hasFirsts != 0 {
		wire.ReadStruct(r, &p.first)
	}
	if flags&hasAgent != 0 {
		a := &agentVolume{}
		columns := int(r.Byte())
		if columns > int(Features) {
			r.Fail()
			return
		}
		wire.ReadStruct(r, &a.agentNumbers)
		a.sliding.Decode(r, columns)
		a.distinct[0].Decode(r)
		a.distinct[1].Decode(r)
		for range min(int(r.Byte()), maxContacts) {
			lo := r.Byte()
			a.contacts = append(a.contacts, uint16(lo)|uint16(r.Byte())<<8)
		}
		for range min(int(r.Byte()), event.MaxRefs) {
			a.ensureDetail().watch = append(a.ensureDetail().watch, wire.ReadRef(r))
		}
		for range min(int(r.Byte()), maxBudgets) {
			var k burning
			wire.ReadStruct(r, &k)
			a.ensureDetail().budgets = append(a.ensureDetail().budgets, k)
		}
		if r.Err != nil || !a.valid(columns) {
			r.Fail()
			return
		}
		p.agent = a
	}
	if flags&hasSession != 0 {
		s := &sessionVolume{}
		wire.ReadStruct(r, &s.sessionNumbers)
		s.distinct[0].Decode(r)
		s.distinct[1].Decode(r)
		p.session = s
	}
	if flags&hasEpisode != 0 {
		p.open = &episode{}
		p.open.decode(r)
	}
	if r.Err != nil {
		*p = volumePart{}
	}
}

// valid tells whether the numbers that were read fit together, so that no index is out of range
// later.
func (a *agentVolume) valid(columns int) bool {
	for f, c := range a.Of {
		if int(c) > columns || c > 0 && int(a.Features[c-1]) != f {
			return false
		}
	}
	for c := range columns {
		if f := a.Features[c]; f >= uint8(Features) || int(a.Of[f]) != c+1 {
			return false
		}
	}
	for _, v := range [...]float64{a.Exposure, a.Anchored, a.OddsP, a.Least[0], a.Least[1], a.Least[2], a.Least[3]} {
		if !(v >= 0) || math.IsInf(v, 1) {
			return false
		}
	}
	return a.Run.N <= baselines.RunSteps
}

func (o *episode) append(b []byte) []byte {
	alert := byte(0)
	if o.alert {
		alert = 1
	}
	b = append(b, byte(o.test), byte(o.feature), alert)
	b = wire.AppendString(wire.AppendString(b, o.what), o.session)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(o.p))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(o.observed))
	b = binary.AppendVarint(b, o.elevated)
	b = binary.AppendVarint(b, o.first)
	b = binary.AppendVarint(b, o.count)
	return o.OpenFinding.Append(b)
}

func (o *episode) decode(r *wire.Reader) {
	o.test, o.feature = baselines.Test(r.Byte()), Feature(r.Byte())
	o.alert = r.Byte() == 1
	if o.test >= baselines.Tests || o.feature >= Features {
		r.Fail()
		return
	}
	o.what, o.session = r.String(), r.String()
	o.p, o.observed = math.Float64frombits(r.Uint64()), math.Float64frombits(r.Uint64())
	o.elevated, o.first, o.count = r.Varint(), r.Varint(), r.Varint()
	o.OpenFinding.Decode(r)
}
