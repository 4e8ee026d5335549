package pipeline

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/policy"
)

// judgedAs is what detectors see of an event: its attributes, and the fork by which it is judged.
type judgedAs struct {
	persona, owner, credential, version, model, charter, user, intent, conversation string
	tier                                                                            int64
	fork                                                                            string
}

// lookAt applies events to a shard, one at a time, and tells as what each is judged.
func lookAt(t testing.TB, b *behaviour, from int, lines ...string) (out []judgedAs) {
	t.Helper()
	for i, l := range lines {
		value := fmt.Appendf(nil, `{"time":%d,"id":"e%d","tenant":"acme",%s}`, day0+int64(from+i)*1000, from+i, l)
		if !strings.Contains(l, `"kind"`) {
			value = fmt.Appendf(nil, `{"time":%d,"id":"e%d","tenant":"acme","kind":"tool_call","tool":{"name":"x"},%s}`,
				day0+int64(from+i)*1000, from+i, l)
		}
		if strings.HasPrefix(l, `{`) {
			value = []byte(l)
		}
		b.begin(day0, true)
		r := record{offset: int64(from + i), stamp: day0 + int64(from+i)*1000, value: value}
		if err := b.step(mainLog, &r); err != nil {
			t.Fatal(err)
		}
		e := &b.e
		out = append(out, judgedAs{b.event.scene.Persona, e.Agent.Owner, e.Agent.Credential, e.Agent.Version, e.Agent.Model,
			e.Agent.CharterHash, e.User, e.Intent, e.Conversation, e.Agent.Tier, b.event.scene.Fork})
	}
	return out
}

func TestWhatIsAbsentIsNotAnotherValue(t *testing.T) {
	const (
		start  = `"kind":"session","phase":"start","persona":"clerk","session":"s1","user":"ana","intent":"orders","conversation":"c1","agent":{"id":"a","owner":"crm","credential":"k1","version":"1","model":"m1","charter_hash":"h1","tier":2}`
		bare   = `"session":"s1","agent":{"id":"a"}`
		other  = `"session":"s2","agent":{"id":"a"}`
		none   = `"agent":{"id":"a"}`
		begins = `"kind":"session","phase":"start","session":"s2","agent":{"id":"a","model":"m2"},"user":"bob"`
	)
	full := judgedAs{"clerk", "crm", "k1", "1", "m1", "h1", "ana", "orders", "c1", 2, ""}
	agent := full
	agent.user, agent.intent, agent.conversation = "", "", ""
	with := func(x judgedAs, change func(*judgedAs)) judgedAs { change(&x); return x }
	m2 := with(agent, func(x *judgedAs) { x.model, x.user = "m2", "bob" })
	for name, c := range map[string]struct {
		lines []string
		want  []judgedAs
	}{
		"a session's start says it for the session": {[]string{start, bare, bare},
			[]judgedAs{full, full, full}},
		"of an agent also elsewhere": {[]string{start, other, none},
			[]judgedAs{full, agent, agent}},
		"another value holds from there": {[]string{start,
			`"session":"s1","user":"bob","agent":{"id":"a","version":"2"}`, bare},
			[]judgedAs{full, with(full, func(x *judgedAs) { x.version, x.user = "2", "bob" }),
				with(full, func(x *judgedAs) { x.version, x.user = "2", "bob" })}},
		"two sessions of two models do not flip each other": {[]string{start, begins, bare, other, bare, other},
			[]judgedAs{full, m2, full, m2, full, m2}},
		"null and empty texts are absent": {[]string{start,
			`"session":"s1","user":null,"persona":"","agent":{"id":"a","model":"","owner":null}`},
			[]judgedAs{full, full}},
		"blanks are absent": {[]string{start,
			`"session":"s1","user":" ","persona":"\t","agent":{"id":"a","owner":" "}`}, []judgedAs{full, full}},
		"a trace is not a conversation that is said": {[]string{start,
			`"session":"s1","trace":{"id":"t9"},"agent":{"id":"a"}`}, []judgedAs{full, full}},
		"another agent has said nothing": {[]string{start, `"session":"s1","agent":{"id":"b"}`},
			[]judgedAs{full, {}}},
		"the end of a session ends what is said of it alone": {[]string{start,
			`"kind":"session","phase":"end","session":"s1","agent":{"id":"a"}`, bare}, []judgedAs{full, full, agent}},
		"what comes late was said before": {[]string{start,
			`{"time":` + fmt.Sprint(day0-500) +
				`,"id":"late","kind":"tool_call","tool":{"name":"x"},"tenant":"acme","session":"s1","agent":{"id":"a","model":"m0"}}`,
			bare},
			[]judgedAs{full, with(full, func(x *judgedAs) { x.model = "m0" }), full}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBehaviour(0, engine(t, 1, 1, defaults), defaults, "events")
			got := lookAt(t, b, 0, c.lines...)
			forks := map[string]string{}
			for i := range got {
				k := got[i].version + "/" + got[i].model + "/" + got[i].charter
				if was, ok := forks[k]; ok && was != got[i].fork {
					t.Errorf("event %d: %s is fork %s and %s", i, k, was, got[i].fork)
				}
				forks[k] = got[i].fork
				got[i].fork = ""
				if got[i] != c.want[i] {
					t.Errorf("event %d is judged as\n%+v, want\n%+v", i, got[i], c.want[i])
				}
			}
		})
	}
}

