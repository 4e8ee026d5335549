package rarity

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event/wire"
)

// aDay makes up what agents show on a day: some values of some fields, by a few names that often
// meet.
func aDay(rng *rand.Rand) *Delta {
	d := &Delta{Days: rng.Uint64N(50)}
	for range rng.IntN(40) {
		f := Field(rng.IntN(int(Fields)))
		h := rng.Uint64N(30) * 0x9e3779b97f4a7c15
		s := d.See(f, h, rng.IntN(8) == 0)
		if s.Name == "" && f.Named() && rng.IntN(3) == 0 {
			s.Name = fmt.Sprint("n", h%7)
		}
		switch f {
		case ToolField:
			s.Classes |= 1 << rng.IntN(10)
		case DefinitionField:
			s.Of, s.Form = h/3, h/5
		}
		s.Agents |= 1 << rng.IntN(64)
		s.Sink = s.Sink || rng.IntN(20) == 0
		if s.Held > 0 {
			s.Judged |= uint8(rng.IntN(16))
		}
		if rng.IntN(3) == 0 {
			d.Appear(f)
			d.Novel(f)
		}
		d.Worse[rng.IntN(int(Circumstances))]++
	}
	if rng.IntN(5) == 0 {
		d.Declare(ToolField, rng.Uint64N(30), "declared")
	}
	return d
}

func encoded(d *Delta) []byte { return d.Append(nil) }

func TestRarityDeltasMergeInAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		parts := make([]*Delta, 1+rng.IntN(6))
		for i := range parts {
			parts[i] = aDay(rng)
		}
		var want []byte
		for try := range 4 {
			rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			var all, left Delta
			cut := rng.IntN(len(parts) + 1)
			for i, p := range parts {
				into := &all
				if i < cut {
					into = &left
				}
				var own Delta // by way of the wire
				r := wire.Reader{B: encoded(p)}
				if own.Decode(&r); r.Err != nil || len(r.B) > 0 {
					t.Fatal(r.Err, len(r.B))
				}
				into.Merge(&own)
			}
			all.Merge(&left)
			got := encoded(&all)
			if try == 0 {
				want = got
			} else if !bytes.Equal(got, want) {
				t.Fatalf("seed %d: the order shows", seed)
			}
		}
	}
}

func TestRarityDeltaKeepsSmallestHashesWhateverTheOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	hashes := make([]uint64, 5*maxSeen)
	for i := range hashes {
		hashes[i] = rng.Uint64()
	}
	var want []byte
	for try := range 3 {
		rng.Shuffle(len(hashes), func(i, j int) { hashes[i], hashes[j] = hashes[j], hashes[i] })
		var parts [4]Delta
		for i, h := range hashes {
			parts[i%(1+try)].See(UserField, h, false)
			parts[(i*7)%(1+try)].See(UserField, h, false)
		}
		var all Delta
		for i := range parts {
			all.Merge(&parts[i])
		}
		got := encoded(&all)
		if try == 0 {
			want = got
		} else if !bytes.Equal(got, want) {
			t.Fatal("the order shows")
		}
		if len(all.of[UserField].list) > 2*maxSeen {
			t.Fatal("not bounded")
		}
		var m baselines.Model
		m.SetPart(Slot, new(Model))
		ModelOf(&m).Learn(&m, &all, baselines.Terms{}.Defaults())
		if !ModelOf(&m).Of[UserField].Open {
			t.Error("more than is kept does not show")
		}
	}
}

func TestRarityModelsRoundTrip(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var m *baselines.Model
		for day := range int64(30) {
			m = baselines.Learn(m, baselines.Key{Tenant: "t", Persona: "p"}, 20_000+day, detectorstest.With(&baselines.Delta{Events: 1, Learned: 1, AgentDays: 20}, Slot, aDay(rng)), baselines.Terms{})
			var back Model
			b := ModelOf(m).Append(nil)
			r := wire.Reader{B: b}
			if back.Decode(&r); r.Err != nil || len(r.B) > 0 {
				t.Fatal(r.Err, len(r.B))
			}
			if !bytes.Equal(back.Append(nil), b) {
				t.Fatal("it does not come back as it was")
			}
			if d := cmp.Diff(*ModelOf(m), back, cmp.AllowUnexported(Model{}, Vocabulary{}, Quarantined{})); d != "" {
				t.Fatal(d)
			}
		}
	}
}

