package detectors

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"testing"
	"unsafe"

	"github.com/wayward-sec/wayward/event/wire"
)

func TestNumbersOfVolumeHaveNoGaps(t *testing.T) {
	gapless(t, &firsts{})
	gapless(t, &agentNumbers{})
	gapless(t, &sessionNumbers{})
	gapless(t, &burning{})
}

// gapless checks that copying a struct is the same as writing its fields one after the other.
func gapless[T any](t *testing.T, v *T) {
	t.Helper()
	if size, fields := int(unsafe.Sizeof(*v)), binary.Size(v); size != fields {
		t.Errorf("%T is %d bytes, its fields are %d", *v, size, fields)
		return
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range b {
		b[i] = byte(rng.IntN(2)) // a bool must be one
	}
	slow, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		t.Fatal(err)
	}
	fast := wire.AppendStruct(nil, v)
	// What is blank is written as it lies there by the one and as zeros by the other; it is never
	// read.
	var back, again T
	r := wire.Reader{B: fast}
	wire.ReadStruct(&r, &back)
	r2 := wire.Reader{B: slow}
	wire.ReadStruct(&r2, &again)
	if r.Err != nil || r2.Err != nil || !reflect.DeepEqual(back, again) {
		t.Errorf("%T does not read what it wrote", *v)
	}
	if !bytes.Equal(wire.AppendStruct(nil, &back), wire.AppendStruct(nil, &again)) {
		t.Errorf("%T is written in two ways", *v)
	}
}
