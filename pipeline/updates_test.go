package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// One agent goes on and on: of whatever is found about it and its scopes, each finding is updated
// eight times at most.
func TestNoFindingBuriesItsReader(t *testing.T) {
	set := setOf(t, strict)
	b, q := newBehaviour(0, engine(t, 1, 1, set), set, "events"), newRelation(0, engine(t, 1, 1, set), set)
	r := rand.New(rand.NewPCG(1, 1))
	updates, created := map[string]int{}, 0
	take := func(list []*event.Finding) {
		for _, f := range list {
			switch f.Activity {
			case event.Create:
				created++
			case event.Update:
				if updates[f.UID]++; updates[f.UID] > 8 {
					t.Fatalf("%s/%s: %d updates: %s", f.Detector, f.Rule, updates[f.UID], f.Why)
				}
			}
		}
	}
	for i := range 200 {
		now := int64(day0 + i*5000)
		b.begin(now, true)
		for j := range 50 {
			e := act("a", "s", []string{"rm", "mail", "search"}[r.IntN(3)], 50*i+j, now+int64(j)*100, int64(r.IntN(9)))
			e.User, e.Has, e.Amount = "u", e.Has|event.HasAmount, event.Amount{Micro: 5_000_000, Currency: "EUR"}
			e.ID = fmt.Sprint("e", 50*i+j)
			if err := b.step(mainLog, &record{offset: int64(50*i + j), stamp: now + 5000, value: lineOf(e)}); err != nil {
				t.Fatal(err)
			}
		}
		b.seal()
		b.kept()
		take(b.findings)
		q.begin(now, true)
		for _, o := range b.out {
			if o.to == toFacts {
				if err := q.apply(mainLog, &record{value: o.value}); err != nil {
					t.Fatal(err)
				}
			}
		}
		q.advanceTo(now - lateness)
		take(q.findings)
	}
	if most := len(updates); created < 10 || most < 5 {
		t.Errorf("%d findings, %d of them updated: the test proves nothing", created, most)
	}
}
