package suggest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// odd values are what producers send on a bad day.
var oddValues = []string{"", "get_order", "*", "a*b", "what?", "true", "null", "~", "12", "0x10", " spaces ", "tab\tin",
	"zero\x00", "ÄÖ", "evil\u202etxt", "- dash", "#hash", "a: b", "[x]", `"quoted"`, "back\\slash",
	strings.Repeat("long", 100), strings.Repeat("ü", 300), "external", "internal", "\u00a0", "line\nbreak", "*.example",
	"UPPER"}

var oddDestinations = []event.Destination{{}, {Kind: "email", Value: "jane@Acme.example", Domain: "acme.example"},
	{Kind: "email", Value: "a@one.example, \"x@y\" <b@two.example>;c@three.example"}, {Kind: "email", Value: "nobody"},
	{Kind: "url", Value: "https://Shop.example:8443/x?y=1"}, {Kind: "url", Value: "https://a@b\\c/"},
	{Kind: "url", Value: "mailto:x@mail.example"}, {Kind: "host", Value: "10.0.0.1:22"},
	{Kind: "host", Value: "external"},
	{Kind: "iban", Value: "DE02120300000000202051"}, {Kind: "channel", Value: "#general"},
	{Kind: "repo", Value: "org/repo*"}, {External: event.Yes}, {External: event.No, Kind: "x"},
	{Kind: "channel", Value: "internal"},
	{Domain: "bad domain", Value: "v"}, {Domain: "x.example", External: event.Yes},
	{Value: "*acme.com", External: event.No}, {Domain: "[::1]"}, {Domain: "xn--80ak6aa92e.example."}}

func oddEvents(rng *rand.Rand, n int) []*event.Event {
	var list []*event.Event
	pick := func() string { return oddValues[rng.IntN(len(oddValues))] }
	seldom := func() string {
		if rng.IntN(3) > 0 {
			return "usual"
		}
		return pick()
	}
	for i := range n {
		e := &event.Event{ID: fmt.Sprint("e", i), Time: 1_767_600_000_000 + int64(rng.IntN(20*86_400_000)),
			Kind: event.ToolCall, Tenant: "acme", Persona: "clerk",
			Agent: event.Agent{ID: fmt.Sprint("a", rng.IntN(6))}, Session: fmt.Sprint("s", rng.IntN(9))}
		e.Tool = event.Tool{Name: seldom(), Server: pick(), Class: event.Class(rng.IntN(10))}
		if e.Tool.Name == "" {
			e.Tool.Name = "nameless"
		}
		e.Resource = event.Resource{Type: seldom(), Environment: pick(), Classification: pick(),
			Labels: []string{pick(), seldom()}, Tenant: []string{"", "acme"}[rng.IntN(2)]}
		e.Destination = oddDestinations[rng.IntN(len(oddDestinations))]
		e.Intent, e.Agent.Credential = pick(), pick()
		e.Result.Effect = event.Class(rng.IntN(10))
		if rng.IntN(2) == 0 {
			e.Has |= event.HasTier | event.HasRecords
			e.Agent.Tier, e.Result.Records = int64(rng.IntN(5)), int64(rng.IntN(5000))-100
		}
		list = append(list, e)
	}
	return list
}

func surveyOf(set *policy.Set, events []*event.Event) []*policy.Usage {
	s := NewPersonaSurvey(set)
	for _, e := range events {
		own := *e
		s.Add(&own)
	}
	list := s.Usages()
	for _, u := range list {
		u.From = "events.jsonl\nwith a break"
	}
	return list
}

func loadedDraft(t *testing.T, text []byte) *policy.Set {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "personas"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "personas", "draft.yaml"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	set, errs := policy.Load(dir)
	if len(errs) > 0 {
		t.Fatalf("%v\n%s", errs, text)
	}
	return set
}

// TestADraftLoadsAndAdmitsWhatItWasMadeFrom holds for every least support: what is refused was seen
// on fewer agent-days than that.
func TestADraftLoadsAndAdmitsWhatItWasMadeFrom(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		events := oddEvents(rng, 1+rng.IntN(200))
		list := surveyOf(policy.Default(), events)
		if len(list) != 1 {
			t.Fatalf("%d personas", len(list))
		}
		u := list[0]
		for _, least := range []int64{1, 2, 3, 10} {
			text, err := DraftPersona(u, least)
			var few *ErrUnsupported
			if errors.As(err, &few) {
				if least == 1 {
					t.Fatal(err)
				}
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			set := loadedDraft(t, text)
			j := set.Judge("acme", "clerk")
			for _, e := range events {
				own := *e
				tool := set.Catalogue().Tool(own.Tenant, &own.Tool)
				tool.Complete(&own, &catalogue.Scratch{})
				for _, v := range j.Check(&own, tool, own.Time, nil) {
					if least == 1 {
						t.Fatalf("seed %d: the draft refuses %+v of %+v\n%s", seed, v, own, text)
					}
					if !seldomSeen(u, v, &own, least) {
						t.Fatalf("seed %d: the draft refuses %+v, which was seen on %d agent-days\n%s", seed, v, least,
							text)
					}
				}
			}
		}
	}
}

