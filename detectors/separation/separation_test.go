package separation

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

func apart(more string) string {
	return `{"v":1,"personas":[{"name":"clerk","severity":"high","respond":{"action":"block"},"separate":[{"name":"pay-and-approve","between":[{"classes":["pay"]},{"classes":["approve"],"tools":["app*"]}]` +
		more + `}]}]}`
}

func TestDutiesAreKeptApart(t *testing.T) {
	const day = 86_400_000
	do := func(class event.Class, at int64, change ...func(e *event.Event)) event.Event {
		e := detectorstest.Call(at, "")
		e.Tool.Name, e.Tool.Class = map[event.Class]string{event.Approve: "approve", event.Pay: "pay"}[class], class
		e.Agent.Owner, e.Agent.Credential, e.Resource.ID = "team-a", "cred-a", "inv-1"
		for _, c := range change {
			c(&e)
		}
		return e
	}
	agent := func(id string) func(e *event.Event) { return func(e *event.Event) { e.Agent.ID = id } }
	session := func(id string) func(e *event.Event) { return func(e *event.Event) { e.Session = id } }
	about := func(id string) func(e *event.Event) { return func(e *event.Event) { e.Resource.ID = id } }
	as := func(p string) func(e *event.Event) { return func(e *event.Event) { e.Persona = p } }
	owner := func(o string) func(e *event.Event) { return func(e *event.Event) { e.Agent.Owner = o } }
	subject := func(s string) func(e *event.Event) { return func(e *event.Event) { e.Subject = s } }
	user := func(s string) func(e *event.Event) { return func(e *event.Event) { e.User = s } }
	iban := func(s string) func(e *event.Event) {
		return func(e *event.Event) { e.Destination = event.Destination{Kind: "iban", Value: s} }
	}
	paid := func(e *event.Event) { e.Has |= event.HasAmount }
	const crossed = `,"same":{"first":"beneficiary","second":"resource"}` // between pay and approve
	failed := func(e *event.Event) { e.Result.Outcome = event.Error }
	found := func(s ...string) []string { return s }
	for claim, c := range map[string]struct {
		more   string
		events []event.Event
		want   []string
	}{
		"one agent does both": {"", []event.Event{do(event.Approve, 0), do(event.Pay, 1)},
			found("agent a1 e0 e1 ×2")},
		"in either order": {"", []event.Event{do(event.Pay, 0), do(event.Approve, 1)},
			found("agent a1 e0 e1 ×2")},
		"also in two sessions": {"",
			[]event.Event{do(event.Approve, 0), do(event.Pay, 1, session("s2"))}, found("agent a1 e0 e1 ×2")},
		"one side alone is fine": {"", []event.Event{do(event.Pay, 0), do(event.Pay, 1)}, nil},
		"a side holds as a whole": {"",
			[]event.Event{do(event.Pay, 0), do(event.Approve, 1, func(e *event.Event) { e.Tool.Name = "sign" })}, nil},
		"two agents are two": {"", []event.Event{do(event.Approve, 0), do(event.Pay, 1, agent("a2"))},
			nil},
		"what failed was not done": {"", []event.Event{do(event.Approve, 0, failed), do(event.Pay, 1)},
			nil},
		"an attempt neither": {"",
			[]event.Event{do(event.Approve, 0, func(e *event.Event) { e.Phase = event.Attempt }), do(event.Pay, 1)},
			nil},
		"another persona's calls do not count": {"", []event.Event{do(event.Approve, 0, as("boss")), do(event.Pay, 1)},
			nil},
		"after the window it is forgotten": {`,"window":"1d"`,
			[]event.Event{do(event.Approve, 0), do(event.Pay, day+1)}, nil},
		"within it is not": {`,"window":"1d"`,
			[]event.Event{do(event.Approve, 0), do(event.Pay, day)}, found("agent a1 e0 e1 ×2")},
		"a late event is within it too": {`,"window":"1d"`,
			[]event.Event{do(event.Approve, day), do(event.Pay, 0)}, found("agent a1 e0 e1 ×2")},
		"it grows as it doubles": {"", []event.Event{do(event.Approve, 0), do(event.Pay, 1),
			do(event.Pay, 2), do(event.Pay, 3), do(event.Pay, 4)},
			found("agent a1 e0 e1 ×2", "agent a1 e0 e1 ×3", "agent a1 e0 e1 ×5")},
		"and is another after the window": {`,"window":"1d"`,
			[]event.Event{do(event.Approve, 0), do(event.Pay, 1), do(event.Approve, 3*day), do(event.Pay, 3*day+1)},
			found("agent a1 e0 e1 ×2", "agent a1 e2 e3 ×2")},
		"a call that is both is both": {"",
			[]event.Event{do(event.Approve, 0, func(e *event.Event) { e.Result.Effect = event.Pay })},
			found("agent a1 e0 ×1")},
		"within a session": {`,"within":"session"`,
			[]event.Event{do(event.Approve, 0), do(event.Pay, 90*day)}, found("session s1 e0 e1 ×2")},
		"two sessions are two": {`,"within":"session"`,
			[]event.Event{do(event.Approve, 0), do(event.Pay, 1, session("s2"))}, nil},
		"without a session nothing is known": {`,"within":"session"`,
			[]event.Event{do(event.Approve, 0, session("")), do(event.Pay, 1, session(""))}, nil},
		"of the same resource": {`,"same":"resource"`,
			[]event.Event{do(event.Approve, 0), do(event.Pay, 1, about("inv-2")), do(event.Pay, 2)},
			found("agent a1 e0 e2 ×2")},
		"an unknown resource is not the same": {`,"same":"resource"`,
			[]event.Event{do(event.Approve, 0, about("")), do(event.Pay, 1, about(""))}, nil},
		"about the same subject": {`,"same":"subject"`,
			[]event.Event{do(event.Approve, 0, subject("v-1")), do(event.Pay, 1, subject("v-2")),
				do(event.Pay, 2, subject("v-1"))}, found("agent a1 e0 e2 ×2")},
		"no subject is not the same": {`,"same":"subject"`,
			[]event.Event{do(event.Approve, 0), do(event.Pay, 1)}, nil},
		"for the same user, in any case": {`,"same":"user"`,
			[]event.Event{do(event.Approve, 0, user("Ana@acme.example")), do(event.Pay, 1, user("bob")),
				do(event.Pay, 2, user(" ana@ACME.example"))}, found("agent a1 e0 e2 ×2")},
		"for the same beneficiary": {`,"same":"beneficiary"`,
			[]event.Event{do(event.Approve, 0, iban("DE89370400440532013000"), paid), do(event.Pay, 1, iban("DE02")),
				do(event.Pay, 2, iban("de89 3704 0044 0532 0130 00"))}, found("agent a1 e0 e2 ×2")},
		"without money nobody is paid": {`,"same":"beneficiary"`,
			[]event.Event{do(event.Approve, 0, iban("DE89370400440532013000")),
				do(event.Pay, 1, iban("DE89370400440532013000"))}, nil},
		"to the same destination": {`,"same":"destination"`,
			[]event.Event{do(event.Approve, 0, iban("DE89370400440532013000")), do(event.Pay, 1, iban("DE02")),
				do(event.Pay, 2, iban("DE89 3704 0044 0532 0130 00"))}, found("agent a1 e0 e2 ×2")},
		"across two fields": {crossed, []event.Event{do(event.Approve, 0, about("V-17")),
			do(event.Pay, 1, iban("v-18")), do(event.Pay, 2, iban("v-17"))}, found("agent a1 e0 e2 ×2")},
		"in either order, too": {crossed, []event.Event{do(event.Pay, 0, iban("v-17")),
			do(event.Approve, 1, about("V-17"))}, found("agent a1 e0 e1 ×2")},
		"but not the fields the other way": {crossed, []event.Event{do(event.Approve, 0, iban("v-17"), about("x")),
			do(event.Pay, 1, about("v-17"), iban("y"))}, nil},
		"nor the same field of both": {crossed, []event.Event{do(event.Approve, 0, about("v-17")),
			do(event.Pay, 1, about("v-17"), iban("y"))}, nil},
		"one call that is both sides of one": {crossed,
			[]event.Event{do(event.Approve, 0, about("v-17"), iban("v-17"),
				func(e *event.Event) { e.Result.Effect = event.Pay })}, found("agent a1 e0 ×1")},
		"one call of two is not": {crossed,
			[]event.Event{do(event.Approve, 0, about("v-17"), iban("v-18"),
				func(e *event.Event) { e.Result.Effect = event.Pay })}, nil},
		"two agents of one owner across them": {crossed + `,"within":"owner"`,
			[]event.Event{do(event.Approve, 0, about("v-17")), do(event.Pay, 1, agent("a2"), iban("v-17"))},
			found("owner team-a a1/e0 a2/e1 ×2 stops a2")},
		"two agents of one owner": {`,"within":"owner"`,
			[]event.Event{do(event.Approve, 0), do(event.Pay, 1, agent("a2"))},
			found("owner team-a a1/e0 a2/e1 ×2 stops a2")},
		"one of them of another persona": {`,"within":"owner"`,
			[]event.Event{do(event.Approve, 0, as("boss")), do(event.Pay, 1, agent("a2"))},
			found("owner team-a a1/e0 a2/e1 ×2 stops a2")},
		"but not both": {`,"within":"owner"`,
			[]event.Event{do(event.Approve, 0, as("boss")), do(event.Pay, 1, agent("a2"), as("boss"))}, nil},
		"two owners are two": {`,"within":"owner"`,
			[]event.Event{do(event.Approve, 0), do(event.Pay, 1, agent("a2"), owner("team-b"))}, nil},
		"an unknown owner is nobody": {`,"within":"owner"`,
			[]event.Event{do(event.Approve, 0, owner("")), do(event.Pay, 1, owner(""))}, nil},
		"two agents of one credential": {`,"within":"credential"`,
			[]event.Event{do(event.Approve, 0), do(event.Pay, 1, agent("a2"), owner("team-b"))},
			found("credential cred-a a1/e0 a2/e1 ×2 stops a2")},
	} {
		t.Run(claim, func(t *testing.T) {
			for _, reload := range []bool{false, true} {
				h := detectorstest.NewHost(t, apart(c.more))
				h.Reload = reload
				for i, e := range c.events {
					e.ID = "e" + strconv.Itoa(i)
					h.Observe(&e)
				}
				h.CloseNotes()
				var got []string
				for _, f := range h.Found {
					s := f.ScopeType + " " + f.ScopeID
					for _, r := range f.Refs {
						if s += " " + r.ID; r.Agent != "" {
							s = s[:len(s)-len(r.ID)] + r.Agent + "/" + r.ID
						}
					}
					s += fmt.Sprint(" ×", f.Count)
					if f.Response.Scope == event.AgentScope {
						s += " stops " + f.Agent
					}
					if f.First > f.Time && f.Activity == event.Create || f.Last < f.Time ||
						f.Detector != "separation" || f.Rule != "persona/clerk/separation/pay-and-approve" {
						t.Errorf("got %+v", f)
					}
					got = append(got, s)
				}
				if diff := gocmp.Diff(c.want, got); diff != "" {
					t.Errorf("pages reloaded: %v (-want +got):\n%s", reload, diff)
				}
			}
		})
	}
}

