package pipeline

import (
	"fmt"
	"strings"
	"testing"
)

func TestPagesComeBackAsTheyWere(t *testing.T) {
	set := setOf(t, strict)
	b := newBehaviour(0, engine(t, 1, 1, set), set, "events")
	l := busy(3, 300, 20_000, nil)
	var at [2]int
	if _, err := (&stage{}).apply(b.shard, l.take(&at, 0, 1000), day0); err != nil {
		t.Fatal(err)
	}
	for k, body := range pagesOf(b.shard) {
		back := newBehaviour(0, b.rules, set, "events")
		restore(t, back.shard, map[string]string{k: body, "": b.image()[""]})
		if back.pageIf([]byte(k)); pagesOf(back.shard)[k] != body {
			t.Errorf("page %q comes back as another", k)
		}
		want := []byte(body)
		for n := range want {
			if err := makePage(k).decode(want[:n]); err == nil {
				t.Fatalf("page %q: %d of %d bytes decode without an error", k, n, len(want))
			}
		}
		want[0]++
		if err := makePage(k).decode(want); err == nil || !strings.Contains(err.Error(), fmt.Sprint("format ", want[0])) {
			t.Errorf("a page of a newer format: %v", err)
		}
	}
}
