package suggest

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
	"github.com/wayward-sec/wayward/policy"
)

// PersonaSurvey counts in memory what the agents of each persona use and reach in a file of events.
type PersonaSurvey struct {
	set      *policy.Set
	tools    *ToolCache
	personas map[personaKey]*surveyed
}

type personaKey struct{ tenant, persona string }

// surveyed is what was seen of one persona.
type surveyed struct {
	usage    policy.Usage
	place    [policy.Dimensions]map[string]int // of each value in usage.Of
	shown    map[shown]struct{}
	agents   map[string]int32 // number of each agent
	sessions map[string]*activity
	days     map[agentDay]*activity
	foreign  bool // a resource was another tenant's
}

// shown is a value that an agent has shown on a day.
type shown struct {
	agentDay
	dimension policy.Dimension
	value     int // its place
}

// anything is the dimension of "the agent acted".
const anything = policy.Dimensions

type agentDay struct {
	agent int32
	day   int64
}

// activity is how much an agent did. Money is left out: no limit of a session adds up currencies.
type activity struct{ calls, records int64 }

func (v *activity) add(records int64) {
	v.calls++
	v.records += min(records, math.MaxInt64-v.records)
}

// NewPersonaSurvey returns a survey that completes events by the set's catalogue and finds personas
// by its lists of agents, as the engine does.
func NewPersonaSurvey(set *policy.Set) *PersonaSurvey {
	return &PersonaSurvey{set: set, tools: NewToolCache(set.Catalogue()), personas: map[personaKey]*surveyed{}}
}

// Add counts an event, and completes it. Only what personas judge counts: tool calls, and of a call
// in two records the result.
func (s *PersonaSurvey) Add(e *event.Event) {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return
	}
	persona := e.Persona
	if persona == "" {
		persona = s.set.PersonaOf(e.Tenant, e.Agent.ID)
	}
	if persona == "" {
		return
	}
	s.tools.Of(e).Complete(e, &s.tools.Scratch)
	v := s.personas[personaKey{e.Tenant, persona}]
	if v == nil {
		v = newSurveyed(e.Tenant, persona)
		s.personas[personaKey{v.usage.Tenant, v.usage.Persona}] = v
	}
	v.add(e)
	s.tools.Scratch.Reset()
}

func newSurveyed(tenant, persona string) *surveyed {
	v := &surveyed{shown: map[shown]struct{}{}, agents: map[string]int32{}, sessions: map[string]*activity{},
		days: map[agentDay]*activity{}}
	v.usage = policy.Usage{Tenant: strings.Clone(tenant), Persona: strings.Clone(persona), First: math.MaxInt64,
		Last: math.MinInt64}
	for d := range policy.Dimensions {
		v.usage.Watched[d], v.place[d] = true, map[string]int{}
	}
	return v
}

func (v *surveyed) add(e *event.Event) {
	u := &v.usage
	day := e.Time / localtime.DayMS
	if e.Time%localtime.DayMS < 0 {
		day--
	}
	agent, known := v.agents[e.Agent.ID]
	if !known {
		agent = int32(len(v.agents))
		v.agents[strings.Clone(e.Agent.ID)] = agent
		u.Agents++
	}
	at := agentDay{agent, day}
	u.First, u.Last = min(u.First, day), max(u.Last, day)
	if v.isNew(shown{at, anything, 0}) {
		u.AgentDays++
	}
	v.note(at, policy.Tools, e.Tool.Name)
	v.note(at, policy.Servers, e.Tool.Server)
	for c := event.Read; c <= event.Delegate; c++ {
		if policy.ClassBits(e)&(1<<c) != 0 {
			v.note(at, policy.Classes, c.String())
		}
	}
	r := &e.Resource
	v.note(at, policy.ResourceTypes, r.Type)
	v.note(at, policy.Environments, r.Environment)
	v.note(at, policy.Labels, r.Classification)
	for _, l := range r.Labels {
		v.note(at, policy.Labels, l)
		u.Hidden[policy.Labels] = u.Hidden[policy.Labels] || l == "" // it is judged, and no entry names it
	}
	if r.Tenant != "" {
		u.OwnTenant = true
		v.foreign = v.foreign || r.Tenant != e.Tenant
	}
	for _, s := range policy.DestinationEntries(&e.Destination) {
		v.noteEntry(at, policy.Destinations, s, e.Destination.External)
	}
	v.note(at, policy.DestinationKinds, e.Destination.Kind)
	v.note(at, policy.Intents, e.Intent)
	v.note(at, policy.Credentials, event.Identity(e.Agent.Credential))
	if e.Has&event.HasTier != 0 {
		u.MaxTier = max(u.MaxTier, e.Agent.Tier)
	}
	records := int64(0)
	if e.Has&event.HasRecords != 0 && e.Result.Records > 0 {
		records = e.Result.Records
	}
	if e.Session != "" {
		key := e.Agent.ID + "\x00" + e.Session
		if v.sessions[key] == nil {
			v.sessions[key] = new(activity)
		}
		v.sessions[key].add(records)
	}
	if v.days[at] == nil {
		v.days[at] = new(activity)
	}
	v.days[at].add(records)
}

