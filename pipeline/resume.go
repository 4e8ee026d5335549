package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/response"
)

// Resume is what must outlive control, journal and facts when these are emptied and everything is
// made anew from agent.events: after an unclean stop of the embedded broker, and by wayward state
// rebuild. Findings are made again, with equal ids. Commands must not be: their epochs are known to
// the world, an agent that was restored must not be stopped for what it did before, and what is old
// would be put before a human once more.
//
// Breakers are taken from what the world was told, agent.commands and agent.breakers. Behaviour
// counts as judged up to the newest event before the group's offsets; about that no command is
// issued. All of it goes as control records before everything else into the new logs, so that state
// is still a function of the logs alone. What is lost: an order that one stage had asked of the
// other and that was still on its way (a violation that goes on asks again), and the epochs of
// closed scopes whose commands retention has deleted.
//
// Baselines go on as well: the newest snapshots that a closing lists are taken from
// wayward.baselines, with the day through which they have learned, so that no day is learned twice.
// What was late for those days, and not yet learned, is lost.
type Resume struct {
	scopes map[string]*resumed
	judged map[int32]int64 // by partition of events: newest event time
	models []keptSnapshot  // sorted by key
	closed map[int32]int64 // by relation shard: the newest day that it has closed
	of     int32           // relation shards that there were
	now    int64
}

type keptSnapshot struct {
	snapshotName
	keptModel
	raw []byte
}

// resumed is a scope that ever had a command.
type resumed struct {
	command *event.Command // the last one
	state   *event.Breaker // nil: closed
	guard   string
	signed  []uint64 // feedback that was acted on of late
}

