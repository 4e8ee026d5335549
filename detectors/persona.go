package detectors

import (
	"encoding/binary"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// personaPolicy says when a call is one that its persona may not make. Certain, not statistical: a declared role and a declared list.
//
// One finding covers what one session (without sessions: one day of an agent) does against one entry with one tool, class or destination; it is
// updated as the count doubles.
type personaPolicy struct {
	slot byte
	buf  []policy.Violation
}

func newPersonaPolicy(slot byte, _ *policy.Set) Detector { return &personaPolicy{slot: slot} }

// maxViolations bounds the open violations remembered of one agent; the oldest goes first and would be found anew.
const maxViolations = 32

type violation struct {
	what  uint64 // hash of session, kind and value
	count int64
	first int64 // event time of the first
	open
}

// violations are the open violations of an agent, oldest first.
type violations struct{ list []violation }

func (d *personaPolicy) Observe(x *Scene, e *event.Event) {
	if x.Role == nil || e.Kind != event.ToolCall {
		return
	}
	d.buf = x.Role.Check(e, d.buf[:0])
	for i := range d.buf {
		d.violated(x, e, &d.buf[i])
	}
}

func (d *personaPolicy) violated(x *Scene, e *event.Event, v *policy.Violation) {
	h := xxhash.New()
	if e.Session != "" {
		h.WriteString(e.Session)
	} else {
		h.WriteString(strconv.FormatInt(baselines.FloorDiv(x.Time, 86_400_000), 10))
	}
	h.WriteString("\x00" + v.Kind + "\x00" + v.Value)
	what := h.Sum64()
	part := x.Agent.Ensure(d.slot).(*violations)
	var o *violation
	for i := range part.list {
		if part.list[i].what == what {
			o = &part.list[i]
		}
	}
	activity := event.Update
	if o == nil {
		if len(part.list) == maxViolations {
			part.list = append(part.list[:0], part.list[1:]...)
		}
		part.list = append(part.list, violation{what: what, first: x.Time})
		o = &part.list[len(part.list)-1]
		o.trigger = x.Ref(e).Clone()
		o.next = 1
		activity = event.Create
	}
	if o.count++; o.count < o.next {
		return
	}
	o.next = double(o.count)
	f := event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: x.Role.Severity, Risk: risk(x.Role.Severity), Alert: true,
		Detector: "policy", Rule: "persona/" + x.Role.Name + "/" + v.Kind, RuleVersion: x.Role.Version,
		Title: "Persona " + x.Role.Name + " used a " + v.Kind + " it may not use",
		Why:   "persona " + x.Role.Name + " used " + v.Kind + " " + strconv.Quote(short(v.Value)) + times(o.count) + "; " + v.Rule,
		Tags:  x.Role.Tags, ScopeType: "agent", ScopeID: e.Agent.ID, Target: v.Value,
		Time: o.trigger.Time, First: o.first, Last: max(x.Time, o.first), Count: o.count, Refs: o.all(),
	}
	x.Find(f)
}

// short cuts a value for a sentence.
func short(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

func times(n int64) string {
	if n == 1 {
		return ""
	}
	return " " + strconv.FormatInt(n, 10) + " times"
}

// Append encodes the open violations.
func (p *violations) Append(b []byte) []byte {
	if len(p.list) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(p.list)))
	for i := range p.list {
		v := &p.list[i]
		b = binary.BigEndian.AppendUint64(b, v.what)
		b = binary.AppendVarint(b, v.count)
		b = binary.AppendVarint(b, v.first)
		b = v.open.append(b)
	}
	return b
}

// Decode reads what Append wrote.
func (p *violations) Decode(r *baselines.Reader) {
	p.list = nil
	for range min(r.Len(), maxViolations) {
		v := violation{what: r.Uint64(), count: r.Varint(), first: r.Varint()}
		v.open.decode(r)
		p.list = append(p.list, v)
	}
}
