package sequence

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

func TestRandomCallsInsertedIntoASessionAreFoundAndOrdinaryOnesAreNot(t *testing.T) {
	made, below := 0, [3]int{}
	byLength := [4][2]int{}
	inserted := []int{1, 2, 3, 4, 6, 10}
	hits, tries := map[int][2]int{}, map[int]int{}
	delay := map[int]int{}
	for seed := range uint64(3) {
		for _, kind := range []struct {
			tools, intents int
			noise, err     float64
		}{{14, 8, .01, .02}, {10, 5, .005, .03}, {24, 12, .04, .06}, {20, 10, .03, .12}, {18, 9, .02, .08},
			{16, 9, .05, .05}} {
			rng := rand.New(rand.NewPCG(seed, uint64(kind.tools)))
			w := newWorkload(rng, kind.tools, kind.intents, kind.noise, kind.err)
			l := newLab()
			l.alpha = 1e-3
			for day := range 28 {
				l.work(rng, w, 300, 40, func(p float64, c *Chain) {
					if day >= 14 {
						made++
						k := 0
						for n := c.Steps(); k < 3 && n > 8<<k; k++ {
						}
						byLength[k][0]++
						if p < 1e-2 {
							byLength[k][1]++
						}
						for i, a := range [...]float64{1e-2, 1e-3, 1e-4} {
							if p < a {
								below[i]++
							}
						}
					}
				})
				if day == 21 {
					for _, k := range inserted {
						for range 100 {
							in := w.pick(rng)
							calls := w.session(rng, in)
							at := rng.IntN(len(calls) + 1)
							var c Chain
							least, when := 1.0, 0
							n := 0
							step := func(tool int, failed bool, bad bool) {
								if bad || n > 0 {
									n++
								}
								if l.push(&c, tool, failed, "intent"+strconv.Itoa(in)); c.P(l.model()) < least {
									least = c.P(l.model())
									if least < 1e-3 && when == 0 {
										when = n
									}
								}
							}
							for i := 0; i <= len(calls); i++ {
								if i == at {
									for range k {
										step(rng.IntN(w.tools), false, true)
									}
								}
								if i < len(calls) {
									step(calls[i], rng.Float64() < w.err, false)
								}
							}
							tries[k]++
							h := hits[k]
							if least < 1e-2 {
								h[0]++
							}
							if least < 1e-3 {
								h[1]++
								delay[k] += when
							}
							hits[k] = h
						}
					}
				}
				l.close()
			}
		}
	}
	for i, a := range [...]float64{1e-2, 1e-3, 1e-4} {
		t.Logf("of %d ordinary sessions %d below %g: %.2f times as many as should be", made, below[i], a,
			float64(below[i])/float64(made)/a)
	}
	t.Logf("below 0.01 of those of up to 8, 16, 32 calls and of more: %v", byLength)
	for _, k := range inserted {
		t.Logf("%2d calls inserted: %.2f found at 1e-2, %.2f at 1e-3, after %.1f calls", k,
			float64(hits[k][0])/float64(tries[k]), float64(hits[k][1])/float64(tries[k]),
			float64(delay[k])/math.Max(1, float64(hits[k][1])))
	}
	if r := float64(below[1]) / float64(made) / 1e-3; r > 2 {
		t.Errorf("%.2f times too many ordinary sessions are below 1e-3, want at most 2", r)
	}
	if r := float64(hits[6][1]) / float64(tries[6]); r < 0.75 {
		t.Errorf("of six calls inserted %.2f are found at 1e-3, want 0.75", r)
	}
}

func TestDeltasMergeInAnyOrderToTheSameBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := newWorkload(rng, 14, 8, .05, .05)
	l := newLab()
	for range 3 {
		l.work(rng, w, 250, 20, nil)
		l.close()
	}
	l.m.State = baselines.Active
	l.alpha = 1e-3
	var parts []Delta
	for i := range 6 {
		if i == 3 {
			l.m = nil // a shard to which the persona is new
		}
		l.d = baselines.Delta{}
		l.work(rng, w, 60, 20, nil)
		parts = append(parts, *DeltaOf(&l.d))
	}
	var want []byte
	for range 20 {
		var sum Delta
		for _, i := range rng.Perm(len(parts)) {
			if rng.IntN(2) == 0 {
				var over Delta
				r := wire.Reader{B: parts[i].Append(nil)}
				over.Decode(&r)
				if r.Err != nil || len(r.B) > 0 {
					t.Fatalf("a delta does not read what it wrote: %v, %d bytes left", r.Err, len(r.B))
				}
				sum.Merge(&over)
				continue
			}
			sum.Merge(&parts[i])
		}
		got := sum.Append(nil)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Fatal("another order gives other bytes")
		}
	}
}

