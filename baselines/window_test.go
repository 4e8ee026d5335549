package baselines

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// model is a window as one would write it without a thought for speed: everything ever added,
// looked through each time.
type model struct {
	span   Span
	added  []added
	newest int64
}

type added struct {
	index, n int64
	sums     Sums
	ref      event.Ref
	seen     []uint64
}

// add returns whether the window holds the bucket.
func (m *model) add(a added) bool {
	if len(m.added) > 0 && a.index <= m.newest-m.span.N {
		return false
	}
	if len(m.added) == 0 || a.index > m.newest {
		m.newest = a.index
	}
	m.added = append(m.added, a)
	return true
}

// in are the contributions still in the window, by bucket, then in order of arrival.
func (m *model) in() []added {
	var out []added
	for _, a := range m.added {
		if a.index > m.newest-m.span.N {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b added) int { return cmp.Compare(a.index, b.index) })
	return out
}

func (m *model) total(mask uint8) (t Sums) {
	different := map[uint64]bool{}
	for _, a := range m.in() {
		t[0] += a.n
		for i := 1; i < Columns; i++ {
			if mask&(1<<i) != 0 && mask != CountDistinct {
				t[i] += a.sums[i]
			}
		}
		for _, h := range a.seen {
			different[h] = true
		}
	}
	if mask == CountDistinct {
		t[Distinct] = int64(len(different))
	}
	return t
}

// first are the first contributors: of a window of one bucket in order of arrival, else one of each
// bucket.
func (m *model) first() []event.Ref {
	var out []event.Ref
	seen := map[int64]bool{}
	for _, a := range m.in() {
		if m.span.N == 1 || !seen[a.index] {
			seen[a.index] = true
			out = append(out, a.ref)
		}
	}
	return out[:min(len(out), event.MaxRefs)]
}

// exact says that a window of this span names its first contributors and not just early ones.
func exact(s Span) bool { return s.N <= keptRefs }

func spans() map[string]Span {
	return map[string]Span{"tumbling": Tumbling(60_000), "sliding": Sliding(60_000, 1000),
		"sliding in few steps": Sliding(60_000, 5000), "sliding by its length": Sliding(5000, 5000),
		"lifetime": Lifetime()}
}

// same compares windows as they are on disk: that is all that lives on.
func same(a, b *Window) bool { return bytes.Equal(a.Append(nil), b.Append(nil)) && a.Total == b.Total }

func TestWindowEqualsTheNaiveModelOnAnyStream(t *testing.T) {
	const seed = 1
	for name, span := range spans() {
		t.Run(name, func(t *testing.T) {
			for round := range uint64(25) {
				r := rand.New(rand.NewPCG(seed, round))
				mask := uint8(r.IntN(1 << Columns))
				if round%3 == 0 {
					mask = CountDistinct
				}
				w, m := Window{}, model{span: span}
				w.Shape(mask)
				// around 1970, where truncation would fold two buckets into one
				now := int64(r.IntN(300_000)) - 150_000
				for step := range 150 {
					switch r.IntN(20) {
					case 0:
						now += int64(r.IntN(200_000)) // out of the window altogether
					default:
						now += int64(r.IntN(3000))
					}
					at := now
					if r.IntN(4) == 0 {
						at -= int64(r.IntN(80_000)) // late, sometimes too late
					}
					agent := 1 + uint32(r.IntN(1+int(round%3)))
					a := added{span.Index(at), int64(1 + r.IntN(3)), Sums{},
						event.Ref{Time: at, ID: strconv.Itoa(step), Agent: strconv.Itoa(int(agent))}, nil}
					for range r.IntN(3) {
						a.seen = append(a.seen, r.Uint64N(40))
					}
					slices.Sort(a.seen)
					a.seen = slices.Compact(a.seen)
					for i := 1; i < Columns; i++ {
						a.sums[i] = int64(r.IntN(100))
					}
					want := m.add(a)
					if a.n != 1 || !w.Bump(span, a.index, &a.sums, agent) {
						w.Move(span, a.index)
						if got := w.Add(span, a.index, a.n, &a.sums, &Contributor{a.ref, r.IntN(2) == 0},
							agent); got != want {
							t.Fatalf("seed %d/%d step %d: Add to bucket %d (newest %d) = %v, want %v", seed, round,
								step, a.index, m.newest, got, want)
						}
					}
					if want {
						w.See(a.index, a.seen, 1000)
					}
					if want := m.total(mask); w.Total != want {
						t.Fatalf("seed %d/%d step %d: totals %d, want %d", seed, round, step, w.Total, want)
					}
					alone := !slices.ContainsFunc(m.in(),
						func(a added) bool { return a.ref.Agent != strconv.Itoa(int(agent)) })
					if got := w.Alone(agent); got != alone {
						t.Fatalf("seed %d/%d step %d: agent %d is alone: %v, want %v", seed, round, step, agent, got,
							alone)
					}
					if exact(span) {
						if diff := gocmp.Diff(m.first(), w.First(), cmpopts.EquateEmpty()); diff != "" {
							t.Fatalf("seed %d/%d step %d: first contributors (-want +got):\n%s", seed, round, step,
								diff)
						}
					}
					for i, ref := range w.First() {
						if x := span.Index(ref.Time); x <= m.newest-span.N || i > 0 &&
							x < span.Index(w.First()[i-1].Time) || i >= event.MaxRefs {
							t.Fatalf("seed %d/%d step %d: contributor %d of %v is out of the window or out of order",
								seed, round, step, i, w.First())
						}
					}
					if step%10 == 0 { // it may be saved and loaded at any time
						var back Window
						in := wire.Reader{B: w.Append(nil)}
						if back.Decode(&in); in.Err != nil || len(in.B) != 0 || !same(&w, &back) {
							t.Fatalf("seed %d/%d step %d: decoding: %v, %d bytes left; totals %d, want %d", seed, round,
								step, in.Err, len(in.B), back.Total, w.Total)
						}
						w = back
					}
				}
			}
		})
	}
}

