package pipeline

import (
	"errors"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

// noModels are snapshots that cannot be read.
type noModels struct{ err error }

func (m noModels) find(baselines.Key, int64, rulingFunc) (*baselines.Model, error) {
	return nil, m.err
}

func (m noModels) must(baselines.Key, int64, rulingFunc) (*baselines.Model, error) {
	return nil, m.err
}

func TestAReplayEndsWithTheErrorOfAnEvent(t *testing.T) {
	want := errors.New("no snapshot")
	x := &replaying{Replay: &Replay{Workers: 1}, watermark: noTime}
	x.behaviours[0] = newFileBehaviour(0, &rules{owners: owners{sources: 1, facts: 1}, pageCap: 100}, none,
		noModels{want}, &x.watermark, false)
	x.queues[0] = []*item{{filePlace: filePlace{stamp: day0, reached: day0}, e: event.Event{ID: "e", Time: day0, Kind: event.Message,
		Tenant: "acme", Agent: event.Agent{ID: "a"}, Persona: "clerk"}}}
	x.queued = 1
	if err := x.applyQueued(); !errors.Is(err, want) {
		t.Errorf("the replay goes on after an event that could not be judged: %v, want %v", err, want)
	}
}
