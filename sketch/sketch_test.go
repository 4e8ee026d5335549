package sketch

import (
	"bytes"
	"cmp"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/event/wire"
)

func TestLinearCountOf64SlotsIsRoundedAsEver(t *testing.T) {
	// What is learned of a persona follows from these counts, so no rounding may change.
	for free := 1; free <= 64; free++ {
		exact := 64 * math.Log(64/float64(free))
		got := LinearCount(64, float64(64-free))
		if uint64(got) != uint64(exact) || math.Round(got) != math.Round(exact) {
			t.Errorf("%d free: %v, want %v", free, got, exact)
		}
	}
	if got := LinearCount(64, 64); uint64(got) != 266 {
		t.Errorf("all taken: %v", got)
	}
}

func TestSmallestDoesNotDependOnTheOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const most = 20
	for range 200 {
		hashes := make([]uint64, rng.IntN(60))
		for i := range hashes {
			hashes[i] = rng.Uint64N(40)
		}
		want := slices.Clone(hashes)
		slices.Sort(want)
		want = slices.Compact(want)
		want = want[:min(len(want), most)]

		var one, left, right Smallest
		var set Set
		for i, h := range hashes {
			one.Add(h, most)
			if set.Add(h + 1); i%2 == 0 {
				left.Add(h, most)
			} else {
				right.Add(h, most)
			}
		}
		left.Merge(right, most)
		of := slices.Clone(set.Smallest(most))
		for i := range of {
			of[i]--
		}
		if !slices.Equal(one, want) || !slices.Equal(left, want) || !slices.Equal(of, want) {
			t.Fatalf("%v: one by one %v, merged %v, of a set %v", hashes, one, left, of)
		}
		var back Smallest
		r := wire.Reader{B: one.Append(nil)}
		if back.Decode(&r, most); r.Err != nil || !slices.Equal(back, one) {
			t.Fatalf("%v is read as %v: %v", one, back, r.Err)
		}
	}
}

func TestASetIsEmptyAfterReset(t *testing.T) {
	var s Set
	for _, n := range []uint64{10, 3 * maxSetTable} {
		for i := range n {
			s.Add(i)
			s.Add(i)
		}
		if got := len(s.Smallest(math.MaxInt)); got != int(n-1) { // 0 and 1 share a place
			t.Errorf("%d of %d", got, n)
		}
		s.Reset()
		if got := len(s.Smallest(10)); got != 0 || cap(s.table) > maxSetTable {
			t.Errorf("after %d: %d hashes and room for %d", n, got, cap(s.table))
		}
	}
}

func TestBitmapIsExactWhileTheyAreFew(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var d Bitmap
	for i := 1; i <= 1000; i++ {
		h := rng.Uint32()
		n, fresh := d.Add(h)
		if fresh && (i <= bitmapExact && n != float64(i) || math.Abs(n-float64(i)) > 0.1*float64(i)) {
			t.Fatalf("%d things are counted as %v", i, n)
		}
		if _, again := d.Add(h); again {
			t.Fatalf("thing %d counts twice", i)
		}
		if i == 10 || i == bitmapExact || i == 500 {
			var back Bitmap
			r := wire.Reader{B: d.Append(nil)}
			if back.Decode(&r); r.Err != nil || !slices.Equal(back.words, d.words) {
				t.Fatalf("after %d: does not read what it wrote: %v", i, r.Err)
			}
		}
	}
	for _, b := range [][]byte{{33}, {65}, {2, 0}, binaryOf(64)} {
		if r := (wire.Reader{B: b}); true {
			if new(Bitmap).Decode(&r); r.Err == nil {
				t.Errorf("%v is read", b)
			}
		}
	}
}

func binaryOf(n byte) []byte { return append([]byte{n}, make([]byte, 10)...) }

func TestLastSeenKeepsTheNewest(t *testing.T) {
	s := LastSeen{{1, 5}, {2, 9}, {3, 5}, {4, 7}}
	var gone []uint64
	s.Newest(3, func(x Sighting) { gone = append(gone, x.Hash) })
	if !slices.Equal(s, LastSeen{{1, 5}, {2, 9}, {4, 7}}) || !slices.Equal(gone, []uint64{3}) {
		t.Errorf("kept %v, gone %v", s, gone)
	}
	if _, found := s.Find(3); found {
		t.Error("what is gone is found")
	}
	if i, found := s.Find(4); i != 2 || !found {
		t.Errorf("4 at %d, %t", i, found)
	}
}

func TestRecentForgetsTheOldest(t *testing.T) {
	var r Recent[uint32]
	for i := range uint32(10) {
		r.Add(i, 4)
	}
	for i := range uint32(10) {
		if r.Has(i) != (i >= 6) {
			t.Errorf("%d: %t", i, r.Has(i))
		}
	}
	if len(r.Ring) != 4 || r.Next != 2 {
		t.Errorf("%v, next %d", r.Ring, r.Next)
	}
}

