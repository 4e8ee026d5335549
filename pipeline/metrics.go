package pipeline

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/response"
)

// Metrics are the engine's, labelled by stage, detector and reason, never by agent or anything else
// that an event says; by tenant and persona the one that says how well baselines keep their
// promise, and that of a bounded number.
type Metrics struct {
	reg *prometheus.Registry

	events, late, repeated, future, misrouted, dropped, evicted, stateless, badControl, verdicts, facts,
	lateBuckets *prometheus.CounterVec
	dead, findings, txns, sessions, failures, damaged,
	shed *prometheus.CounterVec
	commands, breakers, rules,
	unmeasured *prometheus.CounterVec
	attributes, waits, deltas, snapshots,
	leftOut *prometheus.CounterVec
	newest, realised, realisedMax,
	states *prometheus.GaugeVec
	ruleLooked *prometheus.CounterVec
	open, ruleMatched, ruleOff,
	ruleUnseen *prometheus.GaugeVec
	pages, cold, away, shards, partitions, paused, lag, delay, ahead,
	held *prometheus.GaugeVec
	diskFree,
	diskMin *prometheus.GaugeVec
	txn, checkpoint, load,
	latency *prometheus.HistogramVec

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
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "wayward", Name: name, Help: help,
			Buckets: buckets}, labels)
		reg.MustRegister(h)
		return h
	}
	m.events = counter("records_total",
		"Records applied by committed transactions: events of the behaviour stage, facts of the relation stage.",
		"stage")
	m.late = counter("late_events_total",
		"Events more than 10 s behind their agent's newest: counted in windows that still hold them.", "stage")
	m.repeated = counter("repeated_events_total",
		"Events with the id and the bytes of a recent event of the same agent: not observed again.", "stage")
	m.future = counter("future_events_total",
		"Events stamped more than a minute ahead of the broker: their time was replaced.", "stage")
	m.misrouted = counter("misrouted_events_total",
		"Events in another partition than that of their key tenant|agent.id, by reason: what one agent does is seen in pieces. wayward doctor says what to do.",
		"stage", "reason")
	m.dropped = counter("state_dropped_total",
		"Times that an agent, session or scope was not remembered because its tenant, or of a session its agent, has used up its share of the state; and notes that were left out.",
		"stage")
	m.evicted = counter("state_evicted_total",
		"Agents, sessions and scopes idle for an hour that were forgotten to make room for others of their tenant: it has used up its share of the state (engine.page_cap).",
		"stage")
	m.stateless = counter("stateless_events_total",
		"Events that were judged without memory of their agent, since there was no room for it: only what needs none (persona, limits of a call, rules on single events) was looked at. Their findings say so.",
		"stage")
	m.badControl = counter("unreadable_internal_records_total",
		"Control and facts records that could not be read and were left out.", "stage")
	m.verdicts = counter("verdicts_total", "Verdicts of the relation stage applied to their agents.", "stage")
	m.facts = counter("facts_total", "Facts records written (behaviour), parts of buckets taken (relation).", "stage")
	m.lateBuckets = counter("late_buckets_total", "Parts of buckets that came after the watermark had passed them.",
		"stage")
	m.dead = counter("dead_letters_total", "Records that did not decode, by reason: they are on the dead-letter topic.",
		"stage", "reason")
	m.findings = counter("findings_total", "Findings and updates, by detector.", "stage", "detector")
	m.commands = counter("commands_total",
		"Commands issued, by action, mode (enforce, dry_run) and issuer (rule, human, expiry).", "stage", "action",
		"mode", "issuer")
	m.rules = counter("rule_events_total",
		"What came of rules: match, excepted (by an exception of the rule), error (an expression failed, and did not count as true), failing (it did so 100 times in a row), dropped (something was forgotten for want of room).",
		"stage", "rule", "what")
	m.unmeasured = counter("unmeasured_total",
		"Calls that a limit is about and that it cannot measure, or not for certain: money without a currency under a limit in one, an amount or a number that could not be read.",
		"stage", "limit")
	m.ruleLooked = counter("rule_conditions_total",
		"Conditions of rules that were looked at: those that an event of this kind, class or tool may meet.", "stage",
		"rule")
	m.ruleMatched = gauge("rule_last_match_timestamp_seconds", "When a rule last matched, by the wall clock.", "stage",
		"rule")
	m.ruleUnseen = gauge("rule_unseen_fields",
		"Fields that a rule asks for and that no event of this instance has carried since its policies took effect: if it stays so, the rule never matches.",
		"rule")
	m.ruleOff = gauge("rule_off", "1: the rule was turned off here, because an expression of it failed too often.",
		"rule")
	m.breakers = counter("breaker_events_total",
		"What came of commands: acks by status (also unknown, stale, missed), feedback taken by type, feedback and expiries refused by reason, orders that the mass-trip guard turned into escalate.",
		"stage", "kind", "what")
	m.attributes = counter("attribute_changes_total",
		"Times that an agent, or of user, intent and conversation a session, said another value of an attribute than it had: what is absent is not another value. Many: two gateways disagree.",
		"stage", "attribute")
	m.waits = counter("baseline_waits_total",
		"Times that events of a partition had to wait until a day of baselines was closed: in backlogs, and at the very first start.",
		"stage")
	m.deltas = counter("baseline_deltas_total",
		"What behaviour shards told of what they learned: taken, late (its day was closed, so it counts for the next), known (learned before the logs were made anew).",
		"stage", "what")
	m.snapshots = counter("baseline_snapshots_total", "Snapshots of personas made: one for each persona, fork and day.",
		"stage")
	m.leftOut = counter("baseline_sources_left_out_total",
		"Behaviour shards that were silent when a day was closed: what they had learned counts for the next day.",
		"stage")
	m.newest = gauge("baseline_newest_age_seconds",
		"Wall clock less the end of the newest day that is closed (relation) or known here (behaviour), of the shard that is furthest behind.",
		"stage")
	m.realised = gauge("baseline_realised_ratio",
		"How often tests came out below 1 in 100, over how often they should, by tenant, persona and family of tests: above 2 its alarms are too many. At most 200 personas.",
		"tenant", "persona", "family")
	m.realisedMax = gauge("baseline_realised_ratio_max",
		"The largest baseline_realised_ratio of a family, over all personas.", "family")
	m.states = gauge("baseline_state", "Personas and their forks by the state of their baseline.", "state")
	m.open = gauge("breakers_open", "Scopes on which something is in force, by action and mode.", "stage", "action",
		"mode")
	m.txns = counter("transactions_total",
		"Transactions by outcome: committed, aborted, unknown; and why they did not commit: "+strings.Join(whyNot,
			", ")+".", "stage", "outcome", "reason")
	m.sessions = counter("sessions_ended_total", "Sessions that ended with an error and were begun anew.", "stage")
	m.failures = counter("shard_failures_total", "Times a shard was paused after an error.", "stage")
	m.damaged = counter("state_damaged_total", "Partitions rebuilt because a page or marker was damaged.", "stage")
	m.pages = gauge("pages", "Entities remembered: agents, sessions, scopes.", "stage")
	m.cold = gauge("pages_cold",
		"Those of them that are put by, since nobody has asked for them within an hour of event time.", "stage")
	m.away = gauge("pages_on_disk",
		"Those of them that are on disk alone, since memory is short (memory): they are read when they are asked for.",
		"stage")
	m.shed = counter("memory_shed_bytes_total",
		"Memory freed by putting pages on disk, roughly: a budget that is too small shows as a high rate.", "stage")
	m.shards = gauge("shards", "Partitions whose state this instance holds.", "stage")
	m.partitions = gauge("partitions",
		"Partitions that the group gave to this instance, by what they are at, in the words of /readyz?verbose.",
		"stage", "state")
	m.paused = gauge("shards_paused", "Shards paused after an error.", "stage")
	m.held = gauge("shards_held", "Behaviour shards paused because they are too far ahead of the relation stage.",
		"stage")
	m.lag = gauge("lag_records", "Records waiting in the main log, over the partitions of this instance.", "stage")
	m.delay = gauge("watermark_delay_seconds", "Wall clock less watermark of the slowest shard.", "stage")
	m.ahead = gauge("watermark_ahead_seconds",
		"Watermark of the fastest shard less wall clock, 0 if behind it. More than 50: a clock is wrong, or the topic of events keeps stamps of producers (wayward doctor).",
		"stage")
	m.diskFree = gauge("disk_free_bytes",
		"Room for this user on the file system of the state directory, or of the embedded broker's if that has less to spare.")
	m.diskMin = gauge("disk_free_min_bytes", "Below this much room nothing is saved, and the instance stops.")
	fine := prometheus.ExponentialBuckets(0.001, 2, 15)
	m.txn = histogram("transaction_seconds", "From Begin to End of a committed transaction.", fine, "stage")
	m.checkpoint = histogram("checkpoint_seconds", "Writing the dirty pages of all shards.", fine, "stage")
	m.load = histogram("load_seconds", "Bringing a partition's state into memory, catch-up included.", fine, "stage")
	m.latency = histogram("event_to_alert_seconds",
		"From the broker's stamp of the newest event of a slice with findings to the commit that carries them.", fine,
		"stage")
	return m
}