// defaults are the policies without any of the user's.
var defaults = policy.Default()

func TestALongAttributeIsOneValueWhetherSaidOrHeld(t *testing.T) {
	b := newBehaviour(0, engine(t, 1, 1, defaults), defaults, "events")
	long := strings.Repeat("é", 400)
	got := lookAt(t, b, 0, `"session":"s","user":"`+long+`","persona":"`+long+`","agent":{"id":"a","model":"`+long+`"}`,
		`"session":"s","agent":{"id":"a"}`, `"session":"s","agent":{"id":"a","model":"`+long+`x"}`)
	if got[0] != got[1] || len(got[0].model) > 256 || !strings.HasPrefix(got[0].user, "éé") {
		t.Errorf("said: %+v\nheld: %+v", got[0], got[1])
	}
	if got[2].model == got[0].model || got[2].fork == got[0].fork {
		t.Error("two long models are one")
	}
}

// What agents and sessions hold survives restarts at any event, and goes with a transaction that is
// undone.
func TestWhatIsHeldFollowsFromTheLogAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 15))
	var lines []string
	for range 300 {
		maybe := func(s string) string {
			if r.IntN(4) > 0 {
				return ""
			}
			return fmt.Sprintf(s, r.IntN(3))
		}
		l := fmt.Sprintf(`"session":"s%d",`, r.IntN(4)) + maybe(`"user":"u%d",`) + maybe(`"persona":"p%d",`) +
			maybe(`"intent":"i%d",`) + maybe(`"conversation":"c%d",`) +
			fmt.Sprintf(`"agent":{"id":"a%d"`, r.IntN(3)) + maybe(`,"model":"m%d"`) + maybe(`,"version":"%d"`) +
			maybe(`,"owner":"o%d"`) + maybe(`,"credential":"k%d"`) + maybe(`,"charter_hash":"h%d"`) + `}`
		if r.IntN(12) == 0 {
			l = `"kind":"session","phase":"end",` + l
		}
		lines = append(lines, l)
	}
	b := newBehaviour(0, engine(t, 1, 1, defaults), defaults, "events")
	want := lookAt(t, b, 0, lines...)
	changes := 0
	b = newBehaviour(0, b.rules, defaults, "events")
	for i, l := range lines {
		if r.IntN(3) == 0 { // undone, and done again
			before := b.image()
			lookAt(t, b, i, l)
			if err := b.rollback(); err != nil {
				t.Fatal(err)
			}
			sameState(t, fmt.Sprint("event ", i), before, b.image())
		}
		if r.IntN(3) == 0 { // restarted
			back := newBehaviour(0, b.rules, defaults, "events")
			restore(t, back.shard, b.image())
			b = back
		}
		if got := lookAt(t, b, i, l); got[0] != want[i] {
			t.Fatalf("event %d is judged as\n%+v, without a restart as\n%+v", i, got[0], want[i])
		}
		for k, n := range b.counts.other {
			if k[0] == attributeChanges {
				changes += int(n)
			}
		}
		b.kept()
	}
	if changes < 100 {
		t.Errorf("%d changes are counted", changes)
	}
}