// ReadResume reads what is there. Call it while no engine runs, before topics and groups are
// deleted.
func ReadResume(ctx context.Context, options []kgo.Opt, t broker.Topics, group string) (*Resume, error) {
	t = t.Full()
	cl, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("client of Kafka: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	r := &Resume{scopes: map[string]*resumed{}, judged: map[int32]int64{}, closed: map[int32]int64{}, now: wall()}
	starts, ends, err := closedOffsets(ctx, adm, t.Commands, t.Breakers, t.Events, t.Control, t.Baselines)
	if err != nil {
		return nil, err
	}
	both := map[string]map[int32]span{}
	for _, topic := range []string{t.Commands, t.Breakers} {
		both[topic] = map[int32]span{}
		for p, end := range ends[topic] {
			both[topic][p] = span{starts[topic][p].Offset, end.Offset}
		}
	}
	if err := scan(ctx, options, both, func(kr *kgo.Record) { r.take(kr, kr.Topic == t.Commands) }); err != nil {
		return nil, fmt.Errorf("reading %s and %s: %w", t.Commands, t.Breakers, err)
	}
	for _, s := range r.scopes {
		if s.command == nil && s.state != nil { // retention has deleted it
			c := response.CommandOf(s.state, none.Response(), s.state.Since)
			s.command = &c
		}
	}
	snapshots := map[int32]span{}
	for p, end := range ends[t.Baselines] {
		snapshots[p] = span{starts[t.Baselines][p].Offset, end.Offset}
	}
	if err := r.learned(ctx, options, t.Baselines, snapshots); err != nil {
		return nil, fmt.Errorf("reading %s: %w", t.Baselines, err)
	}
	if err := r.judge(ctx, options, adm, t, group, starts, ends); err != nil {
		return nil, fmt.Errorf("how far %s was judged: %w", t.Events, err)
	}
	return r, nil
}

// take notes a command or a state; of a scope the last one counts.
func (r *Resume) take(kr *kgo.Record, command bool) {
	s := r.scopes[string(kr.Key)]
	if s == nil {
		s = &resumed{}
		r.scopes[string(kr.Key)] = s
	}
	if command {
		c, err := event.ParseCommand(kr.Value)
		if err != nil || s.command != nil && c.Epoch < s.command.Epoch {
			return
		}
		s.command = &c
		if c.Issuer.Type == "human" && c.IssuedAt > r.now-2*feedbackTol {
			s.signed = append(s.signed, signedID(c.Issuer.By, c.Issuer.Rule))
		}
		return
	}
	s.state, s.guard = nil, ""
	if b, err := event.ParseBreaker(kr.Value); kr.Value != nil && err == nil {
		s.state = &b
		for _, h := range kr.Headers {
			if h.Key == guardHeader {
				s.guard = string(h.Value)
			}
		}
	}
}

// learned reads the newest snapshots that are listed. Of several for one day a person has changed
// all but the first, so the last counts; of those that were forgotten nothing is left.
func (r *Resume) learned(ctx context.Context, options []kgo.Opt, topic string, want map[int32]span) error {
	type place struct {
		baselines.Key
		day int64
	}
	kept, have, newest := map[place]keptSnapshot{}, pieces{}, map[int32]*Closing{}
	err := scan(ctx, options, map[string]map[int32]span{topic: want}, func(kr *kgo.Record) {
		if kr.Value == nil {
			if _, _, name := readPieceKey(kr.Key); name != "" {
				if b, ok := readSnapshotName(name); ok && kept[place{b.Key, b.day}].hash == b.hash {
					delete(kept, place{b.Key, b.day})
				}
			}
			return
		}
		name, whole := have.add(kr.Key, kr.Value)
		if name == "" {
			return
		}
		if b, ok := readSnapshotName(name); ok {
			kept[place{b.Key, b.day}] = keptSnapshot{snapshotName: b, raw: bytes.Clone(whole)}
			return
		}
		c := &Closing{}
		if json.Unmarshal(whole, c) != nil || c.Of < 1 {
			return
		}
		if c.Of != r.of { // another layout from here on
			r.of = c.Of
			clear(newest)
		}
		if have := newest[c.Owner]; have == nil || c.To >= have.To {
			newest[c.Owner] = c
		}
	})
	if err != nil {
		return err
	}
	for q, c := range newest {
		r.closed[q] = c.To
		for i := range c.Entries {
			e := &c.Entries[i]
			if b, ok := kept[place{e.Key(), e.Day}]; ok {
				b.keptModel = keptModel{e.Day, e.Seen}
				r.models = append(r.models, b)
			}
		}
	}
	slices.SortFunc(r.models, func(a, b keptSnapshot) int { return compareKeys(a.Key, b.Key) })
	return nil
}

// judge finds out up to which event time each partition was judged: the newest of the last thousand
// events before the group's offset, or what an earlier Resume said, if it is later: the engine may
// have stopped while it was still reading again.
func (r *Resume) judge(ctx context.Context, options []kgo.Opt, adm *kadm.Client, t broker.Topics, group string, starts,
	ends kadm.ListedOffsets) error {
	const enough = 1000
	committed, err := adm.FetchOffsets(ctx, group+"-behaviour")
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return broker.Explained(err)
	}
	tail, first := map[int32]span{}, map[int32]span{}
	for p, end := range ends[t.Events] {
		start := starts[t.Events][p].Offset
		at, ok := committed.Lookup(t.Events, p)
		switch {
		case ok && at.At > 0:
			tail[p] = span{max(start, at.At-enough), min(at.At, end.Offset)}
		case len(r.scopes) > 0:
			// somebody has judged, and the group is gone: the engine died between Read and Write
			tail[p] = span{max(start, end.Offset-enough), end.Offset}
		}
		if c := starts[t.Control][p]; ends[t.Control][p].Offset > c.Offset {
			first[p] = span{c.Offset, c.Offset + 1}
		}
	}
	var decoder event.Decoder
	var e event.Event
	return scan(ctx, options, map[string]map[int32]span{t.Events: tail, t.Control: first}, func(kr *kgo.Record) {
		if kr.Topic == t.Control {
			if c, err := readControl(kr.Value); err == nil && c.Kind == controlResume {
				r.judged[kr.Partition] = max(r.judged[kr.Partition], c.Time)
			}
		} else if decoder.Decode(kr.Value, &e) == nil {
			r.judged[kr.Partition] = max(r.judged[kr.Partition], min(e.Time, kr.Timestamp.UnixMilli()+futureTol))
			decoder.Reset()
		}
	})
}

// Scopes is how many scopes ever had a command.
func (r *Resume) Scopes() int { return len(r.scopes) }

