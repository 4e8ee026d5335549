package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// snapshotCache keeps every baseline snapshot in memory. It tails wayward.baselines without a
// consumer group, from its beginning. All behaviour shards of the process share it. Snapshots never
// change, so what a shard finds depends on what it asks for alone. What is not there yet, it waits
// for.
type snapshotCache struct {
	stopped context.Context // done when the engine stops; nil: never
	topic   string
	cfg     *Config
	shards  int32 // of the relation stage
	log     *slog.Logger

	mu       sync.Mutex
	arrived  chan struct{} // closed when something has come
	pieces   pieces
	closings map[place][]*Closing // of each relation shard, as they came
	first    map[place][]*Closing // those that reach back for ever: one for each time that the logs began
	layouts  []int32              // numbers of relation shards that there were, the present one last
	books    map[bookName]*book
	// the earliest day that was asked for and lies further back than what is kept; noTime: none
	wanted int64
	asked  bool  // for one of them
	read   int64 // offset behind what was read
	failed error // of the last attempt to read
}

// place is a relation shard, of so many.
type place struct{ of, owner int32 }

// bookName names a snapshot.
type bookName struct {
	baselines.Key
	day  int64
	hash string
}

// book is a snapshot, decoded when somebody first asks for it.
type book struct {
	raw   []byte
	model *baselines.Model
}

// shelved is by how many days a snapshot may be older than the newest closing of its shard to be
// kept in memory.
const shelved = lookBack + 1

func newSnapshotCache(c *Config, r *rules) *snapshotCache {
	return &snapshotCache{topic: c.Topics.Baselines, cfg: c, shards: r.facts, log: c.Log.With("stage", "baselines"),
		arrived: make(chan struct{}),
		pieces:  pieces{}, closings: map[place][]*Closing{}, first: map[place][]*Closing{}, layouts: []int32{r.facts},
		books: map[bookName]*book{}, wanted: noTime}
}

// pieces puts records together that are parts of one value.
type pieces map[string][][]byte

// add takes a record of the topic and returns the value that it completes.
func (p pieces) add(key, value []byte) (name string, whole []byte) {
	i, n, name := pieceOf(key)
	if n == 0 || value == nil {
		return "", nil
	}
	if n == 1 {
		return name, value
	}
	if len(p[name]) != n || i == 0 {
		p[name] = make([][]byte, n)
	}
	p[name][i] = value
	if slices.ContainsFunc(p[name], func(b []byte) bool { return b == nil }) {
		return "", nil
	}
	whole = bytes.Join(p[name], nil)
	delete(p, name)
	return name, whole
}

// pieceOf takes the key of a record apart: which part it is of how many of what. 0 parts: the key
// is not one of ours.
func pieceOf(key []byte) (i, n int, name string) {
	s := string(key)
	last := strings.LastIndexByte(s, '|')
	if last < 0 {
		return 0, 0, ""
	}
	before := strings.LastIndexByte(s[:last], '|')
	if before < 0 {
		return 0, 0, ""
	}
	n, err1 := strconv.Atoi(s[last+1:])
	i, err2 := strconv.Atoi(s[before+1 : last])
	if err1 != nil || err2 != nil || i < 0 || i >= n || n > 1000 {
		return 0, 0, ""
	}
	return i, n, s[:before]
}

// bookOf reads the name of a snapshot.
func bookOf(name string) (b bookName, ok bool) {
	part := strings.Split(name, "|")
	if len(part) != 6 || part[0] != "s" {
		return b, false
	}
	day, err := strconv.ParseInt(part[4], 10, 64)
	return bookName{baselines.Key{Tenant: part[1], Persona: event.KeyPart(part[2]), Fork: event.KeyPart(part[3])}, day,
		part[5]}, err == nil
}

// take files one record.
func (l *snapshotCache) take(key, value []byte) {
	name, whole := l.pieces.add(key, value)
	switch {
	case name == "":
	case name[0] == 'c':
		c := &Closing{}
		if json.Unmarshal(whole, c) != nil || c.Of < 1 {
			return
		}
		if !slices.Contains(l.layouts, c.Of) {
			l.layouts = slices.Insert(l.layouts, len(l.layouts)-1, c.Of)
		}
		at := place{c.Of, c.Owner}
		if c.From == noTime {
			l.first[at] = append(l.first[at], c)
		} else {
			l.closings[at] = append(l.closings[at], c)
			l.prune(at)
		}
	case name[0] == 's':
		if b, ok := bookOf(name); ok {
			l.books[b] = &book{raw: bytes.Clone(whole)}
		}
	}
}

