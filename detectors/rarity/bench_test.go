package rarity

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

// BenchmarkRarity is the cost of one event, of 20,000 agents of 10 personas in random order.
func BenchmarkRarity(b *testing.B) {
	const agents, personas = 20_000, 10
	set := detectorstest.NoPolicy
	h := detectorstest.NewHost(b, set)
	rng := rand.New(rand.NewPCG(1, 1))
	d := newRarity(8, h.Panel.Set).(*rarity)
	events := make([]event.Event, 256)
	for i := range events {
		e := detectorstest.Work(40, 0, "e")
		e.Persona = fmt.Sprint("p", rng.IntN(personas))
		e.Tool.Name, e.Tool.Server = fmt.Sprint("tool_number_", rng.IntN(12)), fmt.Sprint("server", rng.IntN(3))
		e.Intent = fmt.Sprint("intent-", rng.IntN(4))
		e.User = fmt.Sprint("user-", i/4) // sessions of four calls for one user
		e.Resource.Labels = []string{"pii"}
		if rng.IntN(4) == 0 {
			domain := fmt.Sprint("domain", rng.IntN(15), ".example")
			e.Destination = event.Destination{Kind: "email", Value: fmt.Sprint("u", rng.IntN(1000), "@", domain),
				Domain: domain}
		}
		events[i] = e
	}
	memories := make([]detectors.Memory, agents)
	whos := make([]*detectors.Who, personas)
	deltas := make([]baselines.Delta, personas)
	calls := make([]int, agents)
	run := func(agent int) { // an agent's day has a dozen different calls
		n := calls[agent]
		calls[agent]++
		e := &events[(agent%personas*23+(agent*4+n%12)%48)%len(events)]
		k := agent % personas
		x := detectors.Scene{Host: h, Time: e.Time, Agent: &memories[agent], Who: whos[k], AgentID: uint64(agent),
			Delta: &deltas[k], Eligible: true}
		d.Observe(&x, e)
	}
	order := make([]int, 1<<16)
	for i := range order {
		order[i] = rng.IntN(agents)
	}
	for k := range whos {
		whos[k] = h.Panel.Who("acme", fmt.Sprint("p", k), "")
	}
	for i := range 400_000 {
		run(order[i%len(order)])
	}
	for k := range whos {
		deltas[k].Events, deltas[k].Learned, deltas[k].AgentDays = 1, 1, 2000
		DeltaOf(&deltas[k]).Days = max(DeltaOf(&deltas[k]).Days, 2000)
		whos[k].Rest(baselines.Learn(nil, whos[k].Key, detectorstest.FirstDay+39, &deltas[k], baselines.Terms{}), 0, 0)
		deltas[k] = baselines.Delta{}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	clear(memories)
	for i := range 700_000 {
		run(order[i%len(order)])
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	bytes := 0
	for i := range memories {
		bytes += len(memories[i].Append(nil))
	}
	b.ReportAllocs()
	i, busy := 0, detectorstest.CPU()
	for b.Loop() {
		run(order[i%len(order)])
		i++
	}
	// on a machine that others use
	b.ReportMetric(float64(detectorstest.CPU()-busy)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(bytes)/agents, "disk-B/agent")
	b.ReportMetric(float64(unsafe.Sizeof(agentDay{})+unsafe.Sizeof(agentDayDetail{})), "B/agent")
}
