package persona

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/detectors/detectorstest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// undeclared is a call of an agent that no policy knows, which shows an approval.
func undeclared(at int64, id string, change ...func(e *event.Event)) event.Event {
	e := pay(at, id, names("a"))
	e.Persona = "nobody"
	for _, c := range change {
		c(&e)
	}
	return e
}

func arguments(s string) func(e *event.Event) {
	return func(e *event.Event) { e.Args = []byte(s) }
}

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// What a call shows is looked at whether a policy wants an approval, knows the agent at all, or
// not.
func TestShownApprovals(t *testing.T) {
	const sent, canonical = `{"to":"DE1", "amount":100.0}`, `{"amount":100,"to":"DE1"}`
	one := func(rule, why string) []string {
		return []string{"approval/" + rule + `: used tool "pay"; ` + why}
	}
	grant := func(change ...func(e *event.Event)) event.Event { return step(0, "a", "granted", "boss", change...) }
	untrusted := func(e *event.Event) { e.Source.Trusted = event.No }
	trusted := func(e *event.Event) { e.Source.Trusted = event.Yes }
	asked := func(by string) func(e *event.Event) {
		return func(e *event.Event) { e.Approval.RequestedBy = by }
	}
	expires := func(at int64) func(e *event.Event) {
		return func(e *event.Event) { e.Approval.Expires, e.Has = at, event.HasExpires }
	}
	outcome := func(o event.Outcome) func(e *event.Event) {
		return func(e *event.Event) { e.Result.Outcome = o }
	}
	wide := sha512.Sum512([]byte(canonical))
	narrow := sha256.Sum256([]byte(canonical))
	list := func(e ...event.Event) []event.Event { return e }
	for claim, c := range map[string]struct {
		events []event.Event
		want   []string
	}{
		"one that covers the call is fine": {list(grant(), undeclared(1, "e1")), nil},
		"one of these arguments, too": {list(grant(digest(sha(sent))),
			undeclared(1, "e1", arguments(sent))), nil},
		"by their canonical form": {list(grant(digest(sha(canonical))),
			undeclared(1, "e1", arguments(sent))), nil},
		"whoever spells the digest": {
			list(grant(digest("SHA-256="+strings.ToUpper(sha(canonical)))), undeclared(1, "e1", arguments(sent))), nil},
		"in base64": {
			list(grant(digest("sha-256=:"+base64.StdEncoding.EncodeToString(narrow[:])+":")),
				undeclared(1, "e1", arguments(sent))), nil},
		"by SHA-512": {
			list(grant(digest("sha512-"+base64.StdEncoding.EncodeToString(wide[:]))),
				undeclared(1, "e1", arguments(sent))), nil},
		"which tells others as well": {list(grant(digest(hex.EncodeToString(wide[:]))),
			undeclared(1, "e1", arguments(`{"amount":300,"to":"DE1"}`))), one("changed", faultOther)},
		"the approval may show the arguments": {list(grant(arguments(canonical)),
			undeclared(1, "e1", arguments(sent))), nil},
		"of others that it shows": {list(grant(arguments(`{"amount":99,"to":"DE1"}`)),
			undeclared(1, "e1", arguments(sent))), one("changed", faultOther)},
		"and they count, not the digest beside them": {list(grant(arguments(`{"amount":99,"to":"DE1"}`),
			digest(sha(canonical))), undeclared(1, "e1", arguments(sent))),
			append([]string{"approval/digest: showed an approval; " + faultDigest}, one("changed", faultOther)...)},
		"other arguments": {list(grant(digest(sha(canonical))),
			undeclared(1, "e1", arguments(`{"amount":300,"to":"DE1"}`))), one("changed", faultOther)},
		"one more argument": {list(grant(digest(sha(canonical))),
			undeclared(1, "e1", arguments(`{"amount":100,"to":"DE1","cc":"x"}`))), one("changed", faultOther)},
		"an account beyond 2^53 that a double rounds": {list(grant(digest(sha(`{"to":9007199254740992}`))),
			undeclared(1, "e1", arguments(`{"to":9007199254740993}`))), one("changed", faultOther)},
		"the digest asked for holds": {list(step(0, "a", "requested", "", digest(sha(canonical))),
			grant(), undeclared(1, "e1", arguments(`{}`))), one("changed", faultOther)},
		"arguments beside a digest are digested again": {list(grant(digest(sha(canonical))),
			undeclared(1, "e1", arguments(`{"amount":300,"to":"DE1"}`), digest(sha(canonical)))),
			append(one("digest", faultDigest), one("changed", faultOther)...)},
		"a digest beside them in canonical form is one": {list(grant(digest(sha(canonical))),
			undeclared(1, "e1", arguments(sent), digest(sha(canonical)))), nil},
		"what the call says was approved": {list(grant(),
			undeclared(1, "e1", arguments(sent), func(e *event.Event) { e.Approval.Digest = sha("other") })),
			one("changed", faultOther)},
		"a call that hides its arguments says nothing": {list(grant(digest(sha(canonical))), undeclared(1, "e1")),
			nil},
		"expired": {list(grant(expires(5)), undeclared(6, "e1")),
			one("expired", faultExpired)},
		"not yet": {list(grant(expires(5)), undeclared(5, "e1")), nil},
		"by the call's own word": {list(grant(), undeclared(6, "e1", expires(5))),
			one("expired", faultExpired)},
		"the call's word does not prolong it": {list(grant(expires(5)), undeclared(6, "e1", expires(50))),
			one("expired", faultExpired)},
		"said to have expired": {list(grant(), step(3, "a", "expired", ""), undeclared(6, "e1")),
			one("expired", faultExpired)},
		"used before": {list(grant(), undeclared(1, "e1"), undeclared(2, "e2")),
			one("used", faultUsed)},
		"a call that failed used nothing up": {list(grant(), undeclared(1, "e1", outcome(event.Error)),
			undeclared(2, "e2")), nil},
		"by the agent": {list(step(0, "a", "granted", " A1 "), undeclared(1, "e1")),
			one("own-side", faultOwn)},
		"by its user": {list(step(0, "a", "granted", "U1"), undeclared(1, "e1")),
			one("own-side", faultOwn)},
		"by its owner": {list(step(0, "a", "granted", "team-a"), undeclared(1, "e1")),
			one("own-side", faultOwn)},
		"by its credential": {list(step(0, "a", "granted", "cred-a"), undeclared(1, "e1")),
			one("own-side", faultOwn)},
		"by whoever asked": {list(grant(asked("Boss")), undeclared(1, "e1")),
			one("own-side", faultOwn)},
		"who asked may be told later": {list(grant(), step(1, "a", "requested", "", asked("boss")),
			undeclared(2, "e1")), one("own-side", faultOwn)},
		"or by the call": {list(grant(), undeclared(2, "e1", asked("boss"))),
			one("own-side", faultOwn)},
		"asked by another": {list(grant(asked("bob")), undeclared(1, "e1")), nil},
		"an untrusted source does not change who asked": {list(step(0, "a", "requested", "", asked("boss")),
			step(0, "a", "requested", "", asked("bob"), untrusted), grant(), undeclared(1, "e1")),
			one("own-side", faultOwn)},
		"revoked": {list(grant(), step(1, "a", "revoked", "boss"),
			undeclared(2, "e1")), one("revoked", faultRevoked)},
		"revoked after the call": {list(grant(), step(9, "a", "revoked", "boss"),
			undeclared(2, "e1")), nil},
		"denied": {list(step(0, "a", "denied", "boss"), undeclared(2, "e1")),
			one("denied", faultDenied)},
		"a refused call shows the denial": {list(step(0, "a", "denied", "boss"),
			undeclared(2, "e1", outcome(event.Denied))), nil},
		"asked for, not given": {list(step(0, "a", "requested", "bob"), undeclared(2, "e1")),
			one("pending", faultAsked)},
		"given after the call": {list(step(8, "a", "granted", "boss"), undeclared(2, "e1")),
			one("later", faultLater)},
		"from a source that is not trusted": {list(grant(untrusted), undeclared(1, "e1")),
			one("untrusted", faultForged)},
		"with the call, from such a source": {list(undeclared(1, "e1", untrusted,
			func(e *event.Event) { e.Approval.State, e.Approval.By = "granted", "boss" })),
			one("untrusted", faultForged)},
		"with the call, from another": {list(undeclared(1, "e1",
			func(e *event.Event) { e.Approval.State, e.Approval.By = "granted", "boss" })), nil},
		"with the call, by its own user": {list(undeclared(1, "e1",
			func(e *event.Event) { e.Approval = event.ApprovalOf{State: "granted", By: "u1"} })),
			one("own-side", faultOwn)},
		"what a trusted one says then counts": {list(grant(untrusted, digest("B")),
			grant(trusted, digest("A")), undeclared(1, "e1", digest("A"))), nil},
		"not the other way round": {list(grant(trusted, digest("A")),
			grant(untrusted, digest("B")), undeclared(1, "e1", digest("B"))), one("changed", faultOther)},
		"one that is not known": {list(grant(), undeclared(1, "e1", names("b"))),
			one("unknown", faultUnknown)},
		"of another agent": {list(grant(func(e *event.Event) { e.Agent.ID = "a2" }),
			undeclared(1, "e1")), one("unknown", faultUnknown)},
		"of another tenant": {list(grant(func(e *event.Event) { e.Tenant = "other" }),
			undeclared(1, "e1")), one("unknown", faultUnknown)},
		"by digest alone": {list(step(0, "a", "granted", "boss", digest("A")),
			undeclared(1, "e1", digest("A"), func(e *event.Event) { e.Approval = event.ApprovalOf{Digest: "A"} })),
			nil},
		"a bypass from an untrusted source is none": {list(grant(), step(1, "a", "revoked", "boss"),
			undeclared(2, "e1", untrusted, func(e *event.Event) { e.Approval.Bypass = event.Yes })),
			one("revoked", faultRevoked)},
		"an attempt is no call": {list(undeclared(1, "e1",
			func(e *event.Event) { e.Phase = event.Attempt })), nil},
		"two of a kind in a session are one, which grows": {list(grant(), undeclared(1, "e1"), undeclared(2, "e2"),
			undeclared(3, "e3")), append(one("used", faultUsed), `approval/used: used tool "pay" 2 times; `+faultUsed)},
		"a call that shows none is not asked for one": {list(undeclared(1, "e1", names(""))), nil},
	} {
		t.Run(claim, func(t *testing.T) {
			for persona, set := range map[string]string{
				"nobody":  cashier(""),
				"helper":  `{"v":1,"personas":[{"name":"helper"}]}`, // known, and free of approvals
				"cashier": `{"v":1,"personas":[{"name":"cashier","classes":{"needs_approval":["grant"]}}]}`,
			} {
				for _, reload := range []bool{false, true} {
					h := detectorstest.NewHost(t, set)
					h.Reload = reload
					for _, e := range c.events {
						e.Persona = persona
						h.Observe(&e)
					}
					got := []string{}
					for _, f := range h.Found {
						if persona == "cashier" && strings.HasPrefix(f.Rule, "persona/cashier/approver") {
							continue // said when it was given, too
						}
						_, why, _ := strings.Cut(strings.Replace(f.Why, `"a1"`, "a1", 1),
							map[bool]string{true: "agent a1 ", false: "persona " + persona + " "}[persona == "nobody"])
						got = append(got, f.Rule+": "+why)
						if !f.Alert || f.Severity < event.Low || f.Agent != "" && f.Agent != "a1" {
							t.Errorf("%s is %v for agent %q", f.Rule, f.Severity, f.Agent)
						}
					}
					if diff := gocmp.Diff(append([]string{}, c.want...), got); diff != "" {
						t.Errorf("persona %s, pages reloaded: %v (-want +got):\n%s", persona, reload, diff)
					}
				}
			}
		})
	}
}