// hooks measure the Kafka client of a stage.
func (m *Metrics) hooks(name string) []kgo.Hook {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client[name] == nil {
		m.client[name] = kprom.NewMetrics("wayward_kafka_"+name, kprom.Registerer(m.reg),
			kprom.FetchAndProduceDetail(kprom.Batches, kprom.Records, kprom.CompressedBytes))
	}
	return []kgo.Hook{m.client[name]}
}

// stageMetrics are one stage's, with labels resolved.
type stageMetrics struct {
	m    *Metrics
	name string

	sessions, failures, damaged, shed   prometheus.Counter
	duration, checkpoint, load, latency prometheus.Observer
	outcome                             map[[2]string]prometheus.Counter
}

func (m *Metrics) stage(name string) *stageMetrics {
	s := &stageMetrics{m: m, name: name,
		sessions: m.sessions.WithLabelValues(name), failures: m.failures.WithLabelValues(name),
		damaged: m.damaged.WithLabelValues(name), shed: m.shed.WithLabelValues(name),
		duration:   m.txn.WithLabelValues(name),
		checkpoint: m.checkpoint.WithLabelValues(name),
		load:       m.load.WithLabelValues(name), latency: m.latency.WithLabelValues(name),
		outcome: map[[2]string]prometheus.Counter{}}
	s.outcome[[2]string{"committed", ""}] = m.txns.WithLabelValues(name, "committed", "")
	for _, o := range []string{"aborted", "unknown"} {
		for _, why := range whyNot {
			s.outcome[[2]string{o, why}] = m.txns.WithLabelValues(name, o, why)
		}
	}
	for _, d := range append(detectors.Names(), response.Detector, "baseline") {
		m.findings.WithLabelValues(name, d)
	}
	for _, c := range []*prometheus.CounterVec{m.events, m.late, m.repeated, m.future, m.dropped, m.evicted,
		m.stateless, m.badControl, m.verdicts, m.facts, m.lateBuckets} {
		c.WithLabelValues(name)
	}
	if name == "behaviour" {
		for _, why := range misroutedWhy {
			m.misrouted.WithLabelValues(name, why)
		}
	}
	if name != "relation" {
		for _, r := range event.Reasons {
			m.dead.WithLabelValues(name, r)
		}
	}
	return s
}

