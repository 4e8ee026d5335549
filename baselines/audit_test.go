package baselines

import (
	"bytes"
	"math"
	"testing"

	"github.com/wayward-sec/wayward/event/wire"
)

// steady is an audit after so many days on each of which a family's tests were made, a share of
// them below 1 in 100.
func steady(days int, test Test, made uint64, share float64) *Audit {
	a := &Audit{}
	for range days {
		var d AuditDelta
		d.Of[test] = Tally{Made: made, Below2: uint64(share * float64(made))}
		a.Learn(&d)
	}
	return a
}

func TestAlphaSpendsTheBudget(t *testing.T) {
	a := steady(30, HourTest, 10_000, 0.01)
	if n := a.PerDay(HourTest); math.Abs(n-10_000) > 20 {
		t.Fatalf("%g tests a day, want 10000", n)
	}
	if got, want := a.Alpha(HourTest, 2)*10_000, 2*HourTest.Share(); math.Abs(got/want-1) > 0.01 {
		t.Errorf("%g false alerts a day are expected, want the test's share %g", got, want)
	}
	if got := a.Alpha(SequenceTest, 2); got != 0 {
		t.Errorf("a test that is not made has the threshold %g, want 0", got)
	}
	if got := a.Alpha(HourTest, 0); got != 0 {
		t.Errorf("without a budget the threshold is %g, want 0", got)
	}
}

func TestFamiliesDoNotSpendMoreThanTheBudget(t *testing.T) {
	sum := 0.0
	for f := range Families {
		sum += f.Weight()
	}
	if sum > 0.9+1e-9 {
		t.Errorf("the families' shares come to %g; a tenth is for relations", sum)
	}
}

func TestSelfAuditLowersTheThresholdOfTestsThatComeOutLowTooOften(t *testing.T) {
	honest, loose, wild := steady(30, HourTest, 10_000, 0.01), steady(30, HourTest, 10_000, 0.04), steady(30, HourTest,
		10_000, 0.5)
	want := honest.Alpha(HourTest, 1)
	if got := loose.Alpha(HourTest, 1); math.Abs(got*4/want-1) > 0.02 {
		t.Errorf("four times too often: threshold %g, want a fourth of %g", got, want)
	}
	if got := wild.Alpha(HourTest, 1); math.Abs(got*10/want-1) > 0.02 {
		t.Errorf("fifty times too often: threshold %g, want a tenth of %g, not less", got, want)
	}
	few := steady(30, HourTest, 20, 0.05)
	if r, hits := few.Realised(VolumeFamily); r < looseRatio || hits > looseHits {
		t.Fatalf("ratio %g of %g hits: the case is not what it is meant to be", r, hits)
	}
	if got, want := few.Alpha(HourTest, 1e-3), 1e-3*HourTest.Share()/few.PerDay(HourTest); math.Abs(got/want-1) > 1e-9 {
		t.Errorf("a handful of hits moved the threshold to %g, want %g", got, want)
	}
}

func TestAuditCountsAnyOrderAlike(t *testing.T) {
	var a, b, ab, ba AuditDelta
	a.Count(SequenceTest, 0.5)
	a.Count(SequenceTest, 5e-5)
	b.Count(ToolTest, 5e-3)
	b.Of[ToolTest].Alerts = 2
	ab.Merge(&a)
	ab.Merge(&b)
	ba.Merge(&b)
	ba.Merge(&a)
	if ab != ba {
		t.Fatal("the order of merging shows")
	}
	if k := ab.Of[SequenceTest]; k != (Tally{Made: 2, Below2: 1, Below3: 1, Below4: 1}) {
		t.Errorf("counted %+v", k)
	}
	var back AuditDelta
	r := wire.Reader{B: ab.Append(nil)}
	if back.Decode(&r); r.Err != nil || back != ab {
		t.Errorf("does not read what it wrote: %v", r.Err)
	}
}

func FuzzModelDecode(f *testing.F) {
	key := Key{"acme", "support", ""}
	f.Add(Learn(nil, key, 20_000, &Delta{Events: 3, AgentDays: 1}, Terms{}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Model
		r := wire.Reader{B: b}
		if m.Decode(&r); r.Err != nil {
			return
		}
		once := m.Append(nil)
		var again Model
		r = wire.Reader{B: once}
		if again.Decode(&r); r.Err != nil || !bytes.Equal(again.Append(nil), once) {
			t.Fatalf("does not read what it wrote: %v", r.Err)
		}
	})
}

func TestABaselineComesOfAgeGoesStaleAndIsFrozen(t *testing.T) {
	key := Key{"acme", "support", ""}
	busy, idle := &Delta{Events: 500, Learned: 500, Sessions: 50, AgentDays: 5}, &Delta{}
	var m *Model
	day := int64(20_000)
	step := func(d *Delta, n int) {
		for range n {
			m = Learn(m, key, day, d, Terms{})
			day++
		}
	}
	step(busy, 6)
	if m.State != Learning {
		t.Errorf("after six days: %s", m.State)
	}
	step(busy, 1)
	if m.State != Active {
		t.Errorf("after seven days and 350 sessions: %s", m.State)
	}
	step(idle, 14)
	if m.State != Active {
		t.Errorf("after two quiet weeks: %s", m.State)
	}
	step(idle, 1)
	if m.State != Stale {
		t.Errorf("after more than two quiet weeks: %s", m.State)
	}
	step(busy, 1)
	if m.State != Active {
		t.Errorf("back at work: %s", m.State)
	}
	frozen := *m
	frozen.Frozen = true
	after := Learn(&frozen, key, day, busy, Terms{})
	if after.Sessions != m.Sessions || after.AgentDays != m.AgentDays {
		t.Error("a frozen baseline has learned")
	}
	if young := Learn(nil, key, day, busy, Terms{Approved: true}); young.State != Active {
		t.Errorf("approved events make a baseline that is %s", young.State)
	}
}

func TestLearningLeavesTheModelBeforeAsItWas(t *testing.T) {
	key := Key{"acme", "support", ""}
	m := Learn(nil, key, 1, &Delta{Events: 5, Sessions: 1, AgentDays: 1}, Terms{})
	was := m.Append(nil)
	Learn(m, key, 2, &Delta{Events: 50, Sessions: 9, AgentDays: 3}, Terms{})
	if !bytes.Equal(was, m.Append(nil)) {
		t.Error("a snapshot changed")
	}
}
