package pipeline

// record is one record of a log as a shard sees it.
type record struct {
	offset int64
	stamp  int64 // of the broker, Unix milliseconds
	key    []byte
	value  []byte
}

// Header is a record header.
type Header struct {
	Key   string
	Value []byte
}

// Destination names a topic that shards write to.
type Destination uint8

// Destinations. Facts, control and journal are partitioned by the shard, the others by key.
const (
	toAlerts Destination = iota
	toDLQ
	toFacts
	toControl
	toJournal
	toEvents
	toCommands
	toBreakers
	toInventory
	toBaselines
)

// output is one record that a shard wants written with the transaction.
type output struct {
	to        Destination
	partition int32 // -1: by key
	key       []byte
	value     []byte
	headers   []Header
}

// The two logs of a behaviour shard, in the order in which a transaction applies them. A relation
// shard has the main log alone.
const (
	controlLog = 0
	mainLog    = 1
)
