package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// The records that the engine writes to itself. Facts and journal are binary, for they are many;
// control is JSON, for people read it.

// Kinds of control records.
const (
	controlTick     = "tick"     // an idle partition's time goes on
	controlIdle     = "idle"     // a partition that never had an event
	controlBroken   = "broken"   // the ingress set a record aside that names an agent
	controlVerdict  = "verdict"  // the relation stage found something about one agent
	controlRelation = "relation" // watermark of a relation shard, for back-pressure
	controlActivate = "activate" // a set takes effect
	controlSkip     = "skip"     // set aside an event that the shard fails on
	// an order on a scope of the reading shard; for the relation stage, as the shard wrote it to
	// itself
	controlTrip = "trip"
	controlAsk  = "ask" // to the relation stage: somebody wants an order on a scope above agents
	// to the relation stage: an automatic block that the persona's guard counts
	controlBlocked = "blocked"
	controlFreed   = "freed" // and its end
	// to the behaviour stage: whether a shard may add a block of the persona; with hash: the answer
	// to that one
	controlGate     = "gate"
	controlWide     = "wide"     // to the behaviour stage: the breaker of a wider scope has changed
	controlAck      = "ack"      // what a gateway answered
	controlFeedback = "feedback" // what a person wants
	controlExpire   = "expire"   // the wall clock says that a breaker's duration is over
	controlMissed   = "missed"   // the wall clock says that an ack did not come
	// an event waits for a day to be closed: the time of its shard goes on to it
	controlWait     = "wait"
	controlBaseline = "baseline" // to the behaviour stage: what a person has decided about a baseline
	controlResume   = "resume"   // what outlives logs that are made anew, see Resume
)

// control is a record of wayward.control.
type control struct {
	Kind     string `json:"kind"`
	Source   int32  `json:"source"`            // partition of the relation shard that says it
	Time     int64  `json:"time,omitempty"`    // event time, Unix milliseconds
	IdleMS   int64  `json:"idle_ms,omitempty"` // wall time since the last event
	Tenant   string `json:"tenant,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Reason   string `json:"reason,omitempty"` // of a record that did not decode
	Sum      uint64 `json:"sum,omitempty"`    // of its bytes
	Finding  string `json:"finding_uid,omitempty"`
	Severity int    `json:"severity_id,omitempty"`
	Risk     int    `json:"risk_score,omitempty"`
	Set      string `json:"set,omitempty"`
	Offset   int64  `json:"offset,omitempty"`

	Persona string          `json:"persona,omitempty"`
	Fork    string          `json:"fork,omitempty"`
	Ruling  *ruling         `json:"ruling,omitempty"`
	Kept    *keptModel      `json:"kept,omitempty"`    // of a baseline in State, or of all
	Closing bool            `json:"closing,omitempty"` // days were closed before the logs were made anew
	Hash    uint64          `json:"hash,omitempty"`    // of a scope
	Open    bool            `json:"open,omitempty"`
	Scope   event.Scope     `json:"scope,omitzero"`
	Epoch   int64           `json:"epoch,omitempty"`
	Trip    *order          `json:"trip,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`  // of an ack or feedback, as it came
	State   []byte          `json:"state,omitempty"` // of a breaker
}

// keptModel says of a snapshot that outlives the logs, or without one of all snapshots of a
// relation shard, through which day it has learned.
type keptModel struct {
	Day  int64 `json:"day"`
	Seen int64 `json:"seen,omitempty"`
}

func (c control) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and integers always encode
	}
	return b
}

func readControl(b []byte) (c control, err error) {
	if err = json.Unmarshal(b, &c); err == nil && (!c.Scope.Type.Known() && c.Scope.Type != 0 || c.Trip != nil &&
		!c.Trip.known()) {
		err = errors.New("an unknown scope or action")
	}
	return c, err
}

// factsHead begins a facts record; buckets follow until its end.
type factsHead struct {
	source    int32
	now       int64  // wall clock of the transaction that wrote it
	watermark int64  // of the source
	idle      bool   // the source has no event waiting
	out       bool   // a decision of the relation shard itself: the source is silent, do not wait for it
	activate  bool   // the set takes effect
	control   bool   // a control record follows, in JSON, and no buckets
	set       string // under which the buckets were counted
	format    byte   // as read
}

const (
	factsFormat  = 3 // 2: notes had no order
	factsControl = 8 // flag
)

func appendFactsHead(b []byte, h factsHead) []byte {
	flags := byte(0)
	if h.idle {
		flags |= 1
	}
	if h.out {
		flags |= 2
	}
	if h.activate {
		flags |= 4
	}
	if h.control {
		flags |= factsControl
	}
	b = append(b, factsFormat, flags)
	b = binary.AppendVarint(b, int64(h.source))
	b = binary.AppendVarint(b, h.now)
	b = binary.AppendVarint(b, h.watermark)
	return wire.AppendString(b, h.set)
}

