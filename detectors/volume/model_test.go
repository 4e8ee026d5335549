package volume

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event/wire"
)

// someVolume is a delta of arbitrary content.
func someVolume(rng *rand.Rand) *Delta {
	d := &Delta{Exposure: rng.Int64N(1 << 30), Day: baselines.Cell{X: rng.Int64N(1 << 30), E: rng.Int64N(1 << 30)}}
	for range rng.IntN(20) {
		d.Season[rng.IntN(baselines.HoursOfWeek)] = baselines.Cell{X: rng.Int64N(1 << 20), E: rng.Int64N(1 << 20)}
	}
	for f := range d.Of {
		o := &d.Of[f]
		o.Add(rng.Float64() * 1e4)
		for range rng.IntN(4) {
			o.Rates.Add(rng.ExpFloat64(), rng.Float64())
		}
		for w := range o.Spread {
			mu := rng.ExpFloat64() * 10
			k := Count{mu, 1 + rng.Float64(), 2}
			for range rng.IntN(300) {
				o.Spread[w].Add(rng.ExpFloat64()*10, k, mu)
			}
			o.Spread[w].AddNone(rng.Float64()*60, mu, mu)
			o.Block[w].Add(rng.ExpFloat64(), uint32(rng.IntN(5)))
		}
		o.Session.Add(rng.Float64()*9, uint32(rng.IntN(300)))
	}
	for range rng.IntN(200) { // more than there is room for
		h := rng.Uint64N(300) * 0x9e3779b97f4a7c15
		if t := d.Tool(h); t != nil {
			t.Of[rng.IntN(Marks)].Add(rng.Float64()*9, 1)
		}
		if t := d.Intent(h); t != nil {
			t.N++
			t.Of[rng.IntN(int(Features))].Add(rng.Float64()*9, 1)
		}
		d.Currency(h, 1)
	}
	for m := range d.Calls {
		d.Calls[m].Add(rng.Float64()*9, uint32(rng.IntN(300)))
	}
	for k := range d.Joint {
		d.Joint[k].Add(rng.ExpFloat64(), 3)
	}
	d.Contacts[1], d.Failed[2] = rng.Uint64N(100), rng.Uint64N(100)
	d.Outcome.Add(rng.ExpFloat64(), 1)
	d.Run.Add(rng.ExpFloat64(), 1)
	d.Even.Add(rng.ExpFloat64(), 1)
	return d
}

func TestVolumeDeltasMergeInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		parts := make([]*Delta, 2+rng.IntN(5))
		for i := range parts {
			parts[i] = someVolume(rng)
		}
		var want []byte
		for round := range 4 {
			var sum Delta
			rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			for _, p := range parts {
				if round%2 == 1 { // by way of an intermediate sum and the wire
					var alone Delta
					alone.Merge(p)
					r := wire.Reader{B: alone.Append(nil)}
					p = &Delta{}
					if p.Decode(&r); r.Err != nil || len(r.B) > 0 {
						t.Fatal(r.Err, len(r.B))
					}
				}
				sum.Merge(p)
			}
			got := sum.Append(nil)
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Fatal("the order of merging shows")
			}
		}
	}
}

func TestVolumeModelsReadWhatTheyWrote(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var m *baselines.Model
	for day := range int64(10) {
		m = baselines.Learn(m, baselines.Key{Tenant: "acme", Persona: "clerk"}, day, detectorstest.With(&baselines.Delta{Events: 1}, Slot, someVolume(rng)), baselines.Terms{})
		b := ModelOf(m).Append(nil)
		var again Model
		r := wire.Reader{B: b}
		if again.Decode(&r); r.Err != nil || len(r.B) > 0 {
			t.Fatal(r.Err, len(r.B))
		}
		if !bytes.Equal(again.Append(nil), b) {
			t.Fatal("a model reads otherwise than it wrote")
		}
		for f := range ModelOf(m).Of {
			if ModelOf(m).Of[f].Hyper != again.Of[f].Hyper || ModelOf(m).Of[f].Rate != again.Of[f].Rate {
				t.Fatal("what is derived differs after a reading")
			}
		}
	}
	if n := len(ModelOf(m).Append(nil)); n > 256<<10 {
		t.Errorf("a model of whatever is %d bytes", n)
	}
}