func TestAnotherShapeKeepsWhatBothHave(t *testing.T) {
	s := Sliding(3000, 1000)
	var w Window
	w.Shape(1 | 1<<1 | 1<<2)
	for i := range int64(3) {
		w.Move(s, i)
		w.Add(s, i, 1, &Sums{1, 10, 100, 1000}, &Contributor{event.Ref{Time: i * 1000, ID: "a"}, true}, 1)
	}
	w.Shape(1 | 1<<2 | 1<<3)
	if want := (Sums{3, 0, 300, 0}); w.Total != want {
		t.Errorf("totals %d, want %d", w.Total, want)
	}
	w.Move(s, 3)
	w.Add(s, 3, 1, &Sums{1, 10, 100, 1000}, &Contributor{event.Ref{Time: 3000, ID: "a"}, true}, 1)
	if want := (Sums{3, 0, 300, 1000}); w.Total != want {
		t.Errorf("after another step the totals are %d, want %d", w.Total, want)
	}
	w.Shape(CountDistinct)
	if want := (Sums{3}); w.Total != want {
		t.Errorf("a cost is taken for what is distinct: totals %d, want %d", w.Total, want)
	}
}

func TestABoundedCountOfWhatIsDistinctIsExactAboutALimitBelowItsBound(t *testing.T) {
	const keep, limit = 20, 10
	s := Sliding(10_000, 1000)
	for round := range uint64(20) {
		r := rand.New(rand.NewPCG(3, round))
		bounded, whole := Window{}, Window{}
		bounded.Shape(CountDistinct)
		whole.Shape(CountDistinct)
		most, crossed := int64(0), 0
		at := int64(0)
		for step := range 2000 {
			at += r.Int64N(150)
			if step%400 > 300 {
				at += 3000 // a pause, in which the count falls
			}
			index := s.Index(at - r.Int64N(2000))
			var seen []uint64
			for range 1 + r.IntN(4) {
				seen = append(seen, r.Uint64N(60))
			}
			slices.Sort(seen)
			seen = slices.Compact(seen)
			for w, keep := range map[*Window]int{&bounded: keep, &whole: 1000} {
				w.Move(s, index)
				if w.Add(s, index, 1, &Sums{1}, &Contributor{event.Ref{Time: at}, true}, 1) {
					w.See(index, seen, keep)
				}
				if step%7 == 0 {
					in := wire.Reader{B: w.Append(nil)}
					if w.Decode(&in); in.Err != nil {
						t.Fatal(in.Err)
					}
				}
			}
			b, all := bounded.Total[Distinct], whole.Total[Distinct]
			if (b > limit) != (all > limit) || b <= keep && b != all && all <= keep || b > all {
				t.Fatalf("round %d step %d: %d of %d", round, step, b, all)
			}
			if most = max(most, all); all > limit {
				crossed++
			}
			if len(bounded.past.seen) > 3*keep {
				t.Fatalf("%d hashes are kept of %d", len(bounded.past.seen), keep)
			}
		}
		if most < 2*keep || crossed > 1900 {
			t.Fatalf("round %d: at most %d, crossed %d times: the test has lost its teeth", round, most, crossed)
		}
	}
}

func TestSumsSaturateInsteadOfTurningNegative(t *testing.T) {
	s := Sliding(3000, 1000)
	var w Window
	w.Shape(2)
	add := func(i, v int64) {
		w.Move(s, i)
		w.Add(s, i, 1, &Sums{1, v}, &Contributor{event.Ref{Time: i * 1000, ID: "a"}, true}, 1)
	}
	for i := range int64(3) {
		add(i, math.MaxInt64-1)
		if want := int64(math.MaxInt64 - 1); i == 0 && w.Total[1] != want || i > 0 && w.Total[1] != math.MaxInt64 {
			t.Errorf("after bucket %d the sum is %d", i, w.Total[1])
		}
	}
	var back Window
	in := wire.Reader{B: w.Append(nil)}
	if back.Decode(&in); in.Err != nil || back.Total != w.Total {
		t.Errorf("after a round trip the totals are %d (%v), want %d", back.Total, in.Err, w.Total)
	}
	for i := int64(3); i < 10; i++ {
		if add(i, 0); w.Total[1] < 0 {
			t.Fatalf("at bucket %d the sum is %d", i, w.Total[1])
		}
	}
	if w.Total[1] != 0 {
		t.Errorf("what has overflowed leaves %d behind", w.Total[1])
	}
}

