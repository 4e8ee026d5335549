package rules

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/rules/expression"
)

var allLets = []Pair{{"n", "count()"}, {"some", "count(amount.value > 5)"}, {"people", "distinct(subject)"},
	{"sum", "sum(amount.value)"}, {"top", "max(amount.value)"},
	{"low", "min(amount.value)"}, {"mean", "avg(amount.value)"}, {"q", "quantile(amount.value, 0.9)"}}

// dense are so many events of one key, one a few milliseconds after the other, some of them late.
func dense(r *rand.Rand, n, apart, late, people int) []*event.Event {
	list := make([]*event.Event, n)
	for i := range list {
		list[i] = &event.Event{ID: fmt.Sprint("e", i), Time: 1_000_000 + int64(i*apart-r.IntN(late+1)),
			Kind: event.ToolCall, Tool: event.Tool{Class: event.Read}, Subject: fmt.Sprint(r.IntN(people)),
			Has: event.HasAmount, Amount: event.Amount{Micro: r.Int64N(20_000_000) - 1_000_000}}
	}
	return list
}

// naive is what lies in a window, by definition.
type naive struct {
	window, newest int64
	all            []*event.Event
}

func (o *naive) add(e *event.Event) {
	o.newest = max(o.newest, e.Time)
	o.all = append(o.all, e)
	o.all = slices.DeleteFunc(o.all, func(e *event.Event) bool { return e.Time <= o.newest-o.window })
}

func (o *naive) values() (v map[string]float64, sorted []float64) {
	people := map[string]bool{}
	v = map[string]float64{"n": float64(len(o.all)), "top": math.Inf(-1), "low": math.Inf(1)}
	sum := int64(0)
	for _, e := range o.all {
		x := float64(e.Amount.Micro) / 1e6
		sum += e.Amount.Micro
		if x > 5 {
			v["some"]++
		}
		v["top"], v["low"] = max(v["top"], x), min(v["low"], x)
		if e.Subject != "" {
			people[e.Subject] = true
		}
		sorted = append(sorted, x)
	}
	slices.Sort(sorted)
	v["people"], v["sum"] = float64(len(people)), float64(sum)/1e6
	v["mean"] = v["sum"] / v["n"]
	return v, sorted
}

// play shows one event to a window rule, and returns what its lets have come to.
func (m *Runner) play(rule *Rule, k *State, e *event.Event) (map[string]float64, []Match) {
	m.Begin(e, "p", e.Time, nil)
	row, _ := m.Row(nil, rule.Steps[0])
	m.letValues = nil
	matches := m.Advance(rule, k, event.Ref{Time: e.Time, ID: e.ID}, &Taken{Mask: 1, Rows: [][]expression.Value{row}}, nil)
	out := map[string]float64{}
	for i, v := range m.letValues {
		out[rule.Lets[i].Name] = v.N
	}
	return out, matches
}

func reload(t *testing.T, rule *Rule, k *State) {
	t.Helper()
	was := k.Append(nil)
	r := wire.Reader{B: was}
	back := State{}
	back.Decode(&r)
	if r.Err != nil || len(r.B) > 0 || !back.Fits(rule) || string(back.Append(nil)) != string(was) {
		t.Fatalf("the state does not come back: %v, %d bytes left, fits %v", r.Err, len(r.B), back.Fits(rule))
	}
	*k = back
}

