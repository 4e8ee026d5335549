// Package wire is the encoding of everything that is kept or sent between shards: varints, counted
// strings, references to events, and the arithmetic of buckets. It must never know what is encoded.
// Begin reading at Reader; each owner of state has its own append and read functions beside its
// type.
package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"unsafe"

	"github.com/wayward-sec/wayward/event"
)

// ErrShort means that encoded state ends too early or is malformed.
var ErrShort = errors.New("state is cut short or malformed")

// Reader takes encoded state apart. The first mistake sticks in Err and everything after reads as
// zero, so callers check once at the end.
type Reader struct {
	B   []byte
	Err error
	// Alias lets strings share the memory of B, for state that lives no longer than the record it
	// came in.
	Alias bool
}

// Uvarint reads an unsigned number.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Varint reads a signed number.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.B)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Uint64 reads eight bytes.
func (r *Reader) Uint64() uint64 {
	if len(r.B) < 8 {
		r.Fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.B)
	r.B = r.B[8:]
	return v
}

// Uint32 reads four bytes.
func (r *Reader) Uint32() uint32 {
	if len(r.B) < 4 {
		r.Fail()
		return 0
	}
	v := binary.BigEndian.Uint32(r.B)
	r.B = r.B[4:]
	return v
}

// LittleUint32 reads four bytes, the lowest first, as a table of float32 has them.
func (r *Reader) LittleUint32() uint32 {
	if len(r.B) < 4 {
		r.Fail()
		return 0
	}
	v := binary.LittleEndian.Uint32(r.B)
	r.B = r.B[4:]
	return v
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.B) == 0 {
		r.Fail()
		return 0
	}
	v := r.B[0]
	r.B = r.B[1:]
	return v
}

// Bytes reads a counted run of bytes, aliasing the input.
func (r *Reader) Bytes() []byte {
	n := r.Uvarint()
	if n > uint64(len(r.B)) {
		r.Fail()
		return nil
	}
	v := r.B[:n:n]
	r.B = r.B[n:]
	return v
}

// String reads a counted string, of its own memory unless Alias.
func (r *Reader) String() string {
	b := r.Bytes()
	if r.Alias {
		return unsafe.String(unsafe.SliceData(b), len(b))
	}
	return string(b)
}

// Len reads a count of elements that take at least one byte each, so that a bad count cannot ask
// for the world.
func (r *Reader) Len() int {
	n := r.Uvarint()
	if n > uint64(len(r.B)) {
		r.Fail()
		return 0
	}
	return int(n)
}

// Fail notes that what was read makes no sense.
func (r *Reader) Fail() {
	if r.Err == nil {
		r.Err = ErrShort
	}
	r.B = nil
}

// AppendString appends a counted string.
func AppendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Uvarint32 reads an unsigned number that has at most 32 bits.
func (r *Reader) Uvarint32() uint32 {
	n := r.Uvarint()
	if n > math.MaxUint32 {
		r.Fail()
		return 0
	}
	return uint32(n)
}

// FloorDiv is the quotient rounded towards minus infinity, so that buckets do not fold at 1970.
func FloorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// AppendRef encodes a reference to an event.
func AppendRef(b []byte, r event.Ref) []byte {
	return AppendString(AppendString(binary.AppendVarint(b, r.Time), r.ID), r.Agent)
}

// ReadRef decodes a reference to an event.
func ReadRef(r *Reader) event.Ref {
	return event.Ref{Time: r.Varint(), ID: r.String(), Agent: r.String()}
}
