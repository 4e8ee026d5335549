// Package spelling compares texts by the edits between them, for "did you mean" wherever people
// write names, and for the rule language. It must never know which names there are. Begin reading
// at Nearest.
package spelling

import "github.com/wayward-sec/wayward/event"

// maxWord bounds the words that Nearest compares, in bytes; no name of ours is longer.
const maxWord = 128

// Nearest returns the word that was likely meant, or "" if none is near. Words are in lower case.
func Nearest(word string, words []string) string {
	if len(word) > maxWord {
		return ""
	}
	word = event.Lower(word)
	best, least := "", 1+max(1, len(word)/3)
	for _, w := range words {
		if d := edits(word, w, true); d < least {
			best, least = w, d
		}
	}
	return best
}

// MaxCompared is how much of a text Distance looks at, in bytes: rules run it on what events bring.
const MaxCompared = 64

// Distance is Levenshtein's, in bytes; of longer texts the first MaxCompared bytes are compared.
func Distance(a, b string) int {
	return edits(a[:min(len(a), MaxCompared)], b[:min(len(b), MaxCompared)], false)
}

// edits counts inserted, removed and replaced bytes. With swaps, two swapped neighbours are one
// edit (optimal string alignment): people who type do that. The rule language promises
// Levenshtein's distance, which has none.
func edits(a, b string, swaps bool) int {
	var buf [3 * (MaxCompared + 1)]int
	rows, n := buf[:], len(b)+1
	if 3*n > len(rows) {
		rows = make([]int, 3*n)
	}
	// by the last prefixes of a but two, but one, all
	before, last, row := rows[:n], rows[n:2*n], rows[2*n:3*n]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			d := last[j]
			if a[i] != b[j] {
				d = 1 + min(last[j], last[j+1], row[j])
			}
			if swaps && i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, 1+before[j-1])
			}
			row[j+1] = d
		}
	}
	return row[len(b)]
}
