package fleet

import "math"

// alias draws an index by weight in constant time (Vose 1991).
type alias struct {
	keep  []uint32 // chance to stay, of 2^32
	other []uint32
}

func newAlias(weights []uint64) alias {
	n := len(weights)
	a := alias{keep: make([]uint32, n), other: make([]uint32, n)}
	total := 0.0
	for _, w := range weights {
		total += float64(w)
	}
	scaled := make([]float64, n)
	var small, large []int
	for i, w := range weights {
		a.keep[i], a.other[i] = math.MaxUint32, uint32(i)
		scaled[i] = float64(w) / total * float64(n)
		if scaled[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		low, high := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.keep[low] = uint32(scaled[low] * math.MaxUint32)
		a.other[low] = uint32(high)
		scaled[high] -= 1 - scaled[low]
		if scaled[high] < 1 {
			large = large[:len(large)-1]
			small = append(small, high)
		}
	}
	return a
}

func (a *alias) draw(random uint64) int {
	i := int(random >> 32 * uint64(len(a.keep)) >> 32)
	if uint32(random) > a.keep[i] {
		return int(a.other[i])
	}
	return i
}