// However many events a window holds, it adds up to what they come to, wherever it is read from
// disk in between.
func TestWindowsOfManyEventsAreExact(t *testing.T) {
	for name, c := range map[string]struct {
		n, apart, late, people int
		window                 int64
	}{
		"5,000 in the window, which slides": {15_000, 4, 0, 900, 20_000},
		"with late ones":                    {15_000, 4, 9000, 900, 20_000},
		"several in a millisecond":          {12_000, 1, 900, 50, 3_000},
		"it never slides":                   {12_000, 7, 5000, 9000, 3_600_000},
		"with pauses":                       {12_000, 2, 0, 100, 3_000},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(2, 2))
			rule := build(t, &Source{Window: c.window, Where: `tool.class == "read"`, Lets: allLets, Having: "n > 0"})
			kept, saved, want := State{Rule: rule.Hash}, State{Rule: rule.Hash}, naive{window: c.window}
			var m, n Runner
			checked := 0
			for i, e := range dense(r, c.n, c.apart, c.late, c.people) {
				if name == "with pauses" {
					e.Time += int64(i/4000) * 10_000
				}
				want.add(e)
				got, matches := m.play(rule, &kept, e)
				again, _ := n.play(rule, &saved, e)
				if !reflect.DeepEqual(got, again) {
					t.Fatalf("event %d: as they came %v, from disk %v", i, got, again)
				}
				if i%997 == 5 {
					reload(t, rule, &saved)
				}
				if i%61 != 0 || len(got) == 0 {
					continue
				}
				checked++
				v, sorted := want.values()
				q := sorted[min(int(0.9*float64(len(sorted))), len(sorted)-1)]
				if math.Abs(got["q"]-q) > 0.011*math.Abs(q) {
					t.Fatalf("event %d: a quantile of %v, want %v", i, got["q"], q)
				}
				delete(got, "q")
				if !reflect.DeepEqual(got, v) {
					t.Fatalf("event %d: %v, want %v", i, got, v)
				}
				if matches[0].Count != int64(len(sorted)) || (len(sorted) > 1000) != strings.Contains(matches[0].Approx,
					"q approximately") || matches[0].Partial {
					t.Fatalf("event %d: %+v of %d events", i, matches[0], len(sorted))
				}
			}
			if checked < 100 {
				t.Errorf("%d events were checked", checked)
			}
			// When the flood has left, all is kept one by one again.
			got, matches := m.play(rule, &kept, &event.Event{ID: "z", Time: kept.Newest + c.window,
				Kind: event.ToolCall, Tool: event.Tool{Class: event.Read}, Subject: "z", Has: event.HasAmount,
				Amount: event.Amount{Micro: 3e6}})
			if got["n"] != 1 || got["q"] != 3 || got["people"] != 1 || matches[0].Approx != "" || kept.win.folded {
				t.Errorf("afterwards: %v, %+v", got, matches)
			}
		})
	}
}

// A window comes to what lies in it, not to how that came.
func TestTheOrderOfArrivalDoesNotShow(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	rule := build(t, &Source{Window: 9_000, Where: `tool.class == "read"`, Lets: allLets, Having: "n > 0"})
	list := dense(r, 6000, 3, 0, 700)
	end := &event.Event{ID: "z", Time: list[len(list)-1].Time + 1, Kind: event.ToolCall,
		Tool: event.Tool{Class: event.Read}, Has: event.HasAmount}
	var first map[string]float64
	for round := range 4 {
		k, m := State{Rule: rule.Hash}, Runner{}
		for i := 0; i+500 <= len(list); i += 500 {
			if round > 0 {
				r.Shuffle(500, func(a, b int) { list[i+a], list[i+b] = list[i+b], list[i+a] })
			}
		}
		for _, e := range list {
			m.play(rule, &k, e)
		}
		got, _ := m.play(rule, &k, end)
		if first == nil {
			first = got
		}
		if !reflect.DeepEqual(got, first) {
			t.Errorf("order %d: %v, in order of time %v", round, got, first)
		}
	}
}

// A hundred thousand events are no more than a window may hold, and add up.
func TestAWindowOfAHundredThousandEvents(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	rule := build(t, &Source{Window: 600_000, Where: `tool.class == "read"`, Lets: allLets, Having: "n > 0"})
	k, m := State{Rule: rule.Hash}, Runner{}
	want := naive{window: math.MaxInt64 / 2}
	most := 0
	for i, e := range dense(r, 100_000, 3, 2000, 60_000) {
		got, matches := m.play(rule, &k, e)
		most = max(most, k.Numbers())
		want.all = append(want.all, e)
		if i%9999 != 0 && i != 99_999 {
			continue
		}
		reload(t, rule, &k)
		v, sorted := want.values()
		if math.Abs(got["people"]-v["people"]) > 0.1*v["people"] || i > 50_000 &&
			!strings.Contains(matches[0].Approx, "people, q approximately") {
			t.Errorf("event %d: %v people, want %v; %q", i, got["people"], v["people"], matches[0].Approx)
		}
		q := sorted[min(int(0.9*float64(len(sorted))), len(sorted)-1)]
		if math.Abs(got["q"]-q) > 0.011*q {
			t.Errorf("event %d: a quantile of %v, want %v", i, got["q"], q)
		}
		for _, name := range []string{"n", "some", "sum", "mean", "top", "low"} {
			if got[name] != v[name] {
				t.Errorf("event %d: %s %v, want %v", i, name, got[name], v[name])
			}
		}
	}
	if n := len(k.Append(nil)); most > MaxNumbers || n > 400<<10 {
		t.Errorf("%d numbers are held, %d bytes", most, n)
	}
}