func (s *stageMetrics) transactions(outcome, why string) prometheus.Counter {
	return s.outcome[[2]string{outcome, why}]
}

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
	for why, n := range c.misrouted {
		if n != 0 {
			s.m.misrouted.WithLabelValues(s.name, misroutedWhy[why]).Add(float64(n))
		}
	}
	add(s.m.dropped, c.dropped)
	add(s.m.evicted, c.evicted)
	add(s.m.stateless, c.stateless)
	add(s.m.badControl, c.badControl)
	add(s.m.verdicts, c.verdicts)
	add(s.m.lateBuckets, c.lateBuckets)
	if s.name == "relation" {
		for what, n := range map[string]int64{"taken": c.deltas, "late": c.lateDeltas, "known": c.knownDeltas} {
			if n != 0 {
				s.m.deltas.WithLabelValues(s.name, what).Add(float64(n))
			}
		}
		add(s.m.snapshots, c.closed)
		add(s.m.leftOut, c.leftOut)
	}
	for reason, n := range c.dead {
		s.m.dead.WithLabelValues(s.name, reason).Add(float64(n))
	}
	for d, n := range c.byDetector {
		s.m.findings.WithLabelValues(s.name, d).Add(float64(n))
	}
	for k, n := range c.other {
		if k[0] == ruleMetric+unmeasured {
			s.m.unmeasured.WithLabelValues(s.name, k[1]).Add(float64(n))
		} else if what, ok := strings.CutPrefix(k[0], ruleMetric); ok {
			s.m.rules.WithLabelValues(s.name, k[1], what).Add(float64(n))
			if what == "match" {
				s.m.ruleMatched.WithLabelValues(s.name, k[1]).SetToCurrentTime()
			}
		} else if k[0] == "commands" {
			w := strings.Fields(k[1])
			s.m.commands.WithLabelValues(s.name, w[0], w[1], w[2]).Add(float64(n))
		} else if k[0] == attributeChanges {
			s.m.attributes.WithLabelValues(s.name, k[1]).Add(float64(n))
		} else {
			s.m.breakers.WithLabelValues(s.name, k[0], k[1]).Add(float64(n))
		}
	}
	if b, ok := sh.machine.(*behaviour); ok && len(sh.findings) > 0 {
		s.latency.Observe(float64(wall()-b.stamp) / 1000)
	}
}

