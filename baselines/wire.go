// Package baselines holds the numbers that detectors keep: windows now, learned baselines later. Numbers and times, integers wherever parts are merged.
package baselines

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"unsafe"
)

// ErrShort means that encoded state ends too early or is malformed.
var ErrShort = errors.New("state is cut short or malformed")

// Reader takes encoded state apart. The first mistake sticks in Err and everything after reads as zero, so callers check once at the end.
type Reader struct {
	B   []byte
	Err error
	// Alias lets strings share the memory of B, for state that lives no longer than the record it came in.
	Alias bool
}

// Uvarint reads an unsigned number.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Varint reads a signed number.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.B)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Uint64 reads eight bytes.
func (r *Reader) Uint64() uint64 {
	if len(r.B) < 8 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.B)
	r.B = r.B[8:]
	return v
}

// Uint32 reads four bytes.
func (r *Reader) Uint32() uint32 {
	if len(r.B) < 4 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint32(r.B)
	r.B = r.B[4:]
	return v
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.B) == 0 {
		r.fail()
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
		r.fail()
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

// Len reads a count of elements that take at least one byte each, so that a bad count cannot ask for the world.
func (r *Reader) Len() int {
	n := r.Uvarint()
	if n > uint64(len(r.B)) {
		r.fail()
		return 0
	}
	return int(n)
}

// Fail notes that what was read makes no sense.
func (r *Reader) Fail() { r.fail() }

func (r *Reader) fail() {
	if r.Err == nil {
		r.Err = ErrShort
	}
	r.B = nil
}

// AppendString appends a counted string.
func AppendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// uint32 reads a number that has at most 32 bits.
func (r *Reader) uint32() uint32 {
	n := r.Uvarint()
	if n > math.MaxUint32 {
		r.Fail()
		return 0
	}
	return uint32(n)
}

// maxName bounds names of tools, servers, domains and the like in state, in bytes.
const maxName = 128

// Name bounds a name that is kept: 128 bytes. What is longer keeps its hash apart and its beginning.
func Name(s string) string {
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "")
	}
	return strings.Clone(s)
}
