package eval

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/pipeline"
)

// attackRuns are which attacks one run holds: few a day, or the runs would measure how detectors
// fare under constant attack. What gates ask for comes twice.
var attackRuns = [][]fleet.Kind{
	{fleet.Burst50, fleet.Burst200, fleet.Burst1000, fleet.Mark20, fleet.Slow20, fleet.Runaway},
	{fleet.Enumerate30, fleet.Enumerate50, fleet.Enumerate70, fleet.Enumerate90, fleet.Denials, fleet.Burst200},
	{fleet.Insert1, fleet.Insert2, fleet.Insert3, fleet.Insert4, fleet.Insert6, fleet.Insert10},
	{fleet.Tail, fleet.NewTool, fleet.NewDestination, fleet.ToolDestination, fleet.Redefined, fleet.CrossTenant,
		fleet.Insert6},
}

// quickRuns are those of a quick look.
var quickRuns = [][]fleet.Kind{{fleet.Burst200, fleet.Burst1000, fleet.Insert6, fleet.Enumerate90, fleet.NewTool,
	fleet.CrossTenant}}

// rampRuns are streams of one ramp in each persona: of three at once each would hide among the
// others, since a day's volume is judged against that of peers. They last until the ramp has come
// to eight times, that of 2 % to four.
var rampRuns = []struct {
	kind fleet.Kind
	days int
	most int // seeds: time is bounded
}{{fleet.Ramp2, 94, 3}, {fleet.Ramp5, 66, 100}, {fleet.Ramp10, 46, 3}}

// measureGeneration finds out what making a stream costs, so that it can be taken off.
func (x *evaluation) measureGeneration() {
	s, b, before := fleet.NewWeeks(fleet.WeeksOptions{Seed: 1, Days: 3}), []byte(nil), cpuTime()
	for ok := true; ok; {
		b, ok = s.Next(b[:0])
	}
	x.generationCost = float64(cpuTime()-before) / float64(s.Events)
}

func (x *evaluation) runParts() (*Report, error) {
	r := &Report{Version: x.Version, Machine: x.Machine,
		Seeds: x.Seeds, Days: x.Days, Scale: x.Scale, Families: x.Families}
	for _, part := range []struct {
		name string
		run  func(*Report) error
	}{{"clean", x.clean}, {"attacks", x.attacks}, {"ramps", x.ramps}, {"repeats", x.repeats}, {"drift", x.drift},
		{"shards", x.compareShards}, {"cost", x.cost}, {"data", x.recorded}} {
		if !x.part(part.name) {
			continue
		}
		if err := part.run(r); err != nil {
			return nil, fmt.Errorf("eval %s: %w", part.name, err)
		}
	}
	if !x.Quick {
		x.addGates(r)
	}
	return r, nil
}

func (x *evaluation) addRun(r *Report, name string, seed uint64, m *measured) {
	run := RunRow{Name: name, Seed: seed, Events: m.sum.Events, Findings: m.sum.Findings, Hash: m.hash,
		EventsPerSecond: number(float64(m.sum.Events) / m.wall.Seconds()), CPUPerEvent: number(m.cpu)}
	if m.stream != nil {
		run.Sessions = sessionsOf(m.stream, fleet.TestDay, len(m.stream.Sessions))
	}
	r.Runs = append(r.Runs, run)
}

func sessionsOf(s *fleet.Weeks, from, to int) (n int) {
	for _, k := range s.Sessions[min(from, len(s.Sessions)):min(to, len(s.Sessions))] {
		n += k
	}
	return
}

// alerts are those of a run's measured days, of the families looked at.
func (x *evaluation) alerts(m *measured) []Alarm {
	return slices.DeleteFunc(m.alarms.Alerts(), func(a Alarm) bool {
		return a.Time < fleet.Start+fleet.TestDay*baselines.DayMS || !x.counts(a.Family)
	})
}

func ratios(t *baselines.Tally) (out [3]bounded) {
	for i, below := range [...]uint64{t.Below2, t.Below3, t.Below4} {
		v, low, high := Ratio(below, t.Made, [...]float64{1e-2, 1e-3, 1e-4}[i])
		out[i] = bounded{number(v), number(low), number(high)}
	}
	return
}

