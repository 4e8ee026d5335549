package eval

import (
	"cmp"
	"math"
	"slices"
)

const z95 = 1.959964

// Share bounds a share of which k of n were seen, with 95 % confidence (Wilson 1927).
func Share(k, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	p, m := float64(k)/float64(n), float64(n)
	centre, half := p+z95*z95/(2*m), z95*math.Sqrt(p*(1-p)/m+z95*z95/(4*m*m))
	scale := 1 + z95*z95/m
	return max(0, (centre-half)/scale), min(1, (centre+half)/scale)
}

// Median is the median of a list, NaN of an empty one. The list is sorted.
func Median(list []float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// AUC is the probability that a positive scores above a negative, ties counted half: the area under
// the ROC curve, by the rank sum of Mann and Whitney (1947).
func AUC(positive, negative []float64) float64 {
	if len(positive) == 0 || len(negative) == 0 {
		return math.NaN()
	}
	type scored struct {
		score float64
		good  bool
	}
	list := make([]scored, 0, len(positive)+len(negative))
	for _, v := range positive {
		list = append(list, scored{v, true})
	}
	for _, v := range negative {
		list = append(list, scored{v, false})
	}
	slices.SortFunc(list, func(a, b scored) int { return cmp.Compare(a.score, b.score) })
	sum := 0.0
	for i := 0; i < len(list); {
		j, good := i, 0
		for ; j < len(list) && list[j].score == list[i].score; j++ {
			if list[j].good {
				good++
			}
		}
		sum += float64(good) * (float64(i+j-1)/2 + 1)
		i = j
	}
	n := float64(len(positive))
	return (sum - n*(n+1)/2) / (n * float64(len(negative)))
}
