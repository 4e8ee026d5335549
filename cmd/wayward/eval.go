package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/eval"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/sinks"
)

// evalParts are what an evaluation consists of.
var evalParts = []string{"clean", "attacks", "ramps", "repeats", "drift", "shards", "cost", "data"}

type evalOptions struct {
	seeds, only, json, data string
	policiesFlags
	days, shards, agents int
	scale                float64
	quick, quiet         bool

	parts []string
	numbers
}

// numbers are what the options say, checked.
type numbers struct {
	seed     []uint64
	families []string
}

func newEval() *cobra.Command {
	var o evalOptions
	cmd := &cobra.Command{
		Use:   "eval [" + strings.Join(evalParts, "] [") + "]",
		Short: "Measure how often the statistical detectors are wrong, and what they find",
		Long: "eval makes weeks of work of 200 agents in six personas, replays them, and counts. clean: false alarms over nominal, from the day 21 on. attacks: what is woven\n" +
			"in, and how much of it is found, how soon, before half of the harm, and at 1 and 5 false alarms in 1,000 sessions; each twice: learned as all else is, and apart,\n" +
			"judged by what was learned without it. ramps: agents that do a little more each day, for weeks. repeats: the same odd chain every day, until it is\n" +
			"usual. drift: honest changes. shards: the same findings for 1 worker and 8. cost: CPU with detectors and without, at --agents. data: recorded sessions and\n" +
			"logs of --data, which the project does not contain. Without a word: all of them.\n" +
			"All is made up but data, by parameters that stand in package eval; the same options give the same findings. Exit 0 if all gates hold, 1 if one is missed.",
		Example:   "  wayward eval\n  wayward eval clean attacks --seeds 1-2 --only sequence\n  wayward eval --quick\n  wayward eval data --data ../shared/data --json report.json",
		ValidArgs: evalParts,
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.parts = args
			if len(args) == 0 {
				o.parts = evalParts
			}
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return o.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.seeds, "seeds", "1-5", "`seeds` of the streams: 3, 1-5 or 1,4")
	f.IntVar(&o.days, "days", fleet.Days, "`number` of days of a stream; from day 21 on it is measured")
	f.Float64Var(&o.scale, "scale", 1, "`factor` on the number of agents")
	f.IntVar(&o.agents, "agents", 20_000, "`number` of agents of the part cost")
	f.StringVar(&o.only, "only", "", "look at these `families` alone: volume, sequence, rarity, timing")
	f.StringVar(&o.json, "json", "", "also write all numbers to `file`; - is standard output, instead of the table")
	f.StringVar(&o.data, "data", os.Getenv("WAYWARD_DATA"), "`directory` of recorded data; $WAYWARD_DATA without")
	f.Lookup("data").DefValue = ""
	o.policiesFlags.flags(cmd)
	f.IntVar(&o.shards, "shards", runtime.GOMAXPROCS(0), "workers; the findings do not depend on it")
	f.Lookup("shards").DefValue = "the number of CPUs"
	f.BoolVar(&o.quick, "quick", false,
		"a look in less than a minute: one seed, a quarter of the agents, 35 days, only clean, attacks and shards; gates are not judged but shards")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress")
	return cmd
}

func (o *evalOptions) check(given func(string) bool) error {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if o.quick {
		if len(o.parts) == len(evalParts) {
			o.parts = []string{"clean", "attacks", "shards"}
		}
		if !given("seeds") {
			o.seeds = "1"
		}
		if !given("days") {
			o.days = 35
		}
		if !given("scale") {
			o.scale = .25
		}
	}
	for word := range strings.SplitSeq(o.seeds, ",") {
		from, to, span := strings.Cut(word, "-")
		if !span {
			to = from
		}
		a, errA := strconv.ParseUint(from, 10, 32)
		b, errB := strconv.ParseUint(to, 10, 32)
		if errA != nil || errB != nil || a > b || b-a > 99 {
			bad("--seeds %s: use a number, or a span as 1-5, or several with commas", o.seeds)
			break
		}
		for s := a; s <= b; s++ {
			o.seed = append(o.seed, s)
		}
	}
	if o.only != "" {
		for word := range strings.SplitSeq(o.only, ",") {
			known := false
			for f := range baselines.Families {
				known = known || f.String() == word
			}
			if !known {
				bad("--only %s: %q is no family of tests; use volume, sequence, rarity or timing", o.only, word)
			}
			o.families = append(o.families, word)
		}
	}
	if o.days < fleet.TestDay+2 || o.days > 365 {
		bad("--days %d: use %d to 365: what is measured begins on day %d", o.days, fleet.TestDay+2, fleet.TestDay)
	}
	if !(o.scale >= .05 && o.scale <= 100) {
		bad("--scale %v: use 0.05 to 100", o.scale)
	}
	if o.agents < 200 || o.agents > 1_000_000 {
		bad("--agents %d: use 200 to 1000000", o.agents)
	}
	if o.shards < 1 || o.shards > 1024 {
		bad("--shards %d: use 1 to 1024", o.shards)
	}
	return errors.Join(wrong...)
}