func TestSampleCountsAWindow(t *testing.T) {
	for _, c := range []struct {
		claim   string
		hashes  int
		window  int64
		exact   bool
		tolerat float64
	}{
		{"few are counted exactly", 1000, 1 << 40, true, 0},
		{"many are estimated", 100_000, 1 << 40, false, 0.15},
		{"of many, few in the window exactly", 100_000, 2000, true, 0},
	} {
		rng := rand.New(rand.NewPCG(3, 3))
		s := NewSample()
		for i := range c.hashes {
			s.See(rng.Uint64(), int64(i))
			s.Thin(0)
		}
		edge := int64(c.hashes) - 1 - c.window
		s.Expire(edge)
		want := float64(min(int64(c.hashes), c.window))
		n, exact := s.Count(edge)
		if exact != c.exact || math.Abs(float64(n)-want) > c.tolerat*want {
			t.Errorf("%s: %d of %v, exact %t", c.claim, n, want, exact)
		}
		b := s.Append(nil)
		r := wire.Reader{B: b}
		back := ReadSample(&r, 1<<20)
		if m, _ := back.Count(edge); r.Err != nil || m != n || !bytes.Equal(back.Append(nil), b) {
			t.Errorf("%s: does not read what it wrote: %d, %v", c.claim, m, r.Err)
		}
	}
	rng := rand.New(rand.NewPCG(4, 4))
	for range 100 { // a level is that of the hash, so samples nest
		if h := rng.Uint64(); level(h) < 0 || level(h) >= levels || level(h) > bits.UintSize {
			t.Fatal(level(h))
		}
	}
}

func TestQuantilesAreRightToOneInAHundred(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	h := NewQuantiles()
	var list []float64
	for i := range 20_000 {
		v := math.Exp(3*rng.NormFloat64()) * float64(1-2*(i%2))
		list = append(list, v)
		h.Add(int64(i/10), v)
	}
	slices.SortFunc(list, cmp.Compare[float64])
	right := func(when string, list []float64) {
		t.Helper()
		for _, q := range []float64{0, 0.01, 0.4, 0.5, 0.9, 0.999} {
			got, want := h.Quantile(q), list[int(q*float64(len(list)))]
			if math.Abs(got-want) > 0.01*math.Abs(want) {
				t.Errorf("%s: quantile %v is %v, want %v", when, q, got, want)
			}
		}
	}
	right("all", list)
	before := h.Len()
	h.Widen()
	if h.Widen(); h.Len() >= before {
		t.Errorf("wider steps have %d bins after %d", h.Len(), before)
	}
	right("in wider steps", list)
	b := h.Append(nil)
	r := wire.Reader{B: b}
	back := ReadQuantiles(&r, 1<<20)
	if r.Err != nil || back.Quantile(0.9) != h.Quantile(0.9) || !bytes.Equal(back.Append(nil), b) {
		t.Errorf("does not read what it wrote: %v", r.Err)
	}
	if h.Expire(1 << 20); h.Quantile(0.5) != 0 || h.Len() != 0 {
		t.Error("what has left the window counts")
	}
}

// FuzzDecode reads hostile bytes: what is accepted is written as bytes that are read as the same.
func FuzzDecode(f *testing.F) {
	s, q := NewSample(), NewQuantiles()
	for i := range 20 {
		s.See(uint64(i)<<40, int64(i))
		q.Add(int64(i), float64(i))
	}
	f.Add(s.Append(nil))
	f.Add(q.Append(nil))
	f.Add(Smallest{1, 2, 3}.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var small, small2 Smallest
		var bitmap, bitmap2 Bitmap
		var times, times2 Timestamps
		var sample *Sample
		var quantiles *Quantiles
		for _, c := range []struct {
			name         string
			read, reread func(r *wire.Reader)
			write        func() []byte
		}{
			{"smallest", func(r *wire.Reader) { small.Decode(r, 100) }, func(r *wire.Reader) { small2.Decode(r, 100) },
				func() []byte { return small.Append(nil) }},
			{"bitmap", bitmap.Decode, bitmap2.Decode, func() []byte { return bitmap.Append(nil) }},
			{"timestamps", times.Decode, times2.Decode, func() []byte { return times.Append(nil) }},
			{"sample", func(r *wire.Reader) { sample = ReadSample(r, 1000) },
				func(r *wire.Reader) { ReadSample(r, 1000) }, func() []byte { return sample.Append(nil) }},
			{"quantiles", func(r *wire.Reader) { quantiles = ReadQuantiles(r, 1000) },
				func(r *wire.Reader) { ReadQuantiles(r, 1000) }, func() []byte { return quantiles.Append(nil) }},
		} {
			r := wire.Reader{B: data}
			if c.read(&r); r.Err != nil {
				continue
			}
			b := c.write()
			again := wire.Reader{B: b}
			if c.reread(&again); again.Err != nil || len(again.B) > 0 {
				t.Errorf("%s: does not read what it wrote: %v, %d bytes left", c.name, again.Err, len(again.B))
			}
		}
	})
}
