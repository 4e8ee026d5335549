package broker

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Topics are the names and the layout of the topics that wayward uses. Decode
// onto DefaultTopics; take names from Full.
type Topics struct {
	Prefix string `yaml:"prefix"` // put before every name, for several wayward on one cluster

	Events             string `yaml:"events"`
	Alerts             string `yaml:"alerts"`
	DLQ                string `yaml:"dlq"`
	Commands           string `yaml:"commands"`
	Breakers           string `yaml:"breakers"`
	Acks               string `yaml:"acks"`
	Feedback           string `yaml:"feedback"`
	Inventory          string `yaml:"inventory"`
	Control            string `yaml:"control"`
	Journal            string `yaml:"journal"`
	Facts              string `yaml:"facts"`
	Sets               string `yaml:"sets"`
	Baselines          string `yaml:"baselines"`
	ChangelogBehaviour string `yaml:"changelog_behaviour"`
	ChangelogRelation  string `yaml:"changelog_relation"`

	// Partitions is the number of behaviour shards: that of events, and therefore
	// of control, journal and their changelog. It is chosen once: agents move
	// between shards with it, and state does not.
	Partitions int `yaml:"partitions"`
	// FactsPartitions is the number of relation shards, likewise.
	FactsPartitions int `yaml:"facts_partitions"`
	// Replication is the number of copies; 0 means 3 if there are three brokers, else 1.
	Replication int `yaml:"replication"`

	// Compression is the codec of what wayward writes: gzip, zstd, snappy, lz4 or none.
	Compression string `yaml:"compression"`

	Retention Retention `yaml:"retention"`
}

// Retention says how long records are kept. Breakers, inventory, sets and
// changelogs are compacted and kept for ever.
type Retention struct {
	Events   time.Duration `yaml:"events"`
	Alerts   time.Duration `yaml:"alerts"`
	DLQ      time.Duration `yaml:"dlq"`
	Commands time.Duration `yaml:"commands"` // and acks
	Feedback time.Duration `yaml:"feedback"`
	Internal time.Duration `yaml:"internal"` // control, journal and facts
}

// DefaultTopics returns the layout of a fresh installation.
func DefaultTopics() Topics {
	const day = 24 * time.Hour
	return Topics{
		Events:             "agent.events",
		Alerts:             "agent.alerts",
		DLQ:                "agent.events.dlq",
		Commands:           "agent.commands",
		Breakers:           "agent.breakers",
		Acks:               "agent.acks",
		Feedback:           "agent.feedback",
		Inventory:          "wayward.inventory",
		Control:            "wayward.control",
		Journal:            "wayward.journal",
		Facts:              "wayward.facts",
		Sets:               "wayward.sets",
		Baselines:          "wayward.baselines",
		ChangelogBehaviour: "wayward.changelog.behaviour",
		ChangelogRelation:  "wayward.changelog.relation",
		Partitions:         6,
		FactsPartitions:    4,
		Compression:        "gzip",
		Retention: Retention{Events: 7 * day, Alerts: 14 * day, DLQ: 14 * day, Commands: 7 * day,
			Feedback: 30 * day, Internal: 2 * day},
	}
}

// names are the fields that hold a topic's name, with their keys in the config.
func (t *Topics) names() []namedTopic {
	return []namedTopic{
		{"events", &t.Events}, {"alerts", &t.Alerts}, {"dlq", &t.DLQ},
		{"commands", &t.Commands}, {"breakers", &t.Breakers}, {"acks", &t.Acks}, {"feedback", &t.Feedback},
		{"inventory", &t.Inventory},
		{"control", &t.Control}, {"journal", &t.Journal},
		{"facts", &t.Facts}, {"sets", &t.Sets}, {"baselines", &t.Baselines},
		{"changelog_behaviour", &t.ChangelogBehaviour}, {"changelog_relation", &t.ChangelogRelation},
	}
}

// compressions are the codecs that Kafka knows.
var compressions = []string{"gzip", "zstd", "snappy", "lz4", "none"}

// Codec is the codec of a client that writes what others read. A transaction has one client, and
// a client one codec, so what shards write to themselves in the same transaction shares it.
func (t *Topics) Codec() kgo.CompressionCodec {
	switch t.Compression {
	case "zstd":
		return kgo.ZstdCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "none":
		return kgo.NoCompression()
	}
	// The default: every client reads it. The fastest level, since facts and journals pay for it,
	// too.
	return kgo.GzipCompression().WithLevel(1)
}

// brokerCompression is the codec in the words of a topic's compression.type.
func (t *Topics) brokerCompression() string {
	if t.Compression == "none" {
		return "uncompressed"
	}
	return cmp.Or(t.Compression, "gzip")
}

type namedTopic struct {
	key  string
	name *string
}

// Full returns the topics with the prefix put before every name, once.
func (t Topics) Full() Topics {
	for _, n := range t.names() {
		*n.name = t.Prefix + *n.name
	}
	t.Prefix = ""
	return t
}

// Discardable names the topics whose records follow from events, and that are therefore thrown away
// when a crash of the embedded broker may have torn them from each other. Sets and baselines are
// not among them: nothing else holds an old set, or what was learned from events that are gone. Nor
// is what gateways and people read or wrote: commands, breakers, acks, feedback.
func (t *Topics) Discardable() []string {
	f := t.Full()
	return []string{f.Control, f.Journal, f.Facts, f.ChangelogBehaviour, f.ChangelogRelation}
}

// What Kafka takes for a topic's name.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Check reports every mistake in the names and numbers, which a broker would
// report one by one and in its own words.
func (t *Topics) Check() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf("topics."+format, args...)) }
	full := t.Full()
	seen := map[string]string{}
	for _, n := range full.names() {
		switch name := *n.name; {
		case name == t.Prefix:
			add("%s: the name is missing", n.key)
		case !topicName.MatchString(name), name == ".", name == "..":
			add("%s: %q is no name for a Kafka topic: use up to 249 letters, digits, dots, dashes and underscores",
				n.key, name)
		default:
			// Kafka's metrics cannot tell them apart, so it refuses both
			same := strings.ReplaceAll(name, ".", "_")
			if other, ok := seen[same]; ok {
				add(
					"%s: %q is also the name of topics.%s (a dot and an underscore count as the same): give each its own",
					n.key, name, other)
			}
			seen[same] = n.key
		}
	}
	if t.Partitions < 1 || t.Partitions > 4096 {
		add("partitions: %d is not between 1 and 4096", t.Partitions)
	}
	if t.FactsPartitions < 1 || t.FactsPartitions > 4096 {
		add("facts_partitions: %d is not between 1 and 4096", t.FactsPartitions)
	}
	if !slices.Contains(compressions, t.Compression) {
		add("compression: %q is unknown; use one of %s", t.Compression, strings.Join(compressions, ", "))
	}
	if t.Replication < 0 || t.Replication > 100 {
		add("replication: %d is not between 1 and 100, or 0 for 3 if there are three brokers", t.Replication)
	}
	for _, r := range []struct {
		key string
		d   time.Duration
	}{{"events", t.Retention.Events}, {"alerts", t.Retention.Alerts}, {"dlq", t.Retention.DLQ},
		{"commands", t.Retention.Commands}, {"feedback", t.Retention.Feedback}, {"internal", t.Retention.Internal}} {
		if r.d < time.Hour {
			add("retention.%s: %s is shorter than an hour, which is too short to restart in", r.key, r.d)
		}
	}
	return errors.Join(problems...)
}