func FuzzRarity(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	f.Add(encoded(aDay(rng)))
	m := baselines.Learn(nil, baselines.Key{}, 20_000, detectorstest.With(&baselines.Delta{Events: 1, Learned: 1, AgentDays: 300}, Slot, aDay(rng)), baselines.Terms{})
	f.Add(ModelOf(m).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Delta
		r := wire.Reader{B: b}
		if d.Decode(&r); r.Err == nil {
			again := encoded(&d)
			var back Delta
			r := wire.Reader{B: again}
			if back.Decode(&r); r.Err != nil || !bytes.Equal(encoded(&back), again) {
				t.Fatal("a delta does not come back", r.Err)
			}
			next := baselines.Learn(m, baselines.Key{}, 20_001, detectorstest.With(&baselines.Delta{Events: 1, Learned: 1, AgentDays: 3}, Slot, &d), baselines.Terms{})
			baselines.Learn(next, baselines.Key{}, 20_002, &baselines.Delta{}, baselines.Terms{})
		}
		var v Model
		r = wire.Reader{B: b}
		if v.Decode(&r); r.Err == nil {
			again := v.Append(nil)
			var back Model
			r := wire.Reader{B: again}
			if back.Decode(&r); r.Err != nil || !bytes.Equal(back.Append(nil), again) {
				t.Fatal("a model does not come back", r.Err)
			}
			for f := range Fields {
				v.Known(f, 7)
				if p := v.New(f); math.IsNaN(p) || p < 0 || p > 1 {
					t.Fatal(p)
				}
			}
			v.Learn(&baselines.Model{Day: 20_000}, aDay(rand.New(rand.NewPCG(9, 9))), baselines.Terms{}.Defaults())
		}
	})
}

// stream draws the values of one field on the day of one agent.
type stream struct {
	name   string
	draw   func(rng *rand.Rand, day int) uint64
	calls  int // draws of an agent on a day
	lo, hi float64
}

// pitmanYor draws from a vocabulary that never ends: the share of new values falls as n^(d−1).
func pitmanYor(d, theta float64) func(*rand.Rand, int) uint64 {
	var past []uint64 // every draw, so that one of them is drawn in proportion
	kinds := 0
	counts := map[uint64]int{}
	return func(rng *rand.Rand, _ int) uint64 {
		n := float64(len(past))
		for {
			if rng.Float64()*(theta+n) < theta+d*float64(kinds) {
				kinds++
				past = append(past, uint64(kinds))
				counts[uint64(kinds)]++
				return uint64(kinds)
			}
			v := past[rng.IntN(len(past))]
			if rng.Float64() < 1-d/float64(counts[v]) { // (count − d)/n
				past = append(past, v)
				counts[v]++
				return v
			}
		}
	}
}

func zipf(k int, s float64) func(*rand.Rand, int) uint64 {
	sum := 0.0
	cum := make([]float64, k)
	for i := range cum {
		sum += math.Pow(float64(i+1), -s)
		cum[i] = sum
	}
	return func(rng *rand.Rand, _ int) uint64 {
		i, _ := slices.BinarySearch(cum, rng.Float64()*sum)
		return uint64(i + 1)
	}
}

// TestGoodTuringPredictsNewValues compares how often agent-days bring something new with how often
// the model says they do, on streams of different kinds.
func TestGoodTuringPredictsNewValues(t *testing.T) {
	const agents, days, warm = 40, 60, 20
	streams := []stream{
		{"open, d .8", pitmanYor(.8, 5), 1, .7, 1.4},
		{"open, d .6", pitmanYor(.6, 5), 3, .7, 1.4},
		{"open, d .3", pitmanYor(.3, 5), 3, .6, 1.5},
		{"closed, 40", zipf(40, 1), 5, 0, 1.5},
		{"closed, 400", zipf(400, 1), 5, .7, 1.4},
	}
	for _, s := range streams {
		rng := rand.New(rand.NewPCG(5, 5))
		var m *baselines.Model
		missing, predicted, values, fresh, tested := 0.0, 0.0, 0.0, 0.0, 0.0
		for day := range days {
			d := detectorstest.With(&baselines.Delta{Events: 1, Learned: 1, AgentDays: agents}, Slot, &Delta{Days: agents})
			for range agents {
				seen := map[uint64]bool{}
				isNew := 0.0
				for range s.calls {
					h := s.draw(rng, day) * 0x9e3779b97f4a7c15
					if seen[h] {
						continue
					}
					seen[h] = true
					if m != nil && !ModelOf(m).Known(DomainField, h) {
						isNew = 1
						if day >= warm {
							values++
						}
					}
					DeltaOf(d).See(DomainField, h, false)
				}
				if isNew > 0 && ModelOf(m).Ready() {
					DeltaOf(d).Novel(DomainField)
				}
				DeltaOf(d).Appear(DomainField)
				if day >= warm {
					tested++
					fresh += isNew
					predicted += ModelOf(m).New(DomainField)
					missing += (float64(ModelOf(m).Of[DomainField].singles) + baselines.Unit/2) / (float64(ModelOf(m).Days) + baselines.Unit)
				}
			}
			m = baselines.Learn(m, baselines.Key{}, int64(20_000+day), d, baselines.Terms{})
		}
		ratio := values / missing // the estimate is of their number
		t.Logf("%-12s new %.5f, Good-Turing %.5f, ratio %.2f; days %.5f, with the mean of late %.5f, ratio %.2f",
			s.name, values/tested, missing/tested, ratio, fresh/tested, predicted/tested, fresh/predicted)
		if s.hi*predicted < fresh {
			t.Errorf("%s: %g are said to be new and %g are", s.name, predicted, fresh)
		}
		if ratio < s.lo || ratio > s.hi {
			t.Errorf("%s: realised over Good-Turing %.2f, not within %.2f to %.2f", s.name, ratio, s.lo, s.hi)
		}
	}
}

