package persona

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// maxGrants bounds the approvals remembered of one agent. One that cannot be used any more goes
// first, then the oldest: a call that needed it is then one that nobody approved, so nobody gains
// by asking for many.
const maxGrants = 256

// maxApprover bounds the name of an approver in memory; a longer one never counts.
const maxApprover = 256

// Steps of an approval. The last three are final: what was refused is not granted by a record that
// comes late or again. What covers a call is what was in force at its own time, in whatever order
// the records came.
const (
	requested = iota + 1
	granted
	denied
	expired
	revoked
)

var steps = map[string]byte{"requested": requested, "granted": granted, "denied": denied, "expired": expired,
	"revoked": revoked}

// grant is one approval, as far as it is known.
type grant struct {
	id, digest print // digest: zero if it names no arguments
	state      byte  // requested or granted; 0: neither was heard of
	end        byte  // denied, expired or revoked; 0: it was not
	used, own  bool  // own: by the agent's own side
	forged     bool  // granted by a source that an agent can write as (source.trusted false)
	bypass     bool  // of all that needs approval, until it expires
	at         int64 // event time at which it was granted
	ended      int64 // and ended
	expires    int64 // 0: it does not say
	asker      uint64
	by         string
	made       policy.Algorithm // of digest
}

// print is half a SHA-256: whoever chooses the texts must not be able to make two alike.
type print [16]byte

func printOf(s string) (p print) {
	if s != "" {
		sum := sha256.Sum256([]byte(s))
		copy(p[:], sum[:])
	}
	return p
}

// hear takes a step of an approval in, and finds when somebody approved who may not.
func (d *personaPolicy) hear(x *detectors.Scene, e *event.Event) {
	a := &e.Approval
	state := steps[a.State]
	if state == 0 {
		return
	}
	digest, made := d.digestOf(x, e)
	id := approvalID(e)
	part := x.Agent.Ensure(d.slot).(*conduct)
	g := part.grant(id)
	if g == nil {
		if state == expired || state == denied || state == revoked {
			if a.ID == "" && digest == (print{}) {
				return // of what?
			}
		}
		g = part.push(id)
	}
	forged := e.Source.Trusted == event.No
	if a.RequestedBy != "" && (g.asker == 0 || !forged) {
		g.asker = nameHash(a.RequestedBy)
	}
	// What anybody could have written does not stand in the way of what somebody did.
	again := state == granted && g.state == granted && g.forged && !forged
	if digest != (print{}) && (g.state <= requested || again) {
		g.digest, g.made = digest, made
	}
	if state > granted {
		if g.end == 0 || x.Time < g.ended {
			g.end, g.ended = state, x.Time
		}
		return
	}
	if state <= g.state && !again || g.end != 0 && g.ended <= x.Time {
		return
	}
	g.state = state
	if state != granted {
		return
	}
	g.at, g.bypass, g.forged, g.expires = x.Time, a.Bypass == event.Yes, forged, 0
	if e.Has&event.HasExpires != 0 {
		g.expires = a.Expires
	}
	g.by = strings.Clone(a.By[:min(len(a.By), maxApprover+1)])
	g.own = g.ownSide(e)
	d.holds(x, e, id)
	rules := rulesOf(x.Role)
	if x.Role != nil && x.Role.NeedsApproval() {
		if fault := g.approver(rules, e, true); fault != "" {
			d.found(x, e, &policy.Violation{Kind: "approver", Value: a.By}, fault)
			return
		}
	}
	if rules.NotSelf && a.By != "" && !g.own {
		b := append(wire.AppendString(append(d.body[:0], approvedNote), x.Persona), a.By...)
		d.body = b
		d.tell(x, e, b)
	}
}

// approvalID names an approval: by its id, else by what it is for, else by the record itself.
func approvalID(e *event.Event) print {
	a := &e.Approval
	if a.ID != "" {
		return printOf(a.ID)
	}
	digest := a.Digest
	if digest == "" && e.Kind == event.Approval {
		digest = e.ArgsDigest
	}
	if digest == "" {
		return printOf(e.ID)
	}
	plain, _ := policy.PlainDigest(digest)
	return printOf(plain)
}

