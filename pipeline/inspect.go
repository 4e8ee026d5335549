package pipeline

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// Layout is what state is cut by and belongs to. It is recorded in the store at the first start.
type Layout struct {
	Events int `json:"events"` // partitions
	Facts  int `json:"facts"`
	// Topics are the ids that the brokers gave to the topics whose records the state was made from:
	// one that is deleted and made anew has another, though offsets and names may fit. Empty with
	// brokers that give none.
	Topics map[string]string `json:"topics,omitempty"`
}

// StoredLayout returns the layout that a store was made with; nil: it is new.
func StoredLayout(s *state.Store) (*Layout, error) {
	b, err := s.Meta("layout")
	if b == nil || err != nil {
		return nil, err
	}
	l := &Layout{}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("layout recorded in the state directory: %w", err)
	}
	return l, nil
}

// LayoutOf is the layout of topics as they are.
func LayoutOf(topics broker.Topics, td kadm.TopicDetails) Layout {
	f := topics.Full()
	l := Layout{Events: len(td[f.Events].Partitions), Facts: len(td[f.Facts].Partitions), Topics: map[string]string{}}
	for role, name := range map[string]string{"events": f.Events, "control": f.Control, "journal": f.Journal,
		"facts": f.Facts} {
		if id := td[name].ID; id != (kadm.TopicID{}) {
			l.Topics[role] = hex.EncodeToString(id[:])
		}
	}
	return l
}

// Remade are the topics that were made anew since the other layout was recorded.
func (l Layout) Remade(then Layout) (roles []string) {
	for _, role := range slices.Sorted(maps.Keys(then.Topics)) {
		if l.Topics[role] != "" && l.Topics[role] != then.Topics[role] {
			roles = append(roles, role)
		}
	}
	return roles
}

// PartitionState is what a store has of one partition of one stage.
type PartitionState struct {
	Stage     string         `json:"stage"`
	Partition int32          `json:"partition"`
	Pages     map[string]int `json:"pages"` // by kind
	Bytes     int64          `json:"bytes"` // of pages and marker
	Seq       uint64         `json:"transactions"`
	Control   int64          `json:"next_control"` // offsets
	Main      int64          `json:"next_main"`
	Watermark int64          `json:"watermark,omitempty"` // event time, Unix milliseconds; 0: none yet
	// wall clock of the last transaction in it, Unix milliseconds
	Saved  int64    `json:"saved,omitempty"`
	Set    string   `json:"set,omitempty"` // hash of the policies in force
	Damage []Damage `json:"damage,omitempty"`
}

// Damage is a kind of page, or the marker, that cannot be read. It holds nothing of what is in it.
type Damage struct {
	Kind string `json:"kind"`
	Why  string `json:"why"`
	N    int    `json:"count"`
}

// pageKind names a page's kind by its key.
func pageKind(key string) string {
	if key == "" {
		return "unknown"
	}
	switch key[0] {
	case agentKind:
		return "agents"
	case sessionKind:
		return "sessions"
	case scopeKind:
		return "scopes"
	case wideKind:
		return "breakers"
	case deltaKind:
		return "deltas"
	case modelKind:
		return "snapshots"
	}
	return fmt.Sprintf("kind %q", key[:1])
}

// Inspect reads every page and marker of a store, checks their checksums and decodes them. It
// changes nothing.
func Inspect(s *state.Store) []PartitionState {
	spaces := s.Spaces()
	slices.SortFunc(spaces, func(a, b state.Space) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Partition, b.Partition))
	})
	var out []PartitionState
	for _, sp := range spaces {
		out = append(out, inspect(s, sp))
	}
	return out
}

func inspect(s *state.Store, sp state.Space) PartitionState {
	p := PartitionState{Stage: "behaviour", Partition: sp.Partition, Pages: map[string]int{}}
	// A marker names the set it was made under. Where this disk does not have it the engine would
	// ask Kafka, so that is no damage.
	known := func(hash string) (*policy.Set, error) {
		p.Set = hash
		if b, err := s.Meta("set/" + hash); err == nil && b != nil {
			if set, err := policy.Parse(b); err == nil {
				return set, nil
			}
		}
		return none, nil
	}
	shared := &rules{owners: owners{sources: 1, facts: 1}, set: known}
	sh := newBehaviour(sp.Partition, shared, none, "").shard
	if sp.Stage == 'r' {
		p.Stage = "relation"
		sh = newRelation(sp.Partition, shared, none).shard
	}
	damaged := map[Damage]int{}
	note := func(kind string, err error) {
		d := Damage{Kind: kind, Why: "its checksum is wrong"}
		if !errors.Is(err, state.ErrCorrupt) {
			d.Why = "it does not decode"
		}
		damaged[d]++
	}
	marker, err := s.Scan(sp, func(key string, value []byte, err error) {
		kind := pageKind(key)
		p.Pages[kind]++
		p.Bytes += int64(len(key) + len(value))
		if err == nil {
			err = sh.guarded(func() error {
				if key == "" {
					return errors.New("no key")
				}
				return makePage(key).decode(value)
			})
		}
		if err != nil {
			note(kind, err)
		}
	})
	p.Bytes += int64(len(marker))
	if err == nil {
		err = sh.guarded(func() error { return sh.decodeVars(marker) })
	}
	if err != nil {
		note("marker", err)
	} else {
		p.Seq, p.Control, p.Main, p.Saved = sh.seq, sh.next[controlLog], sh.next[mainLog], sh.now
		p.Set = cmp.Or(p.Set, sh.policies().Hash())
		switch m := sh.machine.(type) {
		case *behaviour:
			if m.clock.seen {
				p.Watermark = m.clock.watermark()
			}
		case *relation:
			if m.mark != noTime {
				p.Watermark = m.mark
			}
		}
	}
	for d, n := range damaged {
		d.N = n
		p.Damage = append(p.Damage, d)
	}
	slices.SortFunc(p.Damage,
		func(a, b Damage) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Why, b.Why)) })
	return p
}

// InspectSets reads the policies that a store keeps and returns their hashes, and of those that are
// not what their hash says.
func InspectSets(s *state.Store) (hashes, damaged []string) {
	for _, name := range s.Metas("set/") {
		hash := name[len("set/"):]
		hashes = append(hashes, hash)
		b, err := s.Meta(name)
		if err == nil {
			var set *policy.Set
			if set, err = policy.Parse(b); err == nil && set.Hash() != hash {
				err = errors.New("another hash")
			}
		}
		if err != nil {
			damaged = append(damaged, hash)
		}
	}
	return hashes, damaged
}
