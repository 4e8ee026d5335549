package authoring

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/wayward-sec/wayward/policy"
)

// RuleDiff is the difference between two sets in one rule.
type RuleDiff struct {
	Rule       string   `json:"rule"`
	What       string   `json:"what"`        // added, removed or changed
	KeepsState bool     `json:"keeps_state"` // a changed rule goes on with the state of the old one
	Changes    []Change `json:"changes,omitempty"`
}

// Change is a key of a rule with another value.
type Change struct {
	Key  string `json:"key"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Diff compares the rules of two sets by id and key.
func Diff(a, b *policy.Set) []RuleDiff {
	out := []RuleDiff{}
	hashes := [2]map[string]uint64{{}, {}}
	for i, s := range []*policy.Set{a, b} {
		for _, r := range s.Rules() {
			hashes[i][r.ID] = r.Hash
		}
	}
	ids := slices.Compact(slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(hashes[0])),
		slices.Collect(maps.Keys(hashes[1]))...))))
	for _, id := range ids {
		was, before := hashes[0][id]
		is, now := hashes[1][id]
		switch {
		case !before:
			out = append(out, RuleDiff{Rule: id, What: "added"})
		case !now:
			out = append(out, RuleDiff{Rule: id, What: "removed"})
		default:
			d := RuleDiff{Rule: id, What: "changed", KeepsState: was == is}
			x, y := writtenOf(a, id), writtenOf(b, id)
			for _, key := range policy.RuleKeys() {
				if !bytes.Equal(x[key], y[key]) {
					d.Changes = append(d.Changes, Change{key, plainJSON(x[key]), plainJSON(y[key])})
				}
			}
			if len(d.Changes) > 0 {
				out = append(out, d)
			}
		}
	}
	return out
}

// plainJSON is a text as it is, and anything else as JSON.
func plainJSON(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
