package pipeline

import (
	"cmp"
	"slices"

	"github.com/wayward-sec/wayward/event"
)

// Delivery of what the shards of a replay put out, in an order that follows from the input alone.

func (x *replaying) deliver() error {
	if x.Approved {
		for p := range virtual {
			for _, s := range []*shard{x.behaviours[p].shard, x.relations[p].shard} {
				s.findings, s.commands = s.findings[:0], s.commands[:0]
			}
		}
		x.pass()
		return nil
	}
	var all []*event.Finding
	var commands []event.Command
	take := func(s *shard) {
		all = append(all, s.findings...)
		clear(s.findings)
		s.findings = s.findings[:0]
		commands = append(commands, s.commands...)
		clear(s.commands)
		s.commands = s.commands[:0]
	}
	for _, b := range x.behaviours {
		take(b.shard)
	}
	for _, b := range x.relations {
		take(b.shard)
	}
	x.pass()
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