// counts tells whether a family is looked at.
func (n *numbers) counts(family string) bool {
	return len(n.families) == 0 || slices.Contains(n.families, family)
}

func (o *evalOptions) part(name string) bool { return slices.Contains(o.parts, name) }

// policies are those of the flags; else the personas of the streams, which say nothing but that
// data of other tenants is not theirs.
func (o *evalOptions) policies(cmd *cobra.Command) (*policy.Set, error) {
	if o.dir != "" || cmd.Flags().Changed("config") {
		c, err := loadConfig(o.config)
		if err != nil {
			return nil, err
		}
		return loadPolicies(cmp.Or(o.dir, c.Policies))
	}
	b := &strings.Builder{}
	b.WriteString("personas:\n")
	for _, name := range fleet.Personas() {
		fmt.Fprintf(b, "  - {name: %s, resources: {tenants: own}}\n", name)
	}
	return policiesOf(map[string]string{"personas/eval.yaml": b.String(), "limits/none.yaml": noLimits})
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
	return loadPolicies(dir)
}

// madeUp is a source that makes a stream while it is read.
type madeUp struct {
	stream *fleet.Weeks
	free   chan *pipeline.Chunk
	at     int64
	over   bool
	// warm is how many events there were when warmAfter of the stream had passed; 0: not yet.
	warm      atomic.Int64
	warmAfter int64 // ms
}

const madeUpChunk = 1 << 20

func newMadeUp(o fleet.WeeksOptions) *madeUp {
	// the first snapshot is in force
	return &madeUp{stream: fleet.NewWeeks(o), free: make(chan *pipeline.Chunk, 4), at: 1, warmAfter: 25 * 3_600_000}
}

// Next implements pipeline.Source.
func (m *madeUp) Next(ctx context.Context) (*pipeline.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m.over {
		return nil, io.EOF
	}
	var c *pipeline.Chunk
	select {
	case c = <-m.free:
	default:
		c = &pipeline.Chunk{Lines: make([]byte, 0, madeUpChunk+4096)}
	}
	before := m.stream.Events
	b, ok := c.Lines[:0], true
	for ok && len(b) < madeUpChunk {
		b, ok = m.stream.Next(b)
	}
	if m.warm.Load() == 0 && m.stream.Now() >= fleet.Start+m.warmAfter {
		m.warm.Store(m.stream.Events)
	}
	m.over = !ok
	c.Lines, c.At, c.Read = b, m.at, m.stream.Events
	m.at += m.stream.Events - before
	if len(b) == 0 {
		return nil, io.EOF
	}
	return c, nil
}

// Done implements pipeline.Source.
func (m *madeUp) Done(c *pipeline.Chunk) {
	select {
	case m.free <- c:
	default:
	}
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
	book    eval.Book
	tests   map[string]*testCounts   // by persona, of the days from since on
	nominal [baselines.Tests]float64 // tests made times the threshold in force, of the same days
	// every snapshot by its day, encoded: decoded, 42 days are gigabytes; of a clean run alone
	daily map[int64][][]byte
	noted bool // it stands in the report
	sum   pipeline.Summary
	took  time.Duration
	// ns for an event, from when the stream has passed warm on, without making it; NaN: other runs
	// ran beside it
	cpu  float64
	hash string // of all findings as they would stand on the topic
}

// evaluation is a whole evaluation under way.
type evaluation struct {
	*evalOptions
	ctx    context.Context
	set    *policy.Set
	stderr io.Writer
	done   atomic.Int64 // events
	tell   func(done, events int64)
	making float64 // ns of CPU that making an event takes
	lock   sync.Mutex
	// clean runs by seed, each made once: false alarms are counted in it, thresholds follow from
	// it, and attacks are judged by what it has learned.
	cleanOf map[uint64]func() (*measured, error)
}