// prune forgets the snapshots that are too old to be asked for in ordinary running.
func (l *snapshotCache) prune(at place) {
	if n := len(l.closings[at]) - 4*keptDays; n > 0 {
		l.closings[at] = slices.Delete(l.closings[at], 0, n)
	}
	from := never
	for q := range l.shards {
		list := l.closings[place{l.shards, q}]
		if len(list) == 0 {
			return
		}
		from = min(from, list[len(list)-1].To-shelved)
	}
	if l.wanted != noTime {
		from = min(from, l.wanted)
	}
	needed := map[bookName]bool{}
	for _, all := range []map[place][]*Closing{l.closings, l.first} {
		for _, list := range all {
			for _, c := range list {
				if c.To >= from {
					for i := range c.Entries {
						needed[c.Entries[i].book()] = true
					}
				}
			}
		}
	}
	for b := range l.books {
		if b.day < from && !needed[b] {
			delete(l.books, b)
		}
	}
}

func (s *Snapshot) book() bookName { return bookName{s.Key(), s.Day, s.Hash} }

// run reads the topic until ctx is done. ready is closed when what was there at the beginning is
// read.
func (l *snapshotCache) run(ctx context.Context, ready chan<- struct{}) {
	var searching sync.WaitGroup
	defer searching.Wait()
	searching.Go(func() {
		for ctx.Err() == nil {
			broker.Pause(ctx, 500*time.Millisecond)
			l.mu.Lock()
			asked := l.asked
			l.asked = false
			l.mu.Unlock()
			if !asked {
				continue
			}
			if err := l.search(ctx); err != nil && ctx.Err() == nil {
				l.log.Warn("reading baselines again", "topic", l.topic, "err", broker.Explain(err))
			}
		}
	})
	told := false
	for ctx.Err() == nil {
		err := l.follow(ctx, func() {
			if !told {
				told = true
				close(ready)
			}
		})
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		l.failed = err
		l.mu.Unlock()
		l.log.Warn("reading baselines", "topic", l.topic, "err", broker.Explain(err))
		broker.Pause(ctx, time.Second)
	}
}

// follow reads on from where it was; caught is called when the end, as it was when follow began, is
// reached.
func (l *snapshotCache) follow(ctx context.Context, caught func()) error {
	ends, err := kadm.NewClient(l.cfg.plain).ListCommittedOffsets(ctx, l.topic)
	if err != nil {
		return err
	}
	end, ok := ends.Lookup(l.topic, 0)
	if !ok || end.Err != nil {
		return fmt.Errorf("end of %s: %w", l.topic, errors.Join(end.Err, errNoPartition))
	}
	starts, err := kadm.NewClient(l.cfg.plain).ListStartOffsets(ctx, l.topic)
	if err != nil {
		return err
	}
	start, _ := starts.Lookup(l.topic, 0)
	if l.read < start.Offset {
		l.read = start.Offset
	}
	r := newReader(l.cfg.Options, l.topic, 0, l.read)
	defer r.close()
	if l.read >= end.Offset {
		caught()
	}
	for quiet := 0; ; {
		c, cancel := context.WithTimeout(ctx, time.Second)
		kr, err := r.any(c)
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
		l.mu.Lock()
		l.failed = nil
		l.read = kr.Offset + 1
		if !kr.Attrs.IsControl() {
			l.take(kr.Key, kr.Value)
		}
		if len(r.buf) == 0 {
			close(l.arrived)
			l.arrived = make(chan struct{})
		}
		l.mu.Unlock()
		if kr.Offset+1 >= end.Offset {
			caught()
		}
	}
}

var errNoPartition = errors.New("the topic has no partition: run wayward topics apply")

