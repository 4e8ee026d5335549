package detectors

import (
	"encoding/binary"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// personaPolicy says when a call is one that its persona may not make, or not without an approval
// that it does not have. Certain, not statistical: a declared role and a declared list.
//
// One finding covers what one session (without sessions: one day of an agent) does against one
// entry with one tool, class or destination; it is updated as the count doubles. A call that the
// gateway refused is told too, as tried: who tries the door is of interest.
type personaPolicy struct {
	slot   byte
	set    *policy.Set
	buf    []policy.Violation
	body   []byte
	args   policy.Arguments
	prints prints // of the call under observation
}

func newPersonaPolicy(slot byte, set *policy.Set) Detector {
	return &personaPolicy{slot: slot, set: set}
}

// conduct is what is remembered of an agent: its open violations and the approvals it was given,
// each oldest first. Of an owner or a credential it is the agents that have it.
type conduct struct {
	list    tallies // by a hash of session, kind, value and what was wrong with the approval
	grants  []grant
	told    uint64 // hash of owner, credential and day that were last told of the agent
	members []uint64
	holders []holder // of a place where approvals are known by their ids
}

func (d *personaPolicy) Observe(x *Scene, e *event.Event) {
	if e.Agent.Owner != "" || e.Agent.Credential != "" {
		d.introduce(x, e)
	}
	if x.Mismatch != policy.Agreed {
		d.mismatched(x, e)
	}
	switch e.Kind {
	case event.ToolCall:
		if d.buf = d.buf[:0]; x.Judge != nil {
			d.buf = x.Judge.Check(e, x.Tool, x.Time, d.buf)
			x.Violations = d.buf
		}
		shown := shows(e)
		if shown {
			d.hear(x, e) // a gateway may say it with the call
		}
		if e.Phase != event.Attempt && (shown || len(d.buf) > 0) {
			d.judge(x, e, shown)
		}
	case event.Approval:
		d.hear(x, e)
	}
}

// judge finds what is forbidden, and asks of the rest, once for the whole call, whether it was
// approved. An approval that the call shows is looked at whether it needs one or not.
func (d *personaPolicy) judge(x *Scene, e *event.Event, shown bool) {
	var needs *policy.Violation
	for i := range d.buf {
		if v := &d.buf[i]; v.Verdict == policy.Deny {
			d.found(x, e, v, "")
		} else if needs == nil {
			needs = v
		}
	}
	if needs == nil && !shown {
		return
	}
	if d.args.Contradict(e) {
		d.strays(x, e, faultDigest, false)
	}
	part := x.Agent.Ensure(d.slot).(*conduct)
	fault, bypassed := d.approved(x, e, part, needs != nil)
	if fault == faultUnknown && e.Approval.ID != "" {
		d.foreign(x, e)
	}
	if needs == nil {
		// as it should be
		refused := e.Result.Outcome == event.Denied && (fault == faultAsked || fault == faultDenied)
		if fault != "" && !refused {
			d.strays(x, e, fault, bypassed)
		}
		return
	}
	v := *needs
	v.Kind, v.Value = "approval", e.Tool.Name
	switch {
	case bypassed:
		v.Kind = "bypass"
		d.found(x, e, &v, "")
	case fault != "":
		kind := needs.Kind
		if kind == "condition" {
			kind = "tool"
		}
		v.Rule = kind + " " + strconv.Quote(short(needs.Value)) + " needs one (" + v.Rule + ")"
		d.found(x, e, &v, fault)
	}
}

// mismatched tells of an agent that says it plays a persona which the registry does not have for
// it, or which nobody declared: of each agent once a day, and again as the number of its events
// doubles. Which persona it says does not make another finding: whoever makes up names must not
// make a storm.
func (d *personaPolicy) mismatched(x *Scene, e *event.Event) {
	day := strconv.FormatInt(wire.FloorDiv(x.Time, baselines.DayMS), 10)
	what := hashed(uint64(x.Mismatch), "persona_mismatch", day)
	severity, title := event.Medium, "An agent says another persona than the registry has for it"
	why := "says that it plays persona " + strconv.Quote(short(e.Persona)) + "; the registry has " +
		strconv.Quote(short(x.Persona)) + " for it, by which it is judged"
	if x.Mismatch == policy.Unlisted {
		severity, title = event.Low, "An agent plays a persona that nobody declared"
		why = "persona " + strconv.Quote(short(e.Persona)) +
			" is not declared and the registry has none for the agent, so nothing says what it may do"
	}
	o, activity := x.Agent.Ensure(d.slot).(*conduct).list.add(what, x.Ref(e))
	if activity == event.Again {
		return
	}
	if o.count > 1 {
		why += "; " + strconv.FormatInt(o.count, 10) + " events so far"
	}
	x.Find(event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: severity, Risk: risk(severity), Alert: true,
		Detector: "policy", Rule: "persona_mismatch", RuleVersion: "1", Title: title, Why: why,
		Tags:      []string{"ASI03", "ASI10"},
		ScopeType: "agent", ScopeID: e.Agent.ID, Target: e.Persona, Time: o.trigger.Time, First: o.first,
		Last: max(x.Time, o.first), Count: o.count, Refs: o.all(),
	})
}

