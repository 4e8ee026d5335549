package pipeline

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/memo"
)

// A fork is a variant of a persona: agents that play it with another version, model or charter.

// forks remembers forkHashes, of which a fleet has few: hashing three strings costs more than
// comparing them.
type forks struct{ memo.Cache[forkKey, uint64] }

type forkKey struct{ version, model, charter string }

func newForks() forks { return forks{memo.NewCache[forkKey, uint64](16)} }

func (f *forks) of(a *event.Agent) uint64 {
	at := len(a.Version) + 3*len(a.Model)
	if n := len(a.CharterHash); n > 0 {
		at += int(a.CharterHash[n-1])
	}
	if n := len(a.Version); n > 0 {
		at += int(a.Version[n-1])
	}
	hash, ok := f.Get(uint64(at), forkKey{a.Version, a.Model, a.CharterHash})
	if !ok {
		hash = forkHash(a)
		f.Put(uint64(at), forkKey{strings.Clone(a.Version), strings.Clone(a.Model), strings.Clone(a.CharterHash)}, hash)
	}
	return hash
}

// forkHash is a hash of what makes an agent another one though it plays the same persona; 0 if it
// says nothing of the kind.
func forkHash(a *event.Agent) uint64 {
	if a.Version == "" && a.Model == "" && a.CharterHash == "" {
		return 0
	}
	return xxhash.Sum64String(a.Version)*0x9e3779b97f4a7c15 ^ xxhash.Sum64String(
		a.Model)*0xc2b2ae3d27d4eb4f ^ xxhash.Sum64String(a.CharterHash) | 1
}

// forkName is the fork of a forkHash.
func forkName(h uint64) string {
	if h == 0 {
		return ""
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(h>>32))
	return hex.EncodeToString(b[:])
}
