package state

import (
	"errors"
	"fmt"
	"math"

	badger "github.com/dgraph-io/badger/v4"
)

// Meta reads a small value of the instance by name; nil if there is none.
func (s *Store) Meta(name string) ([]byte, error) {
	tx := s.db.NewTransactionAt(math.MaxUint64, false)
	defer tx.Discard()
	b, _, err := read(tx, append([]byte{kindMeta}, name...))
	if err != nil && !errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("reading %s: %w", name, err)
	}
	return b, err
}

// Metas are the names of small values that begin with a prefix, sorted.
func (s *Store) Metas(prefix string) (names []string) {
	tx := s.db.NewTransactionAt(math.MaxUint64, false)
	defer tx.Discard()
	it := tx.NewIterator(badger.IteratorOptions{Prefix: append([]byte{kindMeta}, prefix...)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		names = append(names, string(it.Item().Key()[1:]))
	}
	return names
}

// SetMeta writes a small value of the instance.
func (s *Store) SetMeta(name string, value []byte) error {
	if err := s.setAt(s.nextVersion(), append([]byte{kindMeta}, name...), value); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