func TestAWindowKeepsNothingOfTheRecordItCameFrom(t *testing.T) {
	scratch := []byte("event-1agent-1") // memory that is used again
	alias := unsafe.String(&scratch[0], len(scratch))
	var w Window
	for range 3 {
		w.Add(Lifetime(), 0, 1, &Sums{1}, &Contributor{event.Ref{ID: alias[:7], Agent: alias[7:]}, false}, 1)
	}
	copy(scratch, "XXXXXXXXXXXXXX")
	for _, got := range w.First() {
		if want := (event.Ref{ID: "event-1", Agent: "agent-1"}); got != want {
			t.Errorf("first contributor %v, want %v", got, want)
		}
	}
}

func TestFloorDivRoundsTowardsMinusInfinity(t *testing.T) {
	for _, c := range [][3]int64{{7, 5, 1}, {-1, 5, -1}, {-5, 5, -1}, {-6, 5, -2}, {0, 5, 0},
		{math.MinInt64, 5000, -1844674407370956}} {
		if got := wire.FloorDiv(c[0], c[1]); got != c[2] {
			t.Errorf("FloorDiv(%d, %d) = %d, want %d", c[0], c[1], got, c[2])
		}
	}
}

func filled(s Span, mask uint8) *Window {
	w := &Window{}
	w.Shape(mask)
	for i := range int64(10) {
		index := s.Index(i * 700)
		w.Move(s, index)
		w.Add(s, index, 1, &Sums{1, i, 1000 * i},
			&Contributor{event.Ref{Time: i * 700, ID: "event-" + strconv.Itoa(int(i)), Agent: "a"}, false},
			1+uint32(i%2))
		w.See(index, []uint64{uint64(i % 4), 100 + uint64(i)}, 1000)
	}
	return w
}

func TestCutStateIsAnErrorAtEveryByte(t *testing.T) {
	for name, s := range spans() {
		for _, mask := range []uint8{1 | 2 | 4, CountDistinct} {
			whole := filled(s, mask).Append(nil)
			for n := range whole {
				in := wire.Reader{B: whole[:n]}
				var back Window
				if back.Decode(&in); in.Err == nil {
					t.Errorf("%s: %d of %d bytes decode without an error", name, n, len(whole))
				}
			}
		}
	}
}

// FuzzWindow: junk never panics, and what decodes without an error is a window that can go on.
func FuzzWindow(f *testing.F) {
	for _, s := range spans() {
		f.Add(filled(s, 1|2|4).Append(nil))
		f.Add(filled(s, CountDistinct).Append(nil))
	}
	// a hash less than the sum says
	f.Add([]byte{CountDistinct, 1, 0, 2, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0})
	f.Add([]byte{2, 1, 0, 2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0}) // a negative sum
	// buckets that go back
	f.Add([]byte{0, 2, 4, 2, 3, 2, 0})
	f.Add([]byte{2, 2, 0, 2, 255, 255, 255, 255, 255, 255, 255, 255, 127, 2, 2, 1, 0}) // sums that overflow
	f.Fuzz(func(t *testing.T, b []byte) {
		in := wire.Reader{B: b}
		var w Window
		w.Decode(&in)
		if in.Err != nil {
			if !same(&w, &Window{}) {
				t.Fatalf("after an error something is left: %+v", w)
			}
			return
		}
		for i, v := range append(w.sums[:], w.Total[:]...) {
			if v < 0 {
				t.Fatalf("number %d is negative: %+v", i, w)
			}
		}
		if p := w.past; p != nil {
			for i, b := range append(p.buckets, w.newest) {
				if b.n == 0 || i > 0 && b.index <= p.buckets[i-1].index {
					t.Fatalf("buckets out of order or empty: %+v", w)
				}
			}
			for i, v := range p.sums {
				if v < 0 {
					t.Fatalf("sum %d is negative: %+v", i, w)
				}
			}
		}
		again := wire.Reader{B: w.Append(nil)}
		var back Window
		if back.Decode(&again); again.Err != nil || !same(&w, &back) {
			t.Fatalf("%+v comes back as %+v, %v", w, back, again.Err)
		}
	})
}

func BenchmarkWindow(b *testing.B) {
	s := Sliding(3_600_000, 60_000)
	var w Window
	w.Shape(1 | 2)
	ref := event.Ref{ID: "event-1", Agent: "agent-1"}
	b.ReportAllocs()
	for i := range int64(b.N) {
		at := s.Index(i * 100)
		ref.Time = i * 100
		w.Move(s, at)
		w.Add(s, at, 1, &Sums{1, 5}, &Contributor{ref, true}, 1)
	}
}
