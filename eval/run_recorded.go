package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors/sequence"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/policy"
)

// recorded measures with what nobody here made up: sessions of agents, the baseline learned from
// one part and frozen, and traces of a log.
func (x *evaluation) recorded(r *Report) error {
	if x.Data == "" {
		x.Warn("no recorded data: give --data or set WAYWARD_DATA; without, the gates on it are not judged")
		return nil
	}
	set, err := policiesOf(map[string]string{"limits/none.yaml": noLimits})
	if err != nil {
		return err
	}
	some := false
	for _, name := range []string{"tau.dev", "agentdyn.dev", "agentdojo.dev"} {
		list, err := OpenRecorded(x.Data, name)
		if errors.Is(err, fs.ErrNotExist) {
			x.Warn(fmt.Sprintf("%s has no %s", x.Data, name))
			continue
		}
		if err != nil {
			return err
		}
		some = true
		for _, knownAgents := range []bool{false, true} {
			row, err := x.sessions(r, strings.TrimSuffix(name, ".dev"), list, set, knownAgents)
			if err != nil {
				return err
			}
			r.Recorded = append(r.Recorded, *row)
		}
	}
	if x.counts(baselines.SequenceFamily.String()) {
		logs, err := x.logs()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.Logs = logs
	}
	if !some && r.Logs == nil {
		return fmt.Errorf("%s holds no recorded data: give the directory with agentdyn.dev.truth.jsonl in it", x.Data)
	}
	return nil
}

// sessions learns from the training sessions of protocol p2, freezes what was learned and replays
// the others. In that protocol other agents than those that were learned run the tasks. With
// knownAgents half of their benign sessions are learned, too, and the other half is judged: what a
// persona's own agents would see.
func (x *evaluation) sessions(r *Report, name string, list Recorded, set *policy.Set, knownAgents bool) (*SessionRow,
	error) {
	const seed = 1
	learns := func(s *RecordedSession) bool { return s.Part == "train" || knownAgents && s.FirstHalf() }
	judges := func(s *RecordedSession) bool { return s.Part == "test" && !learns(s) }
	if knownAgents {
		name += ", agents met"
	}
	train, _ := list.Lines(0, seed, func(s *RecordedSession) bool { return learns(s) && s.Label == "benign" })
	learn := pipeline.Replay{Policy: set, Workers: x.Workers, Flush: true, Approved: true,
		Deliver: func(*event.Finding) error { return nil }}
	if _, err := learn.Run(x.ctx, &inMemory{rest: train}); err != nil {
		return nil, err
	}
	// The benign alone: what is nominal is counted where nothing else is.
	benign, n := list.Lines(RecordedDays, seed, func(s *RecordedSession) bool {
		return judges(s) &&
			s.Label == "benign"
	})
	frozen := pipeline.Replay{Policy: set, Workers: x.Workers, Flush: true, Learn: learn.Snapshots, Freeze: true}
	m, err := x.replay(&inMemory{rest: benign}, frozen, 0)
	if err != nil {
		return nil, err
	}
	x.addRun(r, name+", benign", seed, m)
	row := &SessionRow{Name: name, Sessions: n}
	alerts, alarmed := map[string]int{}, map[string]bool{}
	for _, a := range m.alarms.Alerts() {
		if x.counts(a.Family) {
			alerts[a.Test]++
			row.Alerts++
			alarmed[a.SessionOrTrigger()] = true
		}
	}
	nominal := 0.0
	counts := testCounts{}
	for _, t := range m.tests {
		counts.add(t)
	}
	for t := range baselines.Tests {
		if made := counts[t].Made; x.counts(t.Family().String()) && made > 0 {
			nominal += m.nominal[t]
			row.Tests = append(row.Tests, CalledRow{t.String(), made, alerts[t.String()], number(m.nominal[t]),
				rate(alerts[t.String()], m.nominal[t])})
		}
	}
	row.Nominal, row.Ratio = number(nominal), rate(row.Alerts, nominal)
	row.Alarmed = share(len(alarmed), n)

	all, _ := list.Lines(RecordedDays, seed, judges)
	frozen = pipeline.Replay{Policy: set, Workers: x.Workers, Flush: true, Learn: learn.Snapshots, Freeze: true}
	if m, err = x.replay(&inMemory{rest: all}, frozen, 0); err != nil {
		return nil, err
	}
	x.addRun(r, name+", all", seed, m)
	alarmed = map[string]bool{}
	for _, a := range m.alarms.Alerts() {
		if x.counts(a.Family) {
			alarmed[a.SessionOrTrigger()] = true
		}
	}
	found, made := map[string]int{}, map[string]int{}
	for _, s := range list {
		if judges(s) {
			made[s.Label]++
			if alarmed[s.Session] {
				found[s.Label]++
			}
		}
	}
	row.Attacked = made["attack"]
	row.Recall, row.Unseen = share(found["attack"], made["attack"]), share(found["exposed_unseen"],
		made["exposed_unseen"])
	return row, nil
}

// logs scores the traces of HDFS blocks with the chain of the sequence detector: what it makes of
// calls it makes of the keys of a log. Each block counts as an agent of its own.
func (x *evaluation) logs() (*LogsRow, error) {
	train, err := OpenTraces(filepath.Join(x.Data, "hdfs.train.traces.jsonl.xz"))
	if err != nil {
		return nil, err
	}
	test, err := OpenTraces(filepath.Join(x.Data, "hdfs.dev.traces.jsonl.xz"))
	if err != nil {
		return nil, err
	}
	day := baselines.Delta{Events: 1, Sessions: uint64(len(train)), AgentDays: uint64(len(train))}
	d := sequence.DeltaOf(&day)
	push := func(m *sequence.Model, keys []string) (c sequence.Chain) {
		for _, key := range keys {
			c.Push(m, d.Step(m, key, "", event.NoClass, event.NoOutcome, ""))
		}
		return c
	}
	for i, t := range train {
		c := push(nil, t.Keys)
		var today sequence.AgentDay
		d.Take(nil, &c, uint64(i)+1, 0, &today, sequence.LearnFrom, 0)
	}
	m := sequence.ModelOf(baselines.Learn(nil, baselines.Key{Tenant: "lab", Persona: "hdfs"}, 0, &day,
		baselines.Terms{Approved: true}))
	var scores [2][]float64 // normal, failed
	for _, t := range test {
		c := push(m, t.Keys)
		c.End(m)
		k := 0
		if t.Label != "benign" {
			k = 1
		}
		scores[k] = append(scores[k], c.Score(m).Combined)
	}
	l := &LogsRow{Train: len(train), Normal: len(scores[0]), Failed: len(scores[1])}
	// The bounds are those of a bootstrap over traces.
	rng := rand.New(rand.NewPCG(1, 2))
	sample := func(list []float64) []float64 {
		out := make([]float64, len(list))
		for i := range out {
			out[i] = list[rng.IntN(len(list))]
		}
		return out
	}
	var aucs []float64
	for range 400 {
		aucs = append(aucs, AUC(sample(scores[1]), sample(scores[0])))
	}
	slices.Sort(aucs)
	l.AUC = bounded{number(AUC(scores[1], scores[0])), number(aucs[10]), number(aucs[389])}
	return l, nil
}
