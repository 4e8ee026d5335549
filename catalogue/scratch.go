package catalogue

import (
	"unsafe"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/jsonscan"
)

func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Scratch is memory for texts taken out of arguments; they live until Reset. The zero value is
// ready.
type Scratch struct {
	block   []byte
	targets [maxTargets]span // receivers of the call under way, but for the first
	domains [maxTargets]uint64
}

const scratchBlock = 32 << 10

// Reset gives the memory back. Blocks that were filled before are the garbage collector's once no
// text in them is used.
func (x *Scratch) Reset() { x.block = x.block[:0] }

// room returns empty memory for n bytes, behind all that was handed out. What is appended within n
// is kept by keep.
func (x *Scratch) room(n int) []byte {
	if cap(x.block)-len(x.block) < n {
		x.block = make([]byte, 0, max(n, scratchBlock))
	}
	at := len(x.block)
	return x.block[at : at : at+n]
}

// keep hands out what was written into room.
func (x *Scratch) keep(b []byte) []byte {
	x.block = x.block[:len(x.block)+len(b)]
	return b[:len(b):len(b)]
}

// unescape returns the text of the inside of a JSON string. Of a long one only so much as an
// event's texts may have.
func (x *Scratch) unescape(raw []byte) []byte {
	if len(raw) > 6*event.MaxString {
		raw = raw[:6*event.MaxString]
	}
	quoted := x.room(2*len(raw) + 2)
	text, ok := quoted, false
	quoted = append(append(append(quoted, '"'), raw...), '"')
	for cut := 0; cut < 12 && !ok; cut++ {
		// the cut may have gone through an escape, of at most twelve bytes
		whole := quoted[:len(quoted)-cut]
		whole[len(whole)-1] = '"'
		text, ok = jsonscan.Unquote(whole[len(whole):len(whole)], whole)
	}
	if !ok {
		return nil
	}
	return x.keep(append(quoted[:0], text...))
}
