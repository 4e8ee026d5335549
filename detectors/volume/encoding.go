package volume

import (
	"encoding/binary"
	"math"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
)

func appendInts(b []byte, list ...*int64) []byte {
	for _, v := range list {
		b = binary.AppendUvarint(b, uint64(max(0, *v)))
	}
	return b
}

func readInts(r *wire.Reader, list ...*int64) {
	for _, v := range list {
		u := r.Uvarint()
		if u > math.MaxInt64 {
			r.Fail()
		}
		*v = int64(u)
	}
}

// empty tells whether all are zero: then none is written.
func empty(list ...*int64) bool {
	for _, v := range list {
		if *v != 0 {
			return false
		}
	}
	return true
}

// appendNonZero writes what is not all zero, behind a byte that says so.
func appendNonZero(b []byte, list ...*int64) []byte {
	if empty(list...) {
		return append(b, 0)
	}
	return appendInts(append(b, 1), list...)
}

func readNonZero(r *wire.Reader, list ...*int64) {
	for _, v := range list {
		*v = 0
	}
	switch r.Byte() {
	case 0:
	case 1:
		if readInts(r, list...); empty(list...) && r.Err == nil {
			r.Fail()
		}
	default:
		r.Fail()
	}
}

func cellsOf(cells *[baselines.HoursOfWeek]baselines.Cell) []*int64 {
	list := make([]*int64, 0, 2*baselines.HoursOfWeek)
	for i := range cells {
		list = append(list, &cells[i].X, &cells[i].E)
	}
	return list
}

// Append encodes the delta.
func (d *Delta) Append(b []byte) []byte {
	b = appendNonZero(b, cellsOf(&d.Season)...)
	b = appendInts(b, &d.Exposure, &d.Day.X, &d.Day.E)
	for f := range d.Of {
		o := &d.Of[f]
		b = appendInts(b, &o.X)
		b = appendNonZero(appendNonZero(b, o.Rates.list()...), o.Growth.list()...)
		for w := range o.Spread {
			b = appendNonZero(b, o.Spread[w].list()...)
			b = o.Block[w].Append(b)
		}
		b = o.Session.Append(b)
	}
	for m := range d.Calls {
		b = d.Calls[m].Append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(d.Tools)))
	for i := range d.Tools {
		b = binary.BigEndian.AppendUint64(b, d.Tools[i].Hash)
		for m := range d.Tools[i].Of {
			b = d.Tools[i].Of[m].Append(b)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(d.Intents)))
	for i := range d.Intents {
		b = binary.BigEndian.AppendUint64(b, d.Intents[i].Hash)
		b = binary.AppendUvarint(b, d.Intents[i].N)
		for f := range d.Intents[i].Of {
			b = d.Intents[i].Of[f].Append(b)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(d.Currencies)))
	for _, c := range d.Currencies {
		b = binary.BigEndian.AppendUint64(b, c.Code)
		b = binary.AppendUvarint(b, c.N)
	}
	for k := range d.Joint {
		b = d.Joint[k].Append(b)
	}
	for k := range d.Contacts {
		b = binary.AppendUvarint(b, d.Contacts[k])
		b = binary.AppendUvarint(b, d.Failed[k])
	}
	return d.Even.Append(d.Run.Append(d.Outcome.Append(b)))
}

// sorted reads a hash and checks that it is greater than the one before: what is sorted merges.
func sorted(r *wire.Reader, first bool, last *uint64) uint64 {
	h := r.Uint64()
	if !first && h <= *last {
		r.Fail()
	}
	*last = h
	return h
}

// readBounded reads a count, and fails if it is above most.
func readBounded(r *wire.Reader, most int) int {
	n := r.Len()
	if n > most {
		r.Fail()
		return 0
	}
	return n
}