// gauges are set once a second.
func (st *stage) gauges() {
	s, m := st.metrics, st.metrics.m
	pages, cold, away, shards, lag, low, high := 0, 0, 0, 0, int64(0), int64(never), int64(noTime)
	open := map[[2]string]float64{}
	for pt, sh := range st.shards {
		shards++
		sh.machine.watchers().Looked(func(rule string, n int64) {
			m.ruleLooked.WithLabelValues(s.name, rule).Add(float64(n))
		})
		for pg := range sh.open {
			if k := pg.breaker; !pg.dead && k.Open() {
				open[[2]string{k.Action.String(), k.Mode}]++
			}
		}
		pages += sh.pageCount()
		cold += len(sh.cold)
		away += len(sh.away)
		lag += max(0, pt.lag)
		switch b := sh.machine.(type) {
		case *behaviour:
			if b.clock.seen {
				low, high = min(low, b.clock.watermark()), max(high, b.clock.watermark())
			}
		case *relation:
			if b.mark != noTime {
				low, high = min(low, b.mark), max(high, b.mark)
			}
		}
	}
	m.pages.WithLabelValues(s.name).Set(float64(pages))
	m.cold.WithLabelValues(s.name).Set(float64(cold))
	m.away.WithLabelValues(s.name).Set(float64(away))
	for _, a := range event.Actions() {
		for _, mode := range []string{event.Enforce, event.DryRun} {
			m.open.WithLabelValues(s.name, a, mode).Set(open[[2]string{a, mode}])
		}
	}
	m.shards.WithLabelValues(s.name).Set(float64(shards))
	m.lag.WithLabelValues(s.name).Set(float64(lag))
	st.partitionGauges()
	s.unseenFields(st)
	if low != never {
		m.delay.WithLabelValues(s.name).Set(float64(wall()-low) / 1000)
		ahead := max(0, high-wall())
		m.ahead.WithLabelValues(s.name).Set(float64(ahead) / 1000)
		if ahead > MostAhead.Milliseconds() && time.Since(st.warned.aheadAt) > 10*time.Minute {
			st.warned.aheadAt = time.Now()
			st.log.Warn(
				"event time is ahead of the wall clock: a clock is wrong, or the topic of events keeps stamps of producers; wayward doctor says which",
				"ahead", time.Duration(ahead)*time.Millisecond)
		}
	}
	if st.snapshotCache != nil {
		s.age(st.snapshotCache.newest())
	} else if st.journal == "" && time.Since(st.summarizedAt) > 30*time.Second {
		st.summarizedAt = time.Now()
		s.baselines(st)
	}
}

