package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// snapshotCache keeps every baseline snapshot in memory. It tails wayward.baselines without a
// consumer group, from its beginning. All behaviour shards of the process share it. Snapshots never
// change, so what a shard finds depends on what it asks for alone. What is not there yet, it waits
// for.
type snapshotCache struct {
	stopped context.Context // done when the engine stops
	plain   *kgo.Client     // without transactions: offsets
	options []kgo.Opt       // of the clients that read
	topic   string
	shards  int32 // of the relation stage
	log     *slog.Logger

	mu        sync.Mutex
	arrived   chan struct{} // closed when something has come
	pieces    pieces
	closings  map[place][]*Closing // of each relation shard, as they came
	first     map[place][]*Closing // those that reach back for ever: one for each time that the logs began
	layouts   []int32              // numbers of relation shards that there were, the present one last
	snapshots map[snapshotName]*cachedSnapshot
	// the earliest day that was asked for and lies further back than what is kept; noTime: none
	wanted int64
	asked  bool  // for one of them
	read   int64 // offset behind what was read
}

// place is a relation shard, of so many.
type place struct{ of, owner int32 }

// cachedSnapshot is decoded when somebody first asks for it.
type cachedSnapshot struct {
	raw   []byte
	model *baselines.Model
}

// cachedDays is by how many days a snapshot may be older than the newest closing of its shard to be
// kept in memory.
const cachedDays = lookBack + 1

// newSnapshotCache makes a cache that is empty until it runs. shards is how many the relation stage
// has.
func newSnapshotCache(ctx context.Context, plain *kgo.Client, options []kgo.Opt, topic string, shards int32,
	log *slog.Logger) *snapshotCache {
	return &snapshotCache{stopped: ctx, plain: plain, options: options, topic: topic, shards: shards,
		log: log.With("stage", "baselines"), arrived: make(chan struct{}), pieces: pieces{},
		closings: map[place][]*Closing{}, first: map[place][]*Closing{}, layouts: []int32{shards},
		snapshots: map[snapshotName]*cachedSnapshot{}, wanted: noTime}
}

// take files one record.
func (c *snapshotCache) take(key, value []byte) {
	name, whole := c.pieces.add(key, value)
	switch {
	case name == "":
	case name[0] == 'c':
		closed := &Closing{}
		if json.Unmarshal(whole, closed) != nil || closed.Of < 1 {
			return
		}
		if !slices.Contains(c.layouts, closed.Of) {
			c.layouts = slices.Insert(c.layouts, len(c.layouts)-1, closed.Of)
		}
		at := place{closed.Of, closed.Owner}
		if closed.From == noTime {
			c.first[at] = append(c.first[at], closed)
		} else {
			c.closings[at] = append(c.closings[at], closed)
			c.prune(at)
		}
	case name[0] == 's':
		if n, ok := readSnapshotName(name); ok {
			c.snapshots[n] = &cachedSnapshot{raw: bytes.Clone(whole)}
		}
	}
}

// prune forgets the snapshots that are too old to be asked for in ordinary running.
func (c *snapshotCache) prune(at place) {
	if n := len(c.closings[at]) - 4*keptDays; n > 0 {
		c.closings[at] = slices.Delete(c.closings[at], 0, n)
	}
	from := never
	for q := range c.shards {
		list := c.closings[place{c.shards, q}]
		if len(list) == 0 {
			return
		}
		from = min(from, list[len(list)-1].To-cachedDays)
	}
	if c.wanted != noTime {
		from = min(from, c.wanted)
	}
	needed := map[snapshotName]bool{}
	for _, all := range []map[place][]*Closing{c.closings, c.first} {
		for _, list := range all {
			for _, closed := range list {
				if closed.To >= from {
					for i := range closed.Entries {
						needed[closed.Entries[i].name()] = true
					}
				}
			}
		}
	}
	for n := range c.snapshots {
		if n.day < from && !needed[n] {
			delete(c.snapshots, n)
		}
	}
}

// run reads the topic until ctx is done. ready is closed when what was there at the beginning is
// read.
func (c *snapshotCache) run(ctx context.Context, ready chan<- struct{}) {
	var searching sync.WaitGroup
	defer searching.Wait()
	searching.Go(func() {
		for ctx.Err() == nil {
			broker.Pause(ctx, 500*time.Millisecond)
			c.mu.Lock()
			asked := c.asked
			c.asked = false
			c.mu.Unlock()
			if !asked {
				continue
			}
			if err := c.search(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("reading baselines again", "topic", c.topic, "err", broker.Explain(err))
			}
		}
	})
	caughtUp := false
	for ctx.Err() == nil {
		err := c.follow(ctx, func() {
			if !caughtUp {
				caughtUp = true
				close(ready)
			}
		})
		if ctx.Err() != nil {
			return
		}
		c.log.Warn("reading baselines", "topic", c.topic, "err", broker.Explain(err))
		broker.Pause(ctx, time.Second)
	}
}

