package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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

// TopicSpec is what one topic must look like.
type TopicSpec struct {
	Name        string
	Partitions  int32
	Replication int16             // 0: whatever it is
	Configs     map[string]string // what wayward cares about; all other settings are the operator's
	// Exact says that state is cut by the number of partitions. Where it is false,
	// a topic that has another number than it would have been given is fine.
	Exact bool
	Why   string // what the topic is for and why it is set up like this
}

const (
	plainRecords = 1 << 20 // and a little, as Kafka's own default is
	// One journal or facts record holds what a whole transaction did.
	largeRecords = 8 << 20
)

// Specs returns what every topic must look like. For the embedded broker they
// are bounded by size, as it reads all of it into memory after a crash (breakers
// alone are not: one that is forgotten lets its agent act), and nothing is
// compacted: its compaction loses records (research/engine.md, K4, K5).
func (t *Topics) Specs(embedded bool, brokers int) []TopicSpec {
	f := t.Full()
	copies, insync := int16(cmp.Or(t.Replication, 1)), "1"
	if t.Replication == 0 && brokers >= 3 {
		copies = 3
	}
	if copies >= 3 {
		insync = "2" // a record survives the loss of a broker, and writing goes on without it
	}
	if embedded {
		copies = 1
	}
	main, facts := int32(t.Partitions), int32(t.FactsPartitions)
	keep := t.Retention
	var specs []TopicSpec
	for _, r := range []struct {
		name       string
		partitions int32
		exact      bool
		keep       time.Duration // 0: compacted
		byBroker   bool          // stamped by the broker, not by the producer
		largest    int           // record
		mib        int           // on the embedded broker's disk, all partitions together; 0: no bound
		why        string
	}{
		{f.Events, main, true, keep.Events, true, plainRecords, 1024,
			"what agents do, keyed tenant|agent.id; LogAppendTime bounds how far ahead an event may claim to be; " +
				"state is rebuilt from it, so it must be kept at least twice the changelog's interval, and as long as the engine may be away"},
		{f.Alerts, main, false, keep.Alerts, false, plainRecords, 256, "findings, for the SIEM"},
		{f.DLQ, main, false, keep.DLQ, false, plainRecords, 128, "what could not be decoded, with the reason"},
		{f.Commands, main, false, keep.Commands, false, plainRecords, 128,
			"what gateways and playbooks are told to do, keyed by scope, so that the commands about one keep their order"},
		{f.Breakers, main, false, 0, false, plainRecords, 0,
			"the present state of every scope that is not free, keyed by scope, a tombstone when it is: a gateway that starts late reads the truth, " +
				"so nothing may be dropped"},
		{f.Acks, main, false, keep.Commands, true, plainRecords, 64,
			"what gateways say became of the commands; kept like them"},
		{f.Feedback, main, false, keep.Feedback, true, plainRecords, 64,
			"what people say: verdicts, and signed trips and restores; who may write here is told by the key that signed"},
		{f.Inventory, main, false, 0, false, plainRecords, 64,
			"agents, tools and servers as seen, keyed tenant|kind|id"},
		{f.Control, main, true, keep.Internal, true, plainRecords, 128,
			"what the behaviour shard of the same number of events is told; kept like the journal, which refers to it"},
		{f.Journal, main, true, keep.Internal, true, largeRecords, 256,
			"which events and which control records each transaction took: with events the state of a behaviour shard; " +
				"must be kept at least twice the changelog's interval"},
		{f.Facts, facts, true, keep.Internal, true, largeRecords, 256,
			"what behaviour shards tell relation shards, whose state it is; must be kept at least twice the changelog's interval"},
		{f.Sets, 1, true, 0, false, plainRecords, 64,
			"policies and rule sets by their hash, which state and logs refer to; one partition, so that all is read in order"},
		{f.Baselines, 1, true, 0, false, plainRecords, 1024,
			"what was learned of each persona by the end of each day, and a record for each day that lists it; every instance reads all of it, " +
				"and needs the last eight days to bring state back; one partition, so that a list comes after what it lists"},
		{f.ChangelogBehaviour, main, true, 0, false, plainRecords, 64,
			"pages of behaviour shards at each checkpoint, for an instance on a new machine"},
		{f.ChangelogRelation, facts, true, 0, false, plainRecords, 64,
			"pages of relation shards at each checkpoint, for an instance on a new machine"},
	} {
		// 12: what Kafka adds to a round number
		c := map[string]string{"max.message.bytes": strconv.Itoa(r.largest + 12)}
		switch {
		case embedded:
			// It keeps the producer's time stamps whatever the topic says. Events of last
			// month, sent today as a demo does, would be deleted within the minute, so time
			// counts only where nobody but wayward writes.
			c["cleanup.policy"], c["retention.ms"] = "delete", "-1"
			if r.keep > 0 && r.byBroker && !slices.Contains([]string{f.Events, f.Acks, f.Feedback}, r.name) {
				c["retention.ms"] = retentionMillis(r.keep)
			}
			if r.keep == 0 {
				// its default is delete, and on Apache Kafka these specs must not undo compact
				delete(c, "cleanup.policy")
			}
			each := max(int64(r.mib)<<20/int64(max(r.partitions, 1)), 4<<20)
			c["retention.bytes"] = strconv.FormatInt(each, 10)
			if r.mib == 0 {
				c["retention.bytes"] = "-1"
			}
			c["segment.bytes"] = strconv.FormatInt(min(each/4, 16<<20), 10) // whole segments are deleted
		case r.keep == 0:
			c["cleanup.policy"] = "compact"
			// the newest segment is never compacted, and a restore reads all of it
			c["segment.bytes"] = strconv.Itoa(32 << 20)
		default:
			c["cleanup.policy"], c["retention.ms"] = "delete", retentionMillis(r.keep)
			if r.byBroker {
				// For retention too: a producer's clock that is a week off must not delete what
				// came today.
				c["message.timestamp.type"] = "LogAppendTime"
			}
		}
		if !embedded {
			c["min.insync.replicas"] = insync
			if slices.Contains([]string{f.Alerts, f.DLQ, f.Commands, f.Breakers, f.Inventory}, r.name) {
				// What others read lies as topics.compression says, whatever the broker's default
				// or an older wayward made of the topic. It is what we write, so nothing is packed
				// anew.
				c["compression.type"] = f.brokerCompression()
			}
		}
		specs = append(specs, TopicSpec{Name: r.name, Partitions: r.partitions, Replication: copies, Configs: c,
			Exact: r.exact, Why: r.why})
	}
	return specs
}