// known makes a model that knows one value of a field and has a given support.
func knowing(f Field, agentDays uint64, values ...uint64) *baselines.Model {
	var m *baselines.Model
	for day := range int64(10) {
		d := detectorstest.With(&baselines.Delta{Events: 1, Learned: 1, AgentDays: agentDays / 10}, Slot, &Delta{Days: agentDays / 10})
		for _, h := range values {
			DeltaOf(d).See(f, h, false)
			DeltaOf(d).Appear(f)
		}
		m = baselines.Learn(m, baselines.Key{}, 20_000+day, d, baselines.Terms{})
	}
	return m
}

func TestNewIsRarerTheMoreAgentDaysSayNothingNew(t *testing.T) {
	last := 1.0
	for _, n := range []uint64{200, 400, 1000, 5000, 50_000} {
		m := knowing(DomainField, n, 1, 2)
		p := ModelOf(m).New(DomainField)
		if p <= 0 || p >= last {
			t.Errorf("%d agent-days: %g after %g", n, p, last)
		}
		if n >= 400 && math.Abs(p*float64(n)-.5) > .1 {
			t.Errorf("%d agent-days: %g", n, p)
		}
		last = p
	}
	if m := knowing(DomainField, 50, 1); ModelOf(m).Ready() || ModelOf(m).New(DomainField) != 0 {
		t.Error("so young a vocabulary has a probability")
	}
}

func TestUpperBoundHoldsWhileYoung(t *testing.T) {
	// A tenth of the personas may have more to come than the bound says.
	over, n := 0, 400
	for seed := range n {
		rng := rand.New(rand.NewPCG(uint64(seed), 8))
		draw := zipf(60, 1.2)
		var m *baselines.Model
		seen := map[uint64]bool{}
		for day := range int64(15) {
			d := detectorstest.With(&baselines.Delta{Events: 1, Learned: 1, AgentDays: 10}, Slot, &Delta{Days: 10})
			for range 10 {
				h := draw(rng, 0)
				seen[h] = true
				DeltaOf(d).See(DomainField, h, false)
			}
			m = baselines.Learn(m, baselines.Key{}, 20_000+day, d, baselines.Terms{})
		}
		missing := 0.0
		for range 2000 {
			if !seen[draw(rng, 0)] {
				missing++
			}
		}
		if missing/2000 > ModelOf(m).New(DomainField) {
			over++
		}
	}
	t.Logf("%d of %d above the bound", over, n)
	if float64(over) > .15*float64(n) {
		t.Errorf("%d of %d personas above the bound of 90 %%", over, n)
	}
}

func TestFloodOfNoveltiesRaisesTheirProbabilityByTwoADay(t *testing.T) {
	m := knowing(DomainField, 5000, 1, 2)
	before := ModelOf(m).New(DomainField)
	for day := range int64(5) {
		d := detectorstest.With(&baselines.Delta{Events: 1, Learned: 1, AgentDays: 500}, Slot, &Delta{Days: 500})
		for i := range uint64(2000) {
			DeltaOf(d).See(DomainField, (i+2000*uint64(day))*0x9e3779b97f4a7c15+77, false)
		}
		for range 400 {
			DeltaOf(d).Novel(DomainField)
		}
		m = baselines.Learn(m, baselines.Key{}, m.Day+1, d, baselines.Terms{})
		after := ModelOf(m).New(DomainField)
		if after > 2*before || after < before {
			t.Errorf("day %d: from %g to %g", day, before, after)
		}
		before = after
	}
}