func TestAChainIsTheSameAfterARestartAtAnyStep(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	w := newWorkload(rng, 14, 8, .05, .1)
	l := newLab()
	again := func(in interface{ Append([]byte) []byte }, out interface {
		Append([]byte) []byte
		Decode(*wire.Reader)
	}) {
		t.Helper()
		r := wire.Reader{B: in.Append(nil)}
		out.Decode(&r)
		if r.Err != nil || len(r.B) > 0 {
			t.Fatalf("it does not read what it wrote: %v, %d bytes left", r.Err, len(r.B))
		}
		if !bytes.Equal(in.Append(nil), out.Append(nil)) {
			t.Fatal("it writes something else after a restart")
		}
	}
	for day := range 4 {
		for range 250 {
			in := w.pick(rng)
			calls := w.session(rng, in)
			if rng.IntN(100) == 0 { // a long one
				for len(calls) < 700 {
					calls = append(calls, rng.IntN(60))
				}
			}
			var whole, cut Chain
			for _, tool := range calls {
				failed := rng.Float64() < w.err
				l.push(&whole, tool, failed, "i")
				l.push(&cut, tool, failed, "i")
				var next Chain
				again(&cut, &next)
				cut = next
			}
			if a, b := whole.Score(l.model()), cut.Score(l.model()); a != b {
				t.Fatalf("day %d: score %v, cut into pieces %v", day, a, b)
			}
			agent := 1 + uint64(rng.IntN(20))
			l.end(&cut, agent)
			var today AgentDay
			again(l.today[agent], &today)
		}
		var d Delta
		again(DeltaOf(&l.d), &d)
		l.close()
		var m Model
		again(l.model(), &m)
	}
}

// What is read from a disk or a topic never breaks what reads it, and is written again as it was
// read.
func FuzzSequenceState(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	w := newWorkload(rng, 8, 4, .05, .05)
	l := newLab()
	for range 2 {
		l.work(rng, w, 220, 10, nil)
		f.Add(DeltaOf(&l.d).Append(nil))
		l.close()
		f.Add(l.model().Append(nil))
	}
	l.m.State = baselines.Active
	l.alpha = 1e-4
	l.work(rng, newWorkload(rng, 60, 4, .5, .05), 100, 10, nil)
	f.Add(DeltaOf(&l.d).Append(nil))
	l.close()
	f.Add(l.model().Append(nil))
	var c Chain
	for i := range 300 {
		l.push(&c, i%30, i%7 == 0, "i")
		if i%60 == 0 {
			f.Add(c.Append(nil))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Delta
		r := wire.Reader{B: b}
		if d.Decode(&r); r.Err == nil {
			if got := d.Append(nil); len(got) > 0 {
				var again Delta
				r := wire.Reader{B: got}
				if again.Decode(&r); r.Err != nil || !bytes.Equal(again.Append(nil), got) {
					t.Fatal("a delta is not read as it was written")
				}
			}
			baselines.Learn(nil, baselines.Key{}, 1, detectorstest.With(&baselines.Delta{Events: 1, AgentDays: 9}, Slot, &d), baselines.Terms{})
		}
		var m Model
		r = wire.Reader{B: b}
		if m.Decode(&r); r.Err == nil {
			var c Chain
			for i := range 20 {
				c.Push(&m, StepOf(strconv.Itoa(i%3), "", event.Read, event.OK, ""))
			}
			if s := c.Score(&m); !(s.P > 0 && s.P <= 1) || !(s.Mean >= 0 && s.Mean <= 30) || !(s.Combined >= 0) {
				t.Fatalf("a score that makes no sense: %+v", s)
			}
			m.Waiting()
		}
		var c Chain
		r = wire.Reader{B: b}
		if c.Decode(&r); r.Err == nil {
			if len(c.Append(nil)) > 2048 {
				t.Fatal("a chain has no bound")
			}
			c.Push(l.model(), StepOf("x", "", event.Read, event.OK, ""))
			c.ScoreSteps(l.model())
			var today AgentDay
			var d Delta
			d.Take(l.model(), &c, 1, 1, &today, LearnFrom, 1e-3)
		}
	})
}