// follow reads on from where it was; caught is called when the end, as it was when follow began, is
// reached.
func (c *snapshotCache) follow(ctx context.Context, caught func()) error {
	ends, err := kadm.NewClient(c.plain).ListCommittedOffsets(ctx, c.topic)
	if err != nil {
		return err
	}
	end, ok := ends.Lookup(c.topic, 0)
	if !ok || end.Err != nil {
		return fmt.Errorf("end of %s: %w", c.topic, errors.Join(end.Err, errNoPartition))
	}
	starts, err := kadm.NewClient(c.plain).ListStartOffsets(ctx, c.topic)
	if err != nil {
		return err
	}
	start, _ := starts.Lookup(c.topic, 0)
	if c.read < start.Offset {
		c.read = start.Offset
	}
	r := newReader(c.options, c.topic, 0, c.read)
	defer r.close()
	if c.read >= end.Offset {
		caught()
	}
	for quiet := 0; ; {
		second, cancel := context.WithTimeout(ctx, time.Second)
		kr, err := r.any(second)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			// A record per offset up to the end is not promised (aborted transactions, compaction):
			// quiet for long is the end, too.
			if quiet++; quiet == 3 {
				caught()
			}
			continue
		case err != nil:
			return err
		}
		quiet = 0
		c.mu.Lock()
		c.read = kr.Offset + 1
		if !kr.Attrs.IsControl() {
			c.take(kr.Key, kr.Value)
		}
		if !r.buffered() {
			close(c.arrived)
			c.arrived = make(chan struct{})
		}
		c.mu.Unlock()
		if kr.Offset+1 >= end.Offset {
			caught()
		}
	}
}

var errNoPartition = errors.New("the topic has no partition: run wayward topics apply")

// closing is what was said of a persona's day; known is false if nobody has said it yet. c.mu is
// held.
func (c *snapshotCache) closing(k baselines.Key, day int64) (closed *Closing, known bool) {
	var first *Closing
	later := false
	for _, of := range slices.Backward(c.layouts) {
		at := place{of, baselineOwner(k, of)}
		for _, closed := range slices.Backward(c.closings[at]) {
			if closed.From <= day && day <= closed.To {
				return closed, true
			}
			later = later || closed.From > day
		}
		for _, closed := range c.first[at] {
			// the earliest that has the day: later ones know what was learned after it
			if day <= closed.To && (first == nil || closed.To < first.To) {
				first = closed
			}
		}
	}
	// What lies before all that is known was forgotten long ago, and will not come.
	return first, first != nil || later
}

// missing says what a shard has to wait for.
type missing struct {
	what string
	key  baselines.Key
	day  int64
}

func (m *missing) Error() string { return m.what }

// rulingFunc gives what a person has decided about a baseline if it holds for a day, else nil.
type rulingFunc func(k baselines.Key, day int64) *ruling

// find returns the snapshot that a key is judged by after a day; a *missing if it is not there yet.
func (c *snapshotCache) find(k baselines.Key, day int64, ruled rulingFunc) (*baselines.Model, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	base, err := c.of(k, day, ruled)
	if base == nil || err != nil {
		return nil, err
	}
	m := *base // the same snapshot may be in force on several days, beside others of the tenant
	if m.Prior, err = c.of(baselines.Key{Tenant: k.Tenant, Persona: baselines.TenantWide}, day, ruled); err != nil {
		return nil, err
	}
	return &m, nil
}

// of is the model that a key itself is judged by, without that of its tenant as a whole. c.mu is
// held.
func (c *snapshotCache) of(k baselines.Key, day int64, ruled rulingFunc) (*baselines.Model, error) {
	name, fresh, err := c.nameOf(k, day, ruled)
	if err != nil || name.hash == "" {
		return nil, err
	}
	s := c.snapshots[name]
	if s == nil {
		if c.wanted == noTime || min(day, name.day) < c.wanted {
			c.wanted = min(day, name.day)
		}
		c.asked = true
		return nil, &missing{fmt.Sprintf("snapshot %s/%s of persona %q has not been read yet", dateOf(name.day),
			name.hash, k.Persona), k, day}
	}
	if s.model == nil {
		m := &baselines.Model{}
		r := wire.Reader{B: s.raw}
		if m.Decode(&r); r.Err != nil || m.Hash() != name.hash {
			return nil, fmt.Errorf(
				"snapshot %s/%s of persona %q on %s is damaged (it has hash %q): restore the topic, or run wayward state rebuild --all",
				dateOf(name.day), name.hash, k.Persona, c.topic, m.Hash())
		}
		s.model, s.raw = m, nil
	}
	if fresh {
		return baselines.Fork(s.model, k, day), nil
	}
	return s.model, nil
}

