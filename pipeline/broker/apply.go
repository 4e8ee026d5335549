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
)

// ApplyTopics creates what is missing and sets the settings that differ; what
// else is set on a topic stays. It changes nothing if a change is fatal, as that
// has to be decided first. progress, which may be nil, is told what was done.
func ApplyTopics(ctx context.Context, adm *kadm.Client, changes []Change, progress func(Change)) error {
	if err := Fatal(changes); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if progress == nil {
		progress = func(Change) {}
	}
	var created []TopicSpec
	for _, c := range changes {
		if c.Kind != ChangeCreate {
			continue
		}
		configs := map[string]*string{}
		for k, v := range c.Spec.Configs {
			configs[k] = &v
		}
		copies := c.Spec.Replication
		if copies == 0 {
			copies = -1 // the broker's default
		}
		r, err := adm.CreateTopic(ctx, c.Spec.Partitions, copies, configs, c.Topic)
		// Another instance may just have made it, and by the same specs; if not, CheckTopics will
		// say so.
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s%s: %w", c.Topic, brokerDetail(r.ErrMessage), Explained(err))
		}
		created = append(created, c.Spec)
		progress(c)
	}
	byTopic := map[string][]Change{}
	for _, c := range changes {
		if c.Kind == ChangeConfig {
			byTopic[c.Topic] = append(byTopic[c.Topic], c)
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(byTopic)) {
		var alter []kadm.AlterConfig
		for _, c := range byTopic[topic] {
			alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: c.Setting, Value: &c.Want})
		}
		rs, err := adm.AlterTopicConfigs(ctx, alter, topic)
		if err != nil {
			return fmt.Errorf("changing topic %s: %w", topic, Explained(err))
		}
		for _, r := range rs {
			if r.Err != nil {
				return fmt.Errorf("changing topic %s%s: %w", topic, brokerDetail(r.ErrMessage), Explained(r.Err))
			}
		}
		for _, c := range byTopic[topic] {
			progress(c)
		}
	}
	return awaitTopics(ctx, adm, created)
}

func brokerDetail(message string) string {
	if message == "" {
		return ""
	}
	return " (" + message + ")"
}

// awaitTopics waits until the brokers know the topics: a controller says yes before
// they do, and an engine started in between would find them missing.
func awaitTopics(ctx context.Context, adm *kadm.Client, specs []TopicSpec) error {
	if len(specs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second,
		errors.New("not all within 30 s; they may still come, run wayward topics check"))
	defer cancel()
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		details, err := ListTopics(ctx, adm, names)
		ready := err == nil
		for _, name := range names {
			d := details[name]
			ready = ready && d.Err == nil && len(d.Partitions) > 0
			for _, p := range d.Partitions {
				ready = ready && p.Err == nil && p.Leader >= 0
			}
		}
		if ready {
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("waiting for the new topics to appear: %w", context.Cause(ctx))
		case <-t.C:
		}
	}
}
