package pipeline

import (
	"bytes"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
)

// FuzzPage: whatever decodes as a page is that page when it is encoded again.
func FuzzPage(f *testing.F) {
	for _, key := range []string{"at|a", "st|a|s", "x\x09\x02t|u", "wt|user|u", "dt|p||\x80\x00\x00\x00\x00\x00\x4c\xdb",
		"mt|p||\x80\x00\x00\x00\x00\x00\x4c\xdb"} {
		pg := makePage(key)
		f.Add(key, pg.appendTo(nil))
		pg.tenant, pg.seen, pg.breaker = "t", 5, &response.Breaker{Epoch: 3}
		f.Add(key, pg.appendTo(nil))
	}
	scope := makePage("x scope")
	ref := event.Ref{Time: 7, ID: "e", Agent: "a"}
	k := detectors.Bucket{Slot: 2, Scope: policy.UserScope, Tenant: "t", ID: "u", Index: -3,
		Counted: []detectors.Counted{{Meter: 1 << 40, Sums: detectors.Sums{1}, First: ref, Last: ref}}}
	scope.tenant, scope.scope().pending = "t", []detectors.Bucket{k, k}
	scope.scope().notes.file(1, noteBy("a", "says", 5001))
	f.Add("x scope", scope.appendTo(nil))
	f.Fuzz(func(t *testing.T, key string, b []byte) {
		if key == "" {
			return
		}
		pg := makePage(key)
		if pg.decode(b) != nil {
			return
		}
		once := pg.appendTo(nil)
		back := makePage(key)
		if err := back.decode(once); err != nil || !bytes.Equal(back.appendTo(nil), once) {
			t.Fatalf("%x comes back as %x, %v", once, back.appendTo(nil), err)
		}
	})
}
