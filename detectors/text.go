package detectors

import (
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// short cuts a text of an event for a sentence.
func short(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// times says how often something happened; once needs no word.
func times(n int64) string {
	if n == 1 {
		return ""
	}
	return " " + strconv.FormatInt(n, 10) + " times"
}

// hashed is a hash of texts in their order. Almost every event has said before what it says, so
// nothing is written down to find that out.
func hashed(h uint64, texts ...string) uint64 {
	for _, s := range texts {
		h = h*0x9e3779b97f4a7c15 + xxhash.Sum64String(s)
	}
	return h
}
