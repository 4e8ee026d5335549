package state

import (
	"encoding/binary"
	"fmt"

	badger "github.com/dgraph-io/badger/v4"
)

// Changes returns what a checkpointed partition has changed since the changelog last had it: pages (a
// nil value: deleted), the marker, and the version to give to Copied once they are committed there.
// Badger's own versions tell; nothing else is kept for it.
func (s *Store) Changes(sp Space) (pages []Page, marker []byte, version uint64, err error) {
	s.mu.Lock()
	version = s.markers[sp]
	since, kept := s.copied[sp]
	s.mu.Unlock()
	if !kept {
		// From now on, also after a crash, deletions are kept until the changelog has them.
		if err := s.Copied(sp, 0); err != nil {
			return nil, nil, 0, err
		}
	}
	if version == 0 || version == since {
		return nil, nil, 0, nil
	}
	tx := s.db.NewTransactionAt(version, false)
	defer tx.Discard()
	marker, _, err = read(tx, sp.prefix(kindMarker))
	if err == nil && marker == nil {
		err = badger.ErrKeyNotFound
	}
	if err != nil {
		return nil, nil, 0, fmt.Errorf("marker of partition %d: %w", sp.Partition, err)
	}
	prefix := sp.prefix(kindPage)
	all := tx.NewIterator(badger.IteratorOptions{Prefix: prefix, SinceTs: since, AllVersions: true,
		PrefetchValues: true, PrefetchSize: 100})
	defer all.Close()
	last := ""
	for all.Rewind(); all.Valid(); all.Next() {
		item := all.Item()
		k := string(item.Key()[len(prefix):])
		if k == last && len(pages) > 0 { // an older version of the same page
			continue
		}
		last = k
		if item.IsDeletedOrExpired() {
			pages = append(pages, Page{Key: k})
			continue
		}
		b, err := unsealed(item)
		if err != nil {
			return nil, nil, 0, fmt.Errorf("partition %d: %w", sp.Partition, err)
		}
		pages = append(pages, Page{Key: k, Value: b})
	}
	return pages, marker, version, nil
}

// Copied records that the changelog has the partition up to a version.
func (s *Store) Copied(sp Space, version uint64) error {
	if err := s.setAt(s.nextVersion(), sp.prefix(kindCopied), binary.BigEndian.AppendUint64(nil, version)); err != nil {
		return fmt.Errorf("changelog position of partition %d: %w", sp.Partition, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copied[sp] = version
	s.allowDiscard()
	return nil
}

// Restore fills an empty partition from the changelog.
func (s *Store) Restore(sp Space, pages func(yield func(Page) bool), marker []byte) error {
	if err := s.Checkpoint(sp, pages, marker); err != nil {
		return err
	}
	s.mu.Lock()
	version := s.markers[sp]
	s.mu.Unlock()
	return s.Copied(sp, version)
}