func (x *evaluation) clean(r *Report) error {
	type key struct {
		persona string
		seed    uint64
	}
	sums := map[key]*testCounts{}
	alerts, nominal := map[string]int{}, [baselines.Tests]float64{}
	add := func(k key, t *testCounts) {
		if sums[k] == nil {
			sums[k] = &testCounts{}
		}
		sums[k].add(t)
	}
	type count struct{ alerts, sessions, days int }
	falseAlarms := map[string]map[uint64]*count{}
	var order []string
	tally := func(what string, seed uint64, alerts, sessions, days int) {
		if falseAlarms[what] == nil {
			falseAlarms[what] = map[uint64]*count{}
			order = append(order, what)
		}
		for _, s := range [...]uint64{0, seed} {
			c := falseAlarms[what][s]
			if c == nil {
				c = &count{}
				falseAlarms[what][s] = c
			}
			c.alerts, c.sessions, c.days = c.alerts+alerts, c.sessions+sessions, c.days+days
		}
	}
	names := fleet.Personas()
	var list []plannedRun
	for _, seed := range x.Seeds {
		list = append(list, plannedRun{name: "clean", WeeksOptions: x.cleanOptions(seed), clean: true})
	}
	err := x.runs(r, list, func(p *plannedRun, m *measured) {
		seed := p.Seed
		for persona, t := range m.tests {
			add(key{"", 0}, t)
			add(key{"", seed}, t)
			add(key{persona, 0}, t)
		}
		sessions, days := sessionsOf(m.stream, fleet.TestDay, x.Days), x.Days-fleet.TestDay
		of := map[string]int{}
		for _, a := range x.alerts(m) {
			of["all"]++
			of[a.Family]++
			of[a.Persona]++
			alerts[a.Test]++
		}
		for t, v := range m.nominal {
			nominal[t] += v
		}
		tally("all", seed, of["all"], sessions, days*len(names))
		for f := range baselines.Families {
			if x.counts(f.String()) {
				tally(f.String(), seed, of[f.String()], sessions, days*len(names))
			}
		}
		for _, p := range names {
			tally(p, seed, of[p], 0, days)
		}
	})
	if err != nil {
		return err
	}
	for t := range baselines.Tests {
		if !x.counts(t.Family().String()) {
			continue
		}
		for _, k := range slices.SortedFunc(mapKeys(sums),
			func(a, b key) int { return cmp.Or(cmp.Compare(a.persona, b.persona), cmp.Compare(a.seed, b.seed)) }) {
			if c := sums[k][t]; c.Made > 0 {
				row := TestRow{Test: t.String(), Family: t.Family().String(), Persona: k.persona, Seed: k.seed,
					Counts: c, Ratio: ratios(&c)}
				if k == (key{}) {
					row.Alerts, row.Nominal = alerts[t.String()], number(nominal[t])
				}
				r.Tests = append(r.Tests, row)
			}
		}
	}
	for _, what := range order {
		for _, seed := range append([]uint64{0}, x.Seeds...) {
			c := falseAlarms[what][seed]
			if c == nil || seed != 0 && (what != "all" || len(x.Seeds) == 1) {
				continue
			}
			f := FalseRow{What: what, Seed: seed, Alerts: c.alerts, Daily: rate(c.alerts, float64(c.days)),
				Thousand: bounded{number(math.NaN()), number(math.NaN()), number(math.NaN())}}
			if c.sessions > 0 {
				f.Thousand = rate(c.alerts, float64(c.sessions)/1000)
			}
			r.False = append(r.False, f)
		}
	}
	return nil
}

func mapKeys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// verdicts says what became of a run's incidents, by the families looked at.
func (x *evaluation) verdicts(m *measured) []Verdict {
	m.alarms.Alarms = slices.DeleteFunc(m.alarms.Alarms, func(a Alarm) bool { return !x.counts(a.Family) })
	return m.alarms.Judge(m.stream.Incidents)
}

// rates are the false alarms per 1,000 sessions for which a threshold is set.
var rates = [...]float64{0.5, 1, 2, 5}

// baseRate is the share of sessions that are attacked when precision is reckoned.
const baseRate = 1e-4

