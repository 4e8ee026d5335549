package pipeline

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	_ "github.com/wayward-sec/wayward/detectors/all" // registers them
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
	"github.com/wayward-sec/wayward/state"
)

// behaviour is the machine of the first stage: everything whose key is one agent, or a session of
// one agent. It works in offset order, without waiting, and gathers what is counted above one agent
// for the relation stage.
type behaviour struct {
	*shard
	panel   *detectors.Panel
	decoder event.Decoder
	e       event.Event
	topic   string // of events, for dead letters

	clock     clock
	idle      bool  // no event for idleAfter and none waiting: the relation stage need not wait for us
	stamp     int64 // broker's timestamp of the newest event
	told      int64 // now when the watermark last went to every facts partition
	toldIdle  bool
	relation  []int64             // watermark of each relation shard, as last heard
	gates     map[string]gate     // by tenant|persona: whose guard was last shut, or has a block to answer
	wide      []*response.Breaker // of scopes above agents, as last heard
	skip      []int64             // offsets that the shard was told to set aside
	sweptHour int64

	event  eventContext // the event under observation; one for all, so that none is allocated
	keyed  kgo.Record   // scratch: what the partitioner looks at
	key    []byte       // scratch
	passer *agentPage   // stands for the page of an agent for which there is no room
	// what was found about such agents of late: without memory each event would be a finding of its
	// own
	passed []uint64

	attributes map[attributes]*attributes // shared by pages. Derived

	forks   forks  // of agents seen of late
	models  models // in force; nil: none ever
	rulings map[baselines.Key]ruling
	begun   bool // there was an event
	closing bool // a relation shard has said that it closes days
	// the day by which the first event was judged, if nobody had closed any before; nothing is
	// known of it and what was before
	origin   int64
	approved bool // all events are known to be good
	deltas   deltas
	// ten minutes of event time in which idle sessions were last looked for
	ended int64
	alive map[*sessionPage]bool // sessions that have not ended. Derived

	partials detectors.Partials
	notes    []detectors.Note
	noteAt   map[uint64]int32 // into notes, by a hash of what they say
	facts    [][]byte         // one record under construction per facts partition
	hint     []int            // how long the last one was
	// The watermark of the whole file that the events are of. Whoever reads the file tells the time,
	// says when deltas go out, and ends idle sessions. nil: the partition's own clock does all this.
	fileTime *int64
}

const (
	idleAfter  = 10_000          // ms without an event after which an idle source is not waited for
	tellEvery  = 1000            // ms of wall clock between watermarks to every facts partition
	agentIdle  = 32 * 86_400_000 // longer than any window
	sessionEnd = 86_400_000      // ms of event time after which an idle session is forgotten
	factsBytes = 512 << 10       // a facts record is split above this
)

func newBehaviour(p int32, r *rules, set *policy.Set, topic string) *behaviour {
	b := &behaviour{shard: newShard(p, r), panel: detectors.New(set), forks: newForks(), topic: topic,
		gates: map[string]gate{}, noteAt: map[uint64]int32{}, origin: noTime, rulings: map[baselines.Key]ruling{},
		alive: map[*sessionPage]bool{}, attributes: map[attributes]*attributes{},
		relation: make([]int64, r.facts), facts: make([][]byte, r.facts), hint: make([]int, r.facts)}
	for i := range b.relation {
		b.relation[i] = noTime
	}
	b.deltas = newDeltas(b.shard)
	b.shard.machine, b.space = b, state.Space{Stage: 'b', Partition: p}
	b.event.b, b.event.home, b.event.scene.Host = b, p, &b.event
	return b
}

// newFileBehaviour makes a shard for events of a file: nothing of it is ever saved or undone.
func newFileBehaviour(p int32, r *rules, set *policy.Set, m models, fileTime *int64, approved bool) *behaviour {
	b := newBehaviour(p, r, set, "")
	b.models, b.begun, b.fileTime, b.approved = m, true, fileTime, approved
	b.beginUnsaved()
	return b
}

