package state

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// A scratch store gives back what was put there last, knows its keys by partition, and is gone when
// it is closed.
func TestAScratchStoreIsGoneAfterwards(t *testing.T) {
	dir := t.TempDir()
	s, err := Scratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, b := Space{'b', 1}, Space{'b', 2}
	for n := range 3 {
		for i, sp := range []Space{a, b} {
			err := s.Put(sp, func(yield func(Page) bool) {
				for k := range 500 {
					if !yield(Page{Key: fmt.Sprintf("k%03d", k), Value: fmt.Appendf(nil, "%d %d %d", i, n, k)}) {
						return
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for k := range 500 {
		if v, err := s.Get(b, fmt.Appendf(nil, "k%03d", k)); err != nil || string(v) != fmt.Sprintf("1 2 %d", k) {
			t.Fatalf("page %d is %q (%v)", k, v, err)
		}
	}
	if v, err := s.Get(a, []byte("k500")); v != nil || err != nil {
		t.Errorf("what was never put is %q (%v)", v, err)
	}
	var keys []string
	s.Keys(a, func(key string) bool { keys = append(keys, key); return len(keys) < 400 })
	if len(keys) != 400 || !slices.IsSorted(keys) || keys[399] != "k399" {
		t.Errorf("%d keys", len(keys))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}
