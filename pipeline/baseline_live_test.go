package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/state"
)

// Days that close while the engine runs, on kfake.

// newWorkweek is a lab in which events of several days wait to be judged.
func newWorkweek(t *testing.T, days int) (l *lab, lines [][]byte) {
	l = newLabOf(t, 3, 2)
	l.set = none
	lines = workOf(7, days, false)
	var records []*kgo.Record
	for _, line := range lines {
		var d event.Decoder
		var e event.Event
		if err := d.Decode(line, &e); err != nil {
			t.Fatal(err)
		}
		records = append(records, &kgo.Record{Topic: l.topics.Events, Partition: -1,
			Key: event.AppendKey(nil, e.Tenant, e.Agent.ID), Value: line})
	}
	if err := l.cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return l, lines
}

// published is what the topic says: the snapshots of each day that are listed, and whether a list
// names one that is not there.
func (l *lab) published() (out []string, days int) {
	l.Helper()
	have, books := pieces{}, map[string]bool{}
	listed := map[string]bool{}
	for _, r := range l.read(l.topics.Baselines, 0) {
		name, whole := have.add(r.Key, r.Value)
		if name == "" {
			continue
		}
		if b, ok := readSnapshotName(name); ok {
			m := &baselines.Model{}
			rd := wire.Reader{B: whole}
			if m.Decode(&rd); rd.Err != nil || m.Hash() != b.hash {
				l.Errorf("snapshot %s does not read as what it says: %v", name, rd.Err)
			}
			books[name] = true
			continue
		}
		c := &Closing{}
		if err := json.Unmarshal(whole, c); err != nil {
			l.Fatal(err)
		}
		if c.From == noTime {
			continue
		}
		if c.From != c.To {
			l.Errorf("a run of days: %+v", c)
		}
		place := fmt.Sprint(c.Owner, " ", c.From)
		if listed[place] {
			l.Errorf("day %d of shard %d is closed twice", c.From-midnight/baselines.DayMS, c.Owner)
		}
		listed[place] = true
		days++
		for i := range c.Entries {
			e := &c.Entries[i]
			if name := fmt.Sprintf("s|%s|%s|%s|%d|%s", e.Tenant, e.Persona, e.Fork, e.Day, e.Hash); !books[name] {
				l.Errorf("day %d lists snapshot %s, which is not there", c.From-midnight/baselines.DayMS, name)
			}
			out = append(out, fmt.Sprintf("%d %s/%s/%s %s", c.From-midnight/baselines.DayMS, e.Tenant, e.Persona,
				e.Fork, e.Hash))
		}
	}
	slices.Sort(out)
	return out, days
}

