package pipeline

import (
	"bytes"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// What people order about baselines. The relation shard that closes a persona's days decides, as
// with the breaker of a wide scope: signed feedback comes into its log. The changed snapshot is
// published at once, and every behaviour shard reads in its own log that it is in force from there
// on, until the day after is closed, which learns from it.

// changeBaseline does what a person wants with a baseline. If it cannot, it returns why, as a word
// and a sentence.
func (b *relation) changeBaseline(f *event.Feedback) (reason, detail string) {
	o := f.Baseline
	k := baselines.Key{Tenant: f.Scope.Tenant, Persona: f.Scope.ID, Fork: o.Fork}
	var l *lineage
	for _, have := range b.lineages() {
		if have.key == k {
			l = have
		}
	}
	if o.Op == "import" {
		return b.importBaseline(l, k, o)
	}
	if l == nil || len(l.models) == 0 {
		return "no_baseline", "no day of this persona and fork has been closed yet"
	}
	present := l.models[len(l.models)-1]
	was, terms := modelOf(present), b.terms(k)
	var m *baselines.Model
	switch o.Op {
	case "freeze", "suspect":
		m = baselines.Changed(was, terms, func(n *baselines.Model) {
			if n.State = was.State; o.Op == "suspect" {
				n.State = baselines.Suspect
			} else {
				n.Frozen = true
			}
		})
	case "unfreeze":
		m = baselines.Changed(was, terms, func(n *baselines.Model) { n.Frozen = false })
	case "reset":
		b.forgetPending(l)
		for _, pg := range l.models {
			b.forgetModel(pg)
		}
		b.sendRuling(k, ruling{Day: b.closed})
		return "", ""
	case "rollback":
		b.forgetPending(l)
		for _, pg := range l.models {
			if dateOf(pg.day) == o.Day && strings.HasPrefix(pg.hash, o.Hash) {
				m = baselines.Changed(modelOf(pg), terms, func(n *baselines.Model) { n.Day = was.Day })
			}
		}
		if m == nil {
			return "no_snapshot",
				"there is no such snapshot of this persona and fork: those of the last eight days are kept"
		}
	default:
		decided := false
		m = baselines.Changed(was, terms, func(n *baselines.Model) {
			n.State = was.State
			decided = n.Decide(o.Item, o.Op == "approve")
		})
		if !decided {
			return "nothing_waits", "nothing of this name waits for approval"
		}
	}
	if m.Hash() == was.Hash() {
		return "nothing_changes", "it is so already"
	}
	b.setModel(l, m, present.newest, present.events)
	b.sendRuling(k, ruling{Day: b.closed, Of: m.Day, Hash: m.Hash()})
	return "", ""
}

// importBaseline puts a snapshot from elsewhere in the place of what is known of a baseline, or where
// nothing is known yet, as if it had been made when a day was last closed. What the present day has
// brought so far is learned on top of it.
func (b *relation) importBaseline(l *lineage, k baselines.Key, o *event.BaselineOrder) (reason, detail string) {
	m := &baselines.Model{}
	r := wire.Reader{B: o.Model}
	m.Decode(&r)
	switch {
	case r.Err != nil || len(r.B) > 0:
		return "bad_model", "the model is malformed, or written by a newer wayward"
	case m.Key != k:
		return "other_baseline", "the model is that of another tenant, persona or fork"
	case m.Hash() != o.Hash:
		return "bad_hash", "the hash is not that of the model"
	case b.closed == noTime:
		return "no_day_closed",
			"no day has been closed yet: import again an hour after the end of the first UTC day of events"
	case l == nil && b.baselinesOf(k.Tenant) >= maxModels*(keptDays+1):
		return "no_room", "the tenant has as many baselines as it may have"
	}
	if l == nil {
		l = &lineage{key: k}
	}
	m = baselines.Rebase(m, b.closed)
	if n := len(l.models); n > 0 && l.models[n-1].hash == m.Hash() {
		return "nothing_changes", "it is so already"
	}
	b.setModel(l, m, max(l.seen(), m.Seen), 0)
	b.sendRuling(k, ruling{Day: b.closed, Of: m.Day, Hash: m.Hash()})
	return "", ""
}

// forgetPending drops what was to be learned: who goes back does not want what led there.
func (b *relation) forgetPending(l *lineage) {
	for _, pg := range l.pending {
		b.drop(&pg.page)
	}
	l.pending = nil
}

// sendRuling writes a ruling into the logs of all behaviour shards.
func (b *relation) sendRuling(k baselines.Key, r ruling) {
	for p := range b.rules.sources {
		b.emit(output{to: toControl, partition: p, value: control{Kind: controlBaseline, Source: b.p, Tenant: k.Tenant,
			Persona: k.Persona, Fork: k.Fork, Ruling: &r}.encode()})
	}
}

// resumeBaseline takes a snapshot that outlives the logs, or through which day all have learned.
func (b *relation) resumeBaseline(c *control) bool {
	if len(c.State) == 0 {
		b.closed = max(b.closed, c.Kept.Day)
		b.learnedTo = b.closed
		b.publish(&Closing{From: noTime, To: b.closed}, b.lineages())
		return true
	}
	m := &baselines.Model{}
	r := wire.Reader{B: c.State}
	if m.Decode(&r); r.Err != nil {
		return false
	}
	pg := b.modelPage(keyDay{m.Key, c.Kept.Day})
	pg.model, pg.hash = bytes.Clone(c.State), m.Hash()
	pg.newest, pg.agentDays, pg.figures = c.Kept.Seen, m.AgentDays, figuresOf(m)
	return true
}
