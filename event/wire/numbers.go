package wire

import (
	"encoding/binary"
	"unsafe"
)

// little tells whether numbers lie in memory as they are written, the lowest byte first. They do on
// almost every machine, and then they are copied.
var little = func() bool { one := uint16(1); return *(*byte)(unsafe.Pointer(&one)) == 1 }()

// AppendStruct appends a struct of numbers without gaps, in the order of its fields, the lowest
// byte of each first.
func AppendStruct[T any](b []byte, v *T) []byte {
	if little {
		return append(b, unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))...)
	}
	return appendSlowly(b, v)
}

// ReadStruct reads what AppendStruct wrote.
func ReadStruct[T any](r *Reader, v *T) {
	n := int(unsafe.Sizeof(*v))
	if len(r.B) < n {
		r.Fail()
		return
	}
	if _, err := binary.Decode(r.B[:n], binary.LittleEndian, v); err != nil {
		r.Fail()
		return
	}
	r.B = r.B[n:]
}

// AppendNumbers appends numbers without their count, the lowest byte of each first.
func AppendNumbers[T uint16 | uint32 | float32](b []byte, list []T) []byte {
	if little {
		return append(b, bytesOf(list)...)
	}
	return appendSlowly(b, list)
}

// ReadNumbers reads n numbers that AppendNumbers wrote; nil if there are none, or fewer.
func ReadNumbers[T uint16 | uint32 | float32](r *Reader, n int) []T {
	size := int(unsafe.Sizeof(T(0)))
	if n < 0 || n > len(r.B)/size {
		r.Fail()
		return nil
	}
	if n == 0 {
		return nil
	}
	list := make([]T, n)
	if little {
		copy(bytesOf(list), r.B)
	} else if _, err := binary.Decode(r.B, binary.LittleEndian, list); err != nil {
		panic(err) // our bug: there are enough bytes
	}
	r.B = r.B[n*size:]
	return list
}

func bytesOf[T uint16 | uint32 | float32](list []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), len(list)*int(unsafe.Sizeof(T(0))))
}

// appendSlowly does for any order of bytes what copying does.
func appendSlowly(b []byte, v any) []byte {
	b, err := binary.Append(b, binary.LittleEndian, v)
	if err != nil {
		panic(err) // our bug: something without a fixed size
	}
	return b
}
