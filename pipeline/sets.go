package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// sets finds policies by hash. State names the set it was made under, so every set that a log or a
// marker may name is kept: on the compacted topic wayward.sets, for every instance, and in the
// store, for this one.
type sets struct {
	own   *policy.Set
	store *state.Store
	topic string
	fetch func(ctx context.Context) (map[string][]byte, error) // all sets on the topic; nil: no topic

	mu    sync.Mutex
	known map[string]*policy.Set
}

// setChunk keeps records of wayward.sets well below a broker's limit.
const setChunk = 512 << 10

func newSets(own *policy.Set, store *state.Store, topic string) (*sets, error) {
	s := &sets{own: own, store: store, topic: topic, known: map[string]*policy.Set{}}
	for _, set := range []*policy.Set{own, none} {
		s.known[set.Hash()] = set
		if store != nil {
			if err := store.SetMeta("set/"+set.Hash(), set.Bytes()); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *sets) get(hash string) (*policy.Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.known[hash]; set != nil {
		return set, nil
	}
	if s.store != nil {
		b, err := s.store.Meta("set/" + hash)
		if err != nil {
			return nil, err
		}
		if b != nil {
			return s.keep(hash, b, false)
		}
	}
	if s.fetch != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		all, err := s.fetch(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", s.topic, err)
		}
		if b := all[hash]; b != nil {
			return s.keep(hash, b, true)
		}
	}
	return nil, fmt.Errorf(
		"the set of policies %.12s, under which the state was made, is neither on this disk nor on %s; was the topic deleted?",
		hash, s.topic)
}

func (s *sets) keep(hash string, b []byte, write bool) (*policy.Set, error) {
	set, err := policy.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("set of policies %.12s: %w", hash, err)
	}
	if set.Hash() != hash {
		return nil, fmt.Errorf("set of policies %.12s is stored under another hash than its own, %.12s", hash,
			set.Hash())
	}
	if write && s.store != nil {
		if err := s.store.SetMeta("set/"+hash, b); err != nil {
			return nil, err
		}
	}
	s.known[hash] = set
	return set, nil
}

// add makes a set one that shards may be given.
func (s *sets) add(ctx context.Context, cl *kgo.Client, set *policy.Set) error {
	if s.store != nil {
		if err := s.store.SetMeta("set/"+set.Hash(), set.Bytes()); err != nil {
			return err
		}
	}
	if err := s.write(ctx, cl, set); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[set.Hash()] = set
	return nil
}

// publish puts the own set on the topic.
func (s *sets) publish(ctx context.Context, cl *kgo.Client) error { return s.write(ctx, cl, s.own) }

// write puts a set on the topic, in chunks. Doing it again changes nothing: the key is the
// content's hash.
func (s *sets) write(ctx context.Context, cl *kgo.Client, set *policy.Set) error {
	all, err := s.fetch(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.topic, err)
	}
	if all[set.Hash()] != nil {
		return nil
	}
	chunks := slices.Collect(slices.Chunk(set.Bytes(), setChunk))
	var records []*kgo.Record
	for i, c := range chunks {
		records = append(records,
			&kgo.Record{Topic: s.topic, Key: fmt.Appendf(nil, "%s/%d/%d", set.Hash(), i, len(chunks)), Value: c})
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("writing %s: %w", s.topic, err)
	}
	return nil
}

// join puts chunks together; incomplete sets are left out.
func join(chunks map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for k := range chunks {
		hash, rest, _ := strings.Cut(k, "/")
		first, total, _ := strings.Cut(rest, "/")
		n, err := strconv.Atoi(total)
		if err != nil || first != "0" || n < 1 || n > 1000 {
			continue
		}
		var b []byte
		for i := range n {
			c, ok := chunks[fmt.Sprintf("%s/%d/%d", hash, i, n)]
			if !ok {
				b = nil
				break
			}
			b = append(b, c...)
		}
		if b != nil {
			out[hash] = b
		}
	}
	return out
}
