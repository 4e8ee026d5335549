package pipeline

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
)

// Snapshots puts the snapshots on the topic of baselines together from its records, for those who
// look at them. Pieces of one snapshot may come in any order; which snapshot of a baseline is the
// present one follows from the order in which they were written.
type Snapshots struct {
	// Want, if not nil, says which snapshots are kept: those of many tenants may be more than
	// somebody's memory holds.
	Want   func(k baselines.Key, day int64) bool
	values map[string]*valueParts // by key without the piece's number
	added  int
}

// valueParts are the pieces of one value that are there.
type valueParts struct {
	of   [][]byte
	last int // when a piece was last added
}

// Stored is a snapshot as the topic has it.
type Stored struct {
	Model *baselines.Model
	Bytes int
}

// Add takes one record; no value is a tombstone.
func (s *Snapshots) Add(key, value []byte) error {
	name, i, n, err := readKey(key)
	if err != nil {
		return err
	}
	if name[0] == 'c' {
		return nil // a closing: what it names is here, too
	}
	of, ok := readSnapshotName(name)
	if !ok {
		return fmt.Errorf("key %.100q names no snapshot", name)
	}
	if s.Want != nil && !s.Want(of.Key, of.day) {
		return nil
	}
	p := s.values[name]
	if p == nil || len(p.of) != n {
		if value == nil {
			return nil
		}
		p = &valueParts{of: make([][]byte, n)}
		if s.values == nil {
			s.values = map[string]*valueParts{}
		}
		s.values[name] = p
	}
	s.added++
	p.of[i], p.last = value, s.added
	if value == nil && !slices.ContainsFunc(p.of, func(b []byte) bool { return b != nil }) {
		delete(s.values, name)
	}
	return nil
}

// readKey takes the number of a piece off its key. Others than wayward may write to the topic.
func readKey(key []byte) (name string, i, n int, err error) {
	i, n, name = readPieceKey(key)
	if n == 0 || n > mostPieces || !strings.HasPrefix(name, "s|") && !strings.HasPrefix(name, "c|") {
		return "", 0, 0, fmt.Errorf("key %.100q names no snapshot or closing", key)
	}
	return name, i, n, nil
}

// errPieces means that not all pieces of a value are there: it is being written, or compacted away.
var errPieces = errors.New("not all pieces are there")

func (p *valueParts) join() ([]byte, error) {
	if slices.ContainsFunc(p.of, func(b []byte) bool { return b == nil }) {
		return nil, errPieces
	}
	return bytes.Join(p.of, nil), nil
}

// Models are the snapshots that are whole, by tenant, persona, fork and day. If present, they are of
// each baseline the one alone that was written last: a person may have rolled back to an older one,
// which was then written anew. What does not decode, or is not what its key says, is left out, and
// bad is called.
func (s *Snapshots) Models(present bool, bad func(error)) (out []Stored) {
	names := slices.SortedFunc(maps.Keys(s.values),
		func(a, b string) int { return cmp.Compare(s.values[b].last, s.values[a].last) })
	done := map[baselines.Key]bool{}
	for _, name := range names {
		of, _ := readSnapshotName(name)
		if present && done[of.Key] {
			continue
		}
		b, err := s.values[name].join()
		if err == nil {
			m := &baselines.Model{}
			r := wire.Reader{B: b}
			if m.Decode(&r); r.Err != nil || len(r.B) > 0 {
				err = fmt.Errorf("%w, or written by a newer wayward", wire.ErrShort)
			} else if string(nameOf(m).key()) != name {
				err = fmt.Errorf("it holds %s %s %s", m.Tenant, m.Persona, m.Snapshot())
			} else {
				out = append(out, Stored{m, len(b)})
				done[of.Key] = true
				continue
			}
		}
		bad(fmt.Errorf("snapshot %.100q: %w", name, err))
	}
	slices.SortFunc(out, func(a, b Stored) int {
		return cmp.Or(compareKeys(a.Model.Key, b.Model.Key), cmp.Compare(a.Model.Day, b.Model.Day),
			strings.Compare(a.Model.Hash(), b.Model.Hash()))
	})
	return out
}
