package pipeline

import (
	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
)

// The judging day is the day whose snapshot an event is judged by. It follows from the event's
// time alone, so that a replay decides the same.

// models gives the snapshots that are in force.
type models interface {
	// find returns what is known of a key at the end of a day, nil if nothing is; a *missing if
	// whoever closes that day has not said so yet, and the event must wait. What a person has ruled
	// goes before what was closed.
	find(key baselines.Key, day int64, ruled rulingFunc) (*baselines.Model, error)
	// must waits for what was found before.
	must(key baselines.Key, day int64, ruled rulingFunc) (*baselines.Model, error)
}

// setBaseline makes sure that a persona is judged by the snapshot of a day; a *missing if that is
// not there yet. known says that it was so before.
func (b *behaviour) setBaseline(w *detectors.Who, day int64, known bool) error {
	since := inForceFrom(day)
	if w.Since == since && w.Until != 0 {
		return nil
	}
	var base *baselines.Model
	if b.models != nil && !off(w) && day > b.origin {
		find := b.models.find
		if known || !b.live {
			find = b.models.must
		}
		var err error
		if base, err = find(w.Key, day, b.ruling); err != nil {
			return err
		}
	}
	w.Approved = b.approved
	w.Rest(base, since, since+baselines.DayMS)
	return nil
}

// maxRulings bounds the baselines of a shard about which a person's word is remembered.
const maxRulings = 1000

// ruling is what a person has decided about a baseline, if it holds for a day.
func (b *behaviour) ruling(k baselines.Key, day int64) *ruling {
	if r, ok := b.rulings[k]; ok && day <= r.Day {
		return &r
	}
	return nil
}

// rule takes what a person has decided, as a relation shard tells it. From here on it is in force.
func (b *behaviour) rule(k baselines.Key, r ruling) {
	for o, old := range b.rulings { // what closings have overtaken
		if k.Tenant == o.Tenant && old.Day < r.Day-keptDays {
			delete(b.rulings, o)
		}
	}
	if _, known := b.rulings[k]; !known && len(b.rulings) >= maxRulings {
		b.count("refused", "no_room")
		return
	}
	b.rulings[k] = r
	b.panel.Each(func(w *detectors.Who) { w.Rest(nil, 0, 0) })
}
