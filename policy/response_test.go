package policy

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
)

// loaded is a set of files below a folder of policies.
func loaded(t testing.TB, files map[string]string) *Set {
	t.Helper()
	set, errs := Load(folder(t, files))
	for _, err := range errs {
		t.Error(err)
	}
	if set == nil {
		t.FailNow()
	}
	return set
}

const aliceKey = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="

func TestWithoutSettingsNothingIsEnforced(t *testing.T) {
	want := Settings{GuardLeast: 2, GuardShare: 5, StaleMS: 600_000, AckMS: 30_000, StartMS: 60_000}
	for name, s := range map[string]*Set{"no file": Default(),
		"no key":       loaded(t, map[string]string{"response/a.yaml": "# later\n"}),
		"an empty one": loaded(t, map[string]string{"response/a.yaml": "response: {}\n"}),
		"false":        loaded(t, map[string]string{"response/a.yaml": "response: {enforce: false}\n"})} {
		if diff := cmp.Diff(want, *s.Response()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if mode := s.Response().Mode(); mode != event.DryRun {
			t.Errorf("%s: the mode is %s", name, mode)
		}
	}
}

func TestSettingsAreRead(t *testing.T) {
	s := loaded(t, map[string]string{"response/a.yaml": `
response:
  enforce: true
  guard: {least: 0, percent: 100}
  stale_after: 5m
  ack_within: 2s
  not_after: 1d
  keys:
    - {name: bob, tenants: ["*"], public: ` + aliceKey + `}
    - {name: alice, tenants: [acme, globex], public: ` + aliceKey + `}
`})
	public := make([]byte, 32)
	copy(public, s.Response().Key("alice").Public)
	if !bytes.HasPrefix(public, []byte{0x03, 0xa1, 0x07, 0xbf}) {
		t.Errorf("the key is %x", public)
	}
	want := Settings{true, 0, 100, 300_000, 2_000, 86_400_000,
		[]Key{{"alice", []string{"acme", "globex"}, public}, {"bob", []string{"*"}, public}}}
	if diff := cmp.Diff(want, *s.Response()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if mode := s.Response().Mode(); mode != event.Enforce {
		t.Errorf("the mode is %s", mode)
	}
	for _, c := range []struct {
		key, tenant string
		serves      bool
	}{{"alice", "acme", true}, {"alice", "globex", true}, {"alice", "initech", false}, {"alice", "", false},
		{"alice", "*", false}, {"bob", "initech", true}, {"bob", "", true}} {
		if got := s.Response().Key(c.key).Serves(c.tenant); got != c.serves {
			t.Errorf("%s acts on %q: %t", c.key, c.tenant, got)
		}
	}
	for _, name := range []string{"", "Alice", "carol", "*"} {
		if k := s.Response().Key(name); k != nil {
			t.Errorf("%q has the key of %s", name, k.Name)
		}
	}
	again, err := Parse(s.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Response(), again.Response()); diff != "" || again.Hash() != s.Hash() {
		t.Errorf("over the wire (-before +after):\n%s", diff)
	}
}

func TestTheOrderOfKeysMakesNoOtherSet(t *testing.T) {
	const alice, bob = "{name: alice, tenants: [a], public: " + aliceKey + "}", "{name: bob, tenants: [b], public: " +
		aliceKey + "}"
	hash := func(text string) string { return loaded(t, map[string]string{"response/a.yaml": text}).Hash() }
	first := hash("response: {keys: [" + alice + ", " + bob + "]}")
	if hash("# for you\nresponse:\n  keys:\n  - "+bob+"\n  - "+alice+"\n") != first {
		t.Error("it does")
	}
	if hash("response: {keys: ["+alice+"]}") == first || Default().Hash() == first {
		t.Error("and so does another key")
	}
}

func TestALimitMayBeCalledResponse(t *testing.T) {
	s := loaded(t, map[string]string{"response/a.yaml": "response: {enforce: true}",
		"inventory/a.yaml": "inventory: [{kind: settings, severity: high}]",
		"limits/a.yaml":    "limits: [{id: response, scope: session, measure: count, max: 1}, {id: inventory, scope: session, measure: count, max: 1}]"})
	if len(s.Limits()) != 2 || !s.Response().Enforce || s.Inventory().Severity != event.High {
		t.Errorf("%d limits, %+v", len(s.Limits()), s.Response())
	}
}

// A set comes over Kafka as well: whoever can write there must not get a key in that Load would
// refuse.
func TestABadKeyIsRefusedOverTheWireToo(t *testing.T) {
	good := string(loaded(t,
		map[string]string{"response/a.yaml": "response: {keys: [{name: alice, tenants: [a], public: " + aliceKey +
			"}]}"}).Bytes())
	for old, fresh := range map[string]string{aliceKey: "AAAA", `"tenants":["a"]`: `"tenants":[]`,
		`"name":"alice"`: `"name":""`, `"response":[{`: `"response":[{},{`, `"keys"`: `"key"`} {
		text := strings.Replace(good, old, fresh, 1)
		if text == good {
			t.Fatalf("nothing was changed in %s", good)
		}
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("passes: %s", text)
		}
	}
}

func TestWhatAViolationMayAskFor(t *testing.T) {
	own := []event.ScopeType{event.AgentScope, event.SessionScope}
	compile := func(d respondDef) (*event.Response, string) {
		var reported []string
		r := d.compile(func(path, format string, args ...any) {
			p := Problem{What: path}
			reported = append(reported, p.What)
		}, "respond", own...)
		return r, strings.Join(reported, " ")
	}
	for _, c := range []struct {
		claim string
		def   respondDef
		want  event.Response
	}{
		{"a block holds for a quarter of an hour", respondDef{Action: "block"},
			event.Response{Action: event.Block, DurationMS: 900_000}},
		{"a kill until somebody looks", respondDef{Action: "kill"}, event.Response{Action: event.Kill}},
		{"unless it says how long", respondDef{Action: "kill", Duration: "1h"},
			event.Response{Action: event.Kill, DurationMS: 3_600_000}},
		{"anything may hold until it is restored", respondDef{Action: "block", Duration: "until_restored"},
			event.Response{Action: event.Block}},
		{"a wider scope that the violation knows", respondDef{Action: "escalate", Scope: "agent", Duration: "1d"},
			event.Response{Action: event.Escalate, Scope: event.AgentScope, DurationMS: 86_400_000}},
		{"a throttle has a rate", respondDef{Action: "throttle", Calls: "10", Per: "1m",
			Classes: []string{"pay", "send"}},
			event.Response{Action: event.Throttle, DurationMS: 900_000,
				Rate: event.Rate{Calls: 10, PerSeconds: 60, Classes: []event.Class{event.Pay, event.Send}}}},
		{"to observe is an answer, too", respondDef{Action: "observe"},
			event.Response{Action: event.Observe, DurationMS: 900_000}},
	} {
		got, reported := compile(c.def)
		if diff := cmp.Diff(&c.want, got); diff != "" || reported != "" {
			t.Errorf("%s: %s (-want +got):\n%s", c.claim, reported, diff)
		}
	}
	for _, c := range []struct {
		claim string
		def   respondDef
		at    string
	}{
		{"no action", respondDef{Scope: "agent"}, "respond.action"},
		{"an unknown action", respondDef{Action: "melt", Calls: "1"}, "respond.action"},
		{"restore is none", respondDef{Action: "restore"}, "respond.action"},
		{"a scope that it does not know", respondDef{Action: "block", Scope: "user"}, "respond.scope"},
		{"no scope at all", respondDef{Action: "block", Scope: "fleet"}, "respond.scope"},
		{"a duration without a unit", respondDef{Action: "block", Duration: "15"}, "respond.duration"},
		{"a throttle without a rate", respondDef{Action: "throttle", Calls: "1"}, "respond"},
		{"a rate of a block", respondDef{Action: "block", Classes: []string{"pay"}}, "respond"},
		{"a throttle to nothing", respondDef{Action: "throttle", Calls: "0", Per: "1m"}, "respond.calls"},
		{"a throttle per fractions", respondDef{Action: "throttle", Calls: "1", Per: "1500ms"}, "respond.per"},
		{"a throttle per week", respondDef{Action: "throttle", Calls: "1", Per: "7d"}, "respond.per"},
		{"a throttle of an unknown class", respondDef{Action: "throttle", Calls: "1", Per: "1m",
			Classes: []string{"pay", "steal"}}, "respond.classes[1]"},
	} {
		if _, reported := compile(c.def); reported != c.at {
			t.Errorf("%s: reported at %q, want %q", c.claim, reported, c.at)
		}
	}
	if r, reported := compile(respondDef{}); r != nil || reported != "" {
		t.Errorf("nothing asked, and it answers %+v %s", r, reported)
	}
}

func TestKeysFitWhatTheCommandLineMakes(t *testing.T) {
	public := loaded(t,
		map[string]string{"response/a.yaml": "response: {keys: [{name: alice, tenants: [acme], public: " + aliceKey +
			"}]}"}).Response().Key("alice").Public
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(i)
	}
	f := event.Feedback{ID: "b5c1", Time: 1, Tenant: "acme", Type: event.RestoreFeedback,
		Scope: event.Scope{Type: event.AgentScope, ID: "a", Tenant: "acme"}, By: "alice"}
	f.Sign(ed25519.NewKeyFromSeed(seed))
	if !f.Verify(public) {
		t.Error("signed by alice, and it does not pass")
	}
}

func FuzzSettings(f *testing.F) {
	for _, kind := range []string{"response", "inventory", "tenants"} {
		for _, pattern := range []string{"../testdata/bad-configs/policy/" + kind + "-*.yaml",
			"../configs/" + kind + "/*.yaml"} {
			files, _ := filepath.Glob(pattern)
			for _, path := range files {
				text, err := os.ReadFile(path)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(string(text))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(*collector, []*file){(*collector).loadTenants, (*collector).loadInventory,
			(*collector).loadResponse} {
			c, one := newCollector(), &file{source: source{file: "f.yaml"}, entriesLeft: maxEntries, text: []byte(text)}
			c.addSource(&one.source)
			read(c, []*file{one})
			if len(c.problems()) > 0 {
				continue
			}
			s := c.set()
			if again, err := Parse(s.Bytes()); err != nil || again.Hash() != s.Hash() {
				t.Fatalf("%v: %s", err, s.Bytes())
			}
		}
	})
}