func TestWhatCalledSomebodyWaitsUntilEnoughAgentsShowIt(t *testing.T) {
	const evil = 99
	show := func(m *baselines.Model, agents int, sink, held bool, terms baselines.Terms) *baselines.Model {
		d := detectorstest.With(&baselines.Delta{Events: 1, Learned: 1, AgentDays: 100}, Slot, &Delta{Days: 100})
		for a := range agents {
			s := DeltaOf(d).See(DomainField, evil, held)
			s.Agents |= 1 << a
			s.Sink = sink
			s.Name = "evil.example"
		}
		return baselines.Learn(m, baselines.Key{}, m.Day+1, d, terms)
	}
	for _, c := range []struct {
		name   string
		agents int
		sink   bool
		days   int // until accepted; 0: not within 20
		terms  baselines.Terms
	}{
		{"three agents never", 3, false, 0, baselines.Terms{}},
		{"nine of a hundred never", 9, false, 0, baselines.Terms{}},
		{"ten of a hundred on the second day", 10, false, 2, baselines.Terms{}},
		{"ten to a sink never", 10, true, 0, baselines.Terms{}},
		{"anybody's if approved", 1, true, 1, baselines.Terms{Approved: true}},
		{"three if three are enough", 3, false, 4, baselines.Terms{AcceptAgents: 2, AcceptPercent: 3, AcceptDays: 4}},
	} {
		m := knowing(DomainField, 1000, 1, 2)
		n1 := ModelOf(m).Of[DomainField].singles
		got := 0
		for day := 1; day <= 20 && got == 0; day++ {
			if m = show(m, c.agents, c.sink, day == 1, c.terms); ModelOf(m).Known(DomainField, evil) {
				got = day
			} else if ModelOf(m).Held(DomainField, evil) == nil {
				t.Fatalf("%s: day %d: neither known nor in quarantine", c.name, day)
			}
		}
		if got != c.days {
			t.Errorf("%s: accepted on day %d, want %d", c.name, got, c.days)
		}
		if got == 0 {
			if n := ModelOf(m).Of[DomainField].singles; n > n1 {
				t.Errorf("%s: counts as seen once", c.name)
			}
			if !ModelOf(m).Approve("domain:evil.example") || !ModelOf(m).Known(DomainField, evil) ||
				len(ModelOf(m).Quarantine) != 0 {
				t.Errorf("%s: not approved", c.name)
			}
		} else if v := ModelOf(m).Of[DomainField].Find(evil); v.Via != Accepted && !c.terms.Approved {
			t.Errorf("%s: known as %v", c.name, v.Via)
		}
	}

	m := show(knowing(DomainField, 1000, 1), 10, false, true, baselines.Terms{})
	if !ModelOf(m).Reject("domain:evil.example") || ModelOf(m).Reject("domain:other") {
		t.Fatal("rejected something else")
	}
	for range 20 {
		if m = show(m, 50, false, false, baselines.Terms{}); ModelOf(m).Known(DomainField, evil) {
			t.Fatal("accepted against a person's word")
		}
	}
}

func TestFewAgentsNeedMoreDays(t *testing.T) {
	var m *baselines.Model
	for day := range int64(200) {
		d := detectorstest.With(&baselines.Delta{Events: 1, Learned: 1, AgentDays: 1}, Slot, &Delta{Days: 1})
		DeltaOf(d).See(ToolField, 1, false)
		if day >= 190 {
			DeltaOf(d).See(ToolField, 2, day == 190).Agents = 1
		}
		m = baselines.Learn(m, baselines.Key{}, 20_000+day, d, baselines.Terms{})
		if got, want := ModelOf(m).Known(ToolField, 2), day >= 194; got != want {
			t.Fatalf("day %d of a single agent: known %v", day-189, got)
		}
	}
}