func (b *behaviour) apply(log int, r *record) error {
	if log == controlLog {
		return b.control(r)
	}
	b.stamp = r.stamp
	for _, o := range b.skip {
		if o == r.offset {
			b.deadLetter(b.topic, b.p, r, "failed", "the shard failed on this event several times; see its log", nil)
			return nil
		}
	}
	x := &b.event
	x.order = r.offset
	if err := b.decoder.Decode(r.value, &b.e); err != nil {
		n := whose(&b.decoder, r)
		b.deadLetter(b.topic, b.p, r, event.ReasonOf(err), err.Error(), n)
		if n != nil {
			x.undecoded(n, r.stamp, event.ReasonOf(err))
		}
		return nil
	}
	b.idle = false // what is no event does not hold up anybody
	x.event = &b.e
	x.place(r)
	x.content = xxhash.Sum64(r.value)
	return x.observe(r.stamp)
}

// filePlace is what a file says of one of its events.
type filePlace struct {
	stamp   int64  // what the broker's stamp is to a record: beyond it the event's own time is not believed
	order   int64  // number of its line, or offset of its record
	reached int64  // event time that the whole file has reached with it
	content uint64 // hash of its bytes
}

// observeOfFile judges one decoded event of a file.
func (b *behaviour) observeOfFile(e *event.Event, at *filePlace) error {
	x := &b.event
	x.before, x.reached, x.order, x.content = x.reached, at.reached, at.order, at.content
	return b.observe(e, at.stamp)
}

// observe judges one decoded event that lies in the right partition.
func (b *behaviour) observe(e *event.Event, stamp int64) error {
	b.event.event = e
	return b.event.observe(stamp)
}

// undecoded counts a record that did not decode against the agent that it names.
func (b *behaviour) undecoded(n *event.Named, stamp int64, reason string) {
	b.event.undecoded(n, stamp, reason)
}

// scene is what detectors were shown of the newest event.
func (b *behaviour) scene() *detectors.Scene { return &b.event.scene }

// until implements machine.
func (b *behaviour) until(pg *page) int64 {
	agent, _ := pg.content.(*agentPage)
	switch {
	case pg.breaker.Open(), agent != nil && agent.barred > 0, pg.key[0] == deltaKind:
		return forever
	case pg.breaker != nil:
		return pg.idleSince() + breakerIdle
	case pg.key[0] == sessionKind:
		return pg.idleSince() + sessionEnd
	}
	return pg.idleSince() + agentIdle
}

func (b *behaviour) untilOf(kind byte, idle int64) int64 {
	if kind == sessionKind {
		return idle + sessionEnd
	}
	return idle + agentIdle
}

func (b *behaviour) laid(pg *page) {
	if s, ok := pg.content.(*sessionPage); ok {
		delete(b.alive, s)
	}
}

// control applies what others have decided: the relation stage, other instances, operators. What
// cannot be read is set aside, never guessed.
func (b *behaviour) control(r *record) error {
	b.holding = nil
	c, err := readControl(r.value)
	if err != nil {
		b.counts.badControl++
		return nil
	}
	switch c.Kind {
	case controlTick:
		was := b.clock.reached()
		b.clock.tick(c.Time)
		b.idle = c.IdleMS >= idleAfter
		return b.endIdle(b.clock.watermark(), was)
	case controlWait:
		// The event that waits for a day to be closed is the one that says it is over.
		was := b.clock.reached()
		if b.clock.seen {
			b.clock.tick(c.Time)
		} else {
			was = c.Time
			b.clock.see(c.Time, 0, c.Hash)
		}
		b.idle, b.told = false, 0
		return b.endIdle(b.clock.watermark(), was)
	case controlBaseline:
		if c.Ruling == nil {
			b.counts.badControl++
			return nil
		}
		b.rule(baselines.Key{Tenant: c.Tenant, Persona: c.Persona, Fork: c.Fork}, *c.Ruling)
	case controlIdle:
		b.idle = true
	case controlBroken:
		b.undecoded(&event.Named{Tenant: c.Tenant, Agent: c.Agent, ID: c.Finding, Time: c.Time, Sum: c.Sum},
			r.stamp, c.Reason)
	case controlVerdict:
		k := append(b.key[:0], agentKind)
		b.key = event.AppendKey(k, c.Tenant, c.Agent)
		if pg := b.agentPage(b.key, c.Tenant); pg != nil {
			pg.verdicts++
			pg.kept = max(pg.kept, c.Time)
			if c.Severity > int(event.Signal) {
				pg.quarantine(c.Time)
			}
			b.counts.verdicts++
		}
	case controlRelation:
		if c.Source >= 0 && int(c.Source) < len(b.relation) {
			b.relation[c.Source] = max(b.relation[c.Source], c.Time)
			b.closing = true
		}
	case controlSkip:
		b.skip = append(b.skip, c.Offset)
		if len(b.skip) > 16 {
			b.skip = b.skip[1:]
		}
	case controlTrip:
		if c.Trip == nil || !c.Trip.Scope.Type.Narrow() {
			b.counts.badControl++
			return nil
		}
		b.tripAgent(*c.Trip)
	case controlGate:
		b.opened(&c)
	case controlWide:
		b.heardWide(&c)
	case controlAck, controlFeedback, controlExpire, controlMissed:
		b.answer(&c, r)
	case controlResume:
		if c.Closing {
			b.closing = true // of what was closed before the logs were made anew
		}
		if pg := b.resume(&c, r); pg != nil && pg.breaker.Persona != "" {
			b.tellGuard(controlBlocked, pg.breaker)
		}
	case controlActivate:
		if c.Set == b.panel.Set.Hash() {
			return nil
		}
		set, err := b.rules.set(c.Set)
		if err != nil {
			return err
		}
		b.panel = detectors.New(set)
	default:
		b.counts.badControl++
	}
	return nil
}