// Where even buckets of a millisecond are too many, the far edge moves in wider steps, and the match
// says so.
func TestAWindowOfTooManyMilliseconds(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	rule := build(t, &Source{Window: 100_000, Where: `tool.class == "read"`,
		Lets: []Pair{{"sum", "sum(amount.value)"}, {"top", "max(amount.value)"},
			{"q", "quantile(amount.value, 0.9)"}},
		Having: "sum != 0"})
	k, m, want := State{Rule: rule.Hash}, Runner{}, naive{window: 100_000}
	for i, e := range dense(r, 150_000, 1, 0, 10) {
		want.newest = e.Time
		want.all = append(want.all, e)
		got, matches := m.play(rule, &k, e)
		if i%10_007 != 0 || i < 110_000 {
			continue
		}
		want.all = slices.DeleteFunc(want.all, func(e *event.Event) bool { return e.Time <= want.newest-want.window })
		v, _ := want.values()
		if math.Abs(got["sum"]-v["sum"]) > 0.001*v["sum"] || got["top"] < v["top"] || k.win.width < 2 ||
			k.win.width > 64 || !strings.Contains(matches[0].Approx, "far edge") {
			t.Errorf("event %d: %v, want %v; steps of %d ms, %q", i, got, v, k.win.width, matches[0].Approx)
		}
		reload(t, rule, &k)
	}
}

// A window that comes from disk is one that can go on, or is refused.
func FuzzWindowState(f *testing.F) {
	r := rand.New(rand.NewPCG(8, 8))
	rule := build(f, &Source{Window: 60_000, Where: `tool.class == "read"`, Lets: allLets, Having: "n > 0"})
	var k State
	k.Rule = rule.Hash
	var m Runner
	for i, e := range dense(r, 1100, 3, 500, 40) {
		if m.play(rule, &k, e); i == 40 || i == 1099 {
			f.Add(k.Append(nil))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var k State
		r := wire.Reader{B: raw}
		k.Decode(&r)
		if r.Err != nil {
			return
		}
		if k.Rule = rule.Hash; !k.Fits(rule) {
			return
		}
		for i := range 20 {
			m.play(rule, &k, &event.Event{ID: "f", Time: k.Newest + int64(i), Kind: event.ToolCall,
				Tool: event.Tool{Class: event.Read}, Subject: "s", Has: event.HasAmount,
				Amount: event.Amount{Micro: 1}})
		}
		k.Shrink(rule)
		if b := k.Append(nil); len(b) == 0 {
			t.Error("nothing is left")
		}
	})
}

func TestWindows(t *testing.T) {
	s := &Source{Window: 60_000, Where: `tool.class == "read"`,
		Lets: []Pair{{"n", "count()"}, {"people", "distinct(subject)"}, {"sum", "sum(result.records)"},
			{"top", "max(result.records)"},
			{"low", "min(result.records)"}, {"mean", "avg(result.records)"}, {"long", `count(result.records > 1)`},
			{"q", "quantile(result.records, 0.5)"}, {"share", "people / n"}, {"who", "subject"}},
		Having:  "people >= 3 and share > 0.5",
		Explain: `string(n) + " " + string(people) + " " + string(sum) + " " + string(low) + "-" + string(top) + " " + string(mean) + " " + string(long) + " " + string(q) + " " + who`}
	on(t, s).play("0r:a 1r:bb 2r:a").want()
	on(t, s).play("0r:a 1r:bb 2r:ccc").want("2 e1,e2,e3 3 3 6 1-3 2 2 2 ccc")
	// the first have left
	on(t, s).play("0r:a 1r:bb 61r:ccc 62r:d").want()
	// quantile: of the four the third
	on(t, s).play("0r:a 1r:bb 2r:ccc 3r:d").want("2 e1,e2,e3 3 3 6 1-3 2 2 2 ccc",
		"3 e1,e2,e3,e4 4 4 7 1-3 1.75 2 2 d continues")
	on(t, s).play("0r:a 1r:bb 2r:ccc 80r:x 81r:y 82r:z").want("2 e1,e2,e3 3 3 6 1-3 2 2 2 ccc",
		"82 e4,e5,e6 3 3 3 1-1 1 0 1 z")
	// late, and the window still holds it
	on(t, s).play("10r:a 11r:bb 5r:ccc").want("5 e3,e1,e2 3 3 6 1-3 2 2 2 ccc")
	on(t, s).play("100r:a 101r:bb 5r:ccc").want() // and not any more
}

