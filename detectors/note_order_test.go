package detectors

import (
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

func TestNotesAreOrderedByTimeThenLogThenID(t *testing.T) {
	note := func(at, order int64, id string) *Note {
		return &Note{Slot: 9, Scope: policy.UserScope, Tenant: "acme", ID: "u",
			Ref: event.Ref{Time: at, ID: id, Agent: "a"}, Order: order}
	}
	list := []*Note{note(1, 9, "z"), note(2, 3, "y"), note(2, 4, "b"), note(2, 4, "c"), note(2, 11, "a"),
		note(3, 1, "0")}
	for i := range list {
		for j := range list {
			if list[i].Before(list[j]) != (i < j) {
				t.Errorf("%+v before %+v: %v", list[i], list[j], !(i < j))
			}
		}
	}
}