// seal writes what the slice gathered to the relation stage: at most one facts record per
// transaction and facts partition (split above factsBytes), and at least once a second the
// watermark to every facts partition.
func (b *behaviour) seal() {
	if b.fileTime == nil && b.clock.seen && b.deltas.due(b.clock.reached(), b.idle) {
		b.flush()
	}
	n := b.rules.facts
	tell := b.fileTime == nil && (b.now-b.told >= tellEvery || b.idle != b.toldIdle)
	if tell {
		b.told, b.toldIdle = b.now, b.idle
	}
	watermark := b.clock.watermark()
	if b.fileTime != nil {
		watermark = *b.fileTime
	}
	head := func(q int32) {
		b.facts[q] = appendFactsHead(make([]byte, 0, b.hint[q]+256),
			factsHead{source: b.p, now: b.now, watermark: watermark, idle: b.idle, set: b.panel.Set.Hash()})
	}
	to := func(tenant string, scope policy.Scope, id string) int32 {
		q := b.rules.owner(tenant, scope, id)
		if len(b.facts[q]) > factsBytes {
			b.sendFacts(q)
		}
		if b.facts[q] == nil {
			head(q)
		}
		return q
	}
	b.partials.Each(func(k *detectors.Bucket) {
		q := to(k.Tenant, k.Scope, k.ID)
		b.facts[q] = appendBucket(b.facts[q], k)
	})
	for i := range b.notes {
		k := &b.notes[i]
		q := to(k.Tenant, k.Scope, k.ID)
		b.facts[q] = appendNote(append(b.facts[q], noteTag), k)
	}
	for q := range n {
		if b.facts[q] == nil && tell {
			head(q)
		}
		if b.facts[q] != nil {
			b.sendFacts(q)
		}
	}
	b.drain()
}

// flush sends the relation stage all deltas that there are.
func (b *behaviour) flush() {
	b.deltas.flush(factsHead{source: b.p, now: b.now, idle: b.idle, set: b.panel.Set.Hash()})
}

// kept implements machine.
func (b *behaviour) kept() { b.deltas.keep() }

// drain forgets what the slice gathered. Its strings alias the slice's records and the scratch of
// decoder and catalogue, which end with it.
func (b *behaviour) drain() {
	b.partials.Reset()
	clear(b.notes)
	b.notes = b.notes[:0]
	clear(b.noteAt)
	b.decoder.Reset()
	b.panel.Reset()
}

func (b *behaviour) sendFacts(q int32) {
	b.counts.facts++
	b.emit(output{to: toFacts, partition: q, value: b.facts[q]})
	b.hint[q] = min(len(b.facts[q]), factsBytes)
	b.facts[q] = nil
}

// ahead tells by how much this shard's event time is ahead of the slowest relation shard that has
// been heard of.
func (b *behaviour) ahead() int64 {
	low := int64(math.MaxInt64)
	for _, t := range b.relation {
		if t != noTime {
			low = min(low, t)
		}
	}
	if low == math.MaxInt64 || !b.clock.seen {
		return 0
	}
	return b.clock.watermark() - low
}

