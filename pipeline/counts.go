package pipeline

// counts are what a transaction adds to the metrics if it commits.
type counts struct {
	records, events, late, repeated, future, findings, updates, verdicts int64
	facts, buckets, notes, lateBuckets                                   int64
	dropped, evicted, stateless, badControl                              int64
	deltas, lateDeltas, knownDeltas, closed, leftOut                     int64

	misrouted  [len(misroutedWhy)]int64
	misplaced  [len(misroutedWhy)]misplaced // the first of each
	dead       map[string]int64             // by reason
	byDetector map[string]int64
	other      map[[2]string]int64 // by metric and label
}

// Why an event lies in another partition than that of its agent's key.
const (
	noKey            = iota // the record has no key
	otherKey                // its key is not tenant|agent.id
	wrongPartitioner        // its key is right, its partition is not: librdkafka's default, mostly
)

// misroutedWhy are the reasons as labels of metrics.
var misroutedWhy = [...]string{"no_key", "other_key", "other_partitioner"}

// misplaced is an example of such an event.
type misplaced struct {
	offset int64
	home   int32
	source string // as the event says; hostile text
}

// ruleMetric is what the names of metrics of rules begin with.
const ruleMetric = "rule/"

// unmeasured is what is counted of a limit that cannot measure a call.
const unmeasured = "unmeasured"