func TestAWindowIsBounded(t *testing.T) {
	b := on(t, &Source{Window: 3_600_000, Where: `tool.class == "read"`, Lets: []Pair{{"n", "count()"}},
		Having: "n >= 1000"})
	for i := range 1500 {
		b.n++
		b.event(&event.Event{ID: fmt.Sprint("e", b.n), Time: int64(i), Kind: event.ToolCall,
			Tool: event.Tool{Class: event.Read}})
	}
	last := b.matches[len(b.matches)-1]
	if len(b.k.win.samples) != MaxSamples || last.Partial || last.Count != 1500 || last.Refs[0].ID != "e1" ||
		last.Refs[5].ID != "e1500" {
		t.Errorf("%d events are kept one by one; the last match is %+v", len(b.k.win.samples), last)
	}
}

// What a window has added up as events came and went is what its events add up to, to the last bit,
// and does not depend on when the state was last read from disk.
func TestWindowsAddUpExactly(t *testing.T) {
	s := &Source{Window: 20_000, Where: `tool.class == "read"`,
		Lets: []Pair{{"n", "count()"}, {"some", "count(amount.value > 5)"}, {"people", "distinct(subject)"},
			{"sum", "sum(amount.value)"}, {"top", "max(amount.value)"},
			{"low", "min(amount.value)"}, {"mean", "avg(amount.value)"}, {"q", "quantile(amount.value, 0.8)"}},
		Having: "n > 0"}
	rule := build(t, s)
	r := rand.New(rand.NewPCG(1, 1))
	kept, saved := State{Rule: rule.Hash}, State{Rule: rule.Hash}
	var m, n Runner
	for i := range 5000 {
		e := &event.Event{ID: fmt.Sprint("e", i), Time: int64(i*100 - r.IntN(9000)), Kind: event.ToolCall,
			Tool: event.Tool{Class: event.Read}, Subject: fmt.Sprint(r.IntN(40)), Has: event.HasAmount,
			Amount: event.Amount{Micro: []int64{100_000, 10_010_000, r.Int64N(1e9),
				math.MaxInt64 - 5}[min(r.IntN(200), 3)]}}
		var got [2][]expression.Value
		for j, x := range []struct {
			*Runner
			k *State
		}{{&m, &kept}, {&n, &saved}} {
			x.Begin(e, "p", e.Time, nil)
			row, _ := x.Row(nil, rule.Steps[0])
			if x.Advance(rule, x.k, event.Ref{Time: e.Time, ID: e.ID}, &Taken{Mask: 1, Rows: [][]expression.Value{row}},
				nil); len(x.letValues) > 0 {
				got[j] = x.letValues
			}
		}
		if !reflect.DeepEqual(got[0], got[1]) {
			t.Fatalf("event %d: as they came %v, from disk %v", i, got[0], got[1])
		}
		if i%7 == 0 {
			b := saved.Append(nil)
			saved.Decode(&wire.Reader{B: b})
		}
	}
	// Ten dimes are one, though ten times 0.1 is less in floats.
	k := State{Rule: rule.Hash}
	for i := range 10 {
		e := &event.Event{ID: fmt.Sprint("e", i), Time: int64(i), Kind: event.ToolCall,
			Tool: event.Tool{Class: event.Read}, Has: event.HasAmount, Amount: event.Amount{Micro: 100_000}}
		m.Begin(e, "p", 0, nil)
		row, _ := m.Row(nil, rule.Steps[0])
		m.Advance(rule, &k, event.Ref{Time: e.Time, ID: e.ID}, &Taken{Mask: 1, Rows: [][]expression.Value{row}}, nil)
	}
	if got := m.letValues[3].N; got != 1 {
		t.Errorf("ten times 0.1 are %v", got)
	}
}

// BenchmarkWindow is an event in a full window of 1,000.
func BenchmarkWindow(b *testing.B) {
	rule := build(b, &Source{Window: 3_600_000, Where: `tool.class == "read"`,
		Lets: []Pair{{"n", "count()"}, {"people", "distinct(subject)"}, {"sum", "sum(result.records)"},
			{"q", "quantile(result.records, 0.95)"}}, Having: "people > 5000"})
	k := State{Rule: rule.Hash}
	var m Runner
	e := &event.Event{Kind: event.ToolCall, Tool: event.Tool{Class: event.Read}, Has: event.HasRecords}
	var subjects [512]string
	for i := range subjects {
		subjects[i] = fmt.Sprint("s", i)
	}
	row := make([]expression.Value, 0, 8)
	t := &Taken{Mask: 1, Rows: [][]expression.Value{nil}}
	for i := range b.N {
		e.Time, e.Subject, e.Result.Records = int64(i), subjects[i%512], int64(i*7919%5000)
		m.Begin(e, "p", 0, nil)
		row, _ = m.Row(row[:0], rule.Steps[0])
		t.Rows[0] = row
		m.Advance(rule, &k, event.Ref{Time: e.Time, ID: "e"}, t, nil)
	}
}
