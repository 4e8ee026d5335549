// Package eval measures the detectors. It replays the made-up weeks of package fleet and recorded
// sessions, matches the findings with the truth, and reports how often detectors are wrong and what
// they find.
//
// It must never know how a detector comes to its findings: it reads findings, and the audits of
// baselines. No other package but the command imports it. Begin with Settings.Run in this file; the
// parts of an evaluation are in parts.go, the matching is AlarmLog.Judge in score.go.
package eval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/sinks"
)

// Settings say what an evaluation measures.
type Settings struct {
	Parts    []string // of Parts
	Seeds    []uint64 // of the streams
	Families []string // of tests that are looked at; none: all
	Days     int      // of a stream
	Agents   int      // of the part cost
	Workers  int      // the findings do not depend on it
	Scale    float64  // of the number of agents
	Quick    bool
	Data     string // directory of recorded data
	Policies *policy.Set

	// Version and Machine stand in the report.
	Version, Machine string
	// Progress is called with how many events are done.
	Progress func(done, events int64)
	// Warn shows a line of text.
	Warn func(text string)
}

// Parts are what an evaluation consists of.
var Parts = []string{"clean", "attacks", "ramps", "repeats", "drift", "shards", "cost", "data"}

// Events is about how many events an evaluation has.
func (s *Settings) Events() int64 {
	perSeed := 0.0 // days of 40,000 events
	for part, days := range map[string]float64{"clean": float64(s.Days), "attacks": 8.6 * float64(s.Days),
		"ramps": 66 / 2 * 2, "repeats": 36, "drift": 3 * float64(s.Days)} {
		if s.part(part) {
			perSeed += days * s.Scale
		}
	}
	return int64(40_000 * perSeed * float64(len(s.Seeds)))
}

// counts tells whether a family is looked at.
func (s *Settings) counts(family string) bool {
	return len(s.Families) == 0 || slices.Contains(s.Families, family)
}

func (s *Settings) part(name string) bool { return slices.Contains(s.Parts, name) }

// DefaultPolicies are the personas of the streams, which say nothing but that data of other tenants
// is not theirs.
func DefaultPolicies() (*policy.Set, error) {
	b := &strings.Builder{}
	b.WriteString("personas:\n")
	for _, name := range fleet.Personas() {
		fmt.Fprintf(b, "  - {name: %s, resources: {tenants: own}}\n", name)
	}
	return policiesOf(map[string]string{"personas/eval.yaml": b.String(), "limits/none.yaml": noLimits})
}

// Run makes the evaluation.
func (s Settings) Run(ctx context.Context) (*Report, error) {
	x := &evaluation{Settings: &s, ctx: ctx}
	x.measureGeneration()
	x.cleanRuns()
	return x.runParts()
}

// noLimits leaves the built-in ones out: what they find is certain, and nothing is learned from who
// is found.
const noLimits = "builtin: false\n"

