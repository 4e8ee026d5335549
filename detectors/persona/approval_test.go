package persona

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// cashier is a persona whose payments need approval; rules are the approvals' own.
func cashier(rules string) string {
	return `{"v":1,"personas":[{"name":"cashier","default":"deny","tools":{"allow":["get"],"needs_approval":["pay"]},"classes":{"needs_approval":["pay"]},"approvals":{` +
		rules + `}}]}`
}

const minute = int64(60_000)

func pay(at int64, id string, change ...func(e *event.Event)) event.Event {
	e := detectorstest.Call(at, id)
	e.Persona, e.Tool.Name, e.Tool.Class = "cashier", "pay", event.Pay
	e.Agent.Owner, e.Agent.Credential = "team-a", "cred-a"
	for _, c := range change {
		c(&e)
	}
	return e
}

func step(at int64, id, state, by string, change ...func(e *event.Event)) event.Event {
	e := pay(at, "step "+id+state)
	e.Kind, e.Tool, e.Session = event.Approval, event.Tool{}, ""
	e.Approval = event.ApprovalOf{ID: id, State: state, By: by}
	for _, c := range change {
		c(&e)
	}
	return e
}

func names(id string) func(e *event.Event) { return func(e *event.Event) { e.Approval.ID = id } }
func digest(d string) func(e *event.Event) {
	return func(e *event.Event) {
		if e.Kind == event.Approval {
			e.Approval.Digest = d
		} else {
			e.ArgsDigest = d
		}
	}
}

