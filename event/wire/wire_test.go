package wire

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
)

func TestWhatIsAppendedIsRead(t *testing.T) {
	ref := event.Ref{Time: -1, ID: "e-1", Agent: "bot"}
	b := AppendString(nil, "")
	b = AppendString(b, "münchen")
	b = AppendRef(b, ref)
	b = binary.AppendUvarint(b, math.MaxUint64)
	b = binary.AppendVarint(b, math.MinInt64)
	b = binary.BigEndian.AppendUint64(b, 7)
	b = binary.BigEndian.AppendUint32(b, 8)
	b = binary.LittleEndian.AppendUint32(b, 9)
	b = binary.AppendUvarint(b, math.MaxUint32)
	b = append(b, 'x', 2, 'y', 'z')

	r := &Reader{B: b}
	got := []any{r.String(), r.String(), ReadRef(r), r.Uvarint(), r.Varint(), r.Uint64(), r.Uint32(), r.LittleUint32(),
		r.Uvarint32(), r.Byte(), string(r.Bytes())}
	want := []any{"", "münchen", ref, uint64(math.MaxUint64), int64(math.MinInt64), uint64(7), uint32(8), uint32(9),
		uint32(math.MaxUint32), byte('x'), "yz"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if r.Err != nil || len(r.B) != 0 {
		t.Errorf("%d bytes left, %v", len(r.B), r.Err)
	}
}

func TestTheFirstMistakeSticks(t *testing.T) {
	long := strings.Repeat("\xff", 11)
	for _, c := range []struct {
		claim, bytes string
		read         func(r *Reader) any
		zero         any
	}{
		{"a number without an end", "\x80", func(r *Reader) any { return r.Uvarint() }, uint64(0)},
		{"a number of more than 64 bits", long, func(r *Reader) any { return r.Uvarint() }, uint64(0)},
		{"a signed one", long, func(r *Reader) any { return r.Varint() }, int64(0)},
		{"a number of more than 32 bits", "\x80\x80\x80\x80\x10", func(r *Reader) any { return r.Uvarint32() },
			uint32(0)},
		{"seven bytes of eight", "1234567", func(r *Reader) any { return r.Uint64() }, uint64(0)},
		{"three of four", "123", func(r *Reader) any { return r.Uint32() }, uint32(0)},
		{"three of four, lowest first", "123", func(r *Reader) any { return r.LittleUint32() }, uint32(0)},
		{"no byte", "", func(r *Reader) any { return r.Byte() }, byte(0)},
		{"a string that is shorter than its count", "\x05abc", func(r *Reader) any { return r.String() }, ""},
		{"more elements than bytes", "\x05abc", func(r *Reader) any { return r.Len() }, 0},
		{"half a reference", "\x02\x02id", func(r *Reader) any { return ReadRef(r) }, event.Ref{Time: 1, ID: "id"}},
	} {
		r := &Reader{B: []byte(c.bytes)}
		if got := c.read(r); got != c.zero || r.Err != ErrShort {
			t.Errorf("%s: got %v, %v", c.claim, got, r.Err)
		}
		r.B = []byte("\x01a") // what follows a mistake means nothing, whatever there is
		r.Fail()
		if n, s := r.Uvarint(), r.String(); n != 0 || s != "" || r.Err != ErrShort {
			t.Errorf("%s: goes on reading %d %q, %v", c.claim, n, s, r.Err)
		}
	}
}

func TestStringsShareTheRecordOnlyIfAsked(t *testing.T) {
	for _, alias := range []bool{false, true} {
		b := AppendString(nil, "abc")
		r := &Reader{B: b, Alias: alias}
		s := r.String()
		b[1] = 'x'
		if shared := s == "xbc"; shared != alias {
			t.Errorf("alias %t: %q", alias, s)
		}
	}
}

func TestAppendingToBytesReadLeavesWhatFollows(t *testing.T) {
	r := &Reader{B: []byte("\x01ab")}
	_ = append(r.Bytes(), 'x')
	if got := r.Byte(); got != 'b' {
		t.Errorf("got %q", got)
	}
}

func TestFloorDivDoesNotFoldAt1970(t *testing.T) {
	for _, c := range []struct{ a, b, want int64 }{
		{7, 5, 1}, {5, 5, 1}, {4, 5, 0}, {0, 5, 0}, {-1, 5, -1}, {-5, 5, -1}, {-6, 5, -2},
		{math.MinInt64, 2, math.MinInt64 / 2},
	} {
		if got := FloorDiv(c.a, c.b); got != c.want {
			t.Errorf("%d by %d: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// FuzzReader reads hostile bytes by a list of calls: it never panics, never takes more than there
// is, never asks for more elements than there are bytes, and after a mistake all is zero.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x01a\x02"), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), []byte{6, 5})
	f.Add(AppendRef(nil, event.Ref{Time: -5, ID: "e", Agent: "a"}), []byte{9, 9})
	f.Fuzz(func(t *testing.T, data, calls []byte) {
		r := &Reader{B: data, Alias: len(calls)%2 == 0}
		for _, c := range calls {
			before, failed := len(r.B), r.Err != nil
			zero := true
			switch c % 10 {
			case 0:
				zero = r.Uvarint() == 0
			case 1:
				zero = r.Varint() == 0
			case 2:
				zero = r.Uint64() == 0
			case 3:
				zero = r.Uint32() == 0
			case 4:
				zero = r.LittleUint32() == 0
			case 5:
				zero = r.Byte() == 0
			case 6:
				s := r.String()
				if zero = s == ""; len(s) > before {
					t.Fatalf("a string of %d bytes out of %d", len(s), before)
				}
			case 7:
				n := r.Len()
				if zero = n == 0; n > before {
					t.Fatalf("%d elements in %d bytes", n, before)
				}
			case 8:
				zero = r.Uvarint32() == 0
			case 9:
				zero = ReadRef(r) == event.Ref{}
			}
			if len(r.B) > before {
				t.Fatal("gave bytes back")
			}
			if failed && (!zero || r.Err == nil || len(r.B) > 0) {
				t.Fatal("goes on after a mistake")
			}
		}
	})
}

func TestNumbersAreCopiedAsTheyAreWrittenOneByOne(t *testing.T) {
	type few struct {
		A uint32
		B float32
		C int64
	}
	v, words := few{1 << 24, 1.5, -2}, []float32{0, 1, -2.5}
	b := AppendNumbers(AppendStruct(nil, &v), words)
	if slow := appendSlowly(appendSlowly(nil, &v), words); string(b) != string(slow) {
		t.Errorf("copied\n%x, one by one\n%x", b, slow)
	}
	r := &Reader{B: b}
	var back few
	ReadStruct(r, &back)
	if d := cmp.Diff(words, ReadNumbers[float32](r, 3)); d != "" || back != v || r.Err != nil || len(r.B) > 0 {
		t.Errorf("%v, %v %s", back, r.Err, d)
	}
	r.B = b[:7]
	if got := ReadNumbers[float32](r, 2); got != nil || r.Err != ErrShort {
		t.Errorf("out of seven bytes: %v, %v", got, r.Err)
	}
	if r = (&Reader{B: b[:15]}); true {
		if ReadStruct(r, &back); r.Err != ErrShort {
			t.Error("a struct is read out of too few bytes")
		}
	}
}