// attacks runs each stream with attacks twice: what is woven in is learned as all else is, and what
// is woven in is judged by what the clean stream has taught.
func (x *evaluation) attacks(r *Report) error {
	kinds := attackRuns
	if x.Quick {
		kinds = quickRuns
	}
	var scores []float64
	sessions := 0
	power := map[bool]map[fleet.Kind]*Power{false: {}, true: {}}
	var list []plannedRun
	for _, seed := range x.Seeds {
		list = append(list, plannedRun{name: "clean", WeeksOptions: x.cleanOptions(seed), clean: true})
	}
	for _, seed := range x.Seeds {
		for i, some := range kinds {
			o := x.cleanOptions(seed)
			o.Attacks = some
			name := fmt.Sprintf("attacks %d", i+1)
			list = append(list, plannedRun{name: name, WeeksOptions: o},
				plannedRun{name: name + ", apart", WeeksOptions: o, apart: true})
		}
	}
	err := x.runs(r, list, func(p *plannedRun, m *measured) {
		if p.clean {
			m.alarms.Alarms = slices.DeleteFunc(m.alarms.Alarms, func(a Alarm) bool { return !x.counts(a.Family) })
			scores = append(scores, m.alarms.Scores(fleet.Start+fleet.TestDay*baselines.DayMS)...)
			sessions += sessionsOf(m.stream, fleet.TestDay, x.Days)
			return
		}
		for _, v := range x.verdicts(m) {
			of := power[p.apart]
			if of[v.Kind] == nil {
				of[v.Kind] = &Power{}
			}
			of[v.Kind].Add(&v)
		}
	})
	if err != nil {
		return err
	}
	slices.Sort(scores)
	at := func(rate float64) (most int, threshold float64) {
		most = int(rate * float64(sessions) / 1000)
		return most, Threshold(scores, most)
	}
	_, once := at(1)
	_, often := at(5)
	rows := func(of map[fleet.Kind]*Power) (out []PowerRow) {
		for k := range fleet.Kinds {
			p := of[k]
			if p == nil {
				continue
			}
			row := PowerRow{Kind: k.String(), Made: p.Made, Alert: share(p.Alert, p.Made), Low: share(p.Low, p.Made),
				Once: share(p.Below(once), p.Made), Often: share(p.Below(often), p.Made),
				Rules: share(p.Other, p.Made), Half: share(p.Half, p.Long), Events: number(Median(p.Events)),
				Seconds: number(Median(p.Seconds)), Family: map[string]bounded{}}
			for f := range baselines.Families {
				row.Family[f.String()] = share(p.Family[f.String()], p.Made)
			}
			out = append(out, row)
		}
		return
	}
	r.Attacks, r.Apart = rows(power[false]), rows(power[true])
	// All kinds count alike, however often each was made.
	recall := func(of map[fleet.Kind]*Power, threshold float64) (sum float64) {
		for _, k := range slices.Sorted(maps.Keys(of)) { // in one order: sums of floats depend on it
			p := of[k]
			sum += float64(p.Below(threshold)) / float64(p.Made)
		}
		return sum / float64(len(of))
	}
	point := func(rate, threshold float64) {
		learned, apart := recall(power[false], threshold), recall(power[true], threshold)
		r.Precision = append(r.Precision, PrecisionRow{number(rate), number(threshold), number(learned),
			number(Precision(baseRate, learned, rate/1000)),
			number(apart), number(Precision(baseRate, apart, rate/1000))})
	}
	point(float64(sort.SearchFloat64s(scores, 1))/float64(sessions)*1000, 1) // the budget's own
	for _, rate := range rates {
		most, threshold := at(rate)
		// no more than were recorded
		point(float64(min(most, len(scores)))/float64(sessions)*1000, threshold)
	}
	slices.SortFunc(r.Precision, func(a, b PrecisionRow) int {
		return cmp.Or(cmp.Compare(a.False, b.False), cmp.Compare(a.Threshold, b.Threshold))
	})
	return nil
}