// replay runs a source and counts tests from a day on (days since 1970).
func (x *evaluation) replay(src pipeline.Source, r pipeline.Replay, since int64) (*measured, error) {
	m := &measured{tests: map[string]*testCounts{}, cpu: math.NaN()}
	encoder, hash, line := &sinks.OCSF{Version: "eval"}, sha256.New(), []byte(nil)
	r.Deliver = func(f *event.Finding) error {
		line = append(encoder.Append(line[:0], f), '\n')
		hash.Write(line)
		m.book.Take(f)
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
		fmt.Fprintf(x.stderr, "line %d: %s\n", at, onOneLine(err.Error()))
	}
	made, _ := src.(*madeUp)
	var warm usage
	var before, warmed int64
	r.Progress = func(_, events int64) {
		if made != nil && warm.cpu == 0 && made.warm.Load() > 0 && events >= made.warm.Load() {
			warm, warmed = used(), events
		}
		n := x.done.Add(events - before)
		before = events
		x.lock.Lock()
		defer x.lock.Unlock()
		x.tell(n, n)
	}
	if r.Policy == nil {
		r.Policy = x.set
	}
	start := time.Now()
	var err error
	m.sum, err = r.Run(x.ctx, src)
	m.took = time.Since(start)
	if made != nil {
		m.stream = made.stream
		if n := m.sum.Events - warmed; warm.cpu > 0 && n > 0 {
			m.cpu = float64(used().cpu-warm.cpu)/float64(n) - x.making
		}
	}
	m.hash = hex.EncodeToString(hash.Sum(nil)[:8])
	if err == nil && len(m.sum.Dead) > 0 {
		err = fmt.Errorf("records of the evaluation itself do not decode: %v", m.sum.Dead)
	}
	return m, err
}

// testDay is the day from which on is measured, since 1970.
const testDay = fleet.Start/baselines.DayMS + fleet.TestDay

// made runs a made-up stream.
func (x *evaluation) made(o fleet.WeeksOptions, workers int) (*measured, error) {
	return x.replay(newMadeUp(o), pipeline.Replay{Workers: workers, Flush: true}, testDay)
}

// planned is a run to be made: of a stream, which is learned from while it is judged.
type planned struct {
	name string
	fleet.WeeksOptions
	clean bool // the seed's clean run, which parts share
	apart bool // it is judged by what the seed's clean run has learned, and nothing is learned from it
}

// quietly are the options of a seed's clean run.
func (x *evaluation) quietly(seed uint64) fleet.WeeksOptions {
	return fleet.WeeksOptions{Seed: seed, Days: x.days, Scale: x.scale}
}

// cleanRuns makes each seed's clean run to be had, once.
func (x *evaluation) cleanRuns() {
	x.cleanOf = map[uint64]func() (*measured, error){}
	for _, seed := range x.seed {
		x.cleanOf[seed] = sync.OnceValues(func() (*measured, error) {
			daily := map[int64][][]byte{}
			r := pipeline.Replay{Workers: 1, Flush: true}
			if x.part("attacks") {
				r.Closed = func(b *baselines.Model, _ *baselines.Delta) {
					daily[b.Day] = append(daily[b.Day], b.Append(nil))
				}
			}
			m, err := x.replay(newMadeUp(x.quietly(seed)), r, testDay)
			m.daily = daily
			return m, err
		})
	}
}

func (x *evaluation) one(p *planned) (*measured, error) {
	switch {
	case p.clean:
		return x.cleanOf[p.Seed]()
	case p.apart:
		c, err := x.cleanOf[p.Seed]()
		if err != nil {
			return nil, err
		}
		return x.replay(newMadeUp(p.WeeksOptions),
			pipeline.Replay{Workers: 1, Flush: true, Daily: func(day int64) (out []*baselines.Model) {
				for _, b := range c.daily[day] {
					m, err := decodeModel(b)
					if err != nil {
						panic(err) // encoded by this process
					}
					out = append(out, m)
				}
				return
			}}, testDay)
	}
	return x.made(p.WeeksOptions, 1)
}

// runs makes runs, as many at a time as there are shards: a stream of 200 agents has too few events
// in a slice for two to share it.
func (x *evaluation) runs(r *evalReport, list []planned, each func(p *planned, m *measured)) error {
	results, errs := make([]*measured, len(list)), make([]error, len(list))
	var next atomic.Int32
	var wg sync.WaitGroup
	for range min(x.shards, len(list)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(list); i = int(next.Add(1)) - 1 {
				m, err := x.one(&list[i])
				if results[i], errs[i] = m, err; m != nil && x.shards > 1 {
					m.cpu = math.NaN()
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, m := range results {
		if !m.noted {
			x.note(r, list[i].name, list[i].Seed, m)
			m.noted = true
		}
		each(&list[i], m)
	}
	return nil
}