// deeds are the words for what a violation of each kind is.
var deeds = map[string]struct{ title, did, tried string }{
	"tool":   {"used a tool it may not use", "used tool", "tried to use tool"},
	"server": {"used a server it may not use", "used server", "tried to use server"},
	"class":  {"used a class it may not use", "used class", "tried to use class"},
	"resource": {"touched a resource it may not touch", "touched a resource of type",
		"tried to touch a resource of type"},
	"label": {"touched data it may not touch", "touched data labelled", "tried to touch data labelled"},
	"environment": {"acted in an environment it may not act in", "acted in environment",
		"tried to act in environment"},
	"destination": {"used a destination it may not use", "used destination", "tried to use destination"},
	"destination_kind": {"used a kind of destination it may not use", "used destination kind",
		"tried to use destination kind"},
	"intent":     {"served an intent it may not serve", "served intent", "tried to serve intent"},
	"credential": {"used a credential it may not use", "used credential", "tried to use credential"},
	"tenant": {"touched another tenant's resource", "touched a resource of tenant",
		"tried to touch a resource of tenant"},
	"tier": {"is played by an agent that is not trusted enough", "acted through an agent of tier",
		"tried to act through an agent of tier"},
	"hours":    {"acted outside its hours", "acted at", "tried to act at"},
	"approval": {"acted without a valid approval", "used tool", "tried to use tool"},
	"approver": {"was approved by somebody who may not", "was approved by", "was approved by"},
	"bypass":   {"acted under a bypass of approvals", "used tool", "tried to use tool"},
}