func (x *evaluation) ramps(r *Report) error {
	power, others, agents := map[fleet.Kind]*Power{}, map[fleet.Kind]int{}, map[fleet.Kind]int{}
	days := map[fleet.Kind][]float64{}
	var list []plannedRun
	for _, run := range rampRuns {
		for _, seed := range x.Seeds[:min(run.most, len(x.Seeds))] {
			list = append(list,
				plannedRun{name: run.kind.String(), WeeksOptions: fleet.WeeksOptions{Seed: seed, Days: run.days,
					Scale:   x.Scale / 2,
					Attacks: []fleet.Kind{run.kind}}})
		}
	}
	err := x.runs(r, list, func(p *plannedRun, m *measured) {
		ramped, called := map[string]bool{}, map[string]bool{}
		for _, v := range x.verdicts(m) {
			ramped[v.Agent] = true
			if power[v.Kind] == nil {
				power[v.Kind] = &Power{}
			}
			power[v.Kind].Add(&v)
			if v.Alert.Found {
				days[v.Kind] = append(days[v.Kind], v.Alert.Seconds/86400)
			}
		}
		for _, a := range x.alerts(m) {
			// As many days as 5 % a day take to four times.
			if (a.Test == "ramp" || a.Test == "1d") && a.Agent != "" && !ramped[a.Agent] &&
				a.Time < fleet.Start+(fleet.TestDay+28)*baselines.DayMS {
				called[a.Agent] = true
			}
		}
		others[p.Attacks[0]] += len(called)
		agents[p.Attacks[0]] += m.stream.Agents() - len(ramped)
	})
	if err != nil {
		return err
	}
	for _, run := range rampRuns {
		k := run.kind
		p := power[k]
		r.Ramps = append(r.Ramps, RampRow{Kind: k.String(), Made: p.Made, Found: share(p.Alert, p.Made),
			Before: share(p.Before(4), p.Made), Size: number(Median(p.Size)),
			Days: number(Median(days[k])), Others: share(others[k], agents[k])})
	}
	return nil
}

// repeatDays are the days, from the first on, on which the share found is reported.
var repeatDays = []int{1, 2, 3, 5, 7, 10, 14}

func (x *evaluation) repeats(r *Report) error {
	kinds := []fleet.Kind{fleet.Repeat1, fleet.Repeat3, fleet.Repeat6}
	type cell struct{ made, alert, low int }
	cells := map[fleet.Kind]map[int]*cell{}
	var list []plannedRun
	for _, seed := range x.Seeds {
		list = append(list,
			plannedRun{name: "repeats", WeeksOptions: fleet.WeeksOptions{Seed: seed, Days: fleet.TestDay + 15,
				Scale:   x.Scale,
				Attacks: kinds}})
	}
	err := x.runs(r, list, func(_ *plannedRun, m *measured) {
		for _, v := range x.verdicts(m) {
			if cells[v.Kind] == nil {
				cells[v.Kind] = map[int]*cell{}
			}
			c := cells[v.Kind][v.Day-fleet.TestDay+1]
			if c == nil {
				c = &cell{}
				cells[v.Kind][v.Day-fleet.TestDay+1] = c
			}
			c.made++
			if v.Alert.Found {
				c.alert++
			}
			if v.Low.Found {
				c.low++
			}
		}
	})
	if err != nil {
		return err
	}
	for _, k := range kinds {
		row := RepeatRow{Kind: k.String()}
		for _, d := range repeatDays {
			if c := cells[k][d]; c != nil {
				row.Days, row.Alert, row.Low = append(row.Days, d), append(row.Alert,
					share(c.alert, c.made)), append(row.Low, share(c.low, c.made))
			}
		}
		r.Repeats = append(r.Repeats, row)
	}
	return nil
}

func (x *evaluation) drift(r *Report) error {
	type week struct{ alerts, sessions int }
	all := append([]struct {
		Name  string
		Drift fleet.Drift
	}{{"none", 0}}, fleet.Drifts...)
	weeks := map[fleet.Drift]*[3]week{}
	var list []plannedRun
	for _, d := range all {
		weeks[d.Drift] = &[3]week{}
		for _, seed := range x.Seeds[:min(3, len(x.Seeds))] { // seven streams each: time is bounded
			list = append(list,
				plannedRun{name: "drift " + d.Name, WeeksOptions: fleet.WeeksOptions{Seed: seed, Days: fleet.Days,
					Scale: x.Scale / 2,
					Drift: d.Drift}})
		}
	}
	err := x.runs(r, list, func(p *plannedRun, m *measured) {
		of := weeks[p.Drift]
		for _, a := range x.alerts(m) {
			if w := int((a.Time-fleet.Start)/baselines.DayMS-fleet.TestDay) / 7; w < len(of) {
				of[w].alerts++
			}
		}
		for w := range of {
			of[w].sessions += sessionsOf(m.stream, fleet.TestDay+7*w, fleet.TestDay+7*w+7)
		}
	})
	if err != nil {
		return err
	}
	for _, d := range all {
		row := DriftRow{Name: d.Name}
		for _, w := range weeks[d.Drift] {
			row.Weeks = append(row.Weeks, rate(w.alerts, float64(w.sessions)/1000))
		}
		r.Drift = append(r.Drift, row)
	}
	return nil
}