// digestOf is the digest of the arguments that an approval is for. One that shows them is for
// these, whatever digest stands beside them.
func (d *personaPolicy) digestOf(x *detectors.Scene, e *event.Event) (print, policy.Algorithm) {
	digest := e.Approval.Digest
	if e.Kind == event.Approval {
		if digest == "" {
			digest = e.ArgsDigest
		}
		if policy.Shows(e) {
			shown := *e
			shown.ArgsDigest = digest
			if d.args.Contradict(&shown) {
				d.strays(x, e, faultDigest, false)
			}
			canonical, _ := d.args.Digests(e, policy.SHA256)
			return printOf(canonical), policy.SHA256
		}
	}
	plain, made := policy.PlainDigest(digest)
	return printOf(plain), made
}

// rulesOf are the rules for approvals of a persona, or of an agent whose persona nobody declared.
func rulesOf(role *policy.Persona) *policy.Approvals {
	if role == nil {
		return &policy.Shown
	}
	return &role.Approvals
}

// Whom an approval was given to is known in one more place, by its id, for the agent that shows
// another's: the agent's own shard cannot tell that from one that never was.

// maxHolders bounds the approvals remembered in one of the places; the oldest falls out, and an
// agent that shows it then shows one that is not known, which is found all the same.
const maxHolders = 1024

// Forms of a note to such a place, with the approval's id and the agent.
const (
	holdsNote = 'h'
	showsNote = 's' // and then persona, tool, session and user
)

// holder is an approval and the agent that it was given to.
type holder struct {
	id    print
	agent uint64
}

// place is where the holders of an approval are remembered: 256 of them in a tenant, so that
// inventing ids fills no more pages than that.
func place(id print) string {
	const digits = "0123456789abcdef"
	return "approval/" + string([]byte{digits[id[0]>>4], digits[id[0]&15]})
}

func (d *personaPolicy) holds(x *detectors.Scene, e *event.Event, id print) {
	if e.Approval.ID == "" {
		return
	}
	d.body = append(append(d.body[:0], holdsNote), id[:]...)
	d.body = append(d.body, e.Agent.ID...)
	x.Tell(d.slot, policy.ResourceScope, place(id), d.body)
}

// foreign asks whether an approval that its agent does not know is another's.
func (d *personaPolicy) foreign(x *detectors.Scene, e *event.Event) {
	id := printOf(e.Approval.ID)
	b := append(append(d.body[:0], showsNote), id[:]...)
	for _, text := range [...]string{x.Persona, e.Tool.Name, e.Session, e.User} {
		b = wire.AppendString(b, text)
	}
	d.body = append(b, e.Agent.ID...) // notes that say the same are one, and those of two agents are two
	x.Tell(d.slot, policy.ResourceScope, place(id), d.body)
}

// held answers a note about an approval and its holder.
func (d *personaPolicy) held(x *detectors.Closing, n *detectors.Note, part *conduct, r *wire.Reader) {
	if len(r.B) < len(print{}) {
		return
	}
	h := holder{agent: xxhash.Sum64String(n.Ref.Agent)}
	copy(h.id[:], r.B)
	r.B = r.B[len(h.id):]
	if n.Body[0] == holdsNote {
		if i := slices.Index(part.holders, h); i >= 0 {
			part.holders = slices.Delete(part.holders, i, i+1)
		} else if len(part.holders) == maxHolders {
			part.holders = slices.Delete(part.holders, 0, 1)
		}
		part.holders = append(part.holders, h)
		return
	}
	persona, tool, session, user := r.String(), r.String(), r.String(), r.String()
	known := false
	for i := range part.holders {
		if o := &part.holders[i]; o.id == h.id {
			if known = true; o.agent == h.agent {
				return
			}
		}
	}
	if r.Err != nil || !known {
		return
	}
	o, activity := part.list.Add(xxhash.Sum64(n.Body), n.Ref)
	if activity == event.Again {
		return
	}
	f := finding(d.set.Persona(n.Tenant, persona), persona, n.Ref.Agent, faultForeign, tool, false, o.Count)
	f.Activity, f.Session, f.User, f.Tool = activity, session, user, tool
	f.Agent, f.Persona, f.Response = n.Ref.Agent, persona, agentResponse(f.Response)
	f.Time, f.First, f.Last, f.Count, f.Refs = o.Trigger.Time, o.First, max(n.Ref.Time, o.First), o.Count, o.All()
	x.Find(f)
}

