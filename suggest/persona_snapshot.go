package suggest

import (
	"math"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors/rarity"
	"github.com/wayward-sec/wayward/detectors/volume"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// FromModel returns what a snapshot of a baseline knows of what its persona uses. A snapshot has
// the names of tools, servers, domains and types of resources; other dimensions are not watched.
func FromModel(m *baselines.Model) *policy.Usage {
	v := rarity.ModelOf(m)
	u := &policy.Usage{Tenant: m.Tenant, Persona: m.Persona, AgentDays: int64(v.Total), First: m.First, Last: m.Day}
	for _, d := range []policy.Dimension{policy.Tools, policy.Servers, policy.Classes, policy.ResourceTypes,
		policy.Labels, policy.Environments, policy.Destinations} {
		u.Watched[d] = true
	}
	add := func(d policy.Dimension, value string, x *rarity.Value) {
		if value == "" {
			return
		}
		i := slices.IndexFunc(u.Of[d], func(s policy.Seen) bool { return s.Value == value })
		if i < 0 {
			i = len(u.Of[d])
			u.Of[d] = append(u.Of[d], policy.Seen{Value: value, First: int64(x.First), Last: int64(x.Last)})
		}
		s := &u.Of[d][i]
		// Of two values that show one name, agents may have shown both on one day: the larger count
		// is certain.
		s.AgentDays = max(s.AgentDays, int64(x.Count))
		s.First, s.Last = min(s.First, int64(x.First)), max(s.Last, int64(x.Last))
	}
	known := func(f rarity.Field, each func(x *rarity.Value)) {
		o := &v.Of[f]
		for i := range o.Values {
			each(&o.Values[i])
		}
		for i := range v.Quarantine {
			if q := &v.Quarantine[i]; q.Field == f && !q.Rejected {
				each(&q.Value)
			}
		}
	}
	known(rarity.ToolField, func(x *rarity.Value) {
		add(policy.Tools, policy.EntryFor(x.Name, policy.Tools), x)
		u.Hidden[policy.Tools] = u.Hidden[policy.Tools] || x.Name == ""
		for c := event.Read; c <= event.Delegate; c++ {
			if x.Classes&(1<<c) != 0 {
				add(policy.Classes, c.String(), x)
			}
		}
	})
	known(rarity.ServerField, func(x *rarity.Value) {
		add(policy.Servers, policy.EntryFor(x.Name, policy.Servers), x)
		u.Hidden[policy.Servers] = u.Hidden[policy.Servers] || x.Name == ""
	})
	known(rarity.ResourceField, func(x *rarity.Value) {
		// A name is type|environment|labels; one that was cut is cut in its labels at least.
		parts := strings.SplitN(x.Name, "|", 3)
		if len(parts) < 3 || len(x.Name) >= 120 || strings.Count(x.Name, "|") > 2 {
			u.Hidden[policy.ResourceTypes], u.Hidden[policy.Environments], u.Hidden[policy.Labels] = true, true, true
			return
		}
		add(policy.ResourceTypes, policy.EntryFor(parts[0], policy.ResourceTypes), x)
		add(policy.Environments, policy.EntryFor(parts[1], policy.Environments), x)
		for l := range strings.SplitSeq(parts[2], ",") {
			add(policy.Labels, policy.EntryFor(l, policy.Labels), x)
		}
	})
	known(rarity.DomainField, func(x *rarity.Value) {
		if x.Name == "" || strings.HasSuffix(x.Name, ":") {
			u.Hidden[policy.Destinations] = true
			return
		}
		for _, s := range policy.DestinationEntries(&event.Destination{Domain: x.Name}) {
			add(policy.Destinations, s, x)
		}
	})
	for d := range u.Of {
		u.Hidden[d] = u.Hidden[d] || policy.Dimension(d) == policy.Tools && v.Of[rarity.ToolField].Open ||
			policy.Dimension(d) == policy.Destinations && v.Of[rarity.DomainField].Open
		slices.SortFunc(u.Of[d], func(a, b policy.Seen) int {
			if a.AgentDays != b.AgentDays {
				return int(min(max(b.AgentDays-a.AgentDays, -1), 1))
			}
			return strings.Compare(a.Value, b.Value)
		})
	}
	for f, measure := range map[volume.Feature]policy.Measure{volume.EventCount: policy.Count,
		volume.RecordSum: policy.Records} {
		if c := &volume.ModelOf(m).Of[f].Session; c.Ready() {
			if top := math.Expm1(c.Quantile(0.999)); top >= 1 && top < 1e15 {
				u.Limits = append(u.Limits, policy.Level{Scope: policy.SessionScope, Measure: measure,
					Reached: int64(top), Units: int64(c.N()), Estimated: true})
			}
		}
	}
	slices.SortFunc(u.Limits, func(a, b policy.Level) int { return int(a.Measure) - int(b.Measure) })
	return u
}
