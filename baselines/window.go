package baselines

import (
	"encoding/binary"
	"math"

	"github.com/wayward-sec/wayward/event"
)

// Span is the shape of a window: n buckets of step milliseconds. A tumbling window is one bucket as long as itself; a session's is one without end.
type Span struct {
	StepMS int64 // 0: one bucket for ever
	N      int64
	// Refs is how many first contributors each bucket remembers.
	Refs int
}

// Tumbling is a window that starts anew every length, at multiples of it since 1970.
func Tumbling(length int64) Span { return Span{length, 1, MaxRefs} }

// Sliding is a window over the last length, which moves by step: it covers the last n = length/step buckets, the newest of them growing.
func Sliding(length, step int64) Span { return Span{step, max(1, length/step), 1} }

// Lifetime is a window that never ends.
func Lifetime() Span { return Span{0, 1, MaxRefs} }

// MaxRefs is how many first contributors a finding names besides its trigger (EVENTS §2).
const MaxRefs = 5

// Index is the bucket of a time.
func (s Span) Index(t int64) int64 {
	if s.StepMS == 0 {
		return 0
	}
	return FloorDiv(t, s.StepMS)
}

// FloorDiv is the quotient rounded towards minus infinity, so that buckets do not fold at 1970.
func FloorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Bucket is what one step of a window holds.
type Bucket struct {
	Index int64
	Sum   int64
	N     int64       // contributors
	First event.Ref   // the first of them
	More  []event.Ref // those after it, in order of arrival
	Mixed bool        // contributors of more than one agent
}

// Window is a sum over a span of event time. The zero value is empty.
type Window struct {
	Sum     int64
	N       int64
	Buckets []Bucket // ascending, non-empty ones only
}

// Move slides the window forward so that its newest bucket is index, and forgets what fell out. It never moves back.
func (w *Window) Move(s Span, index int64) {
	drop := 0
	for drop < len(w.Buckets) && w.Buckets[drop].Index <= index-s.N {
		w.Sum -= w.Buckets[drop].Sum
		w.N -= w.Buckets[drop].N
		drop++
	}
	if drop > 0 {
		k := copy(w.Buckets, w.Buckets[drop:])
		clear(w.Buckets[k:])
		w.Buckets = w.Buckets[:k]
	}
}

// Add puts v of n contributors into the bucket of index, after Move; false means that the window no longer holds that bucket.
// Sums saturate: a window that overflowed is still over its limit. What is kept of the reference is cloned unless it is owned already.
func (w *Window) Add(s Span, index, v, n int64, first event.Ref, owned, mixed bool) bool {
	i := len(w.Buckets)
	for i > 0 && w.Buckets[i-1].Index > index {
		i--
	}
	if len(w.Buckets) > 0 && w.Buckets[len(w.Buckets)-1].Index-s.N >= index {
		return false
	}
	v = min(v, math.MaxInt64-w.Sum) // v and Sum are never negative
	if i == 0 || w.Buckets[i-1].Index != index {
		w.Buckets = append(w.Buckets, Bucket{})
		copy(w.Buckets[i+1:], w.Buckets[i:])
		if !owned {
			first = first.Clone()
		}
		w.Buckets[i] = Bucket{Index: index, First: first}
		i++
	} else if len(w.Buckets[i-1].More)+1 < s.Refs {
		w.Buckets[i-1].More = append(w.Buckets[i-1].More, first.Clone())
	}
	b := &w.Buckets[i-1]
	b.Mixed = b.Mixed || mixed || b.First.Agent != first.Agent
	b.Sum += v
	b.N += n
	w.Sum += v
	w.N += n
	return true
}

// First returns the window's first contributors, oldest first, at most MaxRefs, with memory of their own.
func (w *Window) First() []event.Ref {
	var out []event.Ref
	for i := range w.Buckets {
		out = append(append(out, w.Buckets[i].First), w.Buckets[i].More...)
		if len(out) >= MaxRefs {
			return out[:MaxRefs]
		}
	}
	return out
}

// Agent returns the one agent that all contributors share, or "" if there are several.
func (w *Window) Agent() string {
	agent := ""
	for i := range w.Buckets {
		b := &w.Buckets[i]
		if b.Mixed || i > 0 && b.First.Agent != agent {
			return ""
		}
		agent = b.First.Agent
	}
	return agent
}

// Append encodes the window.
func (w *Window) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(w.Buckets)))
	last := int64(0)
	for i := range w.Buckets {
		k := &w.Buckets[i]
		b = binary.AppendVarint(b, k.Index-last)
		last = k.Index
		b = binary.AppendUvarint(b, uint64(k.Sum))
		b = binary.AppendUvarint(b, uint64(k.N))
		flags := uint64(len(k.More)) << 1
		if k.Mixed {
			flags |= 1
		}
		b = AppendRef(binary.AppendUvarint(b, flags), k.First)
		for _, r := range k.More {
			b = AppendRef(b, r)
		}
	}
	return b
}

// Decode reads what Append wrote.
func (w *Window) Decode(r *Reader) {
	n := r.Len()
	*w = Window{}
	if n > 0 {
		w.Buckets = make([]Bucket, n)
	}
	last := int64(0)
	for i := range w.Buckets {
		k := &w.Buckets[i]
		last += r.Varint()
		k.Index = last
		k.Sum = int64(r.Uvarint())
		k.N = int64(r.Uvarint())
		flags := r.Uvarint()
		k.Mixed = flags&1 != 0
		k.First = ReadRef(r)
		for range min(flags>>1, MaxRefs) {
			k.More = append(k.More, ReadRef(r))
		}
		w.Sum += k.Sum
		w.N += k.N
	}
}

// AppendRef encodes a reference to an event.
func AppendRef(b []byte, r event.Ref) []byte {
	return AppendString(AppendString(binary.AppendVarint(b, r.Time), r.ID), r.Agent)
}

// ReadRef decodes a reference to an event.
func ReadRef(r *Reader) event.Ref {
	return event.Ref{Time: r.Varint(), ID: r.String(), Agent: r.String()}
}