// Whether the approver is another agent of the same owner or credential only the relation stage can
// know, where all of them come together. Each agent is introduced there once a day; a note of an
// approval then finds the approver among those that were. The finding comes after the fact: the
// call goes through.

// maxMembers bounds the agents remembered of one owner or credential. The oldest introduction goes
// first, and who acts is introduced anew each day: of an owner with more agents than that, one that
// has not acted for long and approves is not recognised as of the own side. 64 KB at most.
const maxMembers = 8192

// Forms of a note to an owner or a credential.
const (
	memberNote   = 'm' // the note's agent has it
	approvedNote = 'a' // and then persona and approver
)

func (d *personaPolicy) introduce(x *detectors.Scene, e *event.Event) {
	told := xxhash.Sum64String(e.Agent.Owner) ^ bits.RotateLeft64(xxhash.Sum64String(e.Agent.Credential),
		1) ^ uint64(wire.FloorDiv(x.Time, 86_400_000))*0x9e3779b97f4a7c15
	if part, ok := x.Agent.Part(d.slot).(*conduct); ok && part.told == told {
		return
	}
	x.Agent.Ensure(d.slot).(*conduct).told = told
	// notes that say the same are one, and those of two agents are two
	d.body = append(append(d.body[:0], memberNote), e.Agent.ID...)
	d.tell(x, e, d.body)
}

func (d *personaPolicy) tell(x *detectors.Scene, e *event.Event, body []byte) {
	if e.Agent.Owner != "" {
		x.Tell(d.slot, policy.OwnerScope, e.Agent.Owner, body)
	}
	if e.Agent.Credential != "" {
		x.Tell(d.slot, policy.CredentialScope, e.Agent.Credential, body)
	}
}

// Note implements Noter.
func (d *personaPolicy) Note(x *detectors.Closing, n *detectors.Note) {
	if len(n.Body) == 0 {
		return
	}
	part := x.Memory.Ensure(d.slot).(*conduct)
	r := wire.Reader{B: n.Body[1:]}
	switch n.Body[0] {
	case holdsNote, showsNote:
		d.held(x, n, part, &r)
	case memberNote:
		part.member(nameHash(n.Ref.Agent))
	case approvedNote:
		persona, by := r.String(), ""
		if by = string(r.B); r.Err != nil || !slices.Contains(part.members, nameHash(by)) {
			return
		}
		role := d.set.Persona(n.Tenant, persona)
		scope := n.Scope.String()
		f := finding(role, persona, n.Ref.Agent, faultOwn, "", false, 1)
		if role != nil && role.NeedsApproval() {
			f.Rule, f.Title = "persona/"+role.Name+"/approver/"+scope, "Persona "+role.Name+" "+deeds["approver"].title
		} else {
			f.Rule += "/" + scope
		}
		f.Why = actor(role, n.Ref.Agent) + " was approved by " + strconv.Quote(detectors.Short(by)) +
			"; that is an agent of the same " + scope + ", " + strconv.Quote(detectors.Short(n.ID))
		f.Activity, f.Agent, f.Persona, f.Target, f.Response = event.Create, n.Ref.Agent, persona, by, agentResponse(
			f.Response)
		f.Time, f.First, f.Last, f.Count, f.Refs = n.Ref.Time, n.Ref.Time, n.Ref.Time, 1, []event.Ref{n.Ref}
		x.Find(f)
	}
}

// agentResponse is what a violation asks for, as far as it can be done about an agent whose session
// and tool are not known.
func agentResponse(r *event.Response) *event.Response {
	if r == nil || r.Scope != 0 && r.Scope != event.AgentScope {
		return nil
	}
	return r
}

func (p *conduct) member(agent uint64) {
	if i := slices.Index(p.members, agent); i >= 0 {
		p.members = slices.Delete(p.members, i, i+1)
	} else if len(p.members) == maxMembers {
		p.members = slices.Delete(p.members, 0, 1)
	}
	p.members = append(p.members, agent)
}