func TestDeclaredIsNotNew(t *testing.T) {
	m := knowing(ToolField, 1000, 1)
	d := &baselines.Delta{Events: 1, Learned: 1}
	DeltaOf(d).Declare(ToolField, 5, "refund")
	m = baselines.Learn(m, baselines.Key{}, m.Day+1, d, baselines.Terms{})
	if v := ModelOf(m).Of[ToolField].Find(5); v == nil || v.Via != Declared || v.Count != declaredFor ||
		v.Name != "refund" {
		t.Errorf("got %+v", v)
	}
}

func TestVocabularyIsBoundedAndForgets(t *testing.T) {
	var m *baselines.Model
	next := uint64(0)
	for day := range int64(20) {
		d := detectorstest.With(&baselines.Delta{Events: 1, Learned: 1, AgentDays: 100}, Slot, &Delta{Days: 100})
		for range 1000 {
			next++
			DeltaOf(d).See(AddressField, next*0x9e3779b97f4a7c15, false)
		}
		for range 5 {
			DeltaOf(d).See(AddressField, 1<<60, false)
		}
		m = baselines.Learn(m, baselines.Key{}, 20_000+day, d, baselines.Terms{})
	}
	o := &ModelOf(m).Of[AddressField]
	if len(o.Values) != maxValues || !o.Open {
		t.Fatalf("%d values, open %v", len(o.Values), o.Open)
	}
	if o.Find(1<<60) == nil {
		t.Error("what is used most was let go")
	}
	for i := range next {
		if !ModelOf(m).Known(AddressField, (i+1)*0x9e3779b97f4a7c15) {
			t.Fatal("what is not kept is new again")
		}
	}
	if p := ModelOf(m).New(AddressField); p < .5 {
		t.Errorf("probability of something new where all is new: %g", p)
	}
	for range forgetDays + 2 {
		m = baselines.Learn(m, baselines.Key{}, m.Day+1, &baselines.Delta{}, baselines.Terms{})
	}
	if len(o.Values) == 0 || len(ModelOf(m).Of[AddressField].Values) != 0 || ModelOf(m).Known(AddressField, 1<<60) {
		t.Error("what nobody shows is remembered for ever, or the model before was changed")
	}
	if math.IsNaN(ModelOf(m).Of[AddressField].Size()) {
		t.Error("the size of nothing is no number")
	}
}

func TestTenantKnowsToolsServersAndDomainsOfItsPersonas(t *testing.T) {
	var d, wide Delta
	d.Days = 3
	d.See(ToolField, 1, false).Name = "search"
	d.See(DomainField, 2, true)
	d.See(UserField, 3, false)
	wide.MergeWide(&d)
	wide.MergeWide(&d)
	m := baselines.Learn(nil, baselines.Key{Tenant: "t", Persona: baselines.TenantWide}, 20_000, detectorstest.With(&baselines.Delta{Events: 1, Learned: 1}, Slot, &wide), baselines.Terms{})
	if ModelOf(m).Days != 6*baselines.Unit || !ModelOf(m).Known(ToolField, 1) || ModelOf(m).Known(DomainField, 2) ||
		ModelOf(m).Known(UserField, 3) {
		t.Errorf("got %+v", *ModelOf(m))
	}
}

func TestDefinitionsOfOtherFormsAreApart(t *testing.T) {
	var d baselines.Delta
	d.Events, d.Learned = 1, 1
	for h, form := range map[uint64]uint64{10: 1, 20: 2} {
		s := DeltaOf(&d).See(DefinitionField, h, false)
		s.Of, s.Form, s.Name = 7, form, fmt.Sprint("hash", h)
	}
	m := baselines.Learn(nil, baselines.Key{}, 20_000, &d, baselines.Terms{})
	for _, c := range []struct {
		of, form uint64
		same     string
		any      bool
	}{{7, 1, "hash10", true}, {7, 2, "hash20", true}, {7, 3, "", true}, {8, 1, "", false}} {
		same, any := ModelOf(m).Definition(c.of, c.form)
		name := ""
		if same != nil {
			name = same.Name
		}
		if name != c.same || any != c.any {
			t.Errorf("%+v: got %q, %v", c, name, any)
		}
	}
}

func BenchmarkRarityKnown(b *testing.B) {
	d := &baselines.Delta{Events: 1, Learned: 1}
	for i := range uint64(200) {
		DeltaOf(d).See(Field(i%uint64(Fields)), i*0x9e3779b97f4a7c15, false)
	}
	m := baselines.Learn(nil, baselines.Key{}, 20_000, d, baselines.Terms{})
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		ModelOf(m).Known(Field(i%uint64(Fields)), i*0x9e3779b97f4a7c15)
		i = (i + 1) % 200
	}
}
