package rules

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
)

// Append encodes the state.
func (k *State) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, k.Rule), k.Sub)
	b = binary.AppendVarint(b, k.Newest)
	flags := byte(0)
	if k.holds {
		flags |= 1
	}
	if k.Dropped {
		flags |= 2
	}
	if slices.ContainsFunc(k.runs, func(x run) bool { return x.win != nil }) {
		flags |= 4
	}
	b = k.win.append(append(b, flags))
	b = binary.AppendUvarint(b, uint64(len(k.runs)))
	for i := range k.runs {
		x := &k.runs[i]
		b = append(b, byte(x.stage))
		b = binary.AppendVarint(b, x.start)
		b = binary.AppendVarint(b, x.newest-x.start)
		b = binary.AppendUvarint(b, uint64(x.count))
		for _, t := range x.done {
			b = binary.AppendVarint(b, t-x.start)
		}
		b = appendRefs(appendValues(b, x.caps), x.refs)
		b = binary.AppendUvarint(b, uint64(len(x.seen)))
		for _, h := range x.seen {
			b = binary.BigEndian.AppendUint64(b, h)
		}
		if flags&4 != 0 {
			b = x.win.append(b)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(k.absences)-k.arrived))
	at := int64(0)
	for _, w := range k.absences {
		if w.arrived {
			continue
		}
		b = binary.AppendVarint(binary.AppendVarint(b, w.until-at), w.until-w.since)
		b = appendRefs(appendValues(b, w.caps), w.refs)
		at = w.until
	}
	return b
}

// Decode reads what Append wrote.
func (k *State) Decode(r *wire.Reader) {
	*k = State{Rule: r.Uint64(), Sub: r.Uint64(), Newest: r.Varint()}
	flags := r.Byte()
	k.holds, k.Dropped = flags&1 != 0, flags&2 != 0
	if k.win = readWindow(r, MaxSamples); r.Err != nil {
		return
	}
	for range min(r.Len(), MaxSteps*MaxRuns) {
		x := run{stage: int(r.Byte()), start: r.Varint()}
		x.newest, x.count = x.start+r.Varint(), int(min(r.Uvarint(), math.MaxInt32))
		if x.stage >= MaxSteps {
			r.Fail()
		}
		for range min(x.stage, MaxSteps) {
			x.done = append(x.done, x.start+r.Varint())
		}
		x.caps, x.refs = readValues(r, MaxCaptures), readRefs(r)
		for range min(r.Len(), 2*MaxTimes+2) {
			x.seen = append(x.seen, r.Uint64())
		}
		if flags&4 != 0 {
			x.win = readWindow(r, MaxTimes)
		}
		k.runs = append(k.runs, x)
		if r.Err != nil {
			return
		}
	}
	at := int64(0)
	for range min(r.Len(), MaxAbsences) {
		at += r.Varint()
		w := &absence{until: at, since: at - r.Varint(), caps: readValues(r, MaxCaptures), refs: readRefs(r)}
		if n := len(k.absences); r.Err != nil || n > 0 && k.absences[n-1].until > at || len(w.refs) == 0 {
			r.Fail()
			return
		}
		k.absences = append(k.absences, w)
		k.weight += w.weight()
	}
}