func (b *behaviour) appendVars(v []byte) []byte {
	v = b.clock.append(v)
	flags := byte(0)
	if b.idle {
		flags |= 1
	}
	if b.toldIdle {
		flags |= 2
	}
	if b.begun {
		flags |= 4
	}
	if b.closing {
		flags |= 8
	}
	v = append(v, flags)
	v = binary.AppendVarint(v, b.stamp)
	v = binary.AppendVarint(v, b.told)
	v = binary.AppendVarint(v, b.sweptHour)
	v = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(v, b.deltas.flushed), b.ended), b.origin)
	v = binary.AppendUvarint(v, uint64(len(b.relation)))
	for _, t := range b.relation {
		v = binary.AppendVarint(v, t)
	}
	v = binary.AppendUvarint(v, uint64(len(b.skip)))
	for _, o := range b.skip {
		v = binary.AppendVarint(v, o)
	}
	v = binary.AppendUvarint(v, uint64(len(b.gates)))
	for _, name := range slices.Sorted(maps.Keys(b.gates)) {
		shut := byte(0)
		if b.gates[name].shut {
			shut = 1
		}
		v = binary.BigEndian.AppendUint64(append(wire.AppendString(v, name), shut), b.gates[name].waits)
	}
	v = binary.AppendUvarint(v, uint64(len(b.wide)))
	for _, k := range b.wide {
		v = k.Append(v)
	}
	v = binary.AppendUvarint(v, uint64(len(b.passed)))
	for _, h := range b.passed {
		v = binary.BigEndian.AppendUint64(v, h)
	}
	v = binary.AppendUvarint(v, uint64(len(b.rulings)))
	for _, k := range slices.SortedFunc(maps.Keys(b.rulings), compareKeys) {
		r := b.rulings[k]
		v = wire.AppendString(wire.AppendString(wire.AppendString(v, k.Tenant), k.Persona), k.Fork)
		v = wire.AppendString(binary.AppendVarint(binary.AppendVarint(v, r.Day), r.Of), r.Hash)
	}
	return wire.AppendString(v, b.panel.Set.Hash())
}

func (b *behaviour) decodeVars(r *wire.Reader) {
	b.clock.decode(r)
	flags := r.Byte()
	b.idle, b.toldIdle, b.begun, b.closing = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	b.stamp = r.Varint()
	b.told = r.Varint()
	b.sweptHour = r.Varint()
	b.deltas.flushed, b.ended, b.origin = r.Varint(), r.Varint(), r.Varint()
	for i := range r.Len() {
		if t := r.Varint(); i < len(b.relation) {
			b.relation[i] = t
		}
	}
	b.skip = b.skip[:0]
	for range r.Len() {
		b.skip = append(b.skip, r.Varint())
	}
	b.gates = map[string]gate{}
	for range r.Len() {
		name := r.String()
		b.gates[name] = gate{shut: r.Byte() == 1, waits: r.Uint64()}
	}
	b.wide = nil
	for range r.Len() {
		k := &response.Breaker{}
		k.Decode(r)
		b.wide = append(b.wide, k)
	}
	b.passed = b.passed[:0]
	for range r.Len() {
		b.passed = append(b.passed, r.Uint64())
	}
	was := b.rulings
	b.rulings = map[baselines.Key]ruling{}
	for range r.Len() {
		k := baselines.Key{Tenant: r.String(), Persona: r.String(), Fork: r.String()}
		b.rulings[k] = ruling{r.Varint(), r.Varint(), r.String()}
	}
	b.panel = b.panelOf(r, b.panel)
	if !maps.Equal(was, b.rulings) {
		b.panel.Each(func(w *detectors.Who) { w.Rest(nil, 0, 0) })
	}
	b.drain() // what an aborted slice gathered is gone with it
	b.deltas.forgetSlice()
}

// indexed files a page that came from disk or was put back.
func (b *behaviour) indexed(pg *page) {
	switch c := pg.content.(type) {
	case *deltaPage:
		b.deltas.indexed(c)
	case *sessionPage:
		if c.going {
			b.alive[c] = true
		} else {
			delete(b.alive, c)
		}
	}
}

func (b *behaviour) watchers() *detectors.Panel { return b.panel }

func (b *behaviour) stage() string { return "behaviour" }

func (b *behaviour) undoes() bool { return true }

func (b *behaviour) present() int64 {
	if !b.clock.seen {
		return noTime
	}
	return b.clock.watermark()
}

func (b *behaviour) partitions() int { return int(b.rules.sources) }
