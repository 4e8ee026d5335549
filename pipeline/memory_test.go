package pipeline

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/wayward-sec/wayward/policy"
)

// BenchmarkKnownAgents is what an instance remembers of agents: of a million that acted once, a day
// or more ago, and of 50,000 of them that are at work, with all detectors and what they have told
// the relation stage. Of the heap that lives, in bytes; the whole takes about a minute and a half,
// whatever b.N.
func BenchmarkKnownAgents(b *testing.B) {
	const known, active, each = 1_000_000, 50_000, 40
	set := policy.Default()
	shared := engine(b, 1, 1, set)
	shared.pageCap = 1 << 30
	s, q := newBehaviour(0, shared, set, "events"), newRelation(0, shared, set)
	n := 0
	act := func(agent int, t int64) {
		n++
		customer := fmt.Sprint("customer-", n%5000)
		line := fmt.Appendf(nil, `{"id":%q,"time":%d,"kind":"tool_call","tenant":"acme","agent":{"id":%q},"persona":"clerk",`+
			`"session":%q,"user":%q,"subject":%q,"resource":{"type":"customer","id":%q},`+
			`"tool":{"name":"crm.search","class":"read"},"result":{"outcome":"ok","records":%d,"bytes":%d}}`,
			fmt.Sprintf("01JC%022d", n), t, fmt.Sprintf("support-agent-%07d", agent), fmt.Sprintf("session-%08d", n/each),
			fmt.Sprint("user-", agent%2000), customer, customer, 1+n%7, 100*(1+n%13))
		if err := s.step(mainLog, &record{offset: int64(n), stamp: t, value: line}); err != nil {
			b.Fatal(err)
		}
		if n%4000 != 0 {
			return
		}
		s.seal()
		s.kept()
		q.begin(t, false)
		for _, o := range s.out {
			if o.to == toFacts {
				if err := q.apply(mainLog, &record{value: o.value}); err != nil {
					b.Fatal(err)
				}
			}
		}
		q.advanceTo(t - lateness)
		s.begin(t, true)
		s.undoable = false
	}
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	s.begin(day0, true)
	s.undoable = false
	s.volatile, q.volatile = true, true // nothing waits for a checkpoint
	before := heap()
	for i := range known {
		act(i, day0+int64(i)*86_400_000/known)
	}
	for i := range 4000 { // two days of one agent: the sessions of the others are over and forgotten
		act(0, day0+86_400_000+int64(i)*2*86_400_000/4000)
	}
	rest := heap()
	b.ReportMetric((rest-before)/known, "B/known-agent")
	for i := range active * each {
		act(i/4%active, day0+3*86_400_000+int64(i)*8*3_600_000/(active*each))
	}
	all := heap()
	b.ReportMetric((all-rest)/active, "B/active-agent-more")
	b.ReportMetric((all-before)/(1<<20), "MiB-live")
	b.ReportMetric(0, "ns/op")
	runtime.KeepAlive(s)
	runtime.KeepAlive(q)
}
