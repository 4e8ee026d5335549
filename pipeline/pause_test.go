package pipeline

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
)

// onePartition is a behaviour stage with partition 0 alone and a client that reaches no broker: what
// is paused on it can be looked at.
type onePartition struct {
	*testing.T
	st *stage
	pt *partition
	cl *kgo.Client
	b  *behaviour
}

func newOnePartition(t *testing.T) *onePartition {
	cl, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	c := Config{Metrics: NewMetrics(prometheus.NewRegistry()), plain: cl, Log: slog.New(slog.DiscardHandler)}
	c.Defaults()
	b := newBehaviour(0, engine(t, 1, 1), none, "events")
	st := &stage{member: c.member("behaviour"), kind: 'b', journal: "journal", in: []string{"control", "events"},
		rules: b.rules, own: b.policies().Hash()}
	pt := &partition{shard: b.shard, heardAt: map[int32]int64{}}
	st.partitions = map[int32]*partition{0: pt}
	return &onePartition{T: t, cl: cl, b: b, st: st, pt: pt}
}

// paused says what of the partition the next poll leaves out.
func (o *onePartition) paused() (control, events bool) {
	paused := o.cl.PauseFetchPartitions(nil)
	return slices.Contains(paused["control"], 0), slices.Contains(paused["events"], 0)
}

func (o *onePartition) want(what string, control, events bool) {
	o.Helper()
	o.st.applyPauses(o.cl)
	if c, e := o.paused(); c != control || e != events {
		o.Errorf("%s: control paused %v, events paused %v; want %v, %v", what, c, e, control, events)
	}
}

func (o *onePartition) commit() { o.st.moveOn(context.Background(), o.pt, 0) }

func TestPoliciesInForceDoNotEndOtherWaits(t *testing.T) {
	o := newOnePartition(t)
	o.cl.PauseFetchPartitions(map[string][]int32{"events": {0}})
	o.pt.policies = true
	o.pt.baseline = &awaited{missing: missing{key: baselines.Key{Tenant: "t"}}}
	o.commit()
	o.want("the set is in force, a baseline is still missing", false, true)
}

func TestTheEndOfOneWaitIsNotTheEndOfAll(t *testing.T) {
	events := map[string][]int32{"events": {0}}
	t.Run("the relation stage is near again, the set is not in force", func(t *testing.T) {
		o := newOnePartition(t)
		o.cl.PauseFetchPartitions(events)
		o.pt.ahead, o.pt.policies, o.st.own = true, true, "another"
		o.commit()
		o.want("not held any more", false, true)
	})
	t.Run("the event is set aside, the set is not in force", func(t *testing.T) {
		o := newOnePartition(t)
		o.cl.PauseFetchPartitions(events)
		o.pt.policies, o.st.own = true, "another"
		o.pt.failure = &failure{offset: 7, skip: true}
		o.b.skip = append(o.b.skip, 7)
		o.commit()
		o.want("the skip record is read", false, true)
	})
	t.Run("the baseline has come to a shard that failed before and is back", func(t *testing.T) {
		o := newOnePartition(t)
		o.cl.PauseFetchPartitions(events)
		o.pt.failure = &failure{offset: 7} // until the event is behind it
		o.pt.baseline = &awaited{missing: missing{day: 1}}
		o.st.snapshotCache = newSnapshotCache(t.Context(), nil, nil, "wayward.baselines", o.st.rules.facts,
			slog.New(slog.DiscardHandler))
		o.st.snapshotCache.take([]byte("c|1|0|1|1|0|1"), []byte(`{"of":1,"from":1,"to":1}`))
		o.st.takeBaselines()
		o.want("nothing holds it back", false, false)
	})
}

// Invariant 9: events stay paused until the shard has read in its own log that this instance's set
// is in force, also when a record that sets an event aside has to be read first.
func TestAnEventSetAsideDoesNotSkipThePolicies(t *testing.T) {
	o := newOnePartition(t)
	o.cl.PauseFetchPartitions(map[string][]int32{"control": {0}, "events": {0}})
	o.st.own = "another"
	o.pt.failure = &failure{offset: 7, skip: true}
	o.pt.shard = nil
	o.st.begin(o.pt, o.b.shard)
	o.want("loaded, the skip record is not read", false, true)
	o.b.skip = append(o.b.skip, 7)
	o.commit()
	o.want("the skip record is read, the set is not in force", false, true)
	o.st.own = o.b.policies().Hash() // as if it had read the activation
	o.commit()
	o.want("both are read", false, false)
}
