package state

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// changelog is a compacted topic as its reader sees it.
type changelog struct {
	pages  map[string][]byte
	marker []byte
}

func (c *changelog) take(t *testing.T, s *Store, sp Space) {
	t.Helper()
	pages, marker, version, err := s.Changes(sp)
	if err != nil {
		t.Fatal(err)
	}
	if marker == nil {
		return
	}
	for _, p := range pages {
		if p.Value == nil {
			delete(c.pages, p.Key)
		} else {
			c.pages[p.Key] = p.Value
		}
	}
	c.marker = marker
	if err := s.Copied(sp, version); err != nil {
		t.Fatal(err)
	}
}

func (c *changelog) restore(t *testing.T, sp Space) map[string]string {
	t.Helper()
	s := open(t, "")
	err := s.Restore(sp, func(yield func(Page) bool) {
		for k, v := range c.pages {
			if !yield(Page{k, v}) {
				return
			}
		}
	}, c.marker)
	if err != nil {
		t.Fatal(err)
	}
	if pages, marker, _, err := s.Changes(sp); err != nil || marker != nil || pages != nil {
		t.Errorf("a restored partition has %d changes for the changelog it came from (%v)", len(pages), err)
	}
	return get(t, s, sp)
}

func TestAStoreRestoredFromTheChangelogEqualsTheOriginal(t *testing.T) {
	const seed = 3
	for round := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, round))
		s := open(t, "")
		sp, other := Space{'b', 4}, Space{'r', 4}
		c := &changelog{pages: map[string][]byte{}}
		for i := range 30 {
			pages := map[string]string{}
			for range r.IntN(12) {
				v := strconv.Itoa(r.IntN(1000))
				if r.IntN(4) == 0 {
					v = ""
				}
				pages["page-"+strconv.Itoa(r.IntN(20))] = v
			}
			put(t, s, sp, strconv.Itoa(i), pages)
			put(t, s, other, strconv.Itoa(i), map[string]string{"page-1": "of another stage"})
			switch r.IntN(6) {
			case 0: // a checkpoint that is torn and rolled back is none of the changelog's business
				w := &world{pages: map[string]uint64{"page-1": 1, "page-2": 2},
					dirty: map[string]bool{"page-1": true, "page-2": true, "page-3": true}}
				if w.checkpoint(s, sp, 1) == nil {
					t.Fatal("not torn")
				}
				get(t, s, sp)
			case 1, 2:
				c.take(t, s, sp)
				if diff := cmp.Diff(get(t, s, sp), c.restore(t, sp)); diff != "" {
					t.Fatalf("seed %d/%d after %d checkpoints (-original +restored):\n%s", seed, round, i+1, diff)
				}
			}
		}
	}
}

func TestADeletionIsKeptUntilTheChangelogHasIt(t *testing.T) { // J9, the other half
	for name, crashed := range map[string]bool{"after a copy": false,
		"after a copy that the store did not learn of": true} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			sp := Space{'b', 1}
			put(t, s, sp, "1", numbered(30, "there"))
			c := &changelog{pages: map[string][]byte{}}
			if crashed { // between the transaction and Copied
				pages, marker, _, err := s.Changes(sp)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range pages {
					c.pages[p.Key] = p.Value
				}
				c.marker = marker
			} else {
				c.take(t, s, sp)
			}
			s = reopen(t, s, false)
			put(t, s, sp, "2", map[string]string{"page-007": ""})
			for i := range 8 {
				put(t, s, sp, strconv.Itoa(3+i), map[string]string{"page-001": strconv.Itoa(i)})
				s = reopen(t, s, i == 7)
			}
			c.take(t, s, sp)
			if diff := cmp.Diff(get(t, s, sp), c.restore(t, sp)); diff != "" {
				t.Errorf("(-original +restored):\n%s", diff)
			}
		})
	}
}