func FuzzVolumeDecode(f *testing.F) {
	f.Add((&Delta{}).Append(nil))
	f.Add((&Model{}).Append(nil))
	d := &Delta{Exposure: 9}
	d.Tool(77).Of[1].Add(2, 1)
	d.Of[3].Block[1].Add(1, 7)
	f.Add(d.Append(nil))
	f.Fuzz(hostile)
}

// hostile reads what may be anything, and works with what could be read.
func hostile(t *testing.T, b []byte) {
	var d Delta
	r := wire.Reader{B: b}
	if d.Decode(&r); r.Err == nil {
		var sum Delta
		sum.Merge(&d)
		m := baselines.Learn(nil, baselines.Key{}, 1, detectorstest.With(&baselines.Delta{Events: 1}, Slot, &sum), baselines.Terms{})
		valid(t, ModelOf(m))
	}
	var m Model
	r = wire.Reader{B: b}
	if m.Decode(&r); r.Err == nil {
		valid(t, &m)
	}
}

func TestSpoiltVolumeBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	d := someVolume(rng)
	m := baselines.Learn(nil, baselines.Key{}, 1, detectorstest.With(&baselines.Delta{Events: 1}, Slot, d), baselines.Terms{})
	for _, good := range [][]byte{d.Append(nil), ModelOf(m).Append(nil)} {
		for range 300 {
			b := bytes.Clone(good)
			for range 1 + rng.IntN(3) {
				b[rng.IntN(len(b))] = byte(rng.Uint32())
			}
			hostile(t, b[:len(b)-rng.IntN(2)*rng.IntN(len(b))])
		}
	}
}

// valid checks that nothing that was derived is no number.
func valid(t *testing.T, m *Model) {
	t.Helper()
	check := func(v ...float64) {
		for _, x := range v {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("%v is no number", v)
			}
		}
	}
	check(m.Hours.Of[:]...)
	check(m.Hours.Rare[:]...)
	check(m.Theta[:]...)
	check(m.Busy)
	for f := range m.Of {
		o := &m.Of[f]
		check(o.Rate, o.Unit, o.A0, o.Peer, o.PeerSD)
		for _, h := range o.Hyper {
			check(h.Phi, h.Kappa, h.Factor)
			if h.Phi < 1 || h.Kappa < 0.02 || h.Factor <= 0 {
				t.Fatalf("%v is out of bounds", h)
			}
		}
	}
}

func TestASeasonIsTheHoursThatWereBusy(t *testing.T) {
	var cells [baselines.HoursOfWeek]baselines.Cell
	for i := range cells {
		cells[i].E = baselines.Fixed(50)
		if h := i % 24; h >= 9 && h < 17 && i < 120 {
			cells[i].X = baselines.InUnits(500)
		}
	}
	var s baselines.Season
	s.Fit(&cells)
	sum := 0.0
	for _, v := range s.Of {
		sum += v
	}
	if math.Abs(sum-baselines.HoursOfWeek) > 1e-6 {
		t.Errorf("the mean is %v", sum/baselines.HoursOfWeek)
	}
	if s.Of[12] < 100*s.Of[3] || s.Of[12] < 4 || s.Of[12] > 5 {
		t.Errorf("noon is %v, night %v", s.Of[12], s.Of[3])
	}
	if got, want := s.Over(160, 24), s.Of[160]+s.Of[161]+s.Of[162]+s.Of[163]+s.Of[164]+s.Of[165]+s.Of[166]+s.Of[167]+
		s.Over(0, 16); math.Abs(got-want) > 1e-9 {
		t.Errorf("a day over the end of the week is %v, its hours %v", got, want)
	}
	if s.Rare[3] > 0.02 || s.Rare[12] < 0.5 {
		t.Errorf("night is reached in %v, noon in %v", s.Rare[3], s.Rare[12])
	}
	var none baselines.Season
	none.Fit(&[baselines.HoursOfWeek]baselines.Cell{})
	if none.Of[0] != 1 || none.Rare[5] < 0.99 {
		t.Error("without events all hours are alike")
	}
}

func TestHourOfWeekBeginsOnMonday(t *testing.T) {
	for at, want := range map[int64]int{0: 72, 4 * baselines.DayMS: 0, 4*baselines.DayMS - 1: 167, -3 * baselines.DayMS: 0, 5*baselines.DayMS + 3_600_000: 25} {
		if got := baselines.HourOfWeek(at); got != want {
			t.Errorf("%d is hour %d, want %d", at, got, want)
		}
	}
}

