package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// RebuiltGroups are the consumer groups that must begin anew when internal topics do. The ingress
// is not among them: it would bring all its topics over to events once more.
func RebuiltGroups(group string) []string { return []string{group + "-behaviour", group + "-relation"} }

// Members are the instances at work in groups, each once.
func Members(ctx context.Context, adm *kadm.Client, groups []string) ([]string, error) {
	described, err := adm.DescribeGroups(ctx, groups...)
	if err != nil {
		return nil, fmt.Errorf("describing consumer groups: %w", Explained(err))
	}
	members := map[string]bool{}
	for _, g := range described {
		if g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound) {
			return nil, fmt.Errorf("describing consumer group %s: %w", g.Group, Explained(g.Err))
		}
		for _, m := range g.Members {
			name := m.MemberID
			if m.InstanceID != nil {
				name = *m.InstanceID
			}
			members[fmt.Sprintf("%s (%s)", name, m.ClientHost)] = true
		}
	}
	return slices.Sorted(maps.Keys(members)), nil
}

// BeginAnew empties topics, by deleting them and making them as specs say, and forgets consumer
// groups, which must have no members. Other settings of the topics are kept. What it does it says
// before it does it. If it is cut short, do it again.
func BeginAnew(ctx context.Context, adm *kadm.Client, specs []TopicSpec, groups []string, say func(string)) error {
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	details, err := ListTopics(ctx, adm, names)
	if err != nil {
		return fmt.Errorf("listing topics: %w", Explained(err))
	}
	var there []string
	for _, name := range names {
		if d := details[name]; d.Err == nil && len(d.Partitions) > 0 {
			there = append(there, name)
		}
	}
	own, err := ownSettings(ctx, adm, there)
	if err != nil {
		return err
	}
	for _, name := range there {
		say("deleting topic " + name)
		r, err := adm.DeleteTopic(ctx, name)
		if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("deleting topic %s%s: %w", name, brokerDetail(r.ErrMessage), Explained(err))
		}
	}
	for _, g := range groups {
		say("deleting consumer group " + g)
		if _, err := adm.DeleteGroup(ctx, g); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return fmt.Errorf("deleting consumer group %s: %w", g, Explained(err))
		}
	}
	if err := awaitGone(ctx, adm, there); err != nil {
		return err
	}
	for _, s := range specs {
		say("creating topic " + s.Name)
		configs := maps.Clone(own[s.Name])
		if configs == nil {
			configs = map[string]*string{}
		}
		for k, v := range s.Configs {
			configs[k] = &v
		}
		copies := s.Replication
		if copies == 0 {
			copies = -1 // the broker's default
		}
		if r, err := adm.CreateTopic(ctx, s.Partitions, copies, configs, s.Name); err != nil {
			return fmt.Errorf("creating topic %s%s: %w; run wayward state rebuild --all again", s.Name,
				brokerDetail(r.ErrMessage), Explained(err))
		}
	}
	return awaitTopics(ctx, adm, specs)
}

// ownSettings are what was set on topics, beside the broker's defaults.
func ownSettings(ctx context.Context, adm *kadm.Client, names []string) (map[string]map[string]*string, error) {
	own := map[string]map[string]*string{}
	if len(names) == 0 {
		return own, nil
	}
	configs, err := adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of topics: %w", Explained(err))
	}
	for _, r := range configs {
		if r.Err != nil {
			return nil, fmt.Errorf("reading the settings of topic %s: %w", r.Name, Explained(r.Err))
		}
		own[r.Name] = map[string]*string{}
		for _, c := range r.Configs {
			if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
				own[r.Name][c.Key] = c.Value
			}
		}
	}
	return own, nil
}

// awaitGone waits until the brokers have forgotten topics: they say yes to a deletion before they
// do it.
func awaitGone(ctx context.Context, adm *kadm.Client, names []string) error {
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute,
		errors.New("not all within a minute; run wayward state rebuild --all again"))
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		details, err := ListTopics(ctx, adm, names)
		gone := err == nil
		for _, name := range names {
			gone = gone && errors.Is(details[name].Err, kerr.UnknownTopicOrPartition)
		}
		if gone {
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("waiting for topics to be deleted: %w", context.Cause(ctx))
		case <-t.C:
		}
	}
}
