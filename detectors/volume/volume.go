// Package volume is the detector of how much is done: it says when an agent does more than what was
// learned of its persona lets expect, in a call, a session, or a minute up to a day.
//
// It must never know Kafka or a clock. Begin with volume.Observe in this file. What is learned is a
// Model, in model.go; how a count is scored is in score.go; what an agent is judged by is a
// reference, in reference.go; what is remembered of an agent is in part.go.
package volume

import (
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
	"github.com/wayward-sec/wayward/event/memo"
	"github.com/wayward-sec/wayward/policy"
)

// volume says when an agent does more than it should by what was learned of its persona: in one
// call, in one session, or within a minute, ten minutes, an hour or a day; when its calls fail more
// than others' do; when it counts through ids; when it grows week by week; when it burns a budget.
//
// Of a window the largest sum of each block (of the window's length, in which the agent acts) is
// one test; of a session its running totals are one, since they never exceed the final ones. All
// features of a unit are joined into one p-value.
//
// Odd input: what is more than a window late is left out of that window; 32
// events in a row that are more than an hour late mean that the clock was wrong before, and the
// windows start anew. Silence of more than three days is absence and does not make an agent slow.
// Amounts below zero count as none. Amounts of an agent are of the first currency that it used;
// others are counted as events alone. An agent that is renamed is a new one.
type volume struct {
	slot       byte
	references memo.Map[referenceKey, *reference]
	budgets    []*budget // of agents
	set        *policy.Set
	wide       map[uint64][]*budget // of wider scopes, by the hash of their meter
	zone       *localtime.Clock     // of the persona whose budget was last looked at
	args       policy.Arguments

	// Of the event under observation.
	x         *detectors.Scene
	e         *event.Event
	reference *reference        // nil: nothing was learned yet
	values    [Features]float64 // what the event adds to each feature
	has       uint8             // bit per feature that the event has
	distinct  [2]uint32         // hashes of subject and resource
	best      crossed           // the least p-value that is worth a finding
	elevated  bool              // a sum is above what is usual, or still is

	// Memory that is used again for each event.
	list []addend
	sums [Features]float32
	ps   []float64
	key  []byte
}

// addend is what the event adds to a column.
type addend struct {
	column int
	value  float32
}

// crossed is a test whose p-value is low enough for a finding, with what the finding says.
type crossed struct {
	p        float64
	alert    bool
	test     baselines.Test
	feature  Feature
	observed float64
	expected float64
	low      float64
	high     float64
	window   int
	what     string // what the test compared, where the feature does not say it
}

// Of what the detector allows for.
const (
	leastEvents = 3         // before anything is said of a window or a session
	calmMS      = 3_600_000 // without a sum above what is usual, after which an episode is over
	absentHours = 72        // of silence, beyond which an agent was away
	lostEvents  = 32        // in a row, too late for the hour: the clock was wrong before
	// hours of exposure from which an agent's own rate says something of how agents differ
	fresh         = 12
	maxValue      = 1e15    // of one event; more is cut off
	screenP       = 0.02    // nothing is looked at closely that is more usual than this
	growth        = 1.1     // by how much a sum must have grown to be looked at again
	peerZ         = 3.5     // standard deviations above the peers' mean from which an agent stands out
	anchorHours   = 10 * 24 // that the anchor must hold …
	leastRampDays = 5       // … and days that the last week must, before they are compared
	leastRunOf31  = 25      // 0.8 of the last 32 ids
	evenGaps      = 32      // gaps of a session from which its evenness is judged
)

func newVolume(slot byte, set *policy.Set) detectors.Detector {
	v := &volume{slot: slot, references: memo.NewMap[referenceKey, *reference](maxReferences),
		list: make([]addend, 0, Features),
		ps:   make([]float64, 0, Features)}
	v.set, v.budgets, v.wide = set, budgetsOf(set, policy.AgentScope), wideBudgets(set)
	return v
}

// counts tells whether an event is something that an agent did.
func counts(e *event.Event) bool {
	switch e.Kind {
	case event.ToolCall, event.ModelCall, event.Message, event.Handoff:
		return e.Phase != event.Attempt
	}
	return false
}

