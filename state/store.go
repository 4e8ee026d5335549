// Package state keeps pages on disk: the state of one entity each, grouped by the partition that
// owns it. It alone knows Badger, and it never knows what a page means. Begin reading at
// Store.Checkpoint and Store.Load. changelog.go copies a partition to Kafka and back; badger.go,
// verify.go and disk.go keep Badger from files and disks that would end the process.
//
// A checkpoint writes the dirty pages of one partition and then its marker, all at one new version
// of Badger (managed mode). A load reads at the version of the marker, so half a checkpoint never
// happened. A position in each page instead would not do: it is wrong as soon as one step reads one
// page to write another.
package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"

	badger "github.com/dgraph-io/badger/v4"
)

// Format is the version of the layout of keys and markers. Version N reads N-1, refuses newer.
const Format = 1

// Space names the pages of one partition of one stage.
type Space struct {
	Stage     byte // 'b' behaviour, 'r' relation
	Partition int32
}

// Page is one entity's state on its way to or from the disk. A nil Value deletes.
type Page struct {
	Key   string
	Value []byte
}

// Store is the Badger of one instance.
type Store struct {
	db       *badger.DB
	dir      string
	disk     *Disk  // nil: in memory
	memtable int64  // bytes of Badger's
	reserved string // the newest log that has its blocks; under mu
	scratch  bool   // Close removes it

	mu      sync.Mutex
	version uint64 // newest version handed out
	// version of each partition's marker: nothing at or above the oldest may be discarded
	markers map[Space]uint64
	// version up to which the changelog has the partition's pages; only where a changelog is kept
	copied map[Space]uint64

	// Between is for crash tests alone. If set, it is called between the pages and the marker of a
	// checkpoint, and after every 64 pages.
	Between func()
}

// ErrCorrupt is wrapped by errors about a page or marker whose checksum or layout is wrong, and by
// that of Open about files that do not open: what it is about must be rebuilt.
var ErrCorrupt = errors.New("corrupt page")

// Key kinds: first byte of every key.
const (
	kindMarker = 'm' // m stage partition
	kindPage   = 'p' // p stage partition key
	kindCopied = 'c' // c stage partition
	kindMeta   = 'x' // x name
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *Store) nextVersion() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++ // begun at the newest of the disk; Badger's MaxVersion races with its own writes
	return s.version
}

func (sp Space) prefix(kind byte) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind, sp.Stage}, uint32(sp.Partition))
}

func spaceOf(key []byte) (Space, bool) {
	if len(key) < 6 {
		return Space{}, false
	}
	return Space{key[1], int32(binary.BigEndian.Uint32(key[2:]))}, true
}

// seal puts a checksum before a value, so that a flipped bit is an error and not a wrong baseline.
func seal(v []byte) []byte {
	b := make([]byte, 4, 4+len(v))
	binary.BigEndian.PutUint32(b, crc32.Checksum(v, castagnoli))
	return append(b, v...)
}

// unseal checks and removes what seal put there; key is for the error.
func unseal(key, b []byte) ([]byte, error) {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil, fmt.Errorf("%w: %q, %d bytes", ErrCorrupt, key, len(b))
	}
	return b[4:], nil
}

// unsealed is the value of an item, checked.
func unsealed(item *badger.Item) ([]byte, error) {
	b, err := item.ValueCopy(nil)
	if err != nil {
		return nil, err
	}
	return unseal(item.Key(), b)
}

// read returns the value of a key and its version; nil: there is none.
func read(tx *badger.Txn, key []byte) (value []byte, version uint64, err error) {
	item, err := tx.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	value, err = unsealed(item)
	return value, item.Version(), err
}

