package pipeline

import (
	"encoding/json"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
)

// Publishing writes closings and snapshots to wayward.baselines, in pieces where they are large.

// publish writes a closing.
func (b *relation) publish(c *Closing, list []*lineage) {
	c.Owner, c.Of = b.p, b.rules.facts
	for _, l := range list {
		if len(l.models) == 0 {
			continue
		}
		pg := l.models[len(l.models)-1]
		c.Entries = append(c.Entries, Snapshot{Tenant: l.key.Tenant, Persona: l.key.Persona, Fork: l.key.Fork,
			Day: pg.day, Hash: pg.hash, Seen: pg.newest,
			AgentDays: pg.agentDays, Events: pg.events, model: pg.made})
	}
	if b.results != nil {
		b.results.closings = append(b.results.closings, c)
		return
	}
	value, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and integers always encode
	}
	b.emitPieces(closingKey(c.Of, b.p, c.From, c.To), value)
}

// publishModel writes a snapshot.
func (b *relation) publishModel(m *baselines.Model, value []byte) {
	b.emitPieces(nameOf(m).key(), value)
}

// emitPieces writes a value in pieces that every broker takes.
func (b *relation) emitPieces(key, value []byte) {
	n := piecesOf(len(value))
	for i := range n {
		b.emit(output{to: toBaselines, key: pieceKey(key, i, n), value: piece(value, i)})
	}
}

// forgetModel drops a snapshot, here and on the topic.
func (b *relation) forgetModel(pg *modelPage) {
	b.drop(&pg.page)
	b.bases = nil
	if b.results != nil {
		return
	}
	for _, v := range append(pg.replaced, version{pg.hash, piecesOf(len(pg.model))}) {
		b.forgetVersion(pg, v)
	}
}

// forgetVersion writes that a version of a snapshot is gone.
func (b *relation) forgetVersion(pg *modelPage, v version) {
	key := snapshotName{pg.baseline, pg.day, v.hash}.key()
	for i := range v.pieces {
		b.emit(output{to: toBaselines, key: pieceKey(key, i, v.pieces)})
	}
}

// maxReplaced bounds how many versions of a day are remembered.
const maxReplaced = 32

// rememberVersion notes that a page is about to hold another version. The one before has a key of
// its own on the topic, and whoever has not yet read of the change is still judged by it. So it goes
// with its day.
func (b *relation) rememberVersion(l *modelPage, by string) {
	l.replaced = slices.DeleteFunc(l.replaced, func(v version) bool { return v.hash == by })
	if l.hash == "" || l.hash == by {
		return
	}
	l.replaced = append(l.replaced, version{l.hash, piecesOf(len(l.model))})
	if len(l.replaced) > maxReplaced {
		b.forgetVersion(l, l.replaced[0])
		l.replaced = l.replaced[1:]
	}
}