// compareShards compares the findings of one worker with those of eight.
func (x *evaluation) compareShards(r *Report) error {
	var hashes []string
	for _, workers := range []int{1, 8} {
		m, err := x.made(fleet.WeeksOptions{Seed: x.Seeds[0], Days: fleet.TestDay + 3, Scale: min(x.Scale, .25),
			Attacks: quickRuns[0]}, workers)
		if err != nil {
			return err
		}
		x.addRun(r, fmt.Sprintf("%d shards", workers), x.Seeds[0], m)
		hashes = append(hashes, fmt.Sprintf("%s of %d", m.hash, m.sum.Findings))
	}
	got := hashes[0]
	if hashes[0] != hashes[1] {
		got += ", " + hashes[1]
	}
	r.Gates = append(r.Gates, Gate{"findings for 1 and 8 shards", got, "the same hash", hashes[0] == hashes[1]})
	return nil
}

// cost is what the detectors add to an event, where there are many agents: the same two days with
// baselines and without.
func (x *evaluation) cost(r *Report) error {
	off, err := policiesOf(map[string]string{"baselines/off.yaml": "baselines:\n  - {off: true}\n",
		"limits/none.yaml": noLimits})
	if err != nil {
		return err
	}
	o := fleet.WeeksOptions{Seed: x.Seeds[0], Days: 2, Scale: float64(x.Agents) / 200}
	cpu := map[string]float64{"on": math.Inf(1), "off": math.Inf(1)}
	for _, which := range [...]string{"on", "off", "on", "off"} {
		// the better of two: what else the machine does comes on top
		p := pipeline.Replay{Flush: true, Workers: x.Workers}
		if which == "off" {
			p.Policy = off
		}
		m, err := x.replay(newGenerated(o), p, math.MaxInt64)
		if err != nil {
			return err
		}
		x.addRun(r, fmt.Sprintf("%d agents, baselines %s", x.Agents, which), x.Seeds[0], m)
		cpu[which] = min(cpu[which], m.cpu)
	}
	added := cpu["on"] - cpu["off"]
	if len(x.Families) == 0 {
		r.Gates = append(r.Gates, Gate{fmt.Sprintf("CPU of the detectors for an event, %d agents", x.Agents),
			fmt.Sprintf("%.0f ns", added), "< 1100 ns", added < 1100})
	}
	return nil
}

// addGates compares what was measured with what it must be.
func (x *evaluation) addGates(r *Report) {
	gate := func(holds bool, name, got, want string) { r.Gates = append(r.Gates, Gate{name, got, want, holds}) }
	for _, t := range r.Tests {
		within := map[string]float64{"call": 2, "session": 2, "1m": 2, "10m": 2, "1h": 2, "1d": 1.5}[t.Test]
		if t.Persona != "" || t.Seed != 0 || within == 0 {
			continue
		}
		v := float64(t.Ratio[1].Value)
		gate(v <= within && v >= 1/within, t.Test+": realised over nominal at 1e-3", t.Ratio[1].String(),
			fmt.Sprintf("%.2f to %.1f", 1/within, within))
	}
	for _, f := range r.False {
		if f.What == "all" && f.Seed == 0 {
			gate(f.Thousand.Value <= 2, "alerts per 1,000 sessions", f.Thousand.String(), "<= 2")
		}
	}
	for _, p := range r.Attacks {
		switch p.Kind {
		case fleet.Burst200.String():
			if x.counts("volume") {
				gate(p.Alert.Value >= .98, "burst of 200 found", p.Alert.percent(), ">= 98 %")
			}
		case fleet.Insert6.String():
			if x.counts("sequence") {
				gate(p.Low.Value >= .75, "six calls inserted, at 1e-3", p.Low.percent(), ">= 75 %")
			}
		}
	}
	for _, p := range r.Ramps {
		if p.Kind == fleet.Ramp5.String() && x.counts("volume") {
			gate(p.Size < 4 && 2*p.Found.Value > 1, "ramp of 5 % a day: median found at",
				brief(p.Size)+"x, "+p.Before.percent()+" before 4x", "< 4x")
		}
	}
	if r.Logs != nil {
		gate(r.Logs.AUC.Value >= .99, "HDFS: AUC", fmt.Sprintf("%.4f (%.4f–%.4f)", r.Logs.AUC.Value, r.Logs.AUC.Low,
			r.Logs.AUC.High), ">= 0.99")
	}
	for _, s := range r.Recorded {
		gate(s.Ratio.Value <= 2, s.Name+": alerts on benign sessions over nominal", s.Ratio.String(), "<= 2")
	}
}