func TestApprovals(t *testing.T) {
	const strict = `"by":["lead-*"],"valid":"1h","digest":true`
	args := `{"note":"x","amount":5}`
	sum := sha256.Sum256([]byte(args))
	shown := func(e *event.Event) { e.Args = []byte(args) }
	say := func(why string) []string { return []string{why} }
	used := func(fault string) []string {
		return say(`approval: persona cashier used tool "pay"; ` + fault + `; tool "pay" needs one (pay)`)
	}
	for claim, c := range map[string]struct {
		rules  string
		events []event.Event
		want   []string
	}{
		"without one it is a violation": {"", []event.Event{pay(0, "e1")}, used(faultNone)},
		"with one it is not": {"",
			[]event.Event{step(0, "a", "granted", "boss"), pay(1, "e1")}, nil},
		"what needs none asks for none": {"",
			[]event.Event{pay(0, "e1", func(e *event.Event) { e.Tool = event.Tool{Name: "get"} })}, nil},
		"two things that need one are one violation": {`"once":true`, []event.Event{pay(0, "e1")},
			used(faultNone)},
		"a refused call was tried": {"",
			[]event.Event{pay(0, "e1", func(e *event.Event) { e.Result.Outcome = event.Denied })},
			say(`approval: persona cashier tried to use tool "pay"; ` + faultNone + `; tool "pay" needs one (pay)`)},
		"a request is not an approval": {"",
			[]event.Event{step(0, "a", "requested", ""), pay(1, "e1")}, used(faultAsked)},
		"nor is a denial": {"",
			[]event.Event{step(0, "a", "denied", "boss"), pay(1, "e1")}, used(faultDenied)},
		"what was denied is not granted afterwards": {"",
			[]event.Event{step(0, "a", "denied", "boss"), step(1, "a", "granted", "boss"), pay(2, "e1")},
			used(faultDenied)},
		"nor what was revoked": {"",
			[]event.Event{step(0, "a", "granted", "boss"), step(1, "a", "revoked", "boss"), pay(2, "e1")},
			used(faultRevoked)},
		"one that was given after the call does not cover it": {"",
			[]event.Event{step(8, "a", "granted", "boss"), pay(5, "e1")}, used(faultLater)},
		"nor does it if the call names it": {"",
			[]event.Event{step(8, "a", "granted", "boss"), pay(5, "e1", names("a"))}, used(faultLater)},
		"nor by the arguments alone": {`"digest":true`,
			[]event.Event{step(8, "", "granted", "boss", digest("d1")), pay(5, "e1", digest("d1"))}, used(faultLater)},
		"nor does a bypass": {`"valid":"1h"`,
			[]event.Event{step(8, "a", "granted", "boss", func(e *event.Event) { e.Approval.Bypass = event.Yes }),
				pay(5, "e1")}, used(faultNone)},
		"it does cover a call at its own time": {"",
			[]event.Event{step(5, "a", "granted", "boss"), pay(5, "e1")}, nil},
		"one asked for before and given after the call": {"",
			[]event.Event{step(1, "a", "requested", ""), step(8, "a", "granted", "boss"), pay(5, "e1")},
			used(faultLater)},
		"one revoked after the call covers it": {"",
			[]event.Event{step(0, "a", "granted", "boss"), step(8, "a", "revoked", "boss"), pay(5, "e1")}, nil},
		"revoked before it, in whatever order it is told": {"",
			[]event.Event{step(3, "a", "revoked", "boss"), step(0, "a", "granted", "boss"), pay(5, "e1")},
			used(faultRevoked)},
		"expired after the call, which was told late": {"",
			[]event.Event{step(0, "a", "granted", "boss"), step(8, "a", "expired", ""), pay(5, "e1")}, nil},
		"a denial of which is told twice, the earlier counts": {"",
			[]event.Event{step(0, "a", "granted", "boss"), step(8, "a", "denied", "boss"),
				step(4, "a", "denied", "boss"), pay(5, "e1")}, used(faultDenied)},
		"granted late for what was denied before": {"",
			[]event.Event{step(3, "a", "denied", "boss"), step(4, "a", "granted", "boss"), pay(5, "e1")},
			used(faultDenied)},
		"nor what expired": {"",
			[]event.Event{step(0, "a", "granted", "boss"), step(1, "a", "expired", ""), pay(2, "e1")},
			used(faultExpired)},
		"an approval is for one call": {"",
			[]event.Event{step(0, "a", "granted", "boss"), pay(1, "e1"), pay(2, "e2")}, used(faultUsed)},
		"granting it again does not make it two": {"",
			[]event.Event{step(0, "a", "granted", "boss"), pay(1, "e1"), step(2, "a", "granted", "boss"), pay(3, "e2")},
			used(faultUsed)},
		"unless the persona says so": {`"once":false`,
			[]event.Event{step(0, "a", "granted", "boss"), pay(1, "e1"), pay(2, "e2")}, nil},
		"a call that failed does not use it up": {"",
			[]event.Event{step(0, "a", "granted", "boss"),
				pay(1, "e1", func(e *event.Event) { e.Result.Outcome = event.Error }), pay(2, "e2")}, nil},
		"two approvals are for two calls": {"",
			[]event.Event{step(0, "a", "granted", "boss"), step(0, "b", "granted", "boss"), pay(1, "e1"), pay(2, "e2")},
			nil},
		"a call may name its approval": {"",
			[]event.Event{step(0, "a", "granted", "boss"), step(0, "b", "granted", "boss"), pay(1, "e1", names("b")),
				pay(2, "e2", names("b"))}, used(faultUsed)},
		"one that is not known is none": {"",
			[]event.Event{step(0, "a", "granted", "boss"), pay(1, "e1", names("c"))}, used(faultUnknown)},
		"the gateway may say it with the call": {"",
			[]event.Event{pay(1, "e1",
				func(e *event.Event) { e.Approval = event.ApprovalOf{ID: "a", State: "granted", By: "boss"} })}, nil},
		"approve A, run B": {"",
			[]event.Event{step(0, "a", "granted", "boss", digest("A")), pay(1, "e1", names("a"), digest("B"))},
			used(faultOther)},
		"also without naming it": {"",
			[]event.Event{step(0, "a", "granted", "boss", digest("A")), pay(1, "e1", digest("B"))}, used(faultOther)},
		"unless digests are not looked at": {`"digest":false`,
			[]event.Event{step(0, "a", "granted", "boss", digest("A")), pay(1, "e1", digest("B"))}, nil},
		"of several the one for these arguments is it": {"",
			[]event.Event{step(0, "a", "granted", "boss", digest("A")), step(0, "b", "granted", "boss", digest("B")),
				pay(1, "e1", digest("B")), pay(2, "e2", digest("B"))}, used(faultUsed)},
		"another call's denial does not matter": {"",
			[]event.Event{step(0, "a", "denied", "boss", digest("A")), pay(1, "e1", digest("B"))}, used(faultNone)},
		"the request's digest holds if the grant's is absent": {"",
			[]event.Event{step(0, "a", "requested", "", digest("A")), step(1, "a", "granted", "boss"),
				pay(2, "e1", names("a"), digest("B"))}, used(faultOther)},
		"where digests are asked for, the very arguments pass": {strict,
			[]event.Event{step(0, "a", "granted", "lead-1",
				digest("SHA256:"+strings.ToUpper(hex.EncodeToString(sum[:])))), pay(1, "e1", shown)}, nil},
		"an approval without one does not": {strict,
			[]event.Event{step(0, "a", "granted", "lead-1"), pay(1, "e1", shown)}, used(faultBlank)},
		"nor a call that hides its arguments": {strict,
			[]event.Event{step(0, "a", "granted", "lead-1", digest("A")), pay(1, "e1")}, used(faultHidden)},
		"it is valid for so long": {strict,
			[]event.Event{step(0, "a", "granted", "lead-1", digest("A")), pay(60*minute, "e1", digest("A"))}, nil},
		"and no longer": {strict,
			[]event.Event{step(0, "a", "granted", "lead-1", digest("A")), pay(60*minute+1, "e1", digest("A"))},
			used(faultExpired)},
		"its own end holds as well": {strict,
			[]event.Event{step(0, "a", "granted", "lead-1", digest("A"),
				func(e *event.Event) {
					e.Approval.Expires, e.Has = minute, event.HasExpires
				}), pay(minute+1, "e1", digest("A"))}, used(faultExpired)},
		"a stranger is told when he approves and when it is used": {strict,
			[]event.Event{step(0, "a", "granted", "eve", digest("A")), pay(1, "e1", digest("A"))},
			append(say(`approver: persona cashier was approved by "eve"; `+faultStranger), used(faultStranger)...)},
		"approvers have no case": {strict, []event.Event{step(0, "a", "granted", "Lead-1", digest("A")),
			pay(1, "e1", digest("A"))}, nil},
		"an agent does not approve itself": {"", []event.Event{step(0, "a", "granted", "A1"), pay(1, "e1")},
			append(say(`approver: persona cashier was approved by "A1"; `+faultOwn), used(faultOwn)...)},
		"nor does its owner": {"", []event.Event{step(0, "a", "granted", "team-a"), pay(1, "e1")},
			append(say(`approver: persona cashier was approved by "team-a"; `+faultOwn), used(faultOwn)...)},
		"nor its user, though only the call names him": {"",
			[]event.Event{step(0, "a", "granted", "u1", func(e *event.Event) { e.User = "" }), pay(1, "e1")},
			used(faultOwn)},
		"nor who delegated to it": {"",
			[]event.Event{step(0, "a", "granted", "chief", func(e *event.Event) { e.Delegation.From = "chief" }),
				pay(1, "e1")},
			append(say(`approver: persona cashier was approved by "chief"; `+faultOwn), used(faultOwn)...)},
		"nor whoever asked": {"",
			[]event.Event{step(0, "a", "requested", "", func(e *event.Event) { e.Approval.RequestedBy = "joe" }),
				step(1, "a", "granted", "Joe"), pay(2, "e1")},
			append(say(`approver: persona cashier was approved by "Joe"; `+faultOwn), used(faultOwn)...)},
		"unless the persona lets it": {`"not_self":false`,
			[]event.Event{step(0, "a", "granted", "a1"), pay(1, "e1")}, nil},
		"a bypass lets pass and is recorded": {"",
			[]event.Event{pay(0, "e1", func(e *event.Event) { e.Approval.Bypass = event.Yes })},
			say(`bypass (signal): persona cashier used tool "pay"; approvals were bypassed`)},
		"a bypass with an end holds for all": {`"valid":"1h"`,
			[]event.Event{step(0, "a", "granted", "boss", func(e *event.Event) { e.Approval.Bypass = event.Yes }),
				pay(1, "e1"), pay(2, "e2"), pay(61*minute, "e3")},
			append(say(`bypass (signal): persona cashier used tool "pay"; approvals were bypassed`),
				append(say(`bypass (signal): persona cashier used tool "pay" 2 times; approvals were bypassed`),
					used(faultNone)...)...)},
		"one without an end only for the call that names it": {"",
			[]event.Event{step(0, "a", "granted", "boss", func(e *event.Event) { e.Approval.Bypass = event.Yes }),
				pay(1, "e1"), pay(2, "e2", names("a"))},
			append(used(faultNone), `bypass (signal): persona cashier used tool "pay"; approvals were bypassed`)},
		"a bypass from a source that is not trusted is none": {"",
			[]event.Event{pay(0, "e1", func(e *event.Event) {
				e.Approval.Bypass, e.Source.Trusted = event.Yes,
					event.No
			})}, used(faultNone)},
		"nor an approval from one": {"",
			[]event.Event{step(0, "a", "granted", "boss", func(e *event.Event) { e.Source.Trusted = event.No }),
				pay(1, "e1")}, used(faultForged)},
		"its arguments in another order are the same": {`"digest":true`,
			[]event.Event{step(0, "a", "granted", "boss", digest(sha(`{"a":1,"b":2}`))),
				pay(1, "e1", arguments(`{"b": 2.0, "a": 1}`))}, nil},
		"others beside the digest that was approved are not": {`"digest":true`,
			[]event.Event{step(0, "a", "granted", "boss", digest(sha(`{"a":1}`))),
				pay(1, "e1", arguments(`{"a":2}`), digest(sha(`{"a":1}`)))},
			append([]string{`approval/digest: persona cashier used tool "pay"; ` + faultDigest}, used(faultOther)...)},
		"an approval that says no persona counts": {"",
			[]event.Event{step(0, "a", "granted", "boss", func(e *event.Event) { e.Persona = "" }), pay(1, "e1")}, nil},
		"one of another agent does not": {"",
			[]event.Event{step(0, "a", "granted", "boss", func(e *event.Event) { e.Agent.ID = "a2" }), pay(1, "e1")},
			used(faultNone)},
		"a step that is no step is ignored": {"", []event.Event{step(0, "a", "waved", "boss"), pay(1, "e1")},
			used(faultNone)},
		"a digest names an approval without an id": {"", []event.Event{step(0, "", "granted", "boss", digest("A")),
			step(1, "", "revoked", "boss", digest("A")), pay(2, "e1", digest("A"))}, used(faultRevoked)},
	} {
		t.Run(claim, func(t *testing.T) {
			for _, reload := range []bool{false, true} {
				h := detectorstest.NewHost(t, cashier(c.rules))
				h.Reload = reload
				for i := range c.events {
					h.Observe(&c.events[i])
				}
				var got []string
				for _, f := range h.Found {
					kind := strings.TrimPrefix(f.Rule, "persona/cashier/")
					if f.Severity == event.Signal && !f.Alert {
						kind += " (signal)"
					}
					got = append(got, kind+": "+f.Why)
				}
				if diff := gocmp.Diff(c.want, got); diff != "" {
					t.Errorf("pages reloaded: %v (-want +got):\n%s", reload, diff)
				}
			}
		})
	}
}