// What may be wrong with the approval of a call.
const (
	faultNone     = "nobody approved it"
	faultUnknown  = "the approval that it names is not known"
	faultAsked    = "it was asked for, but nobody approved it"
	faultLater    = "it was approved only after the call"
	faultDenied   = "its approval was denied"
	faultRevoked  = "its approval was revoked"
	faultExpired  = "its approval had expired"
	faultUsed     = "its approval was used before"
	faultOther    = "the approval was given for other arguments"
	faultBlank    = "the approval does not say for which arguments it was given"
	faultHidden   = "the call does not show its arguments"
	faultUnlike   = "its digest cannot be compared with the arguments"
	faultForged   = "the approval came from a source that is not trusted"
	faultForeign  = "the approval was given to another agent"
	faultDigest   = "the digest beside the arguments is not theirs"
	faultOwn      = "the approver is on the agent's own side"
	faultStranger = "the approver is not one who may approve"
)

// shows tells whether a call shows an approval: by its id or digest, or by saying that it was
// granted.
func shows(e *event.Event) bool {
	a := &e.Approval
	return a.ID != "" || a.Digest != "" || steps[a.State] == granted
}

// prints are the digests of the arguments of the call under observation, each made once it is asked
// for.
type prints struct {
	has [policy.SHA512 + 1]bool
	of  [policy.SHA512 + 1][2]print
}

// same compares a digest with the call's arguments; known: they can be compared.
func (d *personaPolicy) same(e *event.Event, digest print, by policy.Algorithm) (known, same bool) {
	if !d.prints.has[by] {
		canonical, raw := d.args.Digests(e, by)
		d.prints.of[by], d.prints.has[by] = [2]print{printOf(canonical), printOf(raw)}, true
	}
	of := &d.prints.of[by]
	return of[0] != (print{}), digest == of[0] || digest == of[1]
}

// approved looks for an approval of the call and uses it up. fault is what is wrong with the one
// that comes nearest. needs: without one the call may not be; else only what it shows is looked at.
func (d *personaPolicy) approved(x *detectors.Scene, e *event.Event, p *conduct, needs bool) (fault string, bypassed bool) {
	rules := rulesOf(x.Role)
	d.prints.has = [policy.SHA512 + 1]bool{}
	a := &e.Approval
	var best *grant
	exact := false
	if a.ID != "" || !needs {
		g := p.grant(approvalID(e))
		if g == nil && a.ID == "" && a.Digest != "" {
			g = p.digested(approvalID(e))
		}
		if g == nil {
			fault = faultUnknown
		} else if fault = g.fault(x, e, rules, needs); fault == "" && !g.bypass {
			fault = d.arguments(g, e, rules, needs)
		}
		if e.Has&event.HasExpires != 0 && x.Time > a.Expires && (fault == "" || fault == faultUnknown) {
			fault = faultExpired // by its own word
		}
		if fault == "" {
			best = g
		}
	} else {
		fault = faultNone
		for i := range p.grants {
			g := &p.grants[i]
			wrong := g.fault(x, e, rules, needs)
			if g.bypass {
				if wrong == "" && best == nil && (g.expires > 0 || rules.ValidMS > 0) {
					// without an end it is for calls that name it
					best = g
				}
				continue
			}
			known, same := false, false
			if rules.Digest != event.No && g.digest != (print{}) {
				known, same = d.same(e, g.digest, g.made)
			}
			if wrong == "" {
				wrong = d.arguments(g, e, rules, needs)
			} else if known && !same {
				continue // of another call, and no use to it either
			}
			switch {
			case wrong != "":
				if same || fault == faultNone {
					fault = wrong
				}
			case best == nil || best.bypass || same && !exact:
				best, exact = g, same
			}
		}
	}
	switch {
	case best == nil:
		// the gateway says itself that it let the call through
		return fault, fault != "" && a.Bypass == event.Yes && e.Source.Trusted != event.No
	case best.bypass:
		return "", true
	}
	if o := e.Result.Outcome; o == event.OK || o == event.NoOutcome {
		// as with limits, a call that failed did not happen
		best.used = true
	}
	return "", false
}

