package pipeline

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// noteLeast is how many notes of an agent are left to it while others have more.
const noteLeast = 64

// notes are those of a scope that wait for the watermark, by bucket, ascending.
//
// Whose notes fall out when there are too many must not be the choice of whoever sends many. Those
// go first that agents have beyond what all can have, the oldest of theirs first: a flood of one
// agent, or of some, pushes out its own. Only where so many agents tell of one scope that each has
// its least go the oldest of all. So the newest evidence stays, and what is already open is not in
// a note. What fell out is counted, and the findings of the scope say so.
type notes struct {
	buckets []noteBucket
	n       int   // of them
	lost    int64 // how many fell out, and the event time of the newest that did
	lostAt  int64
}

type noteBucket struct {
	index int64
	list  []detectors.Note
	at    map[uint64]int32 // into list, by a hash of the body: only once there are many. Derived
}

// notesLost is for how long, in ms of event time, findings say that notes of their scope fell out.
const notesLost = 86_400_000

// manyNotes is from how many notes on they are looked up by a hash.
const manyNotes = 16

// find is the note of the bucket that says the same, or nil.
func (k *noteBucket) find(body []byte) *detectors.Note {
	if len(k.list) < manyNotes {
		for i := range k.list {
			if bytes.Equal(k.list[i].Body, body) {
				return &k.list[i]
			}
		}
		return nil
	}
	if k.at == nil {
		k.at = make(map[uint64]int32, 2*len(k.list))
		for i := range k.list {
			k.at[k.free(k.list[i].Body)] = int32(i)
		}
	}
	h := maphashOf(body)
	for i, have := k.at[h]; have; i, have = k.at[h] {
		if bytes.Equal(k.list[i].Body, body) {
			return &k.list[i]
		}
		h++
	}
	return nil
}

// free is the first place for a body: two may have one hash.
func (k *noteBucket) free(body []byte) uint64 {
	h := maphashOf(body)
	for _, taken := k.at[h]; taken; _, taken = k.at[h] {
		h++
	}
	return h
}

func (k *noteBucket) add(n *detectors.Note) {
	if k.at != nil {
		k.at[k.free(n.Body)] = int32(len(k.list))
	}
	k.list = append(k.list, *n)
}

// has tells whether a bucket has notes.
func (w *notes) has(index int64) bool {
	_, have := w.bucket(index)
	return have
}

// bucket is where the notes of a bucket are, or would be.
func (w *notes) bucket(index int64) (int, bool) {
	if n := len(w.buckets); n > 0 && w.buckets[n-1].index == index { // mostly
		return n - 1, true
	}
	return slices.BinarySearchFunc(w.buckets, index,
		func(k noteBucket, index int64) int { return cmp.Compare(k.index, index) })
}

// file files a note of a bucket. first: it is the first of its bucket; added: it says what none said
// before.
func (w *notes) file(index int64, k *detectors.Note) (first, added bool) {
	i, have := w.bucket(index)
	if have {
		if o := w.buckets[i].find(k.Body); o != nil {
			if k.Before(o) {
				o.Ref, o.Order = k.Ref, k.Order
			}
			return false, false
		}
	} else {
		w.buckets = slices.Insert(w.buckets, i, noteBucket{index: index})
	}
	w.buckets[i].add(k)
	w.n++
	return !have, true
}

// indices are those of the buckets that have notes.
func (w *notes) indices(yield func(int64) bool) {
	for i := range w.buckets {
		if !yield(w.buckets[i].index) {
			return
		}
	}
}

// takeBucket removes the notes of a bucket.
func (w *notes) takeBucket(index int64) []detectors.Note {
	i, have := w.bucket(index)
	if !have {
		return nil
	}
	list := w.buckets[i].list
	w.buckets = slices.Delete(w.buckets, i, i+1)
	w.n -= len(list)
	return list
}