func (v *volume) Observe(x *detectors.Scene, e *event.Event) {
	if x.Delta == nil || !counts(e) { // without a delta nobody keeps baselines
		return
	}
	v.x, v.e, v.reference = x, e, v.referenceOf(x)
	v.best, v.elevated = crossed{p: 1}, false
	part := x.Agent.Ensure(v.slot).(*volumePart)
	v.measure(part)
	v.agent(part)
	if mem := x.Session(); mem != nil {
		v.session(part, mem.Ensure(v.slot).(*volumePart))
	}
	v.call()
	if e.Kind == event.ToolCall && part.agent != nil {
		v.outcome(part.agent)
	}
	v.burn(part)
	v.report(part)
	v.x, v.e = nil, nil
}

// measure takes from the event what it adds to each feature.
func (v *volume) measure(part *volumePart) {
	e := v.e
	v.has = 1 << EventCount
	v.values = [Features]float64{EventCount: 1}
	set := func(f Feature, n int64) {
		v.has |= 1 << f
		v.values[f] = min(max(float64(n), 0), maxValue)
	}
	if e.Has&event.HasRecords != 0 {
		set(RecordSum, e.Result.Records)
	}
	if e.Has&event.HasBytes != 0 {
		set(ByteSum, e.Result.Bytes)
	}
	if e.Has&event.HasCost != 0 {
		set(CostSum, e.Cost.MicroUSD)
	}
	if e.Has&event.HasAmount != 0 && e.Result.Outcome <= event.OK {
		// money of a call that failed was not spent
		code := currencyCode(e.Amount.Currency)
		if v.x.Eligible {
			DeltaOf(v.x.Delta).Currency(code, 1)
		}
		if part.first.Currency == 0 {
			part.first.Currency = code
		}
		if part.first.Currency == code {
			set(AmountSum, e.Amount.Micro)
		}
	}
	if e.Subject != "" {
		v.has |= 1 << SubjectCount
		v.distinct[0] = uint32(xxhash.Sum64String(e.Subject))
	}
	if e.Resource.ID != "" {
		v.has |= 1 << ResourceCount
		v.distinct[1] = uint32(xxhash.Sum64String(e.Resource.ID)) ^ uint32(xxhash.Sum64String(e.Resource.Type))*31
	}
}

// currencyCode is a currency's first bytes as a number, never 0.
func currencyCode(s string) uint64 {
	code := uint64(1)
	for i := range min(len(s), 7) {
		code = code<<8 | uint64(s[i])
	}
	return code
}

// knows tells whether the feature is one that the persona's baseline can say something of, for this
// agent.
func (v *volume) knows(f Feature, currency uint64) bool {
	if v.reference == nil {
		return false
	}
	return v.reference.of[f].on && (f != AmountSum || v.reference.currency == currency)
}

// learns tells whether the feature may be learned from this agent: of amounts only those of the
// persona's own currency, once it has one.
func (v *volume) learns(f Feature, currency uint64) bool {
	return f != AmountSum || v.x.Base != nil && ModelOf(v.x.Base).Currency == currency
}

// cross notes a test that came out low. The finding of an event is about the lowest.
func (v *volume) cross(c crossed) (reported, alert bool) {
	if v.x.Base == nil {
		return false, false
	}
	v.x.Odd[v.slot] = min(v.x.Odd[v.slot], c.p)
	reported, alert = v.x.Weigh(c.test, c.p)
	if !reported {
		return false, false
	}
	v.elevated = true
	if c.alert = alert; c.p < v.best.p {
		v.best = c
	}
	return true, alert
}

// remember keeps the first contributors.
func (a *agentVolume) remember(r event.Ref) {
	if m := a.ensureDetail(); len(m.watch) < event.MaxRefs && !slices.Contains(m.watch, r) {
		m.watch = append(m.watch, r.Clone())
	}
}

// Kind registers the detector of how much is done.
var Kind = detectors.Kind{
	Name: "volume",
	Slot: Slot,
	New:  newVolume,
	Part: func() detectors.Part { return new(volumePart) },
	Learns: baselines.PartKind{
		Unframed: true,
		Delta:    func() baselines.DeltaPart { return new(Delta) },
		Model:    func() baselines.ModelPart { return new(Model) },
	},
	Oddity: true,
}
