package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Change is one difference between the topics of a cluster and the specs.
type Change struct {
	Topic   string
	Kind    string // create, config, partitions or wrong
	Setting string // of Kafka; empty for create
	Have    string
	Want    string
	What    string // a sentence for people: what is the matter and what to do
	// Fatal marks what ApplyTopics cannot mend and wayward cannot run with.
	Fatal bool
	Spec  TopicSpec
}

// Kinds of Change.
const (
	ChangeCreate     = "create"     // the topic is missing
	ChangeConfig     = "config"     // a setting differs
	ChangePartitions = "partitions" // the number of partitions differs
	ChangeWrong      = "wrong"      // it is not as it should be, and only the operator can change it
)

func (c Change) String() string { return c.What }

// topicPresent is what a cluster has of the topics in specs.
type topicPresent struct {
	partitions, replicas int
	configs              map[string]string
	configErr            error // the topic is there, its settings cannot be read
}

// listFresh asks a broker. ListTopics alone may answer from the client's memory,
// where a topic made in between is missing for five seconds more; asking for what
// we are allowed to do as well gets past it.
func ListTopics(ctx context.Context, adm *kadm.Client, names []string) (kadm.TopicDetails, error) {
	return adm.ListTopics(kadm.WithAuthorizedOps(ctx), names...)
}

func describeTopics(ctx context.Context, adm *kadm.Client, specs []TopicSpec) (map[string]topicPresent, error) {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	details, err := ListTopics(ctx, adm, names)
	if errors.Is(err, kerr.TopicAuthorizationFailed) {
		// One refused topic fails the request without a name; ask for each, to say which.
		details, err = kadm.TopicDetails{}, nil
		for _, name := range names {
			d, err := ListTopics(ctx, adm, []string{name})
			if err != nil {
				details[name] = kadm.TopicDetail{Topic: name, Err: err}
			} else {
				maps.Copy(details, d)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", Explained(err))
	}
	found := map[string]topicPresent{}
	var problems []error
	for _, name := range names {
		d := details[name]
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition), d.Err == nil && len(d.Partitions) == 0:
		case d.Err != nil:
			problems = append(problems, fmt.Errorf("topic %s: %w", name, Explained(d.Err)))
		default:
			p := topicPresent{partitions: len(d.Partitions), configs: map[string]string{}}
			for _, part := range d.Partitions {
				if p.replicas == 0 || len(part.Replicas) < p.replicas {
					p.replicas = len(part.Replicas)
				}
			}
			found[name] = p
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	configs, err := adm.DescribeTopicConfigs(ctx, slices.Sorted(maps.Keys(found))...)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of topics: %w", Explained(err))
	}
	for _, r := range configs {
		p, ok := found[r.Name]
		if !ok {
			continue
		}
		p.configErr = r.Err
		for _, c := range r.Configs {
			// kfake lists the default of a setting beside the topic's own value.
			if _, seen := p.configs[c.Key]; !seen || c.Source == kmsg.ConfigSourceDynamicTopicConfig {
				p.configs[c.Key] = c.MaybeValue()
			}
		}
		found[r.Name] = p
	}
	return found, nil
}

// PlanTopics compares the cluster with the specs. Numbers of partitions are
// never changed: growing moves keys to other partitions, away from their state.
func PlanTopics(ctx context.Context, adm *kadm.Client, specs []TopicSpec) ([]Change, error) {
	found, err := describeTopics(ctx, adm, specs)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, s := range specs {
		p, ok := found[s.Name]
		if !ok {
			changes = append(changes, Change{Topic: s.Name, Kind: ChangeCreate, Spec: s,
				What: fmt.Sprintf("create topic %s: %s", s.Name, s.layout())})
			continue
		}
		if p.configErr != nil {
			return nil, fmt.Errorf("settings of topic %s: %w", s.Name, Explained(p.configErr))
		}
		if c, ok := s.wrongPartitions(p); ok {
			changes = append(changes, c)
		}
		if c, ok := s.fewCopies(p); ok {
			changes = append(changes, c)
		}
		for _, key := range slices.Sorted(maps.Keys(s.Configs)) {
			have, want := p.configs[key], s.Configs[key]
			if have == want || key == "max.message.bytes" && configNumber(have) >= configNumber(want) {
				continue
			}
			if key == "min.insync.replicas" && configNumber(want) > int64(p.replicas) {
				continue // nothing could be written any more
			}
			changes = append(changes, Change{Topic: s.Name, Kind: ChangeConfig, Setting: key, Have: have, Want: want,
				Spec: s,
				What: fmt.Sprintf("set %s of topic %s to %s, it is %s", key, s.Name, readableSetting(key, want),
					readableSetting(key, have))})
		}
	}
	return changes, nil
}

func (s *TopicSpec) layout() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s", countOf(int64(s.Partitions), "partition", "partitions"),
		countOf(int64(s.Replication), "copy", "copies"))
	for _, key := range slices.Sorted(maps.Keys(s.Configs)) {
		fmt.Fprintf(&b, ", %s=%s", key, readableSetting(key, s.Configs[key]))
	}
	return b.String()
}

func (s *TopicSpec) wrongPartitions(p topicPresent) (Change, bool) {
	if !s.Exact || p.partitions == int(s.Partitions) {
		return Change{}, false
	}
	return Change{Topic: s.Name, Kind: ChangePartitions, Setting: "partitions", Fatal: true, Spec: *s,
		Have: strconv.Itoa(p.partitions), Want: strconv.Itoa(int(s.Partitions)),
		What: fmt.Sprintf(
			"topic %s has %s, the config says %d, and state is cut by them: change topics.partitions or topics.facts_partitions to fit; "+
				"if nothing in the topic is needed, delete it and run wayward topics apply; if wayward has run with another number before, stop all instances and delete the internal topics, the consumer groups and the state directories too",
			s.Name, countOf(int64(p.partitions), "partition", "partitions"), s.Partitions),
	}, true
}

func (s *TopicSpec) fewCopies(p topicPresent) (Change, bool) {
	if p.replicas >= int(s.Replication) {
		return Change{}, false
	}
	return Change{Topic: s.Name, Kind: ChangeWrong, Setting: "replication", Spec: *s,
		Have: strconv.Itoa(p.replicas), Want: strconv.Itoa(int(s.Replication)),
		What: fmt.Sprintf(
			"topic %s has %s, the config says %d: records may be lost with a broker; add copies with kafka-reassign-partitions, or set topics.replication",
			s.Name, countOf(int64(p.replicas), "copy", "copies"), s.Replication),
	}, true
}

func configNumber(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func countOf(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + more
}

// readableSetting shows durations and sizes as people write them.
func readableSetting(key, value string) string {
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil && value == "":
		return "unset"
	case err != nil || n == 0:
		return value
	case n < 0 && strings.HasPrefix(key, "retention."):
		return "unlimited"
	case strings.HasSuffix(key, ".ms") && n%86_400_000 == 0:
		return countOf(n/86_400_000, "day", "days")
	case strings.HasSuffix(key, ".ms"):
		return (time.Duration(n) * time.Millisecond).String()
	case strings.HasSuffix(key, ".bytes") && n >= 1<<20:
		return strconv.FormatFloat(float64(n*10>>20)/10, 'f', -1, 64) + " MiB"
	}
	return value
}