// closing is what was said of a persona's day; known is false if nobody has said it yet. l.mu is
// held.
func (l *snapshotCache) closing(k baselines.Key, day int64) (c *Closing, known bool) {
	var first *Closing
	later := false
	for i := len(l.layouts) - 1; i >= 0; i-- {
		at := place{l.layouts[i], baselineOwner(k, l.layouts[i])}
		list := l.closings[at]
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].From <= day && day <= list[i].To {
				return list[i], true
			}
			later = later || list[i].From > day
		}
		for _, c := range l.first[at] {
			// the earliest that has the day: later ones know what was learned after it
			if day <= c.To && (first == nil || c.To < first.To) {
				first = c
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

// find implements models.
func (l *snapshotCache) find(k baselines.Key, day int64, rules func(baselines.Key, int64) *ruling) (*baselines.Model,
	error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	base, err := l.of(k, day, rules)
	if base == nil || err != nil {
		return nil, err
	}
	m := *base // the same snapshot may be in force on several days, beside others of the tenant
	if m.Prior, err = l.of(baselines.Key{Tenant: k.Tenant, Persona: baselines.TenantWide}, day, rules); err != nil {
		return nil, err
	}
	return &m, nil
}

func (l *snapshotCache) of(k baselines.Key, day int64, rules func(baselines.Key, int64) *ruling) (*baselines.Model,
	error) {
	of, fresh := k, false
	name, rule := bookName{}, rules(k, day)
	if rule == nil {
		c, known := l.closing(k, day)
		if !known {
			return nil, &missing{fmt.Sprintf("day %s of relation shard %d is not closed yet", dateOf(day),
				baselineOwner(k, l.shards)), k, day}
		}
		if c == nil {
			return nil, nil
		}
		var e *Snapshot
		if e, fresh = c.For(k); e == nil {
			return nil, nil
		}
		name, of = e.book(), e.Key()
		rule = rules(of, day)
	}
	if rule != nil {
		if name = (bookName{of, rule.Of, rule.Hash}); rule.Hash == "" {
			return nil, nil
		}
	}
	b := l.books[name]
	if b == nil {
		if l.wanted == noTime || min(day, name.day) < l.wanted {
			l.wanted = min(day, name.day)
		}
		l.asked = true
		return nil, &missing{fmt.Sprintf("snapshot %s/%s of persona %q has not been read yet", dateOf(name.day),
			name.hash, k.Persona), k, day}
	}
	if b.model == nil {
		m := &baselines.Model{}
		r := wire.Reader{B: b.raw}
		if m.Decode(&r); r.Err != nil || m.Hash() != name.hash {
			return nil, fmt.Errorf(
				"snapshot %s/%s of persona %q on %s is damaged (it has hash %q): restore the topic, or run wayward state rebuild --all",
				dateOf(name.day), name.hash, k.Persona, l.topic, m.Hash())
		}
		b.model, b.raw = m, nil
	}
	if fresh {
		return baselines.Fork(b.model, k, day), nil
	}
	return b.model, nil
}

func dateOf(day int64) string {
	return time.UnixMilli(day * baselines.DayMS).UTC().Format(time.DateOnly)
}

// must finds what was there when the log that is being read again was written: it waits until it
// has been read, and reads the topic anew for what lies further back than what is kept in memory.
func (l *snapshotCache) must(k baselines.Key, day int64, rules func(baselines.Key, int64) *ruling) (*baselines.Model,
	error) {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(cmp.Or(l.stopped, context.Background()), patience)
	defer cancel()
	searched := false
	for {
		l.mu.Lock()
		arrived := l.arrived
		l.mu.Unlock()
		m, err := l.find(k, day, rules)
		gap := (*missing)(nil)
		if !errors.As(err, &gap) {
			return m, err
		}
		if !searched {
			searched = true
			if err := l.search(ctx); err != nil {
				return nil, fmt.Errorf("reading %s: %w", l.topic, err)
			}
			continue
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, fmt.Errorf(
				"%w: it was there when the events were judged, and %s no longer has it; bring the topic back, or begin anew with wayward state rebuild --all",
				err, l.topic)
		}
	}
}

// search reads the topic from its beginning for snapshots that are not in memory any more but are
// asked for. Tombstones do not count: until the broker has compacted them away, what they stand on
// can be read.
func (l *snapshotCache) search(ctx context.Context) error {
	ends, err := kadm.NewClient(l.cfg.plain).ListCommittedOffsets(ctx, l.topic)
	if err != nil {
		return err
	}
	end, _ := ends.Lookup(l.topic, 0)
	starts, err := kadm.NewClient(l.cfg.plain).ListStartOffsets(ctx, l.topic)
	if err != nil {
		return err
	}
	start, _ := starts.Lookup(l.topic, 0)
	found := map[bookName][]byte{}
	var closed []*Closing
	have := pieces{}
	err = scan(ctx, l.cfg.Options, map[string]map[int32]span{l.topic: {0: {start.Offset, end.Offset}}},
		func(kr *kgo.Record) {
			name, whole := have.add(kr.Key, kr.Value)
			if name == "" {
				return
			}
			if b, ok := bookOf(name); ok {
				found[b] = bytes.Clone(whole)
				return
			}
			c := &Closing{}
			if json.Unmarshal(whole, c) == nil && c.Of > 0 && c.From != noTime {
				closed = append(closed, c)
			}
		})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wanted == noTime {
		return nil
	}
	for _, c := range closed {
		if c.To < l.wanted {
			continue
		}
		for i := range c.Entries {
			if b := c.Entries[i].book(); l.books[b] == nil && found[b] != nil {
				l.books[b] = &book{raw: found[b]}
			}
		}
		at := place{c.Of, c.Owner} // closings that had been forgotten, too
		if !slices.ContainsFunc(l.closings[at], func(o *Closing) bool { return o.From == c.From && o.To == c.To }) {
			l.closings[at] = append([]*Closing{c}, l.closings[at]...)
		}
	}
	for b, raw := range found { // rulings name what no closing does
		if b.day >= l.wanted && l.books[b] == nil {
			l.books[b] = &book{raw: raw}
		}
	}
	close(l.arrived)
	l.arrived = make(chan struct{})
	return nil
}

// newest is the newest day that every relation shard has closed, as far as is known here.
func (l *snapshotCache) newest() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	day := never
	for q := range l.shards {
		list := l.closings[place{l.shards, q}]
		if len(list) == 0 {
			return never
		}
		day = min(day, list[len(list)-1].To)
	}
	return day
}

// forgetWanted lets go what was read again for a shard that has caught up.
func (l *snapshotCache) forgetWanted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wanted = noTime
}
