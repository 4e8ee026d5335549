package rules

import (
	"testing"

	"github.com/wayward-sec/wayward/event/wire"
)

func FuzzState(f *testing.F) {
	b := on(f, three(nil)).play("0r:a 1w 2r:b")
	f.Add(b.k.Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var k State
		r := wire.Reader{B: raw}
		k.Decode(&r)
		if r.Err != nil {
			return
		}
		k.Rule = b.r.Hash
		if !k.Fits(b.r) {
			return
		}
		c := &bench{TB: t, Runner: &Runner{}, r: b.r, k: k}
		c.play("3w:x 4s:y 5r:z 6w 7s:q")
	})
}