// policiesOf loads policies from files that exist only for that.
func policiesOf(files map[string]string) (*policy.Set, error) {
	dir, err := os.MkdirTemp("", "wayward-eval-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	set, errs := policy.Load(dir)
	return set, errors.Join(errs...)
}

// testCounts are the counts of tests of one persona.
type testCounts [baselines.Tests]baselines.Tally

func (t *testCounts) add(o *testCounts) {
	for i := range t {
		a, b := &t[i], &o[i]
		a.Made += b.Made
		a.Below2 += b.Below2
		a.Below3 += b.Below3
		a.Below4 += b.Below4
		a.Alerts += b.Alerts
	}
}

// measured is one run.
type measured struct {
	stream  *fleet.Weeks
	alarms  AlarmLog
	tests   map[string]*testCounts   // by persona, of the days from since on
	nominal [baselines.Tests]float64 // tests made times the threshold in force, of the same days
	// every snapshot by its day, encoded: decoded, 42 days are gigabytes; of a clean run alone
	daily    map[int64][][]byte
	inReport bool // it stands in the report
	sum      pipeline.Summary
	wall     time.Duration
	// ns for an event, from when the stream has passed warm on, without making it; NaN: other runs
	// ran beside it
	cpu  float64
	hash string // of all findings as they would stand on the topic
}

// evaluation is a whole evaluation under way.
type evaluation struct {
	*Settings
	ctx            context.Context
	done           atomic.Int64 // events
	generationCost float64      // ns of CPU that making an event takes
	lock           sync.Mutex
	// clean runs by seed, each made once: false alarms are counted in it, thresholds follow from
	// it, and attacks are judged by what it has learned.
	cleanOf map[uint64]func() (*measured, error)
}

// replay runs a source and counts tests from a day on (days since 1970).
func (x *evaluation) replay(src history.Source, r pipeline.Replay, since int64) (*measured, error) {
	m := &measured{tests: map[string]*testCounts{}, cpu: math.NaN()}
	encoder, hash, line := &sinks.OCSF{Version: "eval"}, sha256.New(), []byte(nil)
	r.Deliver = func(f *event.Finding) error {
		line = append(encoder.Append(line[:0], f), '\n')
		hash.Write(line)
		m.alarms.Take(f)
		return nil
	}
	kept := r.Closed
	r.Closed = func(b *baselines.Model, d *baselines.Delta) {
		if kept != nil {
			kept(b, d)
		}
		if b.Day < since || b.Persona == baselines.TenantWide {
			return
		}
		t := m.tests[b.Persona]
		if t == nil {
			t = &testCounts{}
			m.tests[b.Persona] = t
		}
		t.add((*testCounts)(&d.Audit.Of))
		budget := detectors.Budget(b, r.Policy.Baseline(b.Tenant, b.Persona))
		for i := range d.Audit.Of {
			m.nominal[i] += float64(d.Audit.Of[i].Made) * b.Audit.Alpha(baselines.Test(i), budget)
		}
	}
	r.Bad = func(at int64, _ string, err error) {
		x.lock.Lock()
		defer x.lock.Unlock()
		x.Warn(fmt.Sprintf("line %d: %s", at, err))
	}
	made, _ := src.(*generated)
	var warm time.Duration
	var before, warmed int64
	r.Progress = func(_, events int64) {
		if made != nil && warm == 0 && made.warm.Load() > 0 && events >= made.warm.Load() {
			warm, warmed = cpuTime(), events
		}
		n := x.done.Add(events - before)
		before = events
		x.lock.Lock()
		defer x.lock.Unlock()
		x.Progress(n, n)
	}
	if r.Policy == nil {
		r.Policy = x.Policies
	}
	start := time.Now()
	var err error
	m.sum, err = r.Run(x.ctx, src)
	m.wall = time.Since(start)
	if made != nil {
		m.stream = made.stream
		if n := m.sum.Events - warmed; warm > 0 && n > 0 {
			m.cpu = float64(cpuTime()-warm)/float64(n) - x.generationCost
		}
	}
	m.hash = hex.EncodeToString(hash.Sum(nil)[:8])
	if err == nil && len(m.sum.Dead) > 0 {
		err = fmt.Errorf("records of the evaluation itself do not decode: %v", m.sum.Dead)
	}
	return m, err
}

// firstTestDay is the first day that is measured, in days since 1970.
const firstTestDay = fleet.Start/baselines.DayMS + fleet.TestDay

// made runs a made-up stream.
func (x *evaluation) made(o fleet.WeeksOptions, workers int) (*measured, error) {
	return x.replay(newGenerated(o), pipeline.Replay{Workers: workers, Flush: true}, firstTestDay)
}

// plannedRun is a run to be made of one stream, which is learned from while it is judged.
type plannedRun struct {
	name string
	fleet.WeeksOptions
	clean bool // the seed's clean run, which parts share
	apart bool // it is judged by what the seed's clean run has learned, and nothing is learned from it
}

// cleanOptions are the options of a seed's clean run.
func (x *evaluation) cleanOptions(seed uint64) fleet.WeeksOptions {
	return fleet.WeeksOptions{Seed: seed, Days: x.Days, Scale: x.Scale}
}

// cleanRuns makes each seed's clean run to be had, once.
func (x *evaluation) cleanRuns() {
	x.cleanOf = map[uint64]func() (*measured, error){}
	for _, seed := range x.Seeds {
		x.cleanOf[seed] = sync.OnceValues(func() (*measured, error) {
			daily := map[int64][][]byte{}
			r := pipeline.Replay{Workers: 1, Flush: true}
			if x.part("attacks") {
				r.Closed = func(b *baselines.Model, _ *baselines.Delta) {
					daily[b.Day] = append(daily[b.Day], b.Append(nil))
				}
			}
			m, err := x.replay(newGenerated(x.cleanOptions(seed)), r, firstTestDay)
			m.daily = daily
			return m, err
		})
	}
}

func (x *evaluation) runOne(p *plannedRun) (*measured, error) {
	switch {
	case p.clean:
		return x.cleanOf[p.Seed]()
	case p.apart:
		c, err := x.cleanOf[p.Seed]()
		if err != nil {
			return nil, err
		}
		return x.replay(newGenerated(p.WeeksOptions),
			pipeline.Replay{Workers: 1, Flush: true, Daily: func(day int64) (out []*baselines.Model) {
				for _, b := range c.daily[day] {
					m, err := decodeModel(b)
					if err != nil {
						panic(err) // encoded by this process
					}
					out = append(out, m)
				}
				return
			}}, firstTestDay)
	}
	return x.made(p.WeeksOptions, 1)
}

// runs makes runs, as many at a time as there are shards: a stream of 200 agents has too few events
// in a slice for two to share it.
func (x *evaluation) runs(r *Report, list []plannedRun, each func(p *plannedRun, m *measured)) error {
	results, errs := make([]*measured, len(list)), make([]error, len(list))
	var workers errgroup.Group
	workers.SetLimit(max(1, x.Workers))
	for i := range list {
		workers.Go(func() error {
			m, err := x.runOne(&list[i])
			if results[i], errs[i] = m, err; m != nil && x.Workers > 1 {
				m.cpu = math.NaN()
			}
			return nil // all are run, and all errors reported
		})
	}
	workers.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, m := range results {
		if !m.inReport {
			x.addRun(r, list[i].name, list[i].Seed, m)
			m.inReport = true
		}
		each(&list[i], m)
	}
	return nil
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func decodeModel(b []byte) (*baselines.Model, error) {
	m, r := &baselines.Model{}, wire.Reader{B: b}
	m.Decode(&r)
	return m, r.Err
}
