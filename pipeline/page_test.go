package pipeline

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
)

func TestPagesComeBackAsTheyWere(t *testing.T) {
	set := setOf(t, strict)
	b := newBehaviour(0, engine(t, 1, 1, set), set, "events")
	l := busy(3, 300, 20_000, nil)
	var at [2]int
	if _, err := (&stage{}).apply(b.shard, l.take(&at, 0, 1000), day0); err != nil {
		t.Fatal(err)
	}
	for k, pg := range every(b.shard) {
		want := pg.appendTo(nil)
		back := makePage(k)
		if err := back.decode(want); err != nil || string(back.appendTo(nil)) != string(want) ||
			back.tenant != pg.tenant {
			t.Errorf("page %q comes back as another: %v", k, err)
		}
		for n := range want {
			if err := makePage(k).decode(want[:n]); err == nil {
				t.Fatalf("page %q: %d of %d bytes decode without an error", k, n, len(want))
			}
		}
		want[0]++
		if err := makePage(k).decode(want); err == nil ||
			!strings.Contains(err.Error(), fmt.Sprint("format ", pageFormat+1)) {
			t.Errorf("a page of a newer format: %v", err)
		}
	}
}

func FuzzPage(f *testing.F) {
	set := setOf(f, strict)
	b := newBehaviour(0, engine(f, 1, 1, set), set, "events")
	l := busy(3, 60, 20_000, nil)
	var at [2]int
	if _, err := (&stage{}).apply(b.shard, l.take(&at, 0, 1000), day0); err != nil {
		f.Fatal(err)
	}
	keys := slices.Sorted(maps.Keys(b.pages))
	for _, k := range keys[:4] {
		f.Add(k, b.pages[k].appendTo(nil))
	}
	k := bucketOf(rand.New(rand.NewPCG(1, 1)))
	scope := makePage("x scope")
	scope.tenant, scope.scope().pending = "t", []detectors.Bucket{k, k}
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