// fault is why the approval does not count now, whatever it is for.
func (g *grant) fault(x *detectors.Scene, e *event.Event, rules *policy.Approvals, needs bool) string {
	end := g.end
	if g.ended > x.Time && g.state != 0 {
		end = 0 // it was still to come
	}
	switch {
	case end == denied:
		return faultDenied
	case end == revoked:
		return faultRevoked
	case end == expired:
		return faultExpired
	case g.state != granted:
		return faultAsked
	case g.forged:
		return faultForged
	case g.at > x.Time:
		return faultLater
	case g.expires > 0 && x.Time > g.expires, rules.ValidMS > 0 && x.Time > detectors.AddSaturating(max(g.at, 0), rules.ValidMS):
		return faultExpired
	case g.used && rules.Once && !g.bypass:
		return faultUsed
	}
	return g.approver(rules, e, needs)
}

// approver is why whoever approved may not have done so. The list of approvers is for what needs an
// approval.
func (g *grant) approver(rules *policy.Approvals, e *event.Event, needs bool) string {
	switch {
	case rules.NotSelf && (g.own || g.ownSide(e)):
		return faultOwn
	case needs && (len(g.by) > maxApprover || !rules.MayApprove(g.by)):
		return faultStranger
	}
	return ""
}

// arguments is why the approval is not for the call's arguments.
func (d *personaPolicy) arguments(g *grant, e *event.Event, rules *policy.Approvals, needs bool) string {
	none := print{}
	if rules.Digest == event.No {
		return ""
	}
	asked := needs && rules.Digest == event.Yes
	if asked && !policy.Shows(e) && e.ArgsDigest == "" {
		return faultHidden
	}
	if asked && g.digest == none {
		return faultBlank
	}
	if g.digest != none {
		switch known, same := d.same(e, g.digest, g.made); {
		case known && !same:
			return faultOther
		case asked && !known:
			return faultUnlike
		}
	}
	if e.Approval.Digest != "" { // what the call says that was approved
		plain, made := policy.PlainDigest(e.Approval.Digest)
		if known, same := d.same(e, printOf(plain), made); known && !same {
			return faultOther
		}
	}
	return ""
}

// ownSide tells whether the approver is the agent, somebody on whose behalf it works, or who asked,
// as far as the event says.
func (g *grant) ownSide(e *event.Event) bool {
	if g.by == "" {
		return false
	}
	by := nameHash(g.by)
	if g.asker == by {
		return true
	}
	for _, name := range [...]string{e.Agent.ID, e.Agent.Owner, e.Agent.Credential, e.User, e.Delegation.From,
		e.Delegation.To, e.Approval.RequestedBy} {
		if name != "" && nameHash(name) == by {
			return true
		}
	}
	return false
}

// nameHash is a hash of whom a name is the name of, in any spelling.
func nameHash(s string) uint64 { return xxhash.Sum64String(event.Identity(s)) }

// strays finds that a call shows an approval that does not cover it, though its policy asked for
// none, or though no policy knows its agent. bypassed: the gateway says that it let the call
// through all the same, so it is recorded, and nobody is called.
func (d *personaPolicy) strays(x *detectors.Scene, e *event.Event, fault string, bypassed bool) {
	part := x.Agent.Ensure(d.slot).(*conduct)
	// approvals are told here: one that is not known never was
	told := len(part.grants) > 0 || x.Role != nil && x.Role.NeedsApproval()
	h := xxhash.New()
	if e.Session != "" && (fault != faultUnknown || told) {
		h.WriteString(e.Session)
	} else {
		h.WriteString(strconv.FormatInt(wire.FloorDiv(x.Time, 86_400_000), 10))
	}
	h.WriteString("\x00shows\x00" + fault)
	if fault != faultUnknown {
		h.WriteString("\x00" + e.Tool.Name)
	}
	o, activity := part.list.Add(h.Sum64(), x.Ref(e))
	f := finding(x.Role, x.Persona, e.Agent.ID, fault, e.Tool.Name, e.Result.Outcome == event.Denied, o.Count)
	if fault == faultUnknown {
		if f.Severity = min(f.Severity, event.Medium); !told {
			f.Severity, f.Response = event.Low, nil
		}
		f.Risk = detectors.Risk(f.Severity)
	}
	if bypassed {
		f.Severity, f.Risk, f.Alert, f.Response = event.Signal, detectors.Risk(event.Signal), false, nil
	}
	if activity == event.Again && (f.Response == nil || x.Settled(f.Response, event.AgentScope)) {
		return
	}
	f.Activity = activity
	f.Time, f.First, f.Last, f.Count, f.Refs = o.Trigger.Time, o.First, max(x.Time, o.First), o.Count, o.All()
	x.Find(f)
}