func retentionMillis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

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
func listFresh(ctx context.Context, adm *kadm.Client, names []string) (kadm.TopicDetails, error) {
	return adm.ListTopics(kadm.WithAuthorizedOps(ctx), names...)
}

func describeTopics(ctx context.Context, adm *kadm.Client, specs []TopicSpec) (map[string]topicPresent, error) {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	details, err := listFresh(ctx, adm, names)
	if errors.Is(err, kerr.TopicAuthorizationFailed) {
		// One refused topic fails the request without a name; ask for each, to say which.
		details, err = kadm.TopicDetails{}, nil
		for _, name := range names {
			d, err := listFresh(ctx, adm, []string{name})
			if err != nil {
				details[name] = kadm.TopicDetail{Topic: name, Err: err}
			} else {
				maps.Copy(details, d)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", explained{err})
	}
	found := map[string]topicPresent{}
	var problems []error
	for _, name := range names {
		d := details[name]
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition), d.Err == nil && len(d.Partitions) == 0:
		case d.Err != nil:
			problems = append(problems, fmt.Errorf("topic %s: %w", name, explained{d.Err}))
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
		return nil, fmt.Errorf("reading the settings of topics: %w", explained{err})
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
			return nil, fmt.Errorf("settings of topic %s: %w", s.Name, explained{p.configErr})
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

// ApplyTopics creates what is missing and sets the settings that differ; what
// else is set on a topic stays. It changes nothing if a change is fatal, as that
// has to be decided first. progress, which may be nil, is told what was done.
func ApplyTopics(ctx context.Context, adm *kadm.Client, changes []Change, progress func(Change)) error {
	if err := fatal(changes); err != nil {
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
			return fmt.Errorf("creating topic %s%s: %w", c.Topic, brokerDetail(r.ErrMessage), explained{err})
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
			return fmt.Errorf("changing topic %s: %w", topic, explained{err})
		}
		for _, r := range rs {
			if r.Err != nil {
				return fmt.Errorf("changing topic %s%s: %w", topic, brokerDetail(r.ErrMessage), explained{r.Err})
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
		details, err := listFresh(ctx, adm, names)
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

// TopicProblems is one error for all that is the matter with the topics.
type TopicProblems []Change

// Error lists them, one a line, each with what to do.
func (p TopicProblems) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s with the topics:", countOf(int64(len(p)), "problem", "problems"))
	for _, c := range p {
		b.WriteString("\n  ")
		if !c.Fatal {
			b.WriteString("(warning) ")
		}
		b.WriteString(c.What)
	}
	return b.String()
}

func fatal(changes []Change) error {
	if p := slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return !c.Fatal }); len(p) > 0 {
		return TopicProblems(p)
	}
	return nil
}

// ReviewTopics judges the topics as a start of the engine does: what is fatal,
// and what it can run with but should be told to the operator.
func ReviewTopics(ctx context.Context, adm *kadm.Client, specs []TopicSpec) ([]Change, error) {
	found, err := describeTopics(ctx, adm, specs)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, s := range specs {
		p, ok := found[s.Name]
		if !ok {
			changes = append(changes, Change{Topic: s.Name, Kind: ChangeCreate, Fatal: true, Spec: s,
				What: fmt.Sprintf("topic %s is missing: run wayward topics apply, or correct topics in the config",
					s.Name)})
			continue
		}
		if c, ok := s.wrongPartitions(p); ok {
			changes = append(changes, c)
		}
		if c, ok := s.fewCopies(p); ok {
			changes = append(changes, c)
		}
		if p.configErr != nil {
			changes = append(changes, Change{Topic: s.Name, Kind: ChangeWrong, Spec: s,
				What: fmt.Sprintf(
					"the settings of topic %s cannot be read, so they are not checked (%v): grant DescribeConfigs on it",
					s.Name, p.configErr)})
			continue
		}
		differs := func(key, format string, fatal bool) {
			have, want := p.configs[key], s.Configs[key]
			changes = append(changes, Change{Topic: s.Name, Kind: ChangeConfig, Setting: key, Have: have, Want: want,
				Fatal: fatal, Spec: s,
				What: fmt.Sprintf(format, s.Name, readableSetting(key, have), readableSetting(key, want)) +
					": run wayward topics apply"})
		}
		if want := s.Configs["cleanup.policy"]; want != "" && p.configs["cleanup.policy"] != want {
			differs("cleanup.policy",
				"topic %s has cleanup.policy %s and needs %s, else records that state depends on are deleted", true)
		}
		if want := s.Configs["message.timestamp.type"]; want != "" && p.configs["message.timestamp.type"] != want {
			differs("message.timestamp.type",
				"topic %s has message.timestamp.type %s and should have %s, else a producer's wrong clock is believed",
				false)
		}
		have, want := configNumber(p.configs["retention.ms"]), configNumber(s.Configs["retention.ms"])
		if s.Configs["retention.ms"] != "" && have >= 0 && (want < 0 || have < want) {
			differs("retention.ms", "topic %s keeps records for %s, the config says %s", false)
		}
		if configNumber(p.configs["max.message.bytes"]) < configNumber(s.Configs["max.message.bytes"]) {
			differs("max.message.bytes",
				"topic %s takes records up to %s and should take %s, else a busy transaction may not fit", false)
		}
	}
	return changes, nil
}

// CheckTopics returns an error if wayward cannot run with the topics as they
// are: one for everything there is to mend, warnings too, to be done in one go.
// Warnings alone are no error; ReviewTopics tells them.
func CheckTopics(ctx context.Context, adm *kadm.Client, specs []TopicSpec) error {
	changes, err := ReviewTopics(ctx, adm, specs)
	if err != nil {
		return err
	}
	if fatal(changes) == nil {
		return nil
	}
	return TopicProblems(changes)
}
