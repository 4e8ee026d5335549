package detectors

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// maxGrants bounds the approvals remembered of one agent. One that cannot be used any more goes first, then the oldest: a call that needed it is then
// one that nobody approved, so nobody gains by asking for many.
const maxGrants = 256

// maxApprover bounds the name of an approver in memory; a longer one never counts.
const maxApprover = 256

// Steps of an approval. The last three are final: what was refused is not granted by a record that comes late or again. What covers a call is what was in force at its
// own time, in whatever order the records came.
const (
	requested = iota + 1
	granted
	denied
	expired
	revoked
)

var steps = map[string]byte{"requested": requested, "granted": granted, "denied": denied, "expired": expired, "revoked": revoked}

// grant is one approval, as far as it is known.
type grant struct {
	id, digest print // digest: zero if it names no arguments
	state      byte  // requested or granted; 0: neither was heard of
	end        byte  // denied, expired or revoked; 0: it was not
	used, own  bool  // own: by the agent's own side
	bypass     bool  // of all that needs approval, until it expires
	at         int64 // event time at which it was granted
	ended      int64 // and ended
	expires    int64 // 0: it does not say
	asker      uint64
	by         string
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
func (d *personaPolicy) hear(x *Scene, e *event.Event) {
	a := &e.Approval
	state := steps[a.State]
	if state == 0 {
		return
	}
	digest := printOf(policy.PlainDigest(a.Digest))
	id := printOf(a.ID)
	if a.ID == "" { // what it is for names it, else the record itself
		if id = digest; id == (print{}) {
			id = printOf(e.ID)
		}
	}
	part := x.Agent.Ensure(d.slot).(*conduct)
	g := part.grant(id)
	if g == nil {
		if state == expired || state == denied || state == revoked {
			if a.ID == "" && a.Digest == "" {
				return // of what?
			}
		}
		g = part.push(id)
	}
	if a.RequestedBy != "" {
		g.asker = nameHash(a.RequestedBy)
	}
	if digest != (print{}) && g.state <= requested {
		g.digest = digest
	}
	if state > granted {
		if g.end == 0 || x.Time < g.ended {
			g.end, g.ended = state, x.Time
		}
		return
	}
	if state <= g.state || g.end != 0 && g.ended <= x.Time {
		return
	}
	g.state = state
	if state != granted {
		return
	}
	g.at, g.bypass = x.Time, a.Bypass == event.Yes
	if e.Has&event.HasExpires != 0 {
		g.expires = a.Expires
	}
	g.by = strings.Clone(a.By[:min(len(a.By), maxApprover+1)])
	g.own = g.ownSide(e) || a.By != "" && g.asker == nameHash(a.By)
	if x.Role == nil || !x.Role.NeedsApproval() {
		return
	}
	if fault := g.approver(x.Role, e); fault != "" {
		d.found(x, e, &policy.Violation{Kind: "approver", Value: a.By}, fault)
	} else if x.Role.Approvals.NotSelf && a.By != "" {
		b := append(baselines.AppendString(append(d.body[:0], approvedNote), x.Persona), a.By...)
		d.body = b
		d.tell(x, e, b)
	}
}

// Whether the approver is another agent of the same owner or credential only the relation stage can know, where all of them come together. Each agent is
// introduced there once a day; a note of an approval then finds the approver among those that were. The finding comes after the fact: the call goes through.

// maxMembers bounds the agents remembered of one owner or credential. The oldest introduction goes first, and who acts is introduced anew each day: of an owner with
// more agents than that, one that has not acted for long and approves is not recognised as of the own side. 64 KB at most.
const maxMembers = 8192

// Forms of a note to an owner or a credential.
const (
	memberNote   = 'm' // the note's agent has it
	approvedNote = 'a' // and then persona and approver
)

func (d *personaPolicy) introduce(x *Scene, e *event.Event) {
	told := xxhash.Sum64String(e.Agent.Owner) ^ bits.RotateLeft64(xxhash.Sum64String(e.Agent.Credential), 1) ^ uint64(baselines.FloorDiv(x.Time, 86_400_000))*0x9e3779b97f4a7c15
	if part, ok := x.Agent.Part(d.slot).(*conduct); ok && part.told == told {
		return
	}
	x.Agent.Ensure(d.slot).(*conduct).told = told
	d.tell(x, e, []byte{memberNote})
}

func (d *personaPolicy) tell(x *Scene, e *event.Event, body []byte) {
	if e.Agent.Owner != "" {
		x.Tell(d.slot, policy.OwnerScope, e.Agent.Owner, body)
	}
	if e.Agent.Credential != "" {
		x.Tell(d.slot, policy.CredentialScope, e.Agent.Credential, body)
	}
}

// Note implements Noter.
func (d *personaPolicy) Note(x *Closing, n *Note) {
	if len(n.Body) == 0 {
		return
	}
	part := x.Memory.Ensure(d.slot).(*conduct)
	r := baselines.Reader{B: n.Body[1:]}
	switch n.Body[0] {
	case memberNote:
		part.member(nameHash(n.Ref.Agent))
	case approvedNote:
		persona, by := r.String(), ""
		if by = string(r.B); r.Err != nil || !slices.Contains(part.members, nameHash(by)) {
			return
		}
		role := d.set.Persona(n.Tenant, persona)
		if role == nil {
			return
		}
		scope := n.Scope.String()
		x.Find(event.Finding{
			Activity: event.Create, Analytic: event.RuleAnalytic, Severity: role.Severity, Risk: risk(role.Severity), Alert: role.Severity > event.Signal,
			Detector: "policy", Rule: "persona/" + role.Name + "/approver/" + scope, RuleVersion: role.Version,
			Title: "Persona " + role.Name + " " + deeds["approver"].title,
			Why:   "persona " + role.Name + " was approved by " + strconv.Quote(short(by)) + "; that is an agent of the same " + scope + ", " + strconv.Quote(short(n.ID)),
			Tags:  role.Tags, ScopeType: "agent", ScopeID: n.Ref.Agent, Agent: n.Ref.Agent, Persona: role.Name, Target: by,
			Time: n.Ref.Time, First: n.Ref.Time, Last: n.Ref.Time, Count: 1, Refs: []event.Ref{n.Ref}, Response: agentResponse(role.Respond),
		})
	}
}

// agentResponse is what a violation asks for, as far as it can be done about an agent whose session and tool are not known.
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
	faultOwn      = "the approver is on the agent's own side"
	faultStranger = "the approver is not one who may approve"
)