func TestATenantsOwnPersonaKeepsItsOwnDutiesApart(t *testing.T) {
	h := detectorstest.NewHost(t,
		`{"v":1,"personas":[{"name":"clerk","separate":[{"name":"p","between":[{"tools":["a"]},{"tools":["b"]}]}]},{"name":"clerk","tenant":"globex"}]}`)
	for _, tenant := range []string{"acme", "globex"} {
		for _, tool := range []string{"a", "b"} {
			e := detectorstest.Call(0, tenant+tool)
			e.Tenant, e.Tool.Name = tenant, tool
			h.Observe(&e)
		}
	}
	if len(h.Found) != 1 || h.Found[0].Refs[1].ID != "acmeb" {
		t.Errorf("got %v", h.Found)
	}
}

// Whatever happens, memory stays bounded and comes back from its encoding.
func TestDutiesComeBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	h := detectorstest.NewHost(t, apart(`,"same":"resource"`))
	for i := range 2000 {
		e := detectorstest.Call(int64(i)*60_000, fmt.Sprint("e", i))
		e.Tool = [...]event.Tool{{Name: "approve", Class: event.Approve}, {Name: "pay", Class: event.Pay}}[rng.IntN(2)]
		e.Resource.ID = fmt.Sprint(rng.IntN(100))
		h.Observe(&e)
	}
	p := h.Agents["acme|a1"].Part(4).(*duties)
	if len(p.pairs) != 1 || len(p.pairs[0].sides[0]) > maxDeeds || len(p.pairs[0].broken) > maxBroken {
		t.Errorf("not bounded: %+v", p)
	}
	b := p.Append(nil)
	var again duties
	r := wire.Reader{B: b}
	if again.Decode(&r); r.Err != nil || string(again.Append(nil)) != string(b) {
		t.Error("another comes back", r.Err)
	}
	for n := range len(b) {
		r := wire.Reader{B: b[:n]}
		if again.Decode(&r); r.Err == nil {
			t.Fatalf("cut at %d of %d there is no error", n, len(b))
		}
	}
}

func TestANoteThatCannotBeReadIsSetAside(t *testing.T) {
	h := detectorstest.NewHost(t, apart(`,"within":"owner"`))
	for i := range 2 {
		e := detectorstest.Call(0, strconv.Itoa(i))
		e.Tool, e.Agent.Owner = [...]event.Tool{{Name: "approve", Class: event.Approve},
			{Name: "pay", Class: event.Pay}}[i], "o"
		h.Observe(&e)
	}
	whole := h.Notes[1].Body
	for n := range len(whole) {
		if n == len(whole)-8 { // as earlier versions wrote it
			continue
		}
		h.Notes = h.Notes[:2]
		h.Notes[1].Body = whole[:n]
		notes := h.Notes
		h.Scopes = map[string]*detectors.Memory{}
		h.CloseNotes()
		if h.Notes = notes; len(h.Found) > 0 {
			t.Fatalf("cut at %d of %d it is found", n, len(whole))
		}
	}
}
