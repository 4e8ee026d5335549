package pipeline

import (
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/detectors"
)

// How many notes may wait for the watermark. Which fall out beyond that notes.lose says.
const (
	maxNotes   = 16_384  // on one page
	maxWaiting = 1 << 20 // on all pages of a shard: some 300 MB
)

// fileNote files a note with its scope, and tells whether it is the first of its bucket there.
func (b *relation) fileNote(pg *scopePage, index int64, k *detectors.Note) (first bool) {
	first, added := pg.notes.file(index, k)
	if !added {
		return first
	}
	b.noted++
	if pg.notes.n > maxNotes {
		b.lose(pg, maxNotes-maxNotes/8)
	}
	if b.noted > maxWaiting {
		b.loseAny()
	}
	return first
}

func (b *relation) lose(pg *scopePage, left int) {
	gone := pg.notes.lose(left)
	b.noted -= gone
	b.counts.dropped += int64(gone)
}

// loseAny takes notes off the scopes that have most, until an eighth is free again: of each tenant
// that has more than others the most, and of its scopes likewise.
func (b *relation) loseAny() {
	tenants := map[string][]*scopePage{}
	var names []string
	for _, pages := range b.due {
		for _, pg := range pages {
			if pg.notes.n == 0 || pg.dead {
				continue
			}
			if tenants[pg.tenant] == nil {
				names = append(names, pg.tenant)
			}
			tenants[pg.tenant] = append(tenants[pg.tenant], pg)
		}
	}
	slices.Sort(names)
	all := make([]int, len(names))
	for i, name := range names {
		pages := tenants[name]
		slices.SortFunc(pages, func(x, y *scopePage) int { return strings.Compare(x.key, y.key) })
		tenants[name] = slices.Compact(pages)
		for _, pg := range tenants[name] {
			all[i] += pg.notes.n
		}
	}
	level := waterline(all, maxWaiting-maxWaiting/8)
	for i, name := range names {
		if all[i] <= level {
			continue
		}
		var of []int
		for _, pg := range tenants[name] {
			of = append(of, pg.notes.n)
		}
		each := waterline(of, level)
		for _, pg := range tenants[name] {
			if pg.notes.n > each {
				b.lose(pg, each)
			}
		}
	}
}
