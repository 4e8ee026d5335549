package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// What docs/baselines.md says of bad data, as far as it concerns whole stages. Clocks, sums and
// currencies are tested with the detectors.

// A source that falls silent holds the end of a day up for as long as it is waited for; then it is
// left out, the day's closing names it, and what it brings later is learned with the next day.
func TestAPartitionThatIsLateAtTheEndOfADay(t *testing.T) {
	day := int64(midnight / baselines.DayMS)
	b := newRelation(0, engine(t, 3, 1, none), none)
	b.begin(1, true)
	key := baselines.Key{Tenant: "t", Persona: "clerk"}
	offset := int64(0)
	take := func(r record) {
		t.Helper()
		offset++
		r.offset = offset
		if err := b.step(mainLog, &r); err != nil {
			t.Fatal(err)
		}
	}
	delta := func(source int32, of int64, events uint64) {
		take(deltaFacts(none, source, keyDay{key, of}, events, 0))
	}
	reached := func(source int32, at int64) {
		take(record{value: appendFactsHead(nil, factsHead{source: source, watermark: at, set: none.Hash()})})
	}
	closing := func(of int64) *Closing {
		t.Helper()
		for _, o := range b.out {
			if name, _, _, err := partOf(o.key); o.to == toBaselines && err == nil &&
				name == fmt.Sprintf("c|1|0|%d|%d", of, of) && o.value != nil {
				c := &Closing{}
				if err := json.Unmarshal(o.value, c); err != nil {
					t.Fatal(err)
				}
				return c
			}
		}
		return nil
	}
	for source := range int32(3) {
		reached(source, day*baselines.DayMS+hour)
	}
	delta(0, day, 10)
	delta(1, day, 20)
	delta(2, day, 3) // before it falls silent
	over := (day + 1) * baselines.DayMS
	reached(0, over+2*hour)
	reached(1, over+3*hour)
	if c := closing(day); c != nil {
		t.Fatalf("the day is closed without a source that is still waited for: %+v", c)
	}
	take(record{value: appendFactsHead(nil, factsHead{source: 2, out: true, set: none.Hash()})})
	c := closing(day)
	if c == nil || len(c.LeftOut) != 1 || c.LeftOut[0] != 2 {
		t.Fatalf("the closing of the day does not name who was left out: %+v", c)
	}
	if s, _ := c.For(key); s == nil || s.Events != 33 {
		t.Errorf("the day holds %+v, want the 33 events that had come", s)
	}
	delta(2, day, 7) // it comes back
	delta(0, day+1, 100)
	for source := range int32(3) {
		reached(source, over+baselines.DayMS+hour)
	}
	next := closing(day + 1)
	if next == nil || len(next.LeftOut) != 0 {
		t.Fatalf("the next day: %+v", next)
	}
	if s, _ := next.For(key); s == nil || s.Events != 107 || s.Day != day+1 {
		t.Errorf("the next day holds %+v, want its own 100 events and the 7 that were late", s)
	}
	if len(next.Sources) != 2 || next.Sources[1].Source != 2 || next.Sources[1].Events != 7 {
		t.Errorf("who brought what to the next day: %+v", next.Sources)
	}
	if again := closing(day); again != nil && len(again.LeftOut) != 1 || b.counts.lateDeltas != 1 {
		t.Errorf("the day before was closed again, or nobody has counted what was late: %+v, %d", again,
			b.counts.lateDeltas)
	}
}

// An agent that is renamed is an agent that nobody has seen before: its persona's snapshot judges
// it from its first event on, its own windows begin anew, and the name alone calls nobody.
func TestAnAgentThatIsRenamedBeginsAsOneOfItsPersona(t *testing.T) {
	const days, renamed = 12, 9
	since := int64(monday + renamed*baselines.DayMS)
	lines := strings.SplitAfter(string(bureau(days, false)), "\n")
	for i, line := range lines {
		var e struct{ Time int64 }
		if line != "" && json.Unmarshal([]byte(line), &e) == nil && e.Time >= since {
			lines[i] = strings.Replace(line, `"id":"clerk-3"`, `"id":"clerk-3-eu"`, 1)
		}
	}
	run := func(path string) (judged, unjudged int, calls []string, agentDays map[int64]uint64) {
		src, err := history.OpenLines(path)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		agentDays = map[int64]uint64{}
		r := Replay{Policy: none, Workers: 1, Flush: true, Deliver: func(f *event.Finding) error {
			if f.Alert {
				calls = append(calls, f.Detector+" "+f.Rule+" "+f.Agent+": "+f.Why)
			}
			return nil
		}, Closed: func(m *baselines.Model, d *baselines.Delta) {
			if m.Persona == "clerk" {
				agentDays[m.Day] = d.AgentDays
			}
		}, observed: func(x *detectors.Scene, e *event.Event) {
			if e.Agent.ID == "clerk-3-eu" {
				if judged++; x.Base == nil || x.Base.AgentDays == 0 || x.Base.Persona != "clerk" {
					unjudged++
				}
			}
		}}
		if _, err := r.Run(t.Context(), src); err != nil {
			t.Fatal(err)
		}
		return
	}
	judged, unjudged, calls, agentDays := run(write(t, "renamed.jsonl", []byte(strings.Join(lines, ""))))
	_, _, before, want := run(write(t, "same.jsonl", bureau(days, false)))
	if judged < 50 || unjudged > 0 {
		t.Errorf("of %d events under the new name %d were judged by nothing", judged, unjudged)
	}
	if len(calls) > len(before) {
		t.Errorf("a new name calls somebody: %q, and without it: %q", calls, before)
	}
	if fmt.Sprint(agentDays) != fmt.Sprint(want) || len(want) < 9 {
		t.Errorf("agent-days of the persona: %v, without the new name %v", agentDays, want)
	}
}

