package sequence

import (
	"math/rand/v2"
	"strconv"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

// workload makes sessions of a persona: templates with loops, optional and repeated steps, and
// noise (prototypes/gen).
type workload struct {
	tools   int
	noise   float64
	err     float64
	intents [][]templateStep
}

type templateStep struct {
	tool              int
	opt, repeat, back float64
	backTo            int
}

func newWorkload(rng *rand.Rand, tools, intents int, noise, err float64) *workload {
	w := &workload{tools: tools, noise: noise, err: err}
	for range intents {
		var st []templateStep
		for j := range 4 + rng.IntN(7) {
			s := templateStep{tool: rng.IntN(tools), opt: 1}
			if rng.Float64() < .3 {
				s.opt = .4 + .5*rng.Float64()
			}
			if rng.Float64() < .35 {
				s.repeat = .2 + .5*rng.Float64()
			}
			if j > 1 && rng.Float64() < .2 {
				s.back, s.backTo = .25, rng.IntN(j)
			}
			st = append(st, s)
		}
		w.intents = append(w.intents, st)
	}
	return w
}

// pick is an intent: the first is the most usual.
func (w *workload) pick(rng *rand.Rand) int {
	sum := 0.0
	for i := range w.intents {
		sum += 1 / float64(i+1)
	}
	u := rng.Float64() * sum
	for i := range w.intents {
		if u -= 1 / float64(i+1); u < 0 {
			return i
		}
	}
	return 0
}

func (w *workload) session(rng *rand.Rand, intent int) (out []int) {
	st := w.intents[intent]
	for i := 0; i < len(st) && len(out) < 400; i++ {
		s := st[i]
		if rng.Float64() > s.opt {
			continue
		}
		for {
			if rng.Float64() < w.noise {
				out = append(out, rng.IntN(w.tools))
			}
			out = append(out, s.tool)
			if rng.Float64() >= s.repeat || len(out) >= 400 {
				break
			}
		}
		if s.back > 0 && rng.Float64() < s.back {
			i = s.backTo - 1
		}
	}
	return out
}

var testClasses = []event.Class{event.Read, event.Write, event.Read, event.Exec, event.Read, event.Write, event.Send}

// lab keeps a persona's days: agents, what was counted of each, the delta, the model.
type lab struct {
	m     *baselines.Model
	d     baselines.Delta
	day   int64
	terms baselines.Terms
	today map[uint64]*AgentDay
	seen  map[uint64]bool
	alpha float64 // below which a session is an alert
}

func newLab() *lab { return &lab{today: map[uint64]*AgentDay{}, seen: map[uint64]bool{}} }

func (l *lab) model() *Model {
	if l.m == nil {
		return nil
	}
	return ModelOf(l.m)
}

func (l *lab) push(c *Chain, tool int, failed bool, intent string) bool {
	outcome := event.OK
	if failed {
		outcome = event.Error
	}
	return c.Push(l.model(), DeltaOf(&l.d).Step(l.model(), "tool"+strconv.Itoa(tool), "",
		testClasses[tool%len(testClasses)], outcome, intent))
}

// end is what the detector does when a session is over.
func (l *lab) end(c *Chain, agent uint64) float64 {
	c.End(l.model())
	p := c.P(l.model())
	fate := LearnAll
	if l.m != nil && l.m.State != baselines.Learning {
		fate = LearnFrom
		switch {
		case p < l.alpha:
			fate = Alerted
		case p < 1e-2:
			fate = Quarantine
		}
	}
	l.d.Events += uint64(c.Steps())
	l.d.Sessions++
	if !l.seen[agent] {
		l.seen[agent] = true
		l.d.AgentDays++
	}
	t := l.today[agent]
	if t == nil {
		t = &AgentDay{}
		l.today[agent] = t
	}
	alpha := l.alpha
	if l.m == nil || l.m.State == baselines.Learning {
		alpha = 0
	}
	DeltaOf(&l.d).Take(l.model(), c, agent, l.day, t, fate, alpha)
	return p
}

func (l *lab) close() {
	l.m = baselines.Learn(l.m, baselines.Key{Tenant: "acme", Persona: "clerk"}, l.day, &l.d, l.terms)
	l.d = baselines.Delta{}
	clear(l.seen)
	l.day++
}

// work is a day of ordinary sessions.
func (l *lab) work(rng *rand.Rand, w *workload, sessions, agents int, each func(p float64, c *Chain)) {
	for range sessions {
		in := w.pick(rng)
		var c Chain
		for _, tool := range w.session(rng, in) {
			l.push(&c, tool, rng.Float64() < w.err, "intent"+strconv.Itoa(in))
		}
		p := l.end(&c, 1+uint64(rng.IntN(agents)))
		if each != nil {
			each(p, &c)
		}
	}
}
