package pipeline

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/response"
)

// Metrics are the engine's, labelled by stage, detector and reason, never by tenant, agent or anything else that an event says.
type Metrics struct {
	reg *prometheus.Registry

	events, late, repeated, future, misrouted, dropped, badControl, verdicts, facts, lateBuckets *prometheus.CounterVec
	dead, findings, txns, sessions, failures, damaged                                            *prometheus.CounterVec
	commands, breakers                                                                           *prometheus.CounterVec
	waits                                                                                        *prometheus.CounterVec
	open                                                                                         *prometheus.GaugeVec
	pages, shards, paused, lag, delay, held                                                      *prometheus.GaugeVec
	txn, checkpoint, load, latency                                                               *prometheus.HistogramVec

	mu     sync.Mutex
	client map[string]*kprom.Metrics
}

// NewMetrics registers the engine's metrics.
func NewMetrics(reg *prometheus.Registry) *Metrics {
	m := &Metrics{reg: reg, client: map[string]*kprom.Metrics{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "wayward", Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "wayward", Name: name, Help: help}, labels)
		reg.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "wayward", Name: name, Help: help, Buckets: buckets}, labels)
		reg.MustRegister(h)
		return h
	}
	m.events = counter("records_total", "Records applied by committed transactions: events of the behaviour stage, facts of the relation stage.", "stage")
	m.late = counter("late_events_total", "Events more than 10 s behind their agent's newest: counted in windows that still hold them.", "stage")
	m.repeated = counter("repeated_events_total", "Events with the id of a recent event of the same agent: not observed again.", "stage")
	m.future = counter("future_events_total", "Events stamped more than a minute ahead of the broker: their time was replaced.", "stage")
	m.misrouted = counter("misrouted_events_total", "Events whose record key is not tenant|agent.id: one agent's events may lie in several partitions. Send them through the ingress.", "stage")
	m.dropped = counter("state_dropped_total", "Entities not remembered because their tenant has used up its pages of the partition.", "stage")
	m.badControl = counter("unreadable_internal_records_total", "Control and facts records that could not be read and were left out.", "stage")
	m.verdicts = counter("verdicts_total", "Verdicts of the relation stage applied to their agents.", "stage")
	m.facts = counter("facts_total", "Facts records written (behaviour), parts of buckets taken (relation).", "stage")
	m.lateBuckets = counter("late_buckets_total", "Parts of buckets that came after the watermark had passed them.", "stage")
	m.dead = counter("dead_letters_total", "Records that did not decode, by reason: they are on the dead-letter topic.", "stage", "reason")
	m.findings = counter("findings_total", "Findings and updates, by detector.", "stage", "detector")
	m.commands = counter("commands_total", "Commands issued, by action, mode (enforce, dry_run) and issuer (rule, human, expiry).", "stage", "action", "mode", "issuer")
	m.breakers = counter("breaker_events_total", "What came of commands: acks by status (also unknown, stale, missed), feedback taken by type, feedback and expiries refused by reason, orders that the mass-trip guard turned into escalate.", "stage", "kind", "what")
	m.waits = counter("baseline_waits_total", "Times that events of a partition had to wait until a day of baselines was closed: in backlogs, and at the very first start.", "stage")
	m.open = gauge("breakers_open", "Scopes on which something is in force, by action and mode.", "stage", "action", "mode")
	m.txns = counter("transactions_total", "Transactions by outcome: committed, aborted, unknown.", "stage", "outcome")
	m.sessions = counter("sessions_ended_total", "Sessions that ended with an error and were begun anew.", "stage")
	m.failures = counter("shard_failures_total", "Times a shard was paused after an error.", "stage")
	m.damaged = counter("state_damaged_total", "Partitions rebuilt because a page or marker was damaged.", "stage")
	m.pages = gauge("pages", "Entities remembered: agents, sessions, scopes.", "stage")
	m.shards = gauge("shards", "Partitions whose state this instance holds.", "stage")
	m.paused = gauge("shards_paused", "Shards paused after an error.", "stage")
	m.held = gauge("shards_held", "Behaviour shards paused because they are too far ahead of the relation stage.", "stage")
	m.lag = gauge("lag_records", "Records waiting in the main log, over the partitions of this instance.", "stage")
	m.delay = gauge("watermark_delay_seconds", "Wall clock less watermark of the slowest shard.", "stage")
	fine := prometheus.ExponentialBuckets(0.001, 2, 15)
	m.txn = histogram("transaction_seconds", "From Begin to End of a committed transaction.", fine, "stage")
	m.checkpoint = histogram("checkpoint_seconds", "Writing the dirty pages of all shards.", fine, "stage")
	m.load = histogram("load_seconds", "Bringing a partition's state into memory, catch-up included.", fine, "stage")
	m.latency = histogram("event_to_alert_seconds", "From the broker's stamp of the newest event of a slice with findings to the commit that carries them.", fine, "stage")
	return m
}