// approved looks for an approval of the call and uses it up. fault is what is wrong with the one that comes nearest.
func (p *conduct) approved(x *Scene, e *event.Event) (fault string, bypassed bool) {
	rules := &x.Role.Approvals
	digest := print{}
	if rules.Digest != event.No {
		digest = printOf(policy.Digest(e))
	}
	var best *grant
	exact := false
	if e.Approval.ID != "" {
		g := p.grant(printOf(e.Approval.ID))
		if g == nil {
			fault = faultUnknown
		} else if fault = g.fault(x, e); fault == "" && !g.bypass {
			fault = g.arguments(rules.Digest, digest)
		}
		if fault == "" {
			best = g
		}
	} else {
		fault = faultNone
		for i := range p.grants {
			g := &p.grants[i]
			wrong := g.fault(x, e)
			if g.bypass {
				if wrong == "" && best == nil && (g.expires > 0 || rules.ValidMS > 0) { // without an end it is for calls that name it
					best = g
				}
				continue
			}
			same := digest != (print{}) && g.digest == digest
			if wrong == "" {
				wrong = g.arguments(rules.Digest, digest)
			} else if digest != (print{}) && g.digest != (print{}) && !same {
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
		return fault, fault != "" && e.Approval.Bypass == event.Yes // the gateway says itself that it let the call through
	case best.bypass:
		return "", true
	}
	if o := e.Result.Outcome; o == event.OK || o == event.NoOutcome { // as with limits, a call that failed did not happen
		best.used = true
	}
	return "", false
}

// fault is why the approval does not count now, whatever it is for.
func (g *grant) fault(x *Scene, e *event.Event) string {
	rules := &x.Role.Approvals
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
	case g.at > x.Time:
		return faultLater
	case g.expires > 0 && x.Time > g.expires, rules.ValidMS > 0 && x.Time > addSaturating(max(g.at, 0), rules.ValidMS):
		return faultExpired
	case g.used && rules.Once && !g.bypass:
		return faultUsed
	}
	return g.approver(x.Role, e)
}

// approver is why whoever approved may not have done so.
func (g *grant) approver(role *policy.Persona, e *event.Event) string {
	switch {
	case role.Approvals.NotSelf && (g.own || g.ownSide(e)):
		return faultOwn
	case len(g.by) > maxApprover || !role.Approvals.MayApprove(g.by):
		return faultStranger
	}
	return ""
}

// arguments is why the approval is not for these arguments.
func (g *grant) arguments(asked event.Tri, digest print) string {
	none := print{}
	switch {
	case asked == event.No:
		return ""
	case asked == event.Yes && digest == none:
		return faultHidden
	case asked == event.Yes && g.digest == none:
		return faultBlank
	case digest != none && g.digest != none && g.digest != digest:
		return faultOther
	}
	return ""
}

// ownSide tells whether the approver is the agent, or somebody on whose behalf it works, as far as the event says.
func (g *grant) ownSide(e *event.Event) bool {
	for _, name := range [...]string{e.Agent.ID, e.Agent.Owner, e.Agent.Credential, e.User, e.Delegation.From, e.Delegation.To} {
		if name != "" && g.by != "" && event.SameIdentity(name, g.by) {
			return true
		}
	}
	return false
}

// nameHash is a hash of whom a name is the name of, in any spelling.
func nameHash(s string) uint64 { return xxhash.Sum64String(event.Identity(s)) }

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
	return baselines.AppendString(b, g.by)
}

func (g *grant) decode(r *baselines.Reader) {
	for _, p := range [...]*print{&g.id, &g.digest} {
		binary.BigEndian.PutUint64(p[:], r.Uint64())
		binary.BigEndian.PutUint64(p[8:], r.Uint64())
	}
	flags := r.Byte()
	g.state, g.end, g.used, g.own, g.bypass = flags>>3&3, flags>>5, flags&1 != 0, flags&2 != 0, flags&4 != 0
	g.at, g.ended, g.expires, g.asker, g.by = r.Varint(), r.Varint(), r.Varint(), r.Uint64(), r.String()
}