// claims are the last parts of the rules of findings about approvals that were shown.
var claims = map[string]string{
	faultOther: "changed", faultExpired: "expired", faultUsed: "used", faultOwn: "own-side", faultRevoked: "revoked",
	faultDenied: "denied", faultAsked: "pending",
	faultLater: "later", faultForged: "untrusted", faultUnknown: "unknown", faultForeign: "other-agent",
	faultDigest: "digest",
}

// actor names who shows an approval.
func actor(role *policy.Persona, agent string) string {
	if role != nil {
		return "persona " + role.Name
	}
	return "agent " + strconv.Quote(detectors.Short(agent))
}

// finding is one about an approval that was shown; the caller fills in when and how often.
func finding(role *policy.Persona, persona, agent, fault, tool string, tried bool, count int64) event.Finding {
	f := event.Finding{
		Analytic: event.RuleAnalytic, Severity: event.High, Alert: true, Detector: "policy",
		Rule:  "approval/" + claims[fault],
		Title: "An approval was shown that does not cover the call", Tags: []string{"ASI03"}, ScopeType: "agent",
		ScopeID: agent, Target: tool,
	}
	if fault == faultDigest {
		f.Title = "A digest is not of the arguments beside it"
	}
	if role != nil {
		f.Severity, f.Alert, f.RuleVersion, f.Response = role.Severity, role.Severity > event.Signal, role.Version,
			role.Respond
		if len(role.Tags) > 0 {
			f.Tags = role.Tags
		}
	}
	did := " used tool "
	if tried {
		did = " tried to use tool "
	}
	f.Why = actor(role, agent)
	if tool != "" {
		f.Why += did + strconv.Quote(detectors.Short(tool))
	} else {
		f.Why += " showed an approval"
	}
	f.Why += detectors.Times(count) + "; " + fault
	f.Risk = detectors.Risk(f.Severity)
	return f
}

// digested finds an approval by the arguments that it is for.
func (p *conduct) digested(digest print) *grant {
	for i := range p.grants {
		if p.grants[i].digest == digest {
			return &p.grants[i]
		}
	}
	return nil
}

func (p *conduct) grant(id print) *grant {
	for i := range p.grants {
		if p.grants[i].id == id {
			return &p.grants[i]
		}
	}
	return nil
}

func (p *conduct) push(id print) *grant {
	if len(p.grants) == maxGrants {
		out := 0
		for i := range p.grants {
			if g := &p.grants[i]; g.used || g.end != 0 {
				out = i
				break
			}
		}
		p.grants = append(p.grants[:out], p.grants[out+1:]...)
	}
	p.grants = append(p.grants, grant{id: id})
	return &p.grants[len(p.grants)-1]
}

func (g *grant) append(b []byte) []byte {
	b = append(append(b, g.id[:]...), g.digest[:]...)
	flags := g.state<<3 | g.end<<5
	for i, f := range [...]bool{g.used, g.own, g.bypass} {
		if f {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	b = binary.AppendVarint(b, g.at)
	b = binary.AppendVarint(b, g.ended)
	b = binary.AppendVarint(b, g.expires)
	b = binary.BigEndian.AppendUint64(b, g.asker)
	return wire.AppendString(b, g.by)
}

func (g *grant) decode(r *wire.Reader) {
	for _, p := range [...]*print{&g.id, &g.digest} {
		binary.BigEndian.PutUint64(p[:], r.Uint64())
		binary.BigEndian.PutUint64(p[8:], r.Uint64())
	}
	flags := r.Byte()
	g.state, g.end, g.used, g.own, g.bypass = flags>>3&3, flags>>5, flags&1 != 0, flags&2 != 0, flags&4 != 0
	g.at, g.ended, g.expires, g.asker, g.by = r.Varint(), r.Varint(), r.Varint(), r.Uint64(), r.String()
}

// more is what later versions remember of an approval, readMore reads it.
func (g *grant) more() byte {
	b := byte(g.made) << 1
	if g.forged {
		b |= 1
	}
	return b
}

func (g *grant) readMore(b byte) {
	g.forged, g.made = b&1 != 0, policy.Algorithm(b>>1)
	if g.made > policy.SHA512 {
		g.made = policy.Opaque
	}
}
