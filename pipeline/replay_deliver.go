package pipeline

import (
	"cmp"
	"slices"

	"github.com/wayward-sec/wayward/event"
)

// Delivery of what the shards of a replay put out, in an order that follows from the input alone.

func (x *replaying) deliver() error {
	var all []*event.Finding
	var commands []event.Command
	for _, b := range x.behaviours {
		all, commands = b.drainResults(all, commands)
	}
	for _, b := range x.relations {
		all, commands = b.drainResults(all, commands)
	}
	x.passControl()
	if x.Approved {
		return nil
	}
	slices.SortStableFunc(all, func(a, b *event.Finding) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.UID, b.UID))
	})
	for _, f := range all {
		if f.Time < x.Since {
			continue
		}
		if f.Activity == event.Create {
			x.sum.Findings++
		} else {
			x.sum.Updates++
		}
		if err := x.Deliver(f); err != nil {
			return err
		}
	}
	if len(commands) == 0 {
		return nil
	}
	for _, c := range inOrder(commands) {
		if c.Time < x.Since {
			continue
		}
		x.sum.Commands++
		if x.Command != nil {
			if err := x.Command(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// inOrder sorts commands by time and scope, but never before an earlier epoch of their scope: a
// late event may come after an end.
func inOrder(commands []event.Command) []*event.Command {
	type timed struct {
		*event.Command
		key  string
		when int64
	}
	list := make([]timed, len(commands))
	for i := range commands {
		c := &commands[i]
		list[i] = timed{c, c.Scope.Key(), c.Time}
	}
	slices.SortFunc(list, func(a, b timed) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.Epoch, b.Epoch))
	})
	for i := range list[1:] {
		if a, b := &list[i], &list[i+1]; a.key == b.key {
			b.when = max(a.when, b.when)
		}
	}
	slices.SortStableFunc(list,
		func(a, b timed) int { return cmp.Or(cmp.Compare(a.when, b.when), cmp.Compare(a.key, b.key)) })
	out := make([]*event.Command, len(list))
	for i := range list {
		out[i] = list[i].Command
	}
	return out
}