// found records a violation; fault is what was wrong with the approval, if it is about one.
func (d *personaPolicy) found(x *Scene, e *event.Event, v *policy.Violation, fault string) {
	h := xxhash.New()
	if e.Session != "" {
		h.WriteString(e.Session)
		h.WriteString("\x00" + strconv.FormatInt(x.Began, 10))
	} else {
		h.WriteString(strconv.FormatInt(wire.FloorDiv(x.Time, 86_400_000), 10))
	}
	h.WriteString("\x00" + v.Kind + "\x00")
	if v.Kind != "hours" { // each minute is another value
		h.WriteString(v.Value)
	}
	if fault != "" {
		h.WriteString("\x00" + fault)
	}
	what := h.Sum64()
	part := x.Agent.Ensure(d.slot).(*conduct)
	o, activity := part.list.add(what, x.Ref(e))
	if activity == event.Again && (x.Role.Respond == nil || v.Kind == "bypass" ||
		x.Settled(x.Role.Respond, event.AgentScope)) {
		return
	}
	deed := deeds[v.Kind]
	did := deed.did
	if e.Result.Outcome == event.Denied {
		did = deed.tried
	}
	value := strconv.Quote(short(v.Value))
	because := "denied by default"
	if v.Rule != "default" {
		because = "denied by " + strconv.Quote(v.Rule)
	}
	switch v.Kind {
	case "hours":
		value, because = v.Value, "its hours are "+v.Rule
	case "tier":
		value, because = v.Value, "it may be "+v.Rule
	case "tenant":
		because = "it may touch its own tenant's alone"
		if v.Rule != "own" {
			because = "it may touch those of " + v.Rule + " alone"
		}
	case "approval":
		because = fault + "; " + v.Rule
	case "approver":
		because = fault
	case "bypass":
		because = "approvals were bypassed"
	}
	if v.Rule == policy.Unreadable {
		because = "what the event says there could not be read, so no list lets it pass"
	}
	f := event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: x.Role.Severity, Risk: risk(x.Role.Severity),
		Alert:    x.Role.Severity > event.Signal,
		Detector: "policy", Rule: "persona/" + x.Role.Name + "/" + v.Kind, RuleVersion: x.Role.Version,
		Title: "Persona " + x.Role.Name + " " + deed.title,
		Why:   "persona " + x.Role.Name + " " + did + " " + value + times(o.count) + "; " + because,
		Tags:  x.Role.Tags, ScopeType: "agent", ScopeID: e.Agent.ID, Target: v.Value,
		Time: o.trigger.Time, First: o.first, Last: max(x.Time, o.first), Count: o.count, Refs: o.all(),
		Response: x.Role.Respond,
	}
	if v.Kind == "bypass" { // recorded, nobody is called: it was let through by somebody
		f.Severity, f.Risk, f.Alert, f.Response = event.Signal, risk(event.Signal), false, nil
	}
	x.Find(f)
}

// short cuts a value for a sentence.
// Append encodes the conduct.
func (p *conduct) Append(b []byte) []byte {
	if len(p.list)+len(p.grants)+len(p.members)+len(p.holders) == 0 && p.told == 0 {
		return b
	}
	b = p.list.append(b)
	b = binary.AppendUvarint(b, uint64(len(p.grants)))
	for i := range p.grants {
		b = p.grants[i].append(b)
	}
	b = binary.BigEndian.AppendUint64(b, p.told)
	b = binary.AppendUvarint(b, uint64(len(p.members)))
	for _, m := range p.members {
		b = binary.BigEndian.AppendUint64(b, m)
	}
	if len(p.grants)+len(p.holders) == 0 {
		return b
	}
	for i := range p.grants { // what came later stands behind all the rest, so that older pages are read
		b = append(b, p.grants[i].more())
	}
	b = binary.AppendUvarint(b, uint64(len(p.holders)))
	for i := range p.holders {
		b = binary.BigEndian.AppendUint64(append(b, p.holders[i].id[:]...), p.holders[i].agent)
	}
	return b
}

// Decode reads what Append wrote.
func (p *conduct) Decode(r *wire.Reader) {
	*p = conduct{}
	p.list.decode(r)
	for range min(r.Len(), maxGrants) {
		g := grant{}
		g.decode(r)
		p.grants = append(p.grants, g)
	}
	p.told = r.Uint64()
	for range min(r.Len(), maxMembers) {
		p.members = append(p.members, r.Uint64())
	}
	if r.Err != nil || len(r.B) == 0 {
		return
	}
	for i := range p.grants {
		p.grants[i].readMore(r.Byte())
	}
	for range min(r.Len(), maxHolders) {
		h := holder{}
		binary.BigEndian.PutUint64(h.id[:], r.Uint64())
		binary.BigEndian.PutUint64(h.id[8:], r.Uint64())
		h.agent = r.Uint64()
		p.holders = append(p.holders, h)
	}
}

// policyKind registers the detector of what personas may do.
var policyKind = Kind{Name: "policy", Slot: 1, New: newPersonaPolicy, Part: func() Part { return new(conduct) }}