// Whose it is that an agent shows only the place knows where the approvals of all agents come
// together.
func TestAnApprovalOfAnotherAgent(t *testing.T) {
	for claim, c := range map[string]struct {
		events []event.Event
		want   []string
	}{
		"is found as that": {[]event.Event{step(0, "a", "granted", "boss",
			func(e *event.Event) { e.Agent.ID = "a2" }), undeclared(6000, "e1")},
			[]string{"approval/other-agent a1: " + faultForeign}},
		"its own is not": {[]event.Event{step(0, "a", "granted", "boss"), undeclared(6000, "e1")}, nil},
		"one given to both is not": {[]event.Event{step(0, "a", "granted", "boss",
			func(e *event.Event) { e.Agent.ID = "a2" }), step(1, "a", "granted", "boss"), undeclared(6000, "e1")}, nil},
		"one that never was is not": {[]event.Event{undeclared(6000, "e1")}, nil},
		"nor one of another tenant's": {[]event.Event{step(0, "a", "granted", "boss",
			func(e *event.Event) { e.Tenant = "other" }), undeclared(6000, "e1")}, nil},
		"an agent of the same owner approved": {[]event.Event{undeclared(0, "m", names(""),
			func(e *event.Event) { e.Agent.ID, e.Agent.Credential = "a2", "" }),
			step(6000, "a", "granted", "A2", func(e *event.Event) { e.Persona, e.Agent.Credential = "nobody", "" })},
			[]string{`approval/own-side/owner a1: that is an agent of the same owner, "team-a"`}},
		"of the same credential": {[]event.Event{undeclared(0, "m", names(""),
			func(e *event.Event) { e.Agent.ID, e.Agent.Owner = "a2", "" }),
			step(6000, "a", "granted", "a2", func(e *event.Event) { e.Persona, e.Agent.Owner = "nobody", "" })},
			[]string{`approval/own-side/credential a1: that is an agent of the same credential, "cred-a"`}},
		"of another owner": {[]event.Event{undeclared(0, "m", names(""),
			func(e *event.Event) { e.Agent.ID, e.Agent.Owner, e.Agent.Credential = "a2", "team-b", "" }),
			step(6000, "a", "granted", "a2", func(e *event.Event) { e.Persona = "nobody" })}, nil},
	} {
		h := detectorstest.NewHost(t, cashier(""))
		for i := range c.events {
			h.Observe(&c.events[i])
		}
		h.Found = nil // of the agent's own shard
		h.Reload = true
		h.CloseNotes()
		var got []string
		for _, f := range h.Found {
			got = append(got, f.Rule+" "+f.Agent+": "+f.Why[strings.LastIndex(f.Why, "; ")+2:])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("an approval of another agent %s: %q, want %q", claim, got, c.want)
		}
	}
}

// However many ids are invented, one place remembers no more than it may, and tells of what it
// knows.
func TestPlacesOfApprovalsAreBounded(t *testing.T) {
	h := detectorstest.NewHost(t, cashier(""))
	places := map[string]bool{}
	for i := range 20_000 {
		e := step(int64(i), fmt.Sprint("x", i), "granted", "boss",
			func(e *event.Event) { e.Agent.Owner, e.Agent.Credential = "", "" })
		h.Observe(&e)
		for _, n := range h.Notes {
			if n.Scope == policy.ResourceScope {
				places[n.ID] = true
			} else if len(places) < 3 {
				t.Log(n.Scope, n.ID, n.Body)
			}
		}
		if i%1000 == 999 {
			h.CloseNotes()
		}
	}
	if len(places) > 256 {
		t.Errorf("%d places", len(places))
	}
	for _, m := range h.Scopes {
		if p, ok := m.Part(1).(*conduct); ok && len(p.holders) > maxHolders {
			t.Errorf("%d holders", len(p.holders))
		}
	}
}