func TestSoManyApprovalsAreRemembered(t *testing.T) {
	h := detectorstest.NewHost(t, cashier(""))
	for i := range maxGrants {
		e := step(0, fmt.Sprint("a", i), "granted", "boss")
		h.Observe(&e)
	}
	first := pay(1, "e0", names("a0"))
	h.Observe(&first)
	denied := step(2, "a7", "denied", "boss")
	h.Observe(&denied)
	for i := range 2 { // used and denied ones make room
		e := step(3, fmt.Sprint("b", i), "granted", "boss")
		h.Observe(&e)
	}
	for i, id := range []string{"a1", "b0", "b1"} {
		e := pay(4, fmt.Sprint("f", i), names(id))
		h.Observe(&e)
	}
	if len(h.Found) != 0 {
		t.Errorf("an approval was lost: %s", h.Found[0].Why)
	}
	again := pay(5, "g", names("a0"))
	if h.Observe(&again); len(h.Found) != 1 {
		t.Error("one that made room counts again")
	}
	part := h.Agents["acme|a1"].Part(1).(*conduct)
	if len(part.grants) > maxGrants {
		t.Errorf("%d remembered", len(part.grants))
	}
}

// Any conduct that events can lead to comes back from its encoding, and cut short it is an error at
// every byte.
func TestConductComesBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(ss ...string) string { return ss[rng.IntN(len(ss))] }
	h := detectorstest.NewHost(t, cashier(`"valid":"1h"`))
	for i := range 3000 {
		at := int64(i) * 7000
		e := pay(at, fmt.Sprint("e", i), names(pick("", "", fmt.Sprint("a", rng.IntN(40)))), digest(pick("", "A", "B")))
		if rng.IntN(2) == 0 {
			e = step(at, pick("", fmt.Sprint("a", rng.IntN(40))),
				pick("requested", "granted", "granted", "denied", "expired", "revoked"),
				pick("", "boss", "a1", strings.Repeat("x", 300)), digest(pick("", "A", "B")))
			e.ID, e.Approval.RequestedBy, e.Approval.Bypass = fmt.Sprint("s", i), pick("", "boss",
				"joe"), event.Tri(rng.IntN(3))
		}
		h.Observe(&e)
		if i%100 != 0 {
			continue
		}
		m := h.Agents["acme|a1"]
		b := m.Append(nil)
		var again detectors.Memory
		r := wire.Reader{B: b}
		if again.Decode(&r); r.Err != nil || len(r.B) > 0 {
			t.Fatal(r.Err, len(r.B))
		}
		if got := again.Append(nil); string(got) != string(b) {
			t.Fatal("another conduct comes back")
		}
	}
	b := h.Agents["acme|a1"].Part(1).Append(nil)
	for n := range len(b) {
		var p conduct
		r := wire.Reader{B: b[:n]}
		p.Decode(&r)
		if r.Err == nil && string(p.Append(nil)) == string(b) {
			t.Fatalf("cut at %d of %d it is whole", n, len(b))
		}
	}
}