// once is a source of so many agents that each act once.
type once struct{ at, agents, step int }

func (o *once) Next(context.Context) (*history.Chunk, error) {
	if o.at == o.agents {
		return nil, io.EOF
	}
	c := &history.Chunk{At: int64(o.at) + 1}
	for end := min(o.at+10_000, o.agents); o.at < end; o.at++ {
		c.Lines = fmt.Appendf(c.Lines,
			`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"t","agent":{"id":"a%d"},"session":"s","persona":"swarm","tool":{"name":"fetch"},"result":{"outcome":"ok","records":%d}}`+
				"\n",
			o.at, int64(monday)+int64(o.at)*int64(o.step), o.at, o.at%7)
	}
	return c, nil
}

func (o *once) Done(*history.Chunk) {}

// A swarm of agents that each act once costs memory by the agent, and its baseline is no larger
// than that of a small one.
func TestAMillionAgentsWithOneEventEach(t *testing.T) {
	// a fifth of a million, so that the test takes seconds; all grows with their number
	const agents = 200_000
	size := func(n int) (s Summary, bytes int, heap uint64, m *baselines.Model) {
		r := Replay{Policy: none, Flush: true, Approved: true, Deliver: func(*event.Finding) error { return nil }}
		r.Closed = func(b *baselines.Model, _ *baselines.Delta) {
			if b.Persona == "swarm" {
				bytes = max(bytes, len(b.Append(nil)))
			}
		}
		r.Progress = func(_, events int64) {
			if events == int64(n) {
				runtime.GC()
				var mem runtime.MemStats
				runtime.ReadMemStats(&mem)
				heap = mem.HeapAlloc
			}
		}
		s, err := r.Run(t.Context(), &once{agents: n, step: 2 * int(baselines.DayMS) / n}) // in two days
		if err != nil {
			t.Fatal(err)
		}
		for _, have := range r.Snapshots {
			if have.Persona == "swarm" {
				m = have
			}
		}
		return s, bytes, heap, m
	}
	_, few, _, _ := size(2000)
	start := time.Now()
	s, many, heap, m := size(agents)
	t.Logf("%d agents in %v, %d bytes of heap each, with their sessions; %d bytes of baseline, of 2,000 agents %d",
		agents, time.Since(start).Round(time.Millisecond), heap/agents, many, few)
	if s.Events != int64(agents) || s.Dropped > 0 || len(s.Dead) > 0 || m == nil ||
		m.AgentDays/baselines.Unit < uint64(agents)*9/10 {
		t.Fatalf("%+v, %+v", s, m)
	}
	if many > 2*few {
		t.Errorf("the baseline of %d agents has %d bytes, of 2,000 agents %d", agents, many, few)
	}
	if heap > agents*3<<10 {
		// all of it: pages of agent, session and inventory in memory; of it 256 bytes are its
		// baselines' (detectors, TestAnAgentThatActsOnceCostsLittle)
		t.Errorf("an agent with one event takes %d bytes in a replay", heap/agents)
	}
}

// A session in use is not forgotten because clocks of its partition are days ahead: its limit
// counts on from one call to the next, 25 minutes later.
func TestASessionInUseIsNotForgottenWhereClocksAreAhead(t *testing.T) {
	set := setOf(t, `{"v":1,"limits":[{"id":"calls","scope":"session","measure":"count","max":"6"}]}`)
	b := newBehaviour(0, engine(t, 1, 1, set), set, "agent.events")
	b.begin(1, true)
	n := 0
	act := func(agent, session string, at int64) {
		t.Helper()
		n++
		r := record{offset: int64(n), stamp: midnight + 30*baselines.DayMS, value: fmt.Appendf(nil,
			`{"id":"f%d","time":%d,"kind":"tool_call","tenant":"t","agent":{"id":%q},"session":%q,"persona":"clerk","tool":{"name":"search"}}`,
			n, at, agent, session)}
		if err := b.step(mainLog, &r); err != nil {
			t.Fatal(err)
		}
	}
	const ahead = 3 * baselines.DayMS
	const step = 25 * 60_000   // after half an hour it would be another session
	for h := range int64(10) { // two agents agree that it is three days later
		act("slow", "long", midnight+h*step)
		act("fast-1", "a", midnight+ahead+h*step)
		act("fast-2", "b", midnight+ahead+h*step+1000)
	}
	if mark := b.clock.watermark(); mark < midnight+ahead {
		t.Fatalf("the partition's clock is at hour %d: nothing is ahead", (mark-midnight)/hour)
	}
	found := map[string]int{}
	for _, f := range b.findings {
		found[f.ScopeID]++
	}
	if found["long"] == 0 || found["a"] == 0 || found["b"] == 0 {
		t.Errorf("sessions of ten calls that crossed a limit of six: %v", found)
	}
	// One that nobody uses any more is forgotten all the same.
	for h := int64(10); h < 60; h++ {
		act("fast-1", "a", midnight+ahead+h*hour)
		act("fast-2", "b", midnight+ahead+h*hour+1000)
	}
	sessions := 0
	for key := range every(b.shard) {
		if key[0] == sessionKind && strings.Contains(key, "slow") {
			sessions++
		}
	}
	if sessions != 0 {
		t.Error("a session that has been idle for two days is remembered")
	}
}