// seldomSeen tells whether what a violation is about was seen on fewer agent-days than least.
func seldomSeen(u *policy.Usage, v policy.Violation, e *event.Event, least int64) bool {
	for d := range policy.Dimensions {
		if d.String() != v.Kind {
			continue
		}
		values := []string{policy.EntryFor(v.Value, d)}
		if d == policy.Destinations {
			values = policy.DestinationEntries(&e.Destination)
		}
		for _, s := range u.Of[d] {
			if slices.Contains(values, s.Value) && s.AgentDays < least {
				return true
			}
		}
	}
	return false
}

func TestADraftSaysWhatEachLineRestsOn(t *testing.T) {
	var events []*event.Event
	for day := range int64(5) {
		for a := range 2 {
			e := &event.Event{ID: "e", Time: (20_454 + day) * 86_400_000, Kind: event.ToolCall, Tenant: "acme",
				Persona: "refunds", Agent: event.Agent{ID: fmt.Sprint("a", a)}, Session: fmt.Sprint("s", day),
				Tool:     event.Tool{Name: "get_order", Server: "shop", Class: event.Read},
				Resource: event.Resource{Type: "Order", Tenant: "acme"}}
			if day == 4 && a == 0 {
				e.Tool.Name = "drop_table"
			}
			events = append(events, e, e)
		}
	}
	text, err := DraftPersona(surveyOf(policy.Default(), events)[0], 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"    tools:\n      allow:\n        - get_order # 9 agent-days, 90 %, 2026-01-01 to 2026-01-05\n        # - drop_table # 1 agent-day, 10 %, on 2026-01-05\n",
		"    resources:\n      tenants: own\n      types:\n        allow:\n          - order # 10 agent-days, 100 %, 2026-01-01 to 2026-01-05\n",
		"10 agent-days of persona \"refunds\" by 2 agents from 2026-01-01 to 2026-01-05.",
		"measure: count, max: 4} # 2 calls, from 10 sessions",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("lacks %q:\n%s", line, text)
		}
	}
}

func TestWhereBehaviourAndDeclarationPart(t *testing.T) {
	text := []byte(`personas:
  - name: clerk
    default: deny
    tools:
      allow:
        - get_*
        - send
        - never_*
      needs_approval: [pay]
    classes: {allow: [read, send, pay]}
    destinations: {allow: [acme.example, "*.old.example"]}
`)
	set := loadedDraft(t, text)
	p := set.Persona("acme", "clerk")
	var events []*event.Event
	for day := range int64(5) {
		for _, tool := range []string{"get_order", "send", "pay", "drop"} {
			e := &event.Event{Time: (20_454 + day) * 86_400_000, Kind: event.ToolCall, Tenant: "acme", Persona: "clerk",
				Agent: event.Agent{ID: "a"}, Tool: event.Tool{Name: tool, Class: event.Read}}
			if tool == "send" {
				e.Tool.Class, e.Destination = event.Send, event.Destination{Domain: "Acme.example"}
			}
			if tool == "drop" && day < 4 {
				e.Tool.Name = "get_stock"
			}
			events = append(events, e)
		}
	}
	events = append(events, &event.Event{Time: 20_454 * 86_400_000, Kind: event.ToolCall, Tenant: "acme",
		Persona: "clerk", Agent: event.Agent{ID: "a"}, Tool: event.Tool{Name: "get_rare"},
		Destination: event.Destination{Domain: "evil.example"}})
	var got []string
	for _, d := range p.Compare(surveyOf(set, events)[0], 3) {
		got = append(got, fmt.Sprintf("%s %s %s %s:%d", d.Kind, d.Dimension, d.Value, d.Rule, d.Line))
	}
	want := []string{"undeclared tool drop default:0", "undeclared destination evil.example default:0",
		"unused tool never_* :8", "unused class pay :10", "unused destination *.old.example :11",
		"rare tool get_rare get_*:6"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	draft, err := DraftPersona(surveyOf(set, events)[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	if d := loadedDraft(t, draft).Persona("acme", "clerk").Compare(surveyOf(set, events)[0], 1); len(d) > 0 {
		t.Errorf("a draft and what it was made from part: %+v", d)
	}
}

func TestAPersonaThatCannotBeDefinedIsNotDrafted(t *testing.T) {
	for _, name := range []string{"a*", " a", "a\x00", strings.Repeat("a", 200)} {
		u := policy.Usage{Persona: name}
		u.Of[policy.Tools] = []policy.Seen{{Value: "x", AgentDays: 9}}
		if _, err := DraftPersona(&u, 1); err == nil {
			t.Errorf("%q: drafted", name)
		}
	}
}