func readFactsHead(b []byte) (h factsHead, body wire.Reader, err error) {
	r := wire.Reader{B: b, Alias: true}
	format := r.Byte()
	if format != factsFormat && format != factsFormat-1 {
		return h, r, fmt.Errorf("facts record of format %d, this binary knows %d", format, factsFormat)
	}
	flags := r.Byte()
	h = factsHead{format: format, idle: flags&1 != 0, out: flags&2 != 0, activate: flags&4 != 0,
		control: flags&factsControl != 0, source: int32(r.Varint()), now: r.Varint(), watermark: r.Varint(),
		set: r.String()}
	return h, r, r.Err
}

// journal is what a behaviour shard's transaction did: enough to do it again. Long control slices
// are split: all but the last record of a transaction carry nothing but control records.
type journal struct {
	seq       uint64
	now       int64
	next      [2]int64 // offsets of control and events after it
	first     int64    // offset of the first event, if there is one
	events    int64    // how many
	watermark int64
	digest    uint64 // of the outputs
	control   []record
	more      bool // another record of the same transaction follows
}

const (
	journalFormat = 1
	journalBytes  = 512 << 10 // control records in one journal record
)

// encode writes the journal of one transaction as one record or, if its control slice is long,
// several.
func (j *journal) encode() [][]byte {
	var out [][]byte
	rest := j.control
	for {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size < journalBytes) {
			size += len(rest[n].key) + len(rest[n].value) + 16
			n++
		}
		part := *j
		part.control, rest = rest[:n], rest[n:]
		part.more = len(rest) > 0
		out = append(out, part.append(nil))
		if len(rest) == 0 {
			return out
		}
	}
}

func (j *journal) append(b []byte) []byte {
	more := byte(0)
	if j.more {
		more = 1
	}
	b = append(b, journalFormat, more)
	b = binary.AppendUvarint(b, j.seq)
	b = binary.AppendVarint(b, j.now)
	b = binary.AppendVarint(b, j.next[0])
	b = binary.AppendVarint(b, j.next[1])
	b = binary.AppendVarint(b, j.first)
	b = binary.AppendVarint(b, j.events)
	b = binary.AppendVarint(b, j.watermark)
	b = binary.BigEndian.AppendUint64(b, j.digest)
	b = binary.AppendUvarint(b, uint64(len(j.control)))
	for i := range j.control {
		r := &j.control[i]
		b = binary.AppendVarint(b, r.offset)
		b = binary.AppendVarint(b, r.stamp)
		b = wire.AppendString(b, string(r.key))
		b = wire.AppendString(b, string(r.value))
	}
	return b
}

func readJournal(b []byte) (j journal, err error) {
	r := wire.Reader{B: b}
	if f := r.Byte(); f != journalFormat {
		return j, fmt.Errorf("journal record of format %d, this binary knows %d", f, journalFormat)
	}
	j.more = r.Byte() == 1
	j.seq = r.Uvarint()
	j.now = r.Varint()
	j.next = [2]int64{r.Varint(), r.Varint()}
	j.first = r.Varint()
	j.events = r.Varint()
	j.watermark = r.Varint()
	j.digest = r.Uint64()
	for range r.Len() {
		j.control = append(j.control, record{offset: r.Varint(), stamp: r.Varint(), key: r.Bytes(), value: r.Bytes()})
	}
	return j, r.Err
}

// maxDeadLetter is how much of a record that did not decode is kept (EVENTS §1).
const maxDeadLetter = 900 << 10

// deadLetter is the record for agent.events.dlq: the value as it came, up to 900 KiB, and why and
// from where in the headers; whose it is, if that is known.
func deadLetter(topic string, p int32, r *record, reason, detail string, whose *event.Named) output {
	o := output{to: toDLQ, partition: -1, key: r.key, value: r.value, headers: []Header{
		{"reason", []byte(reason)},
		{"detail", []byte(detail)},
		{"topic", []byte(topic)},
		{"partition", strconv.AppendInt(nil, int64(p), 10)},
		{"offset", strconv.AppendInt(nil, r.offset, 10)},
	}}
	if whose != nil {
		o.headers = append(o.headers, Header{"tenant", []byte(whose.Tenant)}, Header{"agent", []byte(whose.Agent)})
	}
	if len(r.value) > maxDeadLetter {
		sum := sha256.Sum256(r.value)
		o.value = r.value[:maxDeadLetter]
		o.headers = append(o.headers, Header{"length", strconv.AppendInt(nil, int64(len(r.value)), 10)},
			Header{"sha256", []byte(hex.EncodeToString(sum[:]))})
	}
	if len(r.key) > 4096 {
		o.key = r.key[:4096]
	}
	return o
}