// Checkpoint writes pages and then the marker, all at one new version. No key may come twice; a nil
// value deletes the page. Only what a transaction has committed may come here.
func (s *Store) Checkpoint(sp Space, pages func(yield func(Page) bool), marker []byte) error {
	ts := s.nextVersion()
	wb := s.db.NewWriteBatchAt(ts)
	defer func() { wb.Cancel() }()
	prefix := sp.prefix(kindPage)
	var err error
	n, unchecked := 0, int64(s.memtable)
	for p := range pages {
		if unchecked += int64(len(p.Key) + len(p.Value)); unchecked > s.memtable/16 {
			// what goes beyond the blocks that the log has must fit on the disk
			if err := s.reserve(); err != nil {
				return fmt.Errorf("checkpoint of partition %d: %w", sp.Partition, err)
			}
			unchecked = 0
		}
		key := append(prefix[:len(prefix):len(prefix)], p.Key...)
		if p.Value == nil {
			err = wb.Delete(key)
		} else {
			err = wb.Set(key, seal(p.Value))
		}
		if err != nil {
			return fmt.Errorf("checkpoint of partition %d: %w", sp.Partition, err)
		}
		if n++; s.Between != nil && n%64 == 0 {
			if err := wb.Flush(); err != nil {
				return err
			}
			s.Between()
			wb = s.db.NewWriteBatchAt(ts)
		}
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("checkpoint of partition %d: %w", sp.Partition, err)
	}
	if s.Between != nil {
		s.Between()
	}
	if err := s.setAt(ts, sp.prefix(kindMarker), marker); err != nil {
		return fmt.Errorf("marker of partition %d: %w", sp.Partition, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markers[sp] = ts
	s.allowDiscard()
	return nil
}

// Get reads the newest version of a page; nil: there is none. While a checkpoint is under way that may
// be a page of it; else it is the last checkpoint's.
func (s *Store) Get(sp Space, key []byte) ([]byte, error) {
	tx := s.db.NewTransactionAt(math.MaxUint64, false)
	defer tx.Discard()
	b, _, err := read(tx, append(sp.prefix(kindPage), key...))
	if err != nil {
		return nil, fmt.Errorf("partition %d: %w", sp.Partition, err)
	}
	return b, nil
}

// Keys yields the keys of a partition's pages, sorted, until yield returns false.
func (s *Store) Keys(sp Space, yield func(key string) bool) {
	tx := s.db.NewTransactionAt(math.MaxUint64, false)
	defer tx.Discard()
	prefix := sp.prefix(kindPage)
	it := tx.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if !yield(string(it.Item().Key()[len(prefix):])) {
			return
		}
	}
}

// Put writes pages of a scratch store, without a marker.
func (s *Store) Put(sp Space, pages func(yield func(Page) bool)) error {
	if err := s.reserve(); err != nil {
		return fmt.Errorf("what does not fit into memory: %w; set TMPDIR to a directory with room", err)
	}
	wb := s.db.NewWriteBatchAt(s.nextVersion())
	defer wb.Cancel()
	prefix := sp.prefix(kindPage)
	for p := range pages {
		if err := wb.Set(append(prefix[:len(prefix):len(prefix)], p.Key...), seal(p.Value)); err != nil {
			return fmt.Errorf("partition %d: %w", sp.Partition, err)
		}
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("partition %d: %w", sp.Partition, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db.SetDiscardTs(s.version) // nobody reads older versions
	return nil
}

// allowDiscard lets Badger drop versions that are older than every marker and every changelog. The
// marker of a partition that went away holds it back until Forget. s.mu is held.
func (s *Store) allowDiscard() {
	low := uint64(math.MaxUint64)
	for _, ts := range s.markers {
		low = min(low, ts)
	}
	for _, ts := range s.copied {
		low = min(low, ts)
	}
	if low != math.MaxUint64 {
		s.db.SetDiscardTs(low)
	}
}

// setAt writes a value at a version.
func (s *Store) setAt(ts uint64, key, value []byte) error {
	if err := s.reserve(); err != nil {
		return err
	}
	tx := s.db.NewTransactionAt(math.MaxUint64, true)
	defer tx.Discard()
	if err := tx.Set(key, seal(value)); err != nil {
		return err
	}
	return tx.CommitAt(ts, nil)
}

// Load calls page for each page of the partition as of its newest marker, and returns the marker (nil:
// none). Pages that a torn checkpoint wrote at newer versions are rolled back, by writing the old ones
// at a still newer version: else the next marker would make them visible.
func (s *Store) Load(sp Space, page func(key string, value []byte) error) (marker []byte, err error) {
	err = catchFaults(func() (err error) { marker, err = s.load(sp, page); return err })
	return marker, err
}

func (s *Store) load(sp Space, page func(key string, value []byte) error) ([]byte, error) {
	now := s.db.NewTransactionAt(math.MaxUint64, false)
	defer now.Discard()
	marker, ts, err := readMarker(now, sp)
	if err != nil {
		return nil, err
	}
	at := s.db.NewTransactionAt(ts, false)
	defer at.Discard()
	prefix := sp.prefix(kindPage)
	var torn [][]byte
	// AllVersions, or a page that the torn checkpoint deleted would not show.
	it := now.NewIterator(badger.IteratorOptions{Prefix: prefix, SinceTs: ts, AllVersions: true})
	for it.Rewind(); it.Valid(); it.Next() {
		if k := it.Item().Key(); len(torn) == 0 || !bytes.Equal(torn[len(torn)-1], k) {
			torn = append(torn, it.Item().KeyCopy(nil))
		}
	}
	it.Close()
	if len(torn) > 0 {
		if err := s.reserve(); err != nil {
			return nil, fmt.Errorf("rolling back a torn checkpoint of partition %d: %w", sp.Partition, err)
		}
		wb := s.db.NewWriteBatchAt(s.nextVersion())
		defer wb.Cancel()
		for _, k := range torn {
			old, err := at.Get(k)
			switch {
			case errors.Is(err, badger.ErrKeyNotFound):
				err = wb.Delete(k)
			case err == nil:
				var v []byte
				if v, err = old.ValueCopy(nil); err == nil {
					err = wb.Set(k, v)
				}
			}
			if err != nil {
				return nil, fmt.Errorf("rolling back a torn checkpoint of partition %d: %w", sp.Partition, err)
			}
		}
		if err := wb.Flush(); err != nil {
			return nil, fmt.Errorf("rolling back a torn checkpoint of partition %d: %w", sp.Partition, err)
		}
	}
	o := badger.DefaultIteratorOptions
	o.Prefix = prefix
	it = at.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		k := it.Item().Key()
		err := it.Item().Value(func(b []byte) error {
			v, err := unseal(k, b)
			if err != nil {
				return err
			}
			return page(string(k[len(prefix):]), v)
		})
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", sp.Partition, err)
		}
	}
	return marker, nil
}

// readMarker returns a partition's newest marker and its version; nil: none.
func readMarker(tx *badger.Txn, sp Space) (marker []byte, version uint64, err error) {
	marker, version, err = read(tx, sp.prefix(kindMarker))
	if err != nil && !errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("marker of partition %d: %w", sp.Partition, err)
	}
	return marker, version, err
}

