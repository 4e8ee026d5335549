package memo

import (
	"math/rand/v2"
	"testing"
)

func TestACacheHasTheNewestOfThoseThatShareASlot(t *testing.T) {
	c := NewCache[string, int](4)
	if _, ok := c.Get(0, ""); ok {
		t.Error("an empty cache has the empty key")
	}
	c.Put(1, "a", 1)
	c.Put(6, "b", 2)
	if v, ok := c.Get(1, "a"); !ok || v != 1 {
		t.Errorf("a is %d, %v", v, ok)
	}
	c.Put(5, "c", 3) // shares a's slot
	if _, ok := c.Get(1, "a"); ok {
		t.Error("a is still there")
	}
	if v, ok := c.Get(5, "c"); !ok || v != 3 {
		t.Errorf("c is %d, %v", v, ok)
	}
	if v, ok := c.Get(6, "b"); !ok || v != 2 {
		t.Errorf("b is %d, %v", v, ok)
	}
}

// Whatever a map forgets, it never has another value than was put last.
func TestAMapForgetsButIsNeverWrong(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	m, truth := NewMap[int, int](50), map[int]int{}
	hits := 0
	for i := range 20_000 {
		k := r.IntN(100)
		v, ok := m.Near(uint64(k)*7, k)
		if !ok {
			v, ok = m.Far(uint64(k)*7, k)
		}
		if ok {
			hits++
			if v != truth[k] {
				t.Fatalf("%d is %d, want %d", k, v, truth[k])
			}
		}
		if r.IntN(3) == 0 {
			truth[k] = i
			m.Put(uint64(k)*7, k, i)
		}
		if len(m.all) > 50 {
			t.Fatalf("%d keys", len(m.all))
		}
	}
	if hits < 5000 {
		t.Errorf("%d hits: hardly anything is remembered", hits)
	}
}

func TestAHitDoesNotAllocate(t *testing.T) {
	type key struct{ tenant, name string }
	m := NewMap[key, *int](100)
	for i := range 50 {
		m.Put(uint64(i), key{"t", string(rune('a' + i))}, new(int))
	}
	if n := testing.AllocsPerRun(100, func() { m.Near(3, key{"t", "d"}); m.Far(3, key{"t", "d"}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
