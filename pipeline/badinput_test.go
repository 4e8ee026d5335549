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

// An agent that is renamed is an agent that nobody has seen before: its persona's snapshot judges
// it from its first event on, its own windows begin anew, and the name alone calls nobody.
func TestAnAgentThatIsRenamedBeginsAsOneOfItsPersona(t *testing.T) {
	const days, renamed = 12, 9
	since := int64(monday + renamed*baselines.DayMS)
	lines := strings.SplitAfter(string(clerksAtWork(days, false)), "\n")
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
	_, _, before, want := run(write(t, "same.jsonl", clerksAtWork(days, false)))
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