// partitionGauges count the partitions of the stage by their state.
func (st *stage) partitionGauges() {
	n, failures, ahead := map[string]int{}, 0, 0
	for _, pt := range st.partitions {
		n[partitionStates[pt.state()].words]++
		if pt.failure != nil {
			failures++
		}
		if pt.ahead {
			ahead++
		}
	}
	m := st.metrics.m
	for _, s := range partitionStates {
		m.partitions.WithLabelValues(st.name, s.words).Set(float64(n[s.words]))
	}
	m.paused.WithLabelValues(st.name).Set(float64(failures))
	m.held.WithLabelValues(st.name).Set(float64(ahead))
}

// enoughEvents of an instance without a field that a rule asks for are worth a word.
const enoughEvents = 10_000

// unseenFields counts the fields that rules ask for and no event carries.
func (s *stageMetrics) unseenFields(st *stage) {
	if s.name != "behaviour" {
		return
	}
	events, all := int64(0), 0
	shards := map[[2]string]int{} // in which a field has not been seen
	for _, sh := range st.shards {
		all++
		events += sh.machine.watchers().Unseen(func(rule, field string) { shards[[2]string{rule, field}]++ })
	}
	n := map[string]int{}
	for k, in := range shards {
		if in < all {
			continue
		}
		if n[k[0]]++; events >= enoughEvents && firstTime(&st.warned.unseen, k) {
			st.log.Info("no event so far carries a field that a rule asks for", "rule", k[0], "field", k[1])
		}
	}
	s.m.ruleUnseen.Reset()
	for rule, n := range n {
		s.m.ruleUnseen.WithLabelValues(rule).Set(float64(n))
	}
}

// mostShown bounds the personas that are labels.
const mostShown = 200

// baselines tells how baselines do. It looks at all pages, so it is called twice a minute.
func (s *stageMetrics) baselines(st *stage) {
	type pair struct{ tenant, persona string }
	worst := map[pair][baselines.Families]float64{}
	most := [baselines.Families]float64{}
	states := map[baselines.State]int{}
	oldest := int64(never)
	for _, sh := range st.shards {
		b := sh.machine.(*relation)
		if b.closed != noTime {
			oldest = min(oldest, b.closed)
		}
		b.eachPresent(func(key baselines.Key, v *modelFigures) {
			states[v.state]++
			k := pair{key.Tenant, key.Persona}
			w := worst[k]
			for f, r := range v.realised {
				if r != tooFewTests {
					w[f] = max(w[f], float64(r)/1000)
					most[f] = max(most[f], w[f])
				}
			}
			worst[k] = w
		})
	}
	s.m.realised.Reset()
	keys := slices.SortedFunc(maps.Keys(worst), func(a, b pair) int {
		// the worst of all stay when there are too many
		return cmp.Or(cmp.Compare(slices.Max(sliceOf(worst[b])), slices.Max(sliceOf(worst[a]))),
			strings.Compare(a.tenant, b.tenant), strings.Compare(a.persona, b.persona))
	})
	for _, k := range keys[:min(len(keys), mostShown)] {
		for f, r := range worst[k] {
			if r > 0 {
				s.m.realised.WithLabelValues(k.tenant, k.persona, baselines.Family(f).String()).Set(r)
			}
		}
	}
	for f, r := range most {
		s.m.realisedMax.WithLabelValues(baselines.Family(f).String()).Set(r)
	}
	for _, state := range []baselines.State{baselines.Learning, baselines.Active, baselines.Stale, baselines.Suspect} {
		s.m.states.WithLabelValues(state.String()).Set(float64(states[state]))
	}
	s.age(oldest)
}

func sliceOf(a [baselines.Families]float64) []float64 { return a[:] }

// age tells how old the newest closed day is.
func (s *stageMetrics) age(day int64) {
	if day != never {
		s.m.newest.WithLabelValues(s.name).Set(float64(wall()-(day+1)*baselines.DayMS) / 1000)
	}
}