func TestDispersionIsFoundAgain(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	// Clumps of 1 to 15 events, of agents that differ and days that do: variance by construction.
	const clump, kappa = 8.0, 0.25
	var s SpreadSums
	h := Hyper{Phi: 2, Kappa: 1, Factor: 1}
	for day := range 6 {
		s = SpreadSums{}
		for range 20_000 {
			mu := math.Exp(2*rng.NormFloat64() - 1)
			g := distuv.Gamma{Alpha: 1 / kappa, Beta: 1 / kappa, Src: rng}.Rand()
			x := 0.0
			for range int(distuv.Poisson{Lambda: mu * g / clump, Src: rng}.Rand()) {
				x += float64(1 + rng.IntN(15))
			}
			s.Add(x, Count{mu, h.Phi, 1 / h.Kappa}, mu)
		}
		s.N *= baselines.FixedOne
		h = s.fit()
		_ = day
	}
	want := 10.33 // E n² / E n of 1 … 15
	if math.Abs(h.Phi-want) > 1.5 || math.Abs(h.Kappa-kappa) > 0.12 || math.Abs(h.Factor-1) > 0.03 {
		t.Errorf("φ %.2f (want %.2f), κ %.3f (want %.2f), factor %.3f", h.Phi, want, h.Kappa, kappa, h.Factor)
	}
}

func TestTheScoreBoundsTheTail(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 2000 {
		k := Count{math.Exp(4 * rng.NormFloat64()), 1 + rng.ExpFloat64()*10, math.Exp(rng.NormFloat64())}
		x := k.M + rng.ExpFloat64()*(math.Sqrt(k.Variance())+k.Phi)*3
		s, p := k.Score(x), k.Tail(x)
		if math.IsNaN(s) || s < 0 || p <= 0 || p > 1 {
			t.Fatalf("%+v at %v: score %v, tail %v", k, x, s, p)
		}
		// Chernoff's bound holds for whole numbers; of a real x the tail lies between those of its
		// neighbours.
		if bound := math.Pow(10, -s); k.Tail(x+k.Phi) > bound*1.001+1e-12 {
			t.Errorf("%+v at %v: tail %v above the bound %v", k, x, k.Tail(x+k.Phi), bound)
		}
		if k.Score(x*1.1) < s-1e-4 {
			t.Errorf("%+v: the score falls from %v on", k, x)
		}
	}
	for _, x := range []float64{0, -1, math.Inf(1), 1e300, math.NaN()} {
		for _, k := range []Count{{}, {1, 1, 1}, {1e-300, 1, 0.01}, {1e18, 1e6, 50}, {math.Inf(1), 1, 1}} {
			if s, p := k.Score(x), k.Tail(x); math.IsNaN(s) || math.IsInf(s, 0) || math.IsNaN(p) || p <= 0 || p > 1 {
				t.Errorf("%+v at %v: score %v, tail %v", k, x, s, p)
			}
		}
	}
	if q := (Count{20, 5, 4}).Quantile(1e-3); math.Abs(math.Log((Count{20, 5, 4}).Tail(q)/1e-3)) > 0.05 {
		t.Errorf("the quantile %v has tail %v", q, (Count{20, 5, 4}).Tail(q))
	}
}

func TestLogarithmsFromTheTable(t *testing.T) {
	for x := 1e-9; x < 1e15; x *= 1.01 {
		if d := math.Abs(logOf(x) - math.Log(x)); d > 1e-5 {
			t.Fatalf("ln %v is off by %v", x, d)
		}
	}
	if LogSize(0) != 0 || LogSize(-5) != 0 || LogSize(math.NaN()) != 0 || math.Abs(LogSize(99)-math.Log(100)) > 1e-5 {
		t.Error("sizes below one")
	}
}

func TestRingsAddUpTheirWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	var r baselines.SlidingSums
	type seen struct {
		at int64
		c  int
		v  float32
	}
	var all []seen
	head := int64(-20)
	for i := range 5000 {
		if i == 0 || i == 7 || i == 100 {
			r.Grow()
		}
		at := head
		switch rng.IntN(4) {
		case 0:
			at += rng.Int64N(4)
		case 1:
			at -= rng.Int64N(10)
		case 2:
			if rng.IntN(30) == 0 {
				at += rng.Int64N(100)
			}
		}
		if at > head {
			r.Move(2, head, at)
			if wire.FloorDiv(at, baselines.WindowSteps) != wire.FloorDiv(head, baselines.WindowSteps) {
				r.Begin(2, at-head >= baselines.WindowSteps)
			}
			head = at
		}
		if at <= head-baselines.WindowSteps {
			continue
		}
		k := seen{at, rng.IntN(r.Columns()), float32(rng.IntN(9))}
		r.Steps(2, at)[k.c] += k.v
		r.Sums(2)[k.c] += k.v
		all = append(all, k)
		want, block := make([]float32, r.Columns()), make([]float32, r.Columns())
		for _, s := range all {
			if s.at > head-baselines.WindowSteps && s.at <= head {
				want[s.c] += s.v
			}
			if wire.FloorDiv(s.at, baselines.WindowSteps) == wire.FloorDiv(head, baselines.WindowSteps) {
				block[s.c] += s.v
			}
		}
		got := make([]float32, r.Columns())
		r.Block(2, head, got)
		if !slices.Equal(r.Sums(2), want) || !slices.Equal(got, block) {
			t.Fatalf("step %d: sums %v, want %v; block %v, want %v", head, r.Sums(2), want, got, block)
		}
		if i%97 == 0 {
			var again baselines.SlidingSums
			d := wire.Reader{B: r.Append(nil)}
			if again.Decode(&d, r.Columns()); d.Err != nil || len(d.B) > 0 || !slices.Equal(again.Slab, r.Slab) {
				t.Fatal("rings do not read what they wrote")
			}
		}
	}
}

func TestFailuresInSequence(t *testing.T) {
	failure, success := baselines.Weights(0.05)
	rng := rand.New(rand.NewPCG(15, 16))
	below := 0
	const agents, contacts = 20_000, 60
	for range agents {
		var o baselines.SequentialTest
		least := 1.0
		for range contacts {
			o.Add(rng.Float64() < 0.05, failure, success)
			least = min(least, o.P())
		}
		if least < 1e-2 {
			below++
		}
	}
	if below > 2*agents/100 {
		t.Errorf("%d of %d agents like the persona came out below 1 in 100", below, agents)
	}
	steps := 0
	for range 200 {
		var o baselines.SequentialTest
		for o.P() > 1e-5 {
			o.Add(rng.Float64() < 0.7, failure, success)
			steps++
		}
	}
	if mean := float64(steps) / 200; mean > 15 {
		t.Errorf("somebody who fails in 7 of 10 is found after %.1f contacts", mean)
	}
}

func TestRunsOverIds(t *testing.T) {
	run := func(ids ...uint64) (longest int) {
		var r baselines.IDRun
		for _, id := range ids {
			longest = max(longest, r.Add(id))
		}
		return longest
	}
	var up, down, random, same []uint64
	rng := rand.New(rand.NewPCG(17, 18))
	for i := range uint64(60) {
		up, down, random, same = append(up, 1000+i*2), append(down, 1000-i), append(random,
			rng.Uint64N(1e6)), append(same, 7)
	}
	if run(up...) != baselines.RunSteps || run(down...) != baselines.RunSteps || run(random...) > 3 || run(same...) != 0 {
		t.Error(run(up...), run(down...), run(random...), run(same...))
	}
	for id, want := range map[string]uint64{"T-1042": 1042, "1042": 1042, "cust_77/orders": 77, "a12b": 12} {
		if n, ok := baselines.TrailingNumber(id); !ok || n != want {
			t.Errorf("%q ends in %d, %v", id, n, ok)
		}
	}
	if _, ok := baselines.TrailingNumber("none"); ok {
		t.Error("a word is no number")
	}
}

func BenchmarkCountScore(b *testing.B) {
	b.ReportAllocs()
	x := 0.0
	for i := range b.N {
		x += Count{20 + float64(i&7), 13, 7}.Score(float64(40 + i%60))
	}
	_ = x
}

func BenchmarkCountTail(b *testing.B) {
	b.ReportAllocs()
	x := 0.0
	for i := range b.N {
		x += Count{20 + float64(i&7), 13, 7}.Tail(float64(40 + i%60))
	}
	_ = x
}