// Write puts it into the new logs. Call it when the topics are there again, before an engine runs.
func (r *Resume) Write(ctx context.Context, options []kgo.Opt, t broker.Topics) error {
	t = t.Full()
	cl, err := kgo.NewClient(append(slices.Clone(options), kgo.RecordPartitioner(broker.Partitioner))...)
	if err != nil {
		return fmt.Errorf("client of Kafka: %w", err)
	}
	defer cl.Close()
	details, err := broker.ListTopics(ctx, kadm.NewClient(cl), []string{t.Events, t.Facts})
	if err != nil {
		return fmt.Errorf("topics: %s", broker.Explain(err))
	}
	shared := &owners{sources: int32(len(details[t.Events].Partitions)), facts: int32(len(details[t.Facts].Partitions)),
		partition: byKey}
	if shared.sources == 0 || shared.facts == 0 {
		return fmt.Errorf("topic %s or %s is not there: run wayward topics apply", t.Events, t.Facts)
	}
	newest := int64(0)
	for _, at := range r.judged {
		newest = max(newest, at)
	}
	var records []*kgo.Record
	tell := func(scope event.Scope, c control) {
		o := shared.route(scope, r.now, "", c)
		records = append(records,
			&kgo.Record{Topic: map[Destination]string{toControl: t.Control, toFacts: t.Facts}[o.to],
				Partition: o.partition, Value: o.value})
	}
	// First of all how far behaviour was judged: the next Resume looks for it there.
	for p := range shared.sources {
		at := r.judged[p]
		if len(r.judged) != int(shared.sources) {
			at = newest // agents have moved between partitions, or nothing is known of this one
		}
		records = append(records,
			&kgo.Record{Topic: t.Control, Partition: p, Value: control{Kind: controlResume, Time: at,
				Closing: len(r.closed) > 0}.encode()})
	}
	for q := range shared.facts {
		records = append(records,
			&kgo.Record{Topic: t.Facts, Partition: q,
				Value: controlFacts(0, r.now, "", control{Kind: controlResume, Time: newest})})
	}
	fact := func(q int32, c control) {
		records = append(records, &kgo.Record{Topic: t.Facts, Partition: q, Value: controlFacts(0, r.now, "", c)})
	}
	for i := range r.models {
		m := &r.models[i]
		fact(shared.baselineOwner(m.Key), control{Kind: controlResume, Kept: &m.keptModel, State: m.raw})
	}
	last := int64(noTime)
	for _, day := range r.closed {
		last = max(last, day)
	}
	for q := range shared.facts {
		day, ok := r.closed[q]
		if r.of != shared.facts { // personas have moved between shards
			day, ok = last, len(r.closed) > 0
		}
		if ok {
			fact(q, control{Kind: controlResume, Kept: &keptModel{Day: day}})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.scopes)) {
		s := r.scopes[key]
		if s.command == nil {
			continue
		}
		if s.state != nil && s.state.Epoch > s.command.Epoch {
			// the transaction was torn: the state was told, the command was not
			c := response.CommandOf(s.state, none.Response(), r.now)
			c.ReplyTo = t.Acks
			s.command = &c
			records = append(records, &kgo.Record{Topic: t.Commands, Partition: -1, Key: []byte(key),
				Value: c.Append(nil)})
		}
		b := response.Resumed(s.command, s.state, s.guard, none.Response(), r.now)
		tell(b.Scope, control{Kind: controlResume, State: b.Append(nil)})
		for _, id := range s.signed {
			tell(b.Scope, control{Kind: controlResume, Hash: id})
		}
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("writing what outlives the logs: %w", broker.Explained(err))
	}
	return nil
}

// resume takes what a Resume wrote. It returns the page of a breaker that is in force again.
func (s *shard) resume(c *control, r *record) *page {
	switch {
	case c.Kept != nil:
		if b, ok := s.machine.(*relation); !ok || !b.resumeBaseline(c) {
			s.counts.badControl++
		}
	case len(c.State) > 0:
		k := &response.Breaker{}
		rd := wire.Reader{B: c.State}
		if k.Decode(&rd); rd.Err != nil {
			s.counts.badControl++
			return nil
		}
		pg := s.breakerPage(k.Scope, true)
		if pg == nil {
			s.count("refused", "no_room")
			return nil
		}
		if pg.breaker != nil && pg.breaker.Epoch >= k.Epoch {
			return nil
		}
		pg.breaker = k
		pg.kept = max(pg.kept, k.At)
		s.publish(pg) // a torn transaction may have told the command and not the state
		if k.Open() {
			s.machine.turned(pg, true)
			return pg
		}
	case c.Hash != 0:
		s.taken = append(s.taken, taken{c.Hash, r.stamp})
	default:
		s.judged, s.resumed = max(s.judged, c.Time), max(s.resumed, r.stamp)
	}
	return nil
}

// known tells whether an order is about behaviour that was judged before the logs were made anew.
func (s *shard) known(o *order) bool {
	if s.judged == 0 || o.Order.Time > s.judged {
		return false
	}
	s.count("refused", "judged_before")
	return true
}

// signedID names a feedback for good.
func signedID(by, id string) uint64 { return xxhash.Sum64String(by + "\x00" + id) }
