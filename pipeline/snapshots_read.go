package pipeline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

// Snapshots puts the records of the topic of baselines together: pieces of snapshots, and closings, which say what there was at the end of each day. Records
// may come in any order but that of one key, and a later one of a key takes the place of an earlier one.
type Snapshots struct {
	// Want, if not nil, says which snapshots are kept: those of many tenants may be more than somebody's memory holds.
	Want   func(k baselines.Key, day int64) bool
	values map[string]*valueParts // by key without the piece's number
}

// valueParts are the pieces of one value that are there.
type valueParts struct {
	of [][]byte
}

// Stored is a snapshot as the topic has it.
type Stored struct {
	Model *baselines.Model
	Bytes int
}

// mostPieces bounds a value that anybody who may write to the topic could claim: 64 MiB.
const mostPieces = 128

// Add takes one record; no value is a tombstone.
func (s *Snapshots) Add(key, value []byte) error {
	name, i, n, err := partOf(key)
	if err != nil {
		return err
	}
	if s.Want != nil && name[0] == 's' {
		k, day, err := snapshotOf(name)
		if err != nil {
			return err
		}
		if !s.Want(k, day) {
			return nil
		}
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
	p.of[i] = value
	if value == nil && !slices.ContainsFunc(p.of, func(b []byte) bool { return b != nil }) {
		delete(s.values, name)
	}
	return nil
}

// partOf takes the number of a piece off its key.
func partOf(key []byte) (name string, i, n int, err error) {
	rest, total, ok1 := cutLast(string(key))
	name, number, ok2 := cutLast(rest)
	i, err1 := strconv.Atoi(number)
	n, err2 := strconv.Atoi(total)
	if !ok1 || !ok2 || err1 != nil || err2 != nil || n < 1 || n > mostPieces || i < 0 || i >= n || !strings.HasPrefix(name, "s|") && !strings.HasPrefix(name, "c|") {
		return "", 0, 0, fmt.Errorf("key %.100q names no snapshot or closing", key)
	}
	return name, i, n, nil
}

// snapshotOf takes the key of a snapshot apart: s|tenant|persona|fork|day|hash.
func snapshotOf(name string) (k baselines.Key, day int64, err error) {
	parts := strings.Split(name, "|")
	if len(parts) == 6 {
		day, err = strconv.ParseInt(parts[4], 10, 64)
		k = baselines.Key{Tenant: parts[1], Persona: event.KeyPart(parts[2]), Fork: event.KeyPart(parts[3])}
	}
	if len(parts) != 6 || err != nil {
		return k, 0, fmt.Errorf("key %.100q names no snapshot", name)
	}
	return k, day, nil
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '|')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// errPieces means that not all pieces of a value are there: it is being written, or compacted away.
var errPieces = errors.New("not all pieces are there")

func (p *valueParts) join() ([]byte, error) {
	if slices.ContainsFunc(p.of, func(b []byte) bool { return b == nil }) {
		return nil, errPieces
	}
	return bytes.Join(p.of, nil), nil
}

// names are the keys of what is there, sorted.
func (s *Snapshots) names(prefix string) (out []string) {
	for name := range s.values {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Models are the snapshots that are whole, by tenant, persona, fork and day; if present, of each baseline alone the one that the last closing names. What does
// not decode, or is not what its key says, is told to bad and left out.
func (s *Snapshots) Models(present bool, bad func(error)) (out []Stored) {
	named := map[string]bool{}
	if present {
		for name := range s.present(bad) {
			named[name] = true
		}
	}
	for _, name := range s.names("s|") {
		if len(named) > 0 && !named[name] {
			continue
		}
		b, err := s.values[name].join()
		if err == nil {
			m := &baselines.Model{}
			r := baselines.Reader{B: b}
			if m.Decode(&r); r.Err != nil || len(r.B) > 0 {
				err = fmt.Errorf("%w, or written by a newer wayward", baselines.ErrShort)
			} else if string(appendSnapshotKey(nil, m.Key, m.Day, m.Hash())) != name {
				err = fmt.Errorf("it holds %s %s %s", m.Tenant, m.Persona, m.Snapshot())
			} else {
				out = append(out, Stored{m, len(b)})
				continue
			}
		}
		bad(fmt.Errorf("snapshot %.100q: %w", name, err))
	}
	slices.SortFunc(out, func(a, b Stored) int {
		return cmp.Or(compareKeys(a.Model.Key, b.Model.Key), cmp.Compare(a.Model.Day, b.Model.Day), strings.Compare(a.Model.Hash(), b.Model.Hash()))
	})
	return out
}

// present are the keys of the snapshots that the last closing of each owner names.
func (s *Snapshots) present(bad func(error)) map[string]bool {
	out := map[string]bool{}
	list := s.Closings(bad)
	for i := range list {
		if i < len(list)-1 && list[i+1].Owner == list[i].Owner {
			continue
		}
		for _, e := range list[i].Entries {
			out[string(appendSnapshotKey(nil, e.Key(), e.Day, e.Hash))] = true
		}
	}
	return out
}

// Closings are those that are whole, by owner and day.
func (s *Snapshots) Closings(bad func(error)) (out []Closing) {
	for _, name := range s.names("c|") {
		b, err := s.values[name].join()
		var c Closing
		if err == nil {
			err = json.Unmarshal(b, &c)
		}
		if err != nil {
			bad(fmt.Errorf("closing %.100q: %w", name, err))
			continue
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Closing) int {
		return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.From, b.From))
	})
	return out
}