func TestAnApproverMayNotBeAnAgentOfTheSameSide(t *testing.T) {
	other := func(owner, credential string) func(e *event.Event) {
		return func(e *event.Event) { e.Agent = event.Agent{ID: "a2", Owner: owner, Credential: credential} }
	}
	for claim, c := range map[string]struct {
		rules  string
		events []event.Event
		want   []string
	}{
		"of one owner": {"", []event.Event{pay(0, "e0", other("team-a", "cred-b")), step(1, "a", "granted", "A2")},
			[]string{
				`approver/owner a1: persona cashier was approved by "A2"; that is an agent of the same owner, "team-a"`}},
		"of one credential": {"", []event.Event{pay(0, "e0", other("team-b", "cred-a")), step(1, "a", "granted", "a2")},
			[]string{
				`approver/credential a1: persona cashier was approved by "a2"; that is an agent of the same credential, "cred-a"`}},
		"of another side he may": {"", []event.Event{pay(0, "e0", other("team-b", "cred-b")),
			step(1, "a", "granted", "a2")}, nil},
		"who is not known to be an agent": {"", []event.Event{step(1, "a", "granted", "a2")}, nil},
		"unless the persona lets it": {`"not_self":false`,
			[]event.Event{pay(0, "e0", other("team-a", "")), step(1, "a", "granted", "a2")}, nil},
		"he is still known on the next day": {"", []event.Event{pay(0, "e0", other("team-a", "")),
			step(1440*minute, "a", "granted", "a2")},
			[]string{
				`approver/owner a1: persona cashier was approved by "a2"; that is an agent of the same owner, "team-a"`}},
	} {
		t.Run(claim, func(t *testing.T) {
			for _, reload := range []bool{false, true} {
				h := detectorstest.NewHost(t, cashier(c.rules))
				h.Reload = reload
				for i := range c.events {
					h.Observe(&c.events[i])
				}
				h.Found = nil
				h.CloseNotes()
				var got []string
				for _, f := range h.Found {
					got = append(got, strings.TrimPrefix(f.Rule, "persona/cashier/")+" "+f.Agent+": "+f.Why)
				}
				if diff := gocmp.Diff(c.want, got); diff != "" {
					t.Errorf("pages reloaded: %v (-want +got):\n%s", reload, diff)
				}
			}
		})
	}
}

func TestAnAgentIsIntroducedOnceADay(t *testing.T) {
	h := detectorstest.NewHost(t, cashier(""))
	for i := range 10 {
		e := pay(int64(i)*240*minute, fmt.Sprint("e", i))
		h.Observe(&e)
	}
	h.Notes = slices.DeleteFunc(h.Notes, func(n detectors.Note) bool { return n.Slot != 1 })
	if len(h.Notes) != 4 { // owner and credential, on two days
		t.Errorf("%d notes", len(h.Notes))
	}
	var m conduct
	for i := range maxMembers + 5 {
		m.member(uint64(i))
	}
	if m.member(5); len(m.members) != maxMembers || m.members[0] != 6 || m.members[maxMembers-1] != 5 {
		t.Errorf("%d members, from %d to %d", len(m.members), m.members[0], m.members[len(m.members)-1])
	}
}
