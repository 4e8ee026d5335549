package pipeline

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// Whatever lies on the topics of facts and control, both stages go on, and what they then know can
// be saved and loaded.

// FuzzFacts: whatever lies on the facts topic, the relation stage goes on.
func FuzzFacts(f *testing.F) {
	set := setOf(f, strict)
	for _, records := range factsOf(f, engine(f, 2, 1, set), set, 1, 60) {
		for _, r := range records {
			f.Add(r.value)
		}
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newRelation(0, engine(t, 2, 1, set), set)
		s.begin(1, true)
		if err := s.step(mainLog, &record{value: b}); err != nil && !strings.Contains(err.Error(), "is not known") {
			t.Fatal(err)
		}
		for p := range int32(2) { // everything closes
			if err := s.step(mainLog, &record{value: appendFactsHead(nil,
				factsHead{source: p, watermark: math.MaxInt64 / 2, set: set.Hash()})}); err != nil &&
				!strings.Contains(err.Error(), "went back") {
				t.Fatal(err)
			}
		}
		every(t, s.shard)
	})
}

// FuzzControl: whatever lies on the control topic, the behaviour stage goes on.
func FuzzControl(f *testing.F) {
	set := setOf(f, strict)
	for _, k := range []string{controlTick, controlIdle, controlVerdict, controlRelation, controlSkip, controlActivate,
		controlBroken, "?"} {
		f.Add(control{Kind: k, Source: 1, Time: day0, Tenant: "acme", Agent: "a", Set: set.Hash(), Offset: 5}.encode())
	}
	f.Add([]byte(`{"kind":"relation","source":-1,"time":-9223372036854775808}`))
	l, _ := busyResponding(1, 200)
	for _, r := range l.records[controlLog][:60] {
		f.Add(r.Value)
	}
	armed := setOf(f, armed(true, ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, q := newBehaviour(0, engine(t, 2, 1, set, armed), armed, "events"), newRelation(0,
			engine(t, 2, 1, set, armed), armed)
		s.begin(1, true)
		q.begin(1, true)
		for i := range int64(2) { // twice: the second time there is something to change
			err := errors.Join(s.step(controlLog, &record{offset: i, value: b}),
				q.step(mainLog,
					&record{offset: i, value: append(appendFactsHead(nil, factsHead{now: 1, control: true}), b...)}))
			if err != nil && !strings.Contains(err.Error(), "is not known") {
				t.Fatal(err)
			}
		}
		s.ahead()
		s.seal()
		for _, sh := range []*shard{s.shard, q.shard} {
			every(t, sh)
		}
	})
}
