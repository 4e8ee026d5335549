package pipeline

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
)

// Closing says what is known at the end of each day from From to To: there is one for each relation
// shard and day, and one for each run of days on which no baseline of the shard changed.
type Closing struct {
	Owner int32 `json:"owner"` // partition of the relation shard …
	Of    int32 `json:"of"`    // … of so many
	// days since 1970-01-01; the first closing of all reaches back for ever
	From    int64      `json:"from"`
	To      int64      `json:"to"`
	Entries []Snapshot `json:"snapshots"` // sorted by tenant, persona and fork
	// behaviour shards whose deltas were merged on the day, and how much
	Sources []share `json:"sources,omitempty"`
	// those that were silent, so that what they had was not waited for
	LeftOut []int32 `json:"left_out,omitempty"`
}

// Snapshot names a snapshot in a closing: that of its own Day, which is earlier than the closing's
// if the baseline sleeps.
type Snapshot struct {
	Tenant    string `json:"tenant"`
	Persona   string `json:"persona"`
	Fork      string `json:"fork,omitempty"`
	Day       int64  `json:"day"`
	Hash      string `json:"hash"`
	Seen      int64  `json:"seen"` // newest day on which its agents were seen
	AgentDays uint64 `json:"agent_days"`
	Events    uint64 `json:"events"` // of all its agents on its own day

	model *baselines.Model // in a replay, where the topic is not there to hold it
}

const (
	maxForks  = 8 // of a persona that have a baseline of their own
	otherFork = "other"
)

// Key is the key of the baseline.
func (s *Snapshot) Key() baselines.Key {
	return baselines.Key{Tenant: s.Tenant, Persona: s.Persona, Fork: s.Fork}
}

func (s *Snapshot) name() snapshotName { return snapshotName{s.Key(), s.Day, s.Hash} }

// For returns the snapshot by which a key is judged. A fork of its own that has none yet takes the
// one of agents that overflowed, or else begins from that of the fork that was active last, which
// fresh says. nil: nothing is known of the persona.
func (c *Closing) For(k baselines.Key) (s *Snapshot, fresh bool) {
	i, found := slices.BinarySearchFunc(c.Entries, k, func(s Snapshot, k baselines.Key) int {
		return compareKeys(s.Key(), k)
	})
	if found {
		return &c.Entries[i], false
	}
	first, _ := slices.BinarySearchFunc(c.Entries, baselines.Key{Tenant: k.Tenant, Persona: k.Persona},
		func(s Snapshot, k baselines.Key) int { return compareKeys(s.Key(), k) })
	var best, other *Snapshot
	n := 0
	for i := first; i < len(c.Entries) && c.Entries[i].Tenant == k.Tenant && c.Entries[i].Persona == k.Persona; i++ {
		s := &c.Entries[i]
		if n++; s.Fork == otherFork {
			other = s
		} else if best == nil || s.after(best) {
			best = s
		}
	}
	if other != nil && n > maxForks {
		return other, false
	}
	return cmp.Or(best, other), true
}

// after tells which of two forks was more recently, and then more, active.
func (s *Snapshot) after(o *Snapshot) bool {
	return cmp.Or(cmp.Compare(s.Seen, o.Seen), cmp.Compare(s.AgentDays, o.AgentDays),
		strings.Compare(o.Fork, s.Fork)) > 0
}

// share is what one behaviour shard has added.
type share struct {
	Source int32  `json:"source"` // its partition
	Deltas int64  `json:"deltas"`
	Events uint64 `json:"events"`
}

// addShare adds to a list that is sorted by source.
func addShare(list []share, s share) []share {
	i, found := slices.BinarySearchFunc(list, s.Source, func(s share, p int32) int { return cmp.Compare(s.Source, p) })
	if !found {
		list = slices.Insert(list, i, share{Source: s.Source})
	}
	list[i].Deltas += s.Deltas
	list[i].Events += s.Events
	return list
}