// Decode reads what Append wrote.
func (d *Delta) Decode(r *wire.Reader) {
	*d = Delta{}
	readNonZero(r, cellsOf(&d.Season)...)
	readInts(r, &d.Exposure, &d.Day.X, &d.Day.E)
	for f := range d.Of {
		o := &d.Of[f]
		readInts(r, &o.X)
		readNonZero(r, o.Rates.list()...)
		readNonZero(r, o.Growth.list()...)
		for w := range o.Spread {
			readNonZero(r, o.Spread[w].list()...)
			o.Block[w].Decode(r)
		}
		o.Session.Decode(r)
	}
	for m := range d.Calls {
		d.Calls[m].Decode(r)
	}
	last := uint64(0)
	for i := range readBounded(r, maxTools) {
		t := ToolMarks{Hash: sorted(r, i == 0, &last)}
		for m := range t.Of {
			t.Of[m].Decode(r)
		}
		if r.Err != nil {
			return
		}
		d.Tools = append(d.Tools, t)
	}
	for i := range readBounded(r, maxIntents) {
		t := IntentTotals{Hash: sorted(r, i == 0, &last), N: r.Uvarint()}
		for f := range t.Of {
			t.Of[f].Decode(r)
		}
		if r.Err != nil {
			return
		}
		d.Intents = append(d.Intents, t)
	}
	for i := range readBounded(r, maxCurrencies) {
		d.Currencies = append(d.Currencies, Currency{Code: sorted(r, i == 0, &last), N: r.Uvarint()})
	}
	for k := range d.Joint {
		d.Joint[k].Decode(r)
	}
	for k := range d.Contacts {
		d.Contacts[k], d.Failed[k] = r.Uvarint(), r.Uvarint()
	}
	d.Outcome.Decode(r)
	d.Run.Decode(r)
	d.Even.Decode(r)
}

// Append encodes the model.
func (v *Model) Append(b []byte) []byte {
	b = appendNonZero(b, cellsOf(&v.Season)...)
	b = appendInts(b, &v.Exposure, &v.Learned)
	b = appendNonZero(b, v.Days.list()...)
	for f := range v.Of {
		o := &v.Of[f]
		b = appendInts(b, &o.X)
		b = appendNonZero(appendNonZero(b, o.Rates.list()...), o.Growth.list()...)
		for w := range o.Spread {
			b = appendNonZero(b, o.Spread[w].list()...)
			b = o.Block[w].Append(b)
		}
		b = o.Session.Append(b)
	}
	for m := range v.Calls {
		b = v.Calls[m].Append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(v.Tools)))
	for i := range v.Tools {
		b = binary.BigEndian.AppendUint64(b, v.Tools[i].Hash)
		for m := range v.Tools[i].Of {
			b = v.Tools[i].Of[m].Append(b)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(v.Intents)))
	for i := range v.Intents {
		b = binary.BigEndian.AppendUint64(b, v.Intents[i].Hash)
		b = binary.AppendUvarint(b, v.Intents[i].N)
		for f := range v.Intents[i].Of {
			b = v.Intents[i].Of[f].Append(b)
		}
	}
	b = binary.BigEndian.AppendUint64(b, v.Currency)
	for k := range v.Joint {
		b = v.Joint[k].Append(b)
	}
	for k := range v.Contacts {
		b = binary.AppendUvarint(b, v.Contacts[k])
		b = binary.AppendUvarint(b, v.Failed[k])
	}
	return v.Even.Append(v.Run.Append(v.Outcome.Append(b)))
}

// Decode reads what Append wrote and derives the rest.
func (v *Model) Decode(r *wire.Reader) {
	*v = Model{}
	readNonZero(r, cellsOf(&v.Season)...)
	readInts(r, &v.Exposure, &v.Learned)
	readNonZero(r, v.Days.list()...)
	for f := range v.Of {
		o := &v.Of[f]
		readInts(r, &o.X)
		readNonZero(r, o.Rates.list()...)
		readNonZero(r, o.Growth.list()...)
		for w := range o.Spread {
			readNonZero(r, o.Spread[w].list()...)
			o.Block[w].Decode(r)
		}
		o.Session.Decode(r)
	}
	for m := range v.Calls {
		v.Calls[m].Decode(r)
	}
	last := uint64(0)
	for i := range readBounded(r, maxTools) {
		t := ToolModel{Hash: sorted(r, i == 0, &last)}
		for m := range t.Of {
			t.Of[m].Decode(r)
		}
		if r.Err != nil {
			return
		}
		v.Tools = append(v.Tools, t)
	}
	for i := range readBounded(r, maxIntents) {
		t := IntentModel{Hash: sorted(r, i == 0, &last), N: r.Uvarint()}
		for f := range t.Of {
			t.Of[f].Decode(r)
		}
		if r.Err != nil {
			return
		}
		v.Intents = append(v.Intents, t)
	}
	v.Currency = r.Uint64()
	for k := range v.Joint {
		v.Joint[k].Decode(r)
	}
	for k := range v.Contacts {
		v.Contacts[k], v.Failed[k] = r.Uvarint(), r.Uvarint()
	}
	v.Outcome.Decode(r)
	v.Run.Decode(r)
	v.Even.Decode(r)
	if r.Err == nil {
		v.fit()
	}
}