// without says on a finding of the scope that notes fell out, for a day.
func (w *notes) without(f *event.Finding) {
	if w.lost == 0 || f.Last-w.lostAt > notesLost {
		return
	}
	f.Incomplete = true
	f.Full = fmt.Sprintf(
		"state is full: of what was told of this scope %d fell out before it was looked at, the newest of it of %s",
		w.lost, time.UnixMilli(w.lostAt).UTC().Format(time.DateTime))
	f.Why += "; " + f.Full
}

func (w *notes) append(b []byte) []byte {
	b = binary.AppendVarint(binary.AppendVarint(b, w.lost), w.lostAt)
	b = binary.AppendUvarint(b, uint64(w.n))
	for i := range w.buckets {
		for j := range w.buckets[i].list {
			b = appendNote(b, &w.buckets[i].list[j])
		}
	}
	return b
}

func (w *notes) decode(r *wire.Reader) {
	w.lost, w.lostAt = r.Varint(), r.Varint()
	for range r.Len() {
		k := readNote(r, true)
		if r.Err != nil {
			return
		}
		index := wire.FloorDiv(k.Ref.Time, detectors.BucketMS)
		i, have := w.bucket(index)
		if !have {
			w.buckets = slices.Insert(w.buckets, i, noteBucket{index: index})
		}
		w.buckets[i].add(&k)
		w.n++
	}
}

// maphashOf is a hash of what a note says, another one in each run: nobody can choose notes that
// are all found slowly.
func maphashOf(body []byte) uint64 { return maphash.Bytes(nearSeed, body) }

// lose lets notes fall out until so many are left, and returns how many did.
func (w *notes) lose(left int) (gone int) {
	type waits struct {
		bucket, at int
		ref        *event.Ref
		out        bool
	}
	all := make([]waits, 0, w.n)
	by := map[string]int{}
	for i := range w.buckets {
		for j := range w.buckets[i].list {
			ref := &w.buckets[i].list[j].Ref
			all = append(all, waits{bucket: i, at: j, ref: ref})
			by[ref.Agent]++
		}
	}
	counts := make([]int, 0, len(by))
	for _, n := range by {
		counts = append(counts, n)
	}
	level := max(noteLeast, waterline(counts, left))
	slices.SortFunc(all, func(x, y waits) int {
		// the oldest first; between two that differ in nothing else what came first
		switch {
		case x.ref.Before(*y.ref):
			return -1
		case y.ref.Before(*x.ref):
			return 1
		}
		return cmp.Or(cmp.Compare(x.bucket, y.bucket), cmp.Compare(x.at, y.at))
	})
	drop := func(i int) {
		all[i].out = true
		gone++
		w.lostAt = max(w.lostAt, all[i].ref.Time)
	}
	for i := range all {
		if agent := all[i].ref.Agent; by[agent] > level {
			by[agent]--
			drop(i)
		}
	}
	for i := 0; i < len(all) && w.n-gone > left; i++ {
		if !all[i].out {
			drop(i)
		}
	}
	out := make([]map[int]bool, len(w.buckets))
	for i := range all {
		if k := &all[i]; k.out {
			if out[k.bucket] == nil {
				out[k.bucket] = map[int]bool{}
			}
			out[k.bucket][k.at] = true
		}
	}
	for i := range out {
		if out[i] == nil {
			continue
		}
		k, kept := &w.buckets[i], 0
		for j := range k.list {
			if !out[i][j] {
				k.list[kept] = k.list[j]
				kept++
			}
		}
		clear(k.list[kept:])
		k.list, k.at = k.list[:kept], nil
	}
	w.n -= gone
	w.lost += int64(gone)
	return gone
}

// waterline is the highest level for which what of each of the counts lies below it is no more than
// fits in all.
func waterline(counts []int, fits int) int {
	counts = slices.Sorted(slices.Values(counts))
	for i, n := range counts {
		if rest := len(counts) - i; n*rest >= fits {
			return fits / rest
		}
		fits -= n
	}
	if len(counts) == 0 {
		return 0
	}
	return counts[len(counts)-1]
}
