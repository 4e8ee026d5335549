package client

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
)

// Breakers are the breakers that are not closed and that want accepts, sorted by the key of their
// scope.
func (c *Client) Breakers(ctx context.Context, want func(event.Scope) bool) ([]event.Breaker, error) {
	open, err := latest(ctx, c, c.Topics.Breakers, event.ParseBreaker,
		func(b *event.Breaker) bool { return want(b.Scope) })
	slices.SortFunc(open, func(a, b event.Breaker) int { return cmp.Compare(a.Scope.Key(), b.Scope.Key()) })
	return open, err
}

// Inventory is what was seen (agents, tools, servers) and want accepts, sorted by tenant and id.
func (c *Client) Inventory(ctx context.Context, want func(*event.Thing) bool) ([]event.Thing, error) {
	seen, err := latest(ctx, c, c.Topics.Inventory, event.ParseThing, want)
	slices.SortFunc(seen, func(a, b event.Thing) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Server, b.Server))
	})
	return seen, err
}

// latest reads a compacted topic: of each key the newest record counts, and an empty one deletes it.
func latest[T any](ctx context.Context, c *Client, topic string, parse func([]byte) (T, error),
	want func(*T) bool) ([]T, error) {
	byKey := map[string]T{}
	bad := Unread{From: topic}
	err := c.read(ctx, topic, time.Time{}, func(r *kgo.Record) {
		delete(byKey, string(r.Key))
		if r.Value == nil {
			return
		}
		x, err := parse(r.Value)
		if err != nil {
			bad.Add(err)
		} else if want(&x) {
			byKey[string(r.Key)] = x
		}
	})
	bad.Report(c.warnings)
	var list []T
	for _, x := range byKey {
		list = append(list, x)
	}
	return list, err
}

// Snapshots are the snapshots of baselines that want accepts, by baseline and UTC day. With newest,
// of each baseline only the newest one, as far as the topic says which that is.
func (c *Client) Snapshots(ctx context.Context, newest bool,
	want func(k baselines.Key, day int64) bool) ([]inspect.Snapshot, error) {
	s := &pipeline.Snapshots{Want: want}
	bad := Unread{From: c.Topics.Baselines}
	err := c.read(ctx, c.Topics.Baselines, time.Time{}, func(r *kgo.Record) {
		if err := s.Add(r.Key, r.Value); err != nil {
			bad.Add(err)
		}
	})
	bad.Report(c.warnings)
	if err != nil {
		return nil, err
	}
	broken := Unread{From: c.Topics.Baselines}
	defer broken.Report(c.warnings)
	var list []inspect.Snapshot
	for _, x := range s.Models(newest, broken.Add) {
		list = append(list, inspect.Snapshot{Model: x.Model, Bytes: x.Bytes, From: c.Topics.Baselines})
	}
	return list, nil
}