// hooks measure the Kafka client of a stage.
func (m *Metrics) hooks(name string) []kgo.Hook {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client[name] == nil {
		m.client[name] = kprom.NewMetrics("wayward_kafka_"+name, kprom.Registerer(m.reg), kprom.FetchAndProduceDetail(kprom.Batches, kprom.Records, kprom.CompressedBytes))
	}
	return []kgo.Hook{m.client[name]}
}

// stageMetrics are one stage's, with labels resolved.
type stageMetrics struct {
	m    *Metrics
	name string

	sessions, failures, damaged         prometheus.Counter
	paused                              prometheus.Gauge
	duration, checkpoint, load, latency prometheus.Observer
	outcome                             map[string]prometheus.Counter
}

func (m *Metrics) stage(name string) *stageMetrics {
	s := &stageMetrics{m: m, name: name,
		sessions: m.sessions.WithLabelValues(name), failures: m.failures.WithLabelValues(name), damaged: m.damaged.WithLabelValues(name),
		paused: m.paused.WithLabelValues(name), duration: m.txn.WithLabelValues(name), checkpoint: m.checkpoint.WithLabelValues(name),
		load: m.load.WithLabelValues(name), latency: m.latency.WithLabelValues(name), outcome: map[string]prometheus.Counter{}}
	for _, o := range []string{"committed", "aborted", "unknown"} {
		s.outcome[o] = m.txns.WithLabelValues(name, o)
	}
	for _, d := range append(detectors.Names(), response.Detector) {
		m.findings.WithLabelValues(name, d)
	}
	for _, c := range []*prometheus.CounterVec{m.events, m.late, m.repeated, m.future, m.misrouted, m.dropped, m.badControl, m.verdicts, m.facts, m.lateBuckets} {
		c.WithLabelValues(name)
	}
	if name != "relation" {
		for _, r := range event.Reasons {
			m.dead.WithLabelValues(name, r)
		}
	}
	return s
}

func (s *stageMetrics) transactions(outcome string) prometheus.Counter { return s.outcome[outcome] }

// add adds what a committed slice counted.
func (s *stageMetrics) add(sh *shard) {
	c := &sh.counts
	add := func(v *prometheus.CounterVec, n int64) {
		if n != 0 {
			v.WithLabelValues(s.name).Add(float64(n))
		}
	}
	if s.name == "behaviour" {
		add(s.m.events, c.events)
		add(s.m.facts, c.facts)
	} else {
		add(s.m.events, c.records)
		add(s.m.facts, c.buckets)
	}
	add(s.m.late, c.late)
	add(s.m.repeated, c.repeated)
	add(s.m.future, c.future)
	add(s.m.misrouted, c.misrouted)
	add(s.m.dropped, c.dropped)
	add(s.m.badControl, c.badControl)
	add(s.m.verdicts, c.verdicts)
	add(s.m.lateBuckets, c.lateBuckets)
	for reason, n := range c.dead {
		s.m.dead.WithLabelValues(s.name, reason).Add(float64(n))
	}
	for d, n := range c.byDetector {
		s.m.findings.WithLabelValues(s.name, d).Add(float64(n))
	}
	for k, n := range c.other {
		if k[0] == "commands" {
			w := strings.Fields(k[1])
			s.m.commands.WithLabelValues(s.name, w[0], w[1], w[2]).Add(float64(n))
		} else {
			s.m.breakers.WithLabelValues(s.name, k[0], k[1]).Add(float64(n))
		}
	}
	if b, ok := sh.machine.(*behaviour); ok && len(sh.findings) > 0 {
		s.latency.Observe(float64(wall()-b.stamp) / 1000)
	}
}

// gauges are set once a second.
func (s *stageMetrics) gauges(st *stage) {
	pages, lag, low := 0, int64(0), int64(never)
	open := map[[2]string]float64{}
	for p, sh := range st.shards {
		for pg := range sh.open {
			if k := pg.breaker; !pg.dead && k.Open() {
				open[[2]string{k.Action.String(), k.Mode}]++
			}
		}
		pages += len(sh.pages)
		lag += max(0, st.lag[p])
		switch b := sh.machine.(type) {
		case *behaviour:
			if b.clock.seen {
				low = min(low, b.clock.watermark())
			}
		case *relation:
			if b.mark != noTime {
				low = min(low, b.mark)
			}
		}
	}
	s.m.pages.WithLabelValues(s.name).Set(float64(pages))
	for _, a := range event.Actions() {
		for _, mode := range []string{event.Enforce, event.DryRun} {
			s.m.open.WithLabelValues(s.name, a, mode).Set(open[[2]string{a, mode}])
		}
	}
	s.m.shards.WithLabelValues(s.name).Set(float64(len(st.shards)))
	s.m.lag.WithLabelValues(s.name).Set(float64(lag))
	s.m.held.WithLabelValues(s.name).Set(float64(len(st.held)))
	if low != never {
		s.m.delay.WithLabelValues(s.name).Set(float64(wall()-low) / 1000)
	}
}

const never = int64(1<<63 - 1)