// nameOf is the name of the snapshot that a key is judged by, without a hash if nothing is known of
// it. fresh says that it begins from that of another fork. A ruling about the key goes first, then
// one about the fork that its closing gives it.
func (c *snapshotCache) nameOf(k baselines.Key, day int64, ruled rulingFunc) (name snapshotName, fresh bool,
	err error) {
	if rule := ruled(k, day); rule != nil {
		return snapshotName{k, rule.Of, rule.Hash}, false, nil
	}
	closed, known := c.closing(k, day)
	if !known {
		return name, false, &missing{fmt.Sprintf("day %s of relation shard %d is not closed yet", dateOf(day),
			baselineOwner(k, c.shards)), k, day}
	}
	if closed == nil {
		return name, false, nil
	}
	e, fresh := closed.For(k)
	if e == nil {
		return name, false, nil
	}
	if rule := ruled(e.Key(), day); rule != nil {
		return snapshotName{e.Key(), rule.Of, rule.Hash}, fresh, nil
	}
	return e.name(), fresh, nil
}

// must finds what was there when the log that is being read again was written: it waits until it
// has been read, and reads the topic anew for what lies further back than what is kept in memory.
func (c *snapshotCache) must(k baselines.Key, day int64, ruled rulingFunc) (*baselines.Model, error) {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(c.stopped, patience)
	defer cancel()
	searched := false
	for {
		c.mu.Lock()
		arrived := c.arrived
		c.mu.Unlock()
		m, err := c.find(k, day, ruled)
		gap := (*missing)(nil)
		if !errors.As(err, &gap) {
			return m, err
		}
		if !searched {
			searched = true
			if err := c.search(ctx); err != nil {
				return nil, fmt.Errorf("reading %s: %w", c.topic, err)
			}
			continue
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, fmt.Errorf(
				"%w: it was there when the events were judged, and %s no longer has it; bring the topic back, or begin anew with wayward state rebuild --all",
				err, c.topic)
		}
	}
}

// search reads the topic from its beginning for snapshots that are not in memory any more but are
// asked for. Tombstones do not count: until the broker has compacted them away, what they stand on
// can be read.
func (c *snapshotCache) search(ctx context.Context) error {
	ends, err := kadm.NewClient(c.plain).ListCommittedOffsets(ctx, c.topic)
	if err != nil {
		return err
	}
	end, _ := ends.Lookup(c.topic, 0)
	starts, err := kadm.NewClient(c.plain).ListStartOffsets(ctx, c.topic)
	if err != nil {
		return err
	}
	start, _ := starts.Lookup(c.topic, 0)
	found := map[snapshotName][]byte{}
	var closings []*Closing
	have := pieces{}
	err = scan(ctx, c.options, map[string]map[int32]span{c.topic: {0: {start.Offset, end.Offset}}},
		func(kr *kgo.Record) {
			name, whole := have.add(kr.Key, kr.Value)
			if name == "" {
				return
			}
			if n, ok := readSnapshotName(name); ok {
				found[n] = bytes.Clone(whole)
				return
			}
			closed := &Closing{}
			if json.Unmarshal(whole, closed) == nil && closed.Of > 0 && closed.From != noTime {
				closings = append(closings, closed)
			}
		})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wanted == noTime {
		return nil
	}
	for _, closed := range closings {
		if closed.To < c.wanted {
			continue
		}
		for i := range closed.Entries {
			if n := closed.Entries[i].name(); c.snapshots[n] == nil && found[n] != nil {
				c.snapshots[n] = &cachedSnapshot{raw: found[n]}
			}
		}
		at := place{closed.Of, closed.Owner} // closings that had been forgotten, too
		if !slices.ContainsFunc(c.closings[at], func(o *Closing) bool {
			return o.From == closed.From && o.To == closed.To
		}) {
			c.closings[at] = append([]*Closing{closed}, c.closings[at]...)
		}
	}
	for n, raw := range found { // rulings name what no closing does
		if n.day >= c.wanted && c.snapshots[n] == nil {
			c.snapshots[n] = &cachedSnapshot{raw: raw}
		}
	}
	close(c.arrived)
	c.arrived = make(chan struct{})
	return nil
}

// newest is the newest day that every relation shard has closed, as far as is known here.
func (c *snapshotCache) newest() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	day := never
	for q := range c.shards {
		list := c.closings[place{c.shards, q}]
		if len(list) == 0 {
			return never
		}
		day = min(day, list[len(list)-1].To)
	}
	return day
}

// forgetWanted lets go what was read again for a shard that has caught up.
func (c *snapshotCache) forgetWanted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = noTime
}
