package pipeline

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What only some events of an agent say holds until another value is said: what is absent is not
// another value. An agent holds its persona, owner, credential, version, model, charter and tier. A
// session holds its user, intent and conversation, and what of the agent's was said in it: two
// sessions of one agent that began with two models must not flip it with every event.

// maxAttributes bounds the attributes that a shard shares between pages; beyond, it starts anew.
const maxAttributes = 20_000

// attributeChanges is the name under which a value that was replaced by another is counted.
const attributeChanges = "attribute_changes"

// hold completes an event by what its agent and its session have said before, and its agent takes
// what it says. The session does so in keep: first it must be known whether this event begins it.
func (x *eventContext) hold(pg *agentPage, e *event.Event, t int64) {
	b := x.b
	x.declared.of(e)
	x.errand.of(e)
	if x.stateless { // nothing is known of it
		return
	}
	before := pg.held
	if !pg.held.covers(&x.declared) && t >= pg.heldAt { // what comes late was said before what is held
		now := pg.held.with(&x.declared, func(bit int) { b.count(attributeChanges, event.Held(1 << bit).Names()[0]) })
		pg.held, pg.heldAt = b.shared(now), t
	}
	if e.Session != "" {
		if s := x.sessionIf(e.Session); s != nil && s.continues(t) {
			s.held.fill(e)
			s.errand.fill(e)
		}
	}
	before.fill(e)
}

// keep lets the session of an event take what the event says. It makes the session's page where a
// detector has not asked for it: the event that begins a session is often the only one to say it.
func (x *eventContext) keep(e *event.Event, t int64) {
	b := x.b
	x.scene.Began = 0
	if e.Session == "" || x.stateless {
		return
	}
	if e.Kind != event.ToolCall && x.declared == (attributes{}) && x.errand == (errand{}) {
		if s := x.found; s != nil && s.continues(t) {
			x.scene.Began = s.began
		}
		return
	}
	s := x.openSession()
	if s == nil {
		return
	}
	if x.scene.Began = s.began; s.held.covers(&x.declared) && s.errand.covers(&x.errand) || t < s.heldAt {
		return
	}
	now := s.held.with(&x.declared, func(int) {}) // counted where the agent says it
	s.held, s.heldAt = b.shared(now), t
	if s.errand.covers(&x.errand) {
		return
	}
	r := errand{}
	if s.errand != nil {
		r = *s.errand
	}
	have, said := r.texts(), x.errand.texts()
	for i, text := range said {
		if *text == "" || *text == *have[i] {
			continue
		}
		if *have[i] != "" {
			b.count(attributeChanges, (event.HeldUser << i).Names()[0])
		}
		*have[i] = strings.Clone(*text)
	}
	s.errand = &r
}

// shared is where attributes of this value lie.
func (b *behaviour) shared(a attributes) *attributes {
	if a == (attributes{}) {
		return nil
	}
	if p := b.attributes[a]; p != nil {
		return p
	}
	if len(b.attributes) >= maxAttributes {
		clear(b.attributes)
	}
	b.attributes[a] = &a
	return &a
}
