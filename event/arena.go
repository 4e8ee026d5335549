package event

// arena hands out pieces of blocks. Blocks never move, so what was handed out stays good while more
// is taken, until reset.
type arena[T any] struct {
	blocks [][]T
	block  int // in use
	used   int // of that block
}

const (
	blockLen = 16 << 10 // elements of a block, several times the longest piece
	// a batch may need more; they are not kept, so that one odd batch does not cost memory for ever
	keptBlocks = 64
)

func (a *arena[T]) take(n int) []T {
	if len(a.blocks) == 0 {
		a.blocks = append(a.blocks, make([]T, blockLen))
	}
	if a.used+n > blockLen {
		if a.block++; a.block == len(a.blocks) {
			a.blocks = append(a.blocks, make([]T, blockLen))
		}
		a.used = 0
	}
	piece := a.blocks[a.block][a.used : a.used+n : a.used+n]
	a.used += n
	return piece
}

// giveBack returns the end of the piece taken last.
func (a *arena[T]) giveBack(n int) { a.used -= n }

func (a *arena[T]) reset() {
	if len(a.blocks) > keptBlocks {
		clear(a.blocks[keptBlocks:])
		a.blocks = a.blocks[:keptBlocks]
	}
	for i := 0; i <= a.block && i < len(a.blocks); i++ {
		n := blockLen
		if i == a.block {
			n = a.used
		}
		clear(a.blocks[i][:n]) // labels point into records, which would live on
	}
	a.block, a.used = 0, 0
}