// Scan is Load for inspection: it changes nothing and does not stop at damage. A page that cannot be
// read comes with an error in place of its value; the error of Scan itself is the marker's.
func (s *Store) Scan(sp Space, page func(key string, value []byte, err error)) (marker []byte, err error) {
	err = catchFaults(func() (err error) { marker, err = s.scan(sp, page); return err })
	return marker, err
}

func (s *Store) scan(sp Space, page func(key string, value []byte, err error)) ([]byte, error) {
	now := s.db.NewTransactionAt(math.MaxUint64, false)
	defer now.Discard()
	marker, ts, err := readMarker(now, sp)
	if err != nil {
		ts = math.MaxUint64 // the version of a damaged marker cannot be trusted either
	}
	at := s.db.NewTransactionAt(ts, false)
	defer at.Discard()
	o := badger.DefaultIteratorOptions
	o.Prefix = sp.prefix(kindPage)
	it := at.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		k := it.Item().Key()
		b, err := unsealed(it.Item())
		page(string(k[len(o.Prefix):]), b, err)
	}
	return marker, err
}

// Forget deletes the pages and the marker of a partition, so that its next load starts from
// nothing.
func (s *Store) Forget(sp Space) error {
	if err := s.reserve(); err != nil {
		return fmt.Errorf("forgetting partition %d: %w", sp.Partition, err)
	}
	tx := s.db.NewTransactionAt(math.MaxUint64, false)
	defer tx.Discard()
	wb := s.db.NewWriteBatchAt(s.nextVersion())
	defer wb.Cancel()
	// The marker goes first: pages without a marker are ignored, but a marker without its pages would be
	// believed.
	if err := errors.Join(wb.Delete(sp.prefix(kindMarker)), wb.Delete(sp.prefix(kindCopied))); err != nil {
		return err
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("forgetting partition %d: %w", sp.Partition, err)
	}
	wb = s.db.NewWriteBatchAt(s.nextVersion())
	it := tx.NewIterator(badger.IteratorOptions{Prefix: sp.prefix(kindPage)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if err := wb.Delete(it.Item().KeyCopy(nil)); err != nil {
			return fmt.Errorf("forgetting partition %d: %w", sp.Partition, err)
		}
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("forgetting partition %d: %w", sp.Partition, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.markers, sp)
	delete(s.copied, sp)
	s.allowDiscard()
	return nil
}

// Spaces are the partitions that have a marker.
func (s *Store) Spaces() []Space {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Space
	for sp := range s.markers {
		out = append(out, sp)
	}
	return out
}
