package volume

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event"
)

// BenchmarkBaselineVolume is what volume costs an event: of 20,000 agents with Zipf 1.1 and
// sessions of twenty events, after days that were learned. In sessions: two million events a day,
// of fifty sessions at a time; scattered: every event is of another session; dense: a hundred
// thousand events a second, as under load.
func BenchmarkBaselineVolume(b *testing.B) {
	b.Run("sessions", func(b *testing.B) { benchmarkBaseline(b, 2_000_000, 50) })
	b.Run("scattered", func(b *testing.B) { benchmarkBaseline(b, 2_000_000, 0) })
	b.Run("dense", func(b *testing.B) { benchmarkBaseline(b, 100_000*86_400, 0) })
}

func benchmarkBaseline(b *testing.B, day, calibrated int) {
	const agents, learned = 20_000, 1_000_000
	l := newTestShard(b, `{"v":1}`)
	who := l.panel.Who("acme", "support", "")
	rng := rand.New(rand.NewPCG(1, 1))
	zipf := rand.NewZipf(rng, 1.1, 1, agents-1)
	type one struct {
		agent, session detectors.Memory
		e              event.Event
		n              int
	}
	all := make([]one, agents)
	for i := range all {
		all[i].e = event.Event{ID: "e", Kind: event.ToolCall, Tenant: "acme", Persona: "support",
			Agent: event.Agent{ID: "a" + strconv.Itoa(i)}, Session: "s" + strconv.Itoa(i),
			Has: event.HasRecords | event.HasBytes | event.HasCost, Tool: event.Tool{Name: "tool" + strconv.Itoa(i%4)},
			Result: event.ResultOf{Outcome: event.OK}}
	}
	ids := make([]string, 4096)
	sizes := make([]int64, 4096)
	for i := range ids {
		ids[i] = "r" + strconv.Itoa(rng.IntN(50000))
		sizes[i] = int64(2 * math.Exp(rng.NormFloat64()))
	}
	order := make([]int32, 1<<20)
	for i := range order {
		order[i] = int32(zipf.Uint64())
	}
	q := &detectorstest.NoHost{}
	x := detectors.Scene{Host: q, Who: who, Delta: &baselines.Delta{}, Eligible: true, Time: simStart}
	at, us := 0, int64(0)
	open := make([]int32, max(calibrated, 1))
	run := func(n int) {
		for range n {
			at++
			o := &all[order[at*31&(1<<20-1)]]
			if calibrated > 0 {
				i := at % calibrated
				if o = &all[open[i]]; o.n%20 == 0 {
					open[i] = order[at*31&(1<<20-1)]
					o = &all[open[i]]
				}
			}
			us += 1000 * baselines.DayMS / int64(day)
			x.Time = simStart + us/1000
			o.e.Time = x.Time
			size := sizes[at&4095]
			o.e.Result.Records, o.e.Result.Bytes, o.e.Cost.MicroUSD = size, 200*size+50, 1500+10*size
			o.e.Resource.ID = ids[at*7&4095]
			x.Agent, q.Memory = &o.agent, &o.session
			l.volume.Observe(&x, &o.e)
			if o.n++; o.n%20 == 0 {
				l.volume.End(&detectors.Ending{Who: who, Time: x.Time, Memory: &o.session, Delta: x.Delta, Eligible: true})
			}
		}
	}
	var model *baselines.Model
	for range 5 {
		run(learned)
		model = baselines.Learn(model, who.Key, x.Time/baselines.DayMS, x.Delta, baselines.Terms{Approved: true})
		x.Delta = &baselines.Delta{}
		who.Rest(model, 0, math.MaxInt64)
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := detectorstest.CPU()
	run(b.N)
	// others share the machine
	b.ReportMetric(float64(detectorstest.CPU()-before)/float64(b.N), "cpu-ns/op")
}
