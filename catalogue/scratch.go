package catalogue

import (
	"unsafe"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/jsonscan"
)

// alias is a text that shares the bytes, which must not change while it is used.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Scratch is memory for texts that are unescaped from arguments. They are valid until Reset. The
// zero value is ready to use. A Scratch belongs to one goroutine.
type Scratch struct {
	block     []byte
	receivers [maxReceivers]span // of the current call, except the first
	domains   [maxReceivers]uint64
}

const scratchBlock = 32 << 10

// Reset makes the memory free for the next call. Blocks that were filled before are left to the
// garbage collector.
func (x *Scratch) Reset() { x.block = x.block[:0] }

// room returns an empty slice with capacity n. The next call of room returns the same memory,
// unless keep was called.
func (x *Scratch) room(n int) []byte {
	if cap(x.block)-len(x.block) < n {
		x.block = make([]byte, 0, max(n, scratchBlock))
	}
	at := len(x.block)
	return x.block[at : at : at+n]
}

// keep reserves what was written into room, and returns it.
func (x *Scratch) keep(b []byte) []byte {
	x.block = x.block[:len(x.block)+len(b)]
	return b[:len(b):len(b)]
}

// unescape returns the text of a JSON string, given without its quotes. A long one is cut: it needs
// at most six bytes of JSON for a byte of text, and event.MaxString bytes are enough.
func (x *Scratch) unescape(raw []byte) []byte {
	if len(raw) > 6*event.MaxString {
		raw = raw[:6*event.MaxString]
	}
	quoted := x.room(2*len(raw) + 2)
	text, ok := quoted, false
	quoted = append(append(append(quoted, '"'), raw...), '"')
	for cut := 0; cut < 12 && !ok; cut++ {
		// The cut may have gone through an escape, of at most twelve bytes.
		whole := quoted[:len(quoted)-cut]
		whole[len(whole)-1] = '"'
		text, ok = jsonscan.Unquote(whole[len(whole):], whole)
	}
	if !ok {
		return nil
	}
	return x.keep(append(quoted[:0], text...))
}