// The floor holds: what one agent does however often it does it on a day counts once.
func TestOneAgentCountsOnceADay(t *testing.T) {
	l := newLab()
	for range 50 {
		var c Chain
		for _, tool := range []int{1, 2, 3, 4, 5, 1, 2} {
			l.push(&c, tool, false, "i")
		}
		l.end(&c, 7)
	}
	n := 0
	for _, g := range DeltaOf(&l.d).grams() {
		if n++; g.u > 1 || g.n != 50 {
			t.Fatalf("an n-gram of one agent has %d agent-days and %d sessions", g.u, g.n)
		}
	}
	if n < 30 {
		t.Fatalf("%d n-grams", n)
	}
	for agent := range uint64(40) {
		var c Chain
		for _, tool := range []int{1, 2, 3, 4, 5, 1, 2} {
			l.push(&c, tool, false, "i")
		}
		l.end(&c, 100+agent)
	}
	for _, g := range DeltaOf(&l.d).grams() {
		if g.u > 41 || g.u < 36 { // a Bloom filter may lose some, never make any
			t.Fatalf("an n-gram of 41 agents has %d agent-days", g.u)
		}
	}
}

// Beyond its bounds a model ages, and a day's delta is thinned alike in any order of merging.
func TestAFloodOfNamesStaysWithinBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	var parts []*Delta
	for range 3 {
		l := newLab()
		for i := range 350 {
			var c Chain
			for range 70 {
				l.push(&c, rng.IntN(50_000), false, strconv.Itoa(i))
			}
			l.end(&c, rng.Uint64())
		}
		parts = append(parts, DeltaOf(&l.d))
	}
	var a, b Delta
	for i := range parts {
		a.Merge(parts[i])
		b.Merge(parts[len(parts)-1-i])
	}
	if !bytes.Equal(a.Append(nil), b.Append(nil)) {
		t.Error("thinned, another order gives other bytes")
	}
	var m *baselines.Model
	for day := range int64(3) {
		m = baselines.Learn(m, baselines.Key{}, day, detectorstest.With(&baselines.Delta{Events: 1, AgentDays: 100}, Slot, &a), baselines.Terms{Approved: true})
		if symbols, grams, _ := ModelOf(m).Size(); symbols > maxSymbols || grams > maxGrams {
			t.Errorf("%d symbols, %d n-grams", symbols, grams)
		}
		if n := len(ModelOf(m).Append(nil)); n > 1<<20 {
			t.Errorf("a model takes %d bytes", n)
		}
	}
}

// Each statistic's references decay by themselves, bin by bin, so that of three that were counted
// together one may have enough and another not.
func TestStatisticsAreJudgedTogetherOrNotAtAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	w := newWorkload(rng, 8, 2, .02, .05)
	for short := range seqStats + 1 {
		l := newLab()
		for range 4 {
			l.work(rng, w, 250, 20, nil)
			l.close()
		}
		m := l.model()
		for s := range m.by {
			for j := range m.by[s] {
				c := &m.by[s][j]
				for n := uint64(baselines.MinReference * baselines.Unit); s == 0 && j == short && c.Total >= n; c.Fit() {
					c.Counts[0], c.Total = 0, 0
					for i := range c.Counts {
						c.Counts[i] = baselines.Decayed(c.Counts[i], baselines.HalfLife14)
						c.Total += c.Counts[i]
					}
				}
			}
		}
		m.calibrate()
		var c Chain
		for i := range strataEnds[0] - 2 { // all in the first stratum
			l.push(&c, int(i)%8, i%3 == 0, "")
		}
		c.End(m)
		score := c.Score(m)
		for j, p := range score.Each {
			if known := p < 1; known != (short == seqStats) {
				t.Errorf("statistic %d has too few references, and of %d p is %v", short, j, p)
			}
		}
		if short == seqStats && !(score.Combined > 0) {
			t.Errorf("all have enough, and nothing is judged: %+v", score)
		}
	}
}

// Where days are small the first sessions are scored before there is a reference for their steps.
// They say nothing of how odd a session can be: taken for the least odd ones, they would make all
// others look rare.
func TestFewSessionsADayAreNotCalledForIt(t *testing.T) {
	made, below := 0, 0
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 5))
		w := newWorkload(rng, 14, 8, .02, .04)
		l := newLab()
		l.terms.Approved = true
		for range 28 {
			l.work(rng, w, 30, 8, func(p float64, c *Chain) {
				if c.Tested(l.model()) {
					made++
					if p < 1e-2 {
						below++
					}
				}
			})
			l.close()
		}
	}
	t.Logf("%d of %d sessions below 0.01", below, made)
	if made < 3000 || float64(below) > 2*float64(made)*1e-2 {
		t.Errorf("%d of %d ordinary sessions came out below 0.01", below, made)
	}
}
