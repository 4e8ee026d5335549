package pipeline

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

// Keys of wayward.baselines. A snapshot is s|tenant|persona|fork|day|hash, a closing
// c|shards|shard|from|to. A value that is too large for some brokers is cut into pieces, each a
// record whose key ends in its number and how many there are.

const (
	pieceBytes = 512 << 10
	// mostPieces bounds a value that anybody who may write to the topic could claim: 64 MiB.
	mostPieces = 128
)

// snapshotName names a snapshot for good.
type snapshotName struct {
	baselines.Key
	day  int64
	hash string
}

// nameOf is the name of a model.
func nameOf(m *baselines.Model) snapshotName { return snapshotName{m.Key, m.Day, m.Hash()} }

// SnapshotPrefix is what the keys of all snapshots of a baseline begin with.
func SnapshotPrefix(k baselines.Key) string {
	b := append(append([]byte("s|"), k.Tenant...), '|')
	b = append(event.AppendKeyPart(b, k.Persona), '|')
	return string(append(event.AppendKeyPart(b, k.Fork), '|'))
}

// key is the key of the snapshot's record, without the number of a piece.
func (n snapshotName) key() []byte {
	return fmt.Appendf(nil, "%s%d|%s", SnapshotPrefix(n.Key), n.day, n.hash)
}

// readSnapshotName takes the key of a snapshot apart.
func readSnapshotName(key string) (n snapshotName, ok bool) {
	part := strings.Split(key, "|")
	if len(part) != 6 || part[0] != "s" {
		return n, false
	}
	day, err := strconv.ParseInt(part[4], 10, 64)
	return snapshotName{baselines.Key{Tenant: part[1], Persona: event.KeyPart(part[2]), Fork: event.KeyPart(part[3])},
		day, part[5]}, err == nil
}

// closingKey is the key of a closing's record, likewise.
func closingKey(of, owner int32, from, to int64) []byte {
	return fmt.Appendf(nil, "c|%d|%d|%d|%d", of, owner, from, to)
}

// piecesOf is how many pieces a value of so many bytes has.
func piecesOf(size int) int { return max(1, (size+pieceBytes-1)/pieceBytes) }

// piece is piece i of a value.
func piece(value []byte, i int) []byte {
	return value[i*pieceBytes : min(len(value), (i+1)*pieceBytes)]
}

// pieceKey is the key of the record that holds piece i of n.
func pieceKey(key []byte, i, n int) []byte { return fmt.Appendf(slices.Clone(key), "|%d|%d", i, n) }

// readPieceKey takes the key of a record apart: which piece it is of how many of what. 0 pieces: the
// key is not one of ours.
func readPieceKey(key []byte) (i, n int, name string) {
	rest, total, ok1 := cutLast(string(key))
	name, number, ok2 := cutLast(rest)
	i, err1 := strconv.Atoi(number)
	n, err2 := strconv.Atoi(total)
	if !ok1 || !ok2 || err1 != nil || err2 != nil || i < 0 || i >= n || n > 1000 {
		return 0, 0, ""
	}
	return i, n, name
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '|')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// pieces puts records together that are pieces of one value. They come in order.
type pieces map[string][][]byte

// add takes a record of the topic and returns the value that it completes.
func (p pieces) add(key, value []byte) (name string, whole []byte) {
	i, n, name := readPieceKey(key)
	if n == 0 || value == nil {
		return "", nil
	}
	if n == 1 {
		return name, value
	}
	if len(p[name]) != n || i == 0 {
		p[name] = make([][]byte, n)
	}
	p[name][i] = value
	if slices.ContainsFunc(p[name], func(b []byte) bool { return b == nil }) {
		return "", nil
	}
	whole = bytes.Join(p[name], nil)
	delete(p, name)
	return name, whole
}

// version names a snapshot of a day, and in how many pieces it is on the topic.
type version struct {
	hash   string
	pieces int
}
