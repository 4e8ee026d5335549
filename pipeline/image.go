package pipeline

import (
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// image is the whole state of the shard as its next checkpoint would leave it on disk: pages by key,
// wherever they are now, and what is in no page under the empty key. It changes nothing.
func (s *shard) image() map[string]string {
	out := map[string]string{"": string(s.appendVars(nil))}
	for key, pg := range s.pages {
		out[key] = string(pg.appendTo(nil))
	}
	for key, c := range s.cold {
		body := c.body
		if body == nil {
			body = s.stored(key)
		}
		out[key] = string(body)
	}
	if len(s.away) > 0 {
		s.rules.store.Keys(s.space, func(key string) bool {
			if _, ok := s.away[xxhash.Sum64String(key)]; ok {
				out[key] = string(s.stored(key))
			}
			return true
		})
	}
	return out
}

// stored is a page as it is on disk, where it must be.
func (s *shard) stored(key string) []byte {
	body, err := s.rules.store.Get(s.space, []byte(key))
	if err == nil && body == nil {
		err = errors.New("it is not on disk")
	}
	if err != nil {
		panic(lostPage{fmt.Errorf("page %q: %w", key, err)})
	}
	return body
}
