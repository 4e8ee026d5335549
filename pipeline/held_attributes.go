package pipeline

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// attributes are what an agent says of itself. They never change once they hang on a page: agents
// and sessions that say the same share them.
type attributes struct {
	persona, owner, credential, version, model, charter string
	tier                                                int64 // 0: never said
}

// heldAttributes is what an agent, or a session of it, has said of itself.
type heldAttributes struct {
	held   *attributes // nil: nothing
	errand *errand     // of a session alone; nil: nothing
	heldAt int64       // event time at which it last said something else
}

// errand is what a session says of itself.
type errand struct{ user, intent, conversation string }

// heldBytes bounds each text that is held. A longer one is cut, in the event that says it, too, and
// told from others by a hash: so what is said and what is held stay the same value.
const heldBytes = 256

// cut is a text as it is held.
func cut(s *string) {
	if len(*s) > heldBytes {
		*s = cutTo(*s)
	}
}

func cutTo(s string) string {
	var sum [8]byte
	binary.BigEndian.PutUint64(sum[:], xxhash.Sum64String(s))
	return event.Clip(s, heldBytes-1-2*len(sum)) + "~" + hex.EncodeToString(sum[:])
}

// of takes what an event says itself, cut to what can be held.
func (a *attributes) of(e *event.Event) {
	cut(&e.Persona)
	cut(&e.Agent.Owner)
	cut(&e.Agent.Credential)
	cut(&e.Agent.Version)
	cut(&e.Agent.Model)
	cut(&e.Agent.CharterHash)
	*a = attributes{e.Persona, e.Agent.Owner, e.Agent.Credential, e.Agent.Version, e.Agent.Model, e.Agent.CharterHash,
		0}
	if e.Has&event.HasTier != 0 {
		a.tier = e.Agent.Tier
	}
}

func (r *errand) of(e *event.Event) {
	cut(&e.User)
	cut(&e.Intent)
	cut(&e.Conversation)
	*r = errand{e.User, e.Intent, e.Conversation}
	if r.conversation == e.Trace.ID { // the decoder's stand-in, as far as anybody can tell
		r.conversation = ""
	}
}

// texts are the texts of attributes, in the order of event.Held's bits.
func (a *attributes) texts() [6]*string {
	return [...]*string{&a.persona, &a.owner, &a.credential, &a.version, &a.model, &a.charter}
}

func (r *errand) texts() [3]*string { return [...]*string{&r.user, &r.intent, &r.conversation} }

// fill completes an event by what is held.
func (a *attributes) fill(e *event.Event) {
	if a == nil {
		return
	}
	fill(e, &e.Persona, a.persona, event.HeldPersona)
	fill(e, &e.Agent.Owner, a.owner, event.HeldOwner)
	fill(e, &e.Agent.Credential, a.credential, event.HeldCredential)
	fill(e, &e.Agent.Version, a.version, event.HeldVersion)
	fill(e, &e.Agent.Model, a.model, event.HeldModel)
	fill(e, &e.Agent.CharterHash, a.charter, event.HeldCharter)
	if e.Has&event.HasTier == 0 && a.tier != 0 {
		e.Agent.Tier, e.Has, e.Held = a.tier, e.Has|event.HasTier, e.Held|event.HeldTier
	}
}

func (r *errand) fill(e *event.Event) {
	if r == nil {
		return
	}
	fill(e, &e.User, r.user, event.HeldUser)
	fill(e, &e.Intent, r.intent, event.HeldIntent)
	if r.conversation != "" && e.Conversation == e.Trace.ID {
		e.Conversation = ""
		fill(e, &e.Conversation, r.conversation, event.HeldConversation)
	}
}

func fill(e *event.Event, field *string, held string, bit event.Held) {
	if *field == "" && held != "" {
		*field, e.Held = held, e.Held|bit
	}
}

// covers tells whether all that o says is held.
func (a *attributes) covers(o *attributes) bool {
	if a == nil {
		return *o == attributes{}
	}
	says := func(held, said string) bool { return said == "" || said == held }
	return says(a.persona, o.persona) && says(a.owner, o.owner) && says(a.credential, o.credential) &&
		says(a.version, o.version) &&
		says(a.model, o.model) && says(a.charter, o.charter) && (o.tier == 0 || o.tier == a.tier)
}

func (r *errand) covers(o *errand) bool {
	if r == nil {
		return *o == errand{}
	}
	says := func(held, said string) bool { return said == "" || said == held }
	return says(r.user, o.user) && says(r.intent, o.intent) && says(r.conversation, o.conversation)
}

// with is what is held after o was said; changed hears of each attribute that had another value.
func (a *attributes) with(o *attributes, changed func(bit int)) (out attributes) {
	if a != nil {
		out = *a
	}
	have, said := out.texts(), o.texts()
	for i, s := range said {
		if *s == "" || *s == *have[i] {
			continue
		}
		if *have[i] != "" {
			changed(i)
		}
		*have[i] = strings.Clone(*s)
	}
	if o.tier != 0 && o.tier != out.tier {
		if out.tier != 0 {
			changed(len(said))
		}
		out.tier = o.tier
	}
	return out
}

// append encodes which attributes are held, and them.
func (h *heldAttributes) append(v []byte) []byte {
	a, r := h.held, h.errand
	if a == nil {
		a = &attributes{}
	}
	if r == nil {
		r = &errand{}
	}
	of, errand := a.texts(), r.texts()
	mask := event.Held(0)
	for i, s := range of {
		if *s != "" {
			mask |= 1 << i
		}
	}
	if a.tier != 0 {
		mask |= event.HeldTier
	}
	for i, s := range errand {
		if *s != "" {
			mask |= event.HeldUser << i
		}
	}
	if v = binary.AppendUvarint(v, uint64(mask)); mask == 0 {
		return v
	}
	v = binary.AppendVarint(v, h.heldAt)
	for _, s := range of {
		if *s != "" {
			v = wire.AppendString(v, *s)
		}
	}
	if a.tier != 0 {
		v = append(v, byte(a.tier))
	}
	for _, s := range errand {
		if *s != "" {
			v = wire.AppendString(v, *s)
		}
	}
	return v
}

func (h *heldAttributes) decode(r *wire.Reader) {
	h.held, h.errand, h.heldAt = nil, nil, 0
	mask := event.Held(r.Uvarint())
	if mask == 0 || r.Err != nil {
		return
	}
	h.heldAt = r.Varint()
	text := func(s *string) {
		if b := r.Bytes(); len(b) == 0 || len(b) > heldBytes {
			r.Fail()
		} else {
			*s = string(b)
		}
	}
	if mask&(event.HeldUser-1) != 0 {
		a := attributes{}
		for i, s := range a.texts() {
			if mask&(1<<i) != 0 {
				text(s)
			}
		}
		if mask&event.HeldTier != 0 {
			if a.tier = int64(r.Byte()); a.tier < 1 || a.tier > 3 {
				r.Fail()
			}
		}
		h.held = &a
	}
	if mask&^(event.HeldUser-1) != 0 {
		o := errand{}
		for i, s := range o.texts() {
			if mask&(event.HeldUser<<i) != 0 {
				text(s)
			}
		}
		h.errand = &o
	}
}