// closedBy is what a replay of the same events says.
func closedBy(t *testing.T, lines [][]byte, days int64) (out []string) {
	src, err := history.OpenLines(write(t, "events.jsonl", append(bytes.Join(lines, []byte("\n")), '\n')))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	r := Replay{Policy: none, Deliver: func(*event.Finding) error { return nil },
		Closed: func(m *baselines.Model, _ *baselines.Delta) {
			if day := m.Day - midnight/baselines.DayMS; day < days {
				out = append(out, fmt.Sprintf("%d %s/%s/%s %s", day, m.Tenant, m.Persona, m.Fork, m.Hash()))
			}
		}}
	if _, err := r.Run(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func (l *lab) bothStages(instance, dir string) Config {
	c := l.config(instance, l.store(dir))
	c.Stages = []string{"behaviour", "relation"}
	c.MaxAhead = 6 * time.Hour
	return c
}

func TestSnapshotsOfALiveEngineAreThoseOfAReplay(t *testing.T) {
	const days = 4
	l, lines := newWorkweek(t, days)
	e := l.start(l.bothStages("1", ""))
	l.until("three days are closed", func() bool { _, n := l.published(); return n >= 2*(days-1) })
	l.drainedAll()
	if err := e.end(); err != nil {
		t.Fatal(err)
	}
	got, _ := l.published()
	if diff := gocmp.Diff(closedBy(t, lines, days-1), got); diff != "" {
		t.Errorf("(-replay +live):\n%s", diff)
	}
	if !strings.Contains(l.text(), "events wait for a baseline") ||
		!strings.Contains(l.text(), "the baseline has come") {
		t.Error("no event had to wait: the test proves nothing")
	}
}

// drainedAll waits until the group has taken all events.
func (l *lab) drainedAll() {
	l.Helper()
	l.until("all events are committed", func() bool {
		o, err := l.adm.FetchOffsets(l.Context(), "lab-behaviour")
		if err != nil {
			return false
		}
		for p := range int32(l.topics.Partitions) {
			all := l.read(l.topics.Events, p)
			if x, ok := o.Lookup(l.topics.Events, p); len(all) > 0 && (!ok || x.At <= all[len(all)-1].Offset) {
				return false
			}
		}
		return true
	})
}

func TestSnapshotsSurviveRestarts(t *testing.T) {
	const days = 6
	l, lines := newWorkweek(t, days)
	dir := t.TempDir()
	for i := 0; ; i++ {
		c := l.bothStages("1", "")
		if i%3 != 2 { // every third has lost its disk and reads the journal and the facts again
			c.Store.Close()
			s, err := state.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			c.Store = s
		}
		c.MaxPoll = []int{7, 60, 500}[i%3]
		if i%2 == 1 { // next to nothing may stay in memory
			c.Budget, c.CheckpointEvery = leastBudget(), time.Millisecond
		}
		e := l.start(c)
		_, before := l.published()
		l.until("another day is closed", func() bool { _, n := l.published(); return n > before || n >= 2*(days-1) })
		if err := e.end(); err != nil {
			t.Fatal(err)
		}
		c.Store.Close()
		if _, n := l.published(); n >= 2*(days-1) && i > 3 {
			break
		}
		if i > 20 {
			t.Fatal("it never comes to an end")
		}
	}
	got, _ := l.published()
	if diff := gocmp.Diff(closedBy(t, lines, days-1), got); diff != "" {
		t.Errorf("(-replay +live):\n%s", diff)
	}
	if strings.Contains(l.text(), "level=ERROR") {
		t.Error("errors in the log")
	}
}

func TestWhatWasLearnedOutlivesTheLogs(t *testing.T) {
	const days = 6
	for name, facts := range map[string]int{"the same partitions": 2, "others": 3} {
		t.Run(name, func(t *testing.T) {
			l, lines := newWorkweek(t, days)
			// First three days, then everything but events and baselines is made anew, then the
			// rest.
			e := l.start(l.bothStages("1", ""))
			l.until("three days are closed", func() bool { _, n := l.published(); return n >= 6 })
			if err := e.end(); err != nil {
				t.Fatal(err)
			}
			before, _ := l.published()
			options := []kgo.Opt{kgo.SeedBrokers(l.cluster.ListenAddrs()...)}
			r, err := ReadResume(t.Context(), options, l.topics, "lab")
			if err != nil {
				t.Fatal(err)
			}
			l.topics.FactsPartitions = facts
			var anew []broker.TopicSpec
			for _, s := range l.topics.Specs(false, 1) {
				if slices.Contains(l.topics.Discardable(), s.Name) {
					anew = append(anew, s)
				}
			}
			if err := broker.BeginAnew(t.Context(), l.adm, anew, broker.RebuiltGroups("lab"),
				func(string) {}); err != nil {
				t.Fatal(err)
			}
			if err := r.Write(t.Context(), options, l.topics); err != nil {
				t.Fatal(err)
			}
			c := l.bothStages("1", "")
			e = l.start(c)
			l.until("all days are closed", func() bool {
				after, _ := l.published()
				return len(after) > 0 && strings.HasPrefix(after[len(after)-1], fmt.Sprint(days-2, " "))
			})
			l.drainedAll()
			if err := e.end(); err != nil {
				t.Fatal(err)
			}
			got, _ := l.published()
			if len(before) < 10 || len(got) <= len(before) {
				t.Fatalf("%d and %d snapshots: the test proves nothing", len(before), len(got))
			}
			want := closedBy(t, lines, days-1)
			if facts == 2 {
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("(-replay +live):\n%s", diff)
				}
				return
			}
			// Days may be listed by both layouts, but each with the same snapshots, and none is
			// missing.
			if diff := gocmp.Diff(want, slices.Compact(got)); diff != "" {
				t.Errorf("(-replay +live):\n%s", diff)
			}
		})
	}
}
