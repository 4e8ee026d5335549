package pipeline

import (
	"fmt"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

const reused = `{"v":1,"rules":[{"id":"del","title":"t","where":"tool.class == \"delete\"","suppress":"1s"}],
	"limits":[{"id":"calls","scope":"session","measure":"count","max":"3"}]}`

// findingsOf are the findings of a rule or limit, by the events that triggered them, each with its
// identities.
func findingsOf(b *behaviour, rule string) (triggers []string, uids map[string]bool) {
	uids = map[string]bool{}
	for _, f := range b.findings {
		if f.Rule == rule && f.Activity == event.Create {
			triggers = append(triggers, f.Refs[len(f.Refs)-1].ID)
			uids[f.UID] = true
		}
	}
	return triggers, uids
}

func applyLines(t testing.TB, b *behaviour, lines ...string) {
	t.Helper()
	b.begin(day0, true)
	for i, l := range lines {
		if err := b.step(mainLog, &record{offset: b.next[mainLog], stamp: day0 + 3_600_000, value: []byte(l)}); err != nil {
			t.Fatal(i, err)
		}
	}
}

func TestAnIDWithOtherBytesIsAnotherEvent(t *testing.T) {
	call := func(id string, at int, class, more string) string {
		return fmt.Sprintf(
			`{"time":%d,"id":%q,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"x","class":%q}%s}`,
			day0+int64(at)*1000, id, class, more)
	}
	var restart []string
	for range 2 {
		for i := range 100 { // more than are remembered
			restart = append(restart,
				call(fmt.Sprint(i+1), len(restart), map[bool]string{true: "delete", false: "read"}[i == 0], ""))
		}
	}
	for name, c := range map[string]struct {
		lines           []string
		finds, repeated int
	}{
		"the same bytes again": {[]string{call("1", 0, "delete", ""), call("1", 0, "delete", ""),
			call("1", 0, "delete", "")}, 1, 2},
		"another call after a restart": {[]string{call("1", 0, "read", ""), call("2", 1, "read", ""),
			call("1", 60, "delete", "")}, 1, 0},
		"the same call at another time": {[]string{call("1", 0, "delete", ""), call("1", 60, "delete", "")}, 2, 0},
		"a restart after many":          {restart, 2, 0},
		"an attempt and its result": {[]string{call("1", 0, "read", `,"phase":"attempt"`),
			call("1", 1, "delete", `,"phase":"result","result":{"outcome":"ok"}`)}, 1, 0},
		"one that goes back to the first": {[]string{call("1", 0, "read", ""), call("1", 60, "delete", ""),
			call("1", 0, "read", ""), call("1", 60, "delete", "")}, 1, 2},
		"other arguments in one millisecond": {[]string{call("1", 0, "read", ""),
			call("1", 0, "delete", `,"args":{"a":1}`)}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			set := setOf(t, reused)
			b := newBehaviour(0, engine(t, 1, 1, set), set, "events")
			applyLines(t, b, c.lines...)
			triggers, uids := findingsOf(b, "del")
			if len(triggers) != c.finds || len(uids) != c.finds || int(b.counts.repeated) != c.repeated {
				t.Errorf("findings at %v with %d identities, %d repeats; want %d and %d", triggers, len(uids),
					b.counts.repeated, c.finds, c.repeated)
			}
		})
	}
}

func TestASessionThatBeginsAgainIsAnotherOne(t *testing.T) {
	n := 0
	line := func(at int, kind string) string {
		n++
		if kind == "call" {
			return fmt.Sprintf(
				`{"time":%d,"id":"e%d","kind":"tool_call","tenant":"acme","agent":{"id":"a"},"session":"s","tool":{"name":"x"}}`,
				day0+int64(at)*1000, n)
		}
		return fmt.Sprintf(
			`{"time":%d,"id":"e%d","kind":"session","phase":%q,"tenant":"acme","agent":{"id":"a"},"session":"s"}`,
			day0+int64(at)*1000, n, kind)
	}
	const half = 30 * 60
	for name, c := range map[string]struct {
		lines []string
		finds int
	}{
		"goes on": {[]string{line(0, "call"), line(1, "call"), line(2, "call"),
			line(half, "call")}, 1},
		"said to have ended": {[]string{line(0, "call"), line(1, "call"), line(2, "end"),
			line(3, "call"), line(4, "call"), line(5, "call")}, 0},
		"each crosses its own limit": {[]string{line(0, "call"), line(1, "call"), line(2, "call"),
			line(3, "call"), line(4, "end"), line(5, "start"), line(6, "call"), line(7, "call"), line(8, "call"),
			line(9, "call")}, 2},
		"idle for long": {[]string{line(0, "call"), line(1, "call"), line(2, "call"),
			line(2+half, "call"), line(3+half, "call")}, 0},
		"late events are of the ended one": {[]string{line(0, "call"), line(2, "call"), line(3, "call"),
			line(9, "end"), line(8, "call")}, 1},
		"an end that was forgotten": {[]string{line(0, "start"), line(1, "call"), line(2, "call"),
			line(3, "start"), line(4, "call"), line(5, "call")}, 1},
		"a second end is of nobody's calls": {[]string{line(0, "call"), line(1, "call"), line(2, "end"), line(3, "end"),
			line(4, "call"), line(5, "call")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			set := setOf(t, reused)
			b := newBehaviour(0, engine(t, 1, 1, set), set, "events")
			applyLines(t, b, c.lines...)
			if triggers, uids := findingsOf(b, "calls"); len(triggers) != c.finds || len(uids) != c.finds {
				t.Errorf("findings at %v with %d identities, want %d", triggers, len(uids), c.finds)
			}
		})
	}
}
