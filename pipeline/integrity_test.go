package pipeline

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// brokenLine names an agent and does not decode.
func brokenLine(agent string, at int64) []byte {
	return fmt.Appendf(nil,
		`{"time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":%q},"tool":{"name":"rm"},"policy":{"verdict":"perhaps"}}`,
		at, agent)
}

func TestDeadLettersCountAgainstTheAgentThatTheyName(t *testing.T) {
	good := func(agent string, at int64) []byte {
		return fmt.Appendf(nil,
			`{"id":"g%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":%q},"persona":"clerk","tool":{"name":"search"}}`,
			at, at, agent)
	}
	const minute = 60_000
	for name, c := range map[string]struct {
		key   string // of the broken ones; "": none
		lines [][]byte
		want  []string
	}{
		"two are accidents": {"t1|a", [][]byte{brokenLine("a", day0), brokenLine("a", day0+minute)},
			nil},
		"three are told": {"t1|a", [][]byte{brokenLine("a", day0), good("b", day0),
			brokenLine("a", day0+minute), brokenLine("a", day0+2*minute)}, []string{"t1|a dead-letters 3"}},
		"without a key": {"", [][]byte{brokenLine("a", day0), brokenLine("a", day0+minute),
			brokenLine("a", day0+2*minute)}, []string{"t1|a dead-letters 3"}},
		"not if the key is another agent's": {"t1|b", [][]byte{brokenLine("a", day0), brokenLine("a", day0+minute),
			brokenLine("a", day0+2*minute)}, nil},
		"not if the key is another tenant's": {"t2|a", [][]byte{brokenLine("a", day0), brokenLine("a", day0+minute),
			brokenLine("a", day0+2*minute)}, nil},
		"not if they are far apart": {"t1|a", [][]byte{brokenLine("a", day0), brokenLine("a", day0+9*minute),
			brokenLine("a", day0+18*minute)}, nil},
		"records that break off count, too": {"t1|a", [][]byte{brokenLine("a", day0)[:90], brokenLine("a", day0)[:95],
			brokenLine("a", day0)[:97]}, []string{"t1|a dead-letters 3"}},
		"not those that name two agents": {"t1|a",
			[][]byte{[]byte(`{"tenant":"t1","agent":{"id":"a"},"agent":{"id":"b"}}`),
				[]byte(`{"tenant":"t1","agent":{"id":"a"},"agent":{"id":"b"},"x":1}`),
				[]byte(`{"tenant":"t1","agent":{"id":"a"},"agent":{"id":"b"},"x":2}`)}, nil},
	} {
		b := newBehaviour(0, engine(t, 1, 1, none), none, "agent.events")
		b.begin(1, true)
		for i, line := range c.lines {
			r := record{offset: int64(i), stamp: day0 + 30*minute, value: line}
			if !bytes.Contains(line, []byte("search")) {
				r.key = []byte(c.key)
				if c.key == "" {
					r.key = nil
				}
			}
			if err := b.step(mainLog, &r); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, f := range b.findings {
			if f.Detector == "integrity" {
				got = append(got, fmt.Sprintf("%s|%s %s %d", f.Tenant, f.Agent, f.Rule, f.Count))
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		for _, o := range b.out {
			if o.to != toDLQ {
				continue
			}
			whose := ""
			for _, h := range o.headers {
				if h.Key == "tenant" || h.Key == "agent" {
					whose += "|" + string(h.Value)
				}
			}
			if named := c.want != nil || c.key == "t1|a" &&
				!strings.HasPrefix(name, "not those"); (whose == "|t1|a") != named {
				t.Errorf("%s: a dead letter is of %q", name, whose)
			}
		}
		for key := range every(b.shard) {
			if c.want == nil && strings.HasPrefix(name, "not if the key") {
				t.Errorf("%s: there is a page %q", name, key)
			}
		}
	}
}

// FuzzHostileContent puts anything into content of a call: the call is judged all the same, and
// nothing of another agent changes.
func FuzzHostileContent(f *testing.F) {
	fields := []string{`"result":{"content":%s}`, `"result":{"error":%s}`, `"args":%s`, `"args":{"to":%s}`,
		`"attrs":%s`, `"destination":%s`, `"destination":{"value":%s}`, `"resource":{"labels":%s}`,
		`"resource":%s`, `"subject":%s`, `"session":%s`, `"user":%s`, `"message":{"text":%s}`, `"intent":%s`,
		`"trace":%s`, `"amount":%s`, `"delegation":%s`, `"approval":%s`, `"id":%s`, `"x":%s`, `"provenance":%s`,
		`"cost":%s`}
	for i := range fields {
		for _, v := range []string{`"\ud800"`, "\"\xff\"", `NaN`, `[[[[`, `{"a" 1}`,
			`"` + strings.Repeat("x", 1500) + `"`, `5`, `["a",5]`} {
			f.Add(uint8(i), v)
		}
	}
	set, err := policy.Parse([]byte(strict))
	if err != nil {
		f.Fatal(err)
	}
	others := func(t *testing.T, hostile string) (map[string]string, *behaviour) {
		b := newBehaviour(0, engine(t, 1, 1, set), set, "agent.events")
		b.begin(1, true)
		offset := int64(0)
		add := func(line string) {
			offset++
			if err := b.step(mainLog, &record{offset: offset, stamp: day0 + 60_000, value: []byte(line)}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 6 {
			if i == 3 && hostile != "" {
				add(hostile)
			}
			add(
				fmt.Sprintf(
					`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"good-%d"},"session":"s","persona":"clerk","user":"u","tool":{"name":"mail"}}`,
					i, day0+i*1000, i%2))
		}
		pages := map[string]string{}
		for key, image := range every(b.shard) {
			if !strings.Contains(key, "|bad") {
				pages[key] = string(image.appendTo(nil))
			}
		}
		return pages, b
	}
	f.Fuzz(func(t *testing.T, i uint8, value string) {
		value = strings.NewReplacer("\n", " ", "\r", " ").Replace(value)
		content := fmt.Sprintf(fields[int(i)%len(fields)], value)
		line := fmt.Sprintf(
			`{"time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"bad"},"persona":"clerk","tool":{"name":"rm"},%s}`,
			day0+2500, content)
		var d event.Decoder
		var e event.Event
		if d.Decode([]byte(line), &e) != nil {
			// it broke out of its place: then it is a text
			value = `"` + strings.NewReplacer(`"`, `'`, `\`, `/`).Replace(value) + `"`
			line = fmt.Sprintf(
				`{"time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"bad"},"persona":"clerk","tool":{"name":"rm"},%s}`,
				day0+2500, fmt.Sprintf(fields[int(i)%len(fields)], value))
		}
		with, b := others(t, line)
		without, _ := others(t, "")
		if !maps.Equal(with, without) {
			t.Fatalf("%q: %s", line, gocmp.Diff(without, with))
		}
		if !slices.ContainsFunc(b.findings, func(f *event.Finding) bool {
			return f.Agent == "bad" &&
				f.Rule == "persona/clerk/tool"
		}) {
			t.Fatalf("%q: the call was not judged: %v", line, b.counts.dead)
		}
	})
}