// note counts a value of a dimension.
func (v *surveyed) note(at agentDay, d policy.Dimension, value string) {
	v.noteEntry(at, d, policy.EntryFor(value, d), event.Unknown)
}

// noteEntry counts an entry that names a value. External is as in policy.Seen.
func (v *surveyed) noteEntry(at agentDay, d policy.Dimension, entry string, external event.Tri) {
	if entry == "" {
		return
	}
	u := &v.usage
	i, known := v.place[d][entry]
	if !known {
		i = len(u.Of[d])
		entry = strings.Clone(entry)
		v.place[d][entry] = i
		u.Of[d] = append(u.Of[d], policy.Seen{Value: entry, First: at.day, Last: at.day})
	}
	x := &u.Of[d][i]
	x.First, x.Last = min(x.First, at.day), max(x.Last, at.day)
	x.External |= 1 << external
	if v.isNew(shown{at, d, i}) {
		x.AgentDays++
	}
}

func (v *surveyed) isNew(k shown) bool {
	_, known := v.shown[k]
	v.shown[k] = struct{}{}
	return !known
}

// Usages are what was seen of each persona, by tenant and persona.
func (s *PersonaSurvey) Usages() []*policy.Usage {
	var list []*policy.Usage
	for _, v := range s.personas {
		list = append(list, v.finish())
	}
	slices.SortFunc(list, func(a, b *policy.Usage) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Persona, b.Persona))
	})
	return list
}

// finish sorts the values, the most seen first, and works out the levels.
func (v *surveyed) finish() *policy.Usage {
	u := &v.usage
	u.OwnTenant = u.OwnTenant && !v.foreign
	u.Limits = nil
	var calls, records, dayCalls, dayRecords []int64
	for _, k := range v.sessions {
		calls, records = append(calls, k.calls), append(records, k.records)
	}
	for _, k := range v.days {
		dayCalls, dayRecords = append(dayCalls, k.calls), append(dayRecords, k.records)
	}
	v.level(policy.SessionScope, policy.Count, 0, calls)
	v.level(policy.SessionScope, policy.Records, 0, records)
	v.level(policy.AgentScope, policy.Count, localtime.DayMS, dayCalls)
	v.level(policy.AgentScope, policy.Records, localtime.DayMS, dayRecords)
	for d := range policy.Dimensions {
		slices.SortFunc(u.Of[d], func(a, b policy.Seen) int {
			return cmp.Or(cmp.Compare(b.AgentDays, a.AgentDays), strings.Compare(a.Value, b.Value))
		})
		for i := range u.Of[d] {
			v.place[d][u.Of[d][i].Value] = i
		}
	}
	return u
}

// level adds what 1 in 1,000 units reaches, unless it is nothing.
func (v *surveyed) level(scope policy.Scope, m policy.Measure, windowMS int64, units []int64) {
	if len(units) == 0 {
		return
	}
	slices.Sort(units)
	if top := units[min(len(units)-1, len(units)*999/1000)]; top > 0 {
		v.usage.Limits = append(v.usage.Limits, policy.Level{Scope: scope, Measure: m, WindowMS: windowMS, Reached: top,
			Units: int64(len(units))})
	}
}
