package sequence

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// benched is a persona with four weeks behind it, and sessions of it ready to push.
func benched() (*Model, [][]Step) {
	rng := rand.New(rand.NewPCG(7, 7))
	w := newWorkload(rng, 24, 12, .04, .06)
	l := newLab()
	l.alpha = 1e-3
	for range 14 {
		l.work(rng, w, 600, 60, nil)
		l.close()
	}
	m := l.model()
	var sessions [][]Step
	for range 2000 {
		in := w.pick(rng)
		var steps []Step
		for _, tool := range w.session(rng, in) {
			outcome := event.OK
			if rng.Float64() < w.err {
				outcome = event.Error
			}
			steps = append(steps, DeltaOf(&l.d).Step(m, "tool"+strconv.Itoa(tool), "",
				testClasses[tool%len(testClasses)], outcome, "intent"+strconv.Itoa(in)))
		}
		if len(steps) > 0 {
			sessions = append(sessions, steps)
		}
	}
	return m, sessions
}

// One step of one of 20,000 agents: the score alone, then with what is remembered and learned at
// the end of the session.
func BenchmarkSequence(b *testing.B) {
	m, sessions := benched()
	b.Run("score", func(b *testing.B) {
		chains := make([]Chain, 20_000)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			s := sessions[i%len(sessions)]
			c := &chains[i*7919%len(chains)]
			k := int(c.n) % len(s)
			c.score(m, s[k])
			c.push(s[k])
			i++
		}
	})
	b.Run("step", func(b *testing.B) {
		agents := make([]struct {
			Chain
			AgentDay
			session int
		}, 20_000)
		for i := range agents {
			agents[i].session = i
		}
		var d Delta
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			at := i * 7919 % len(agents)
			a := &agents[at]
			s := sessions[a.session%len(sessions)]
			if k := int(a.n); k < len(s) {
				a.Push(m, s[k])
			} else {
				d.Take(m, &a.Chain, uint64(at), 20, &a.AgentDay, LearnFrom, 1e-3)
				a.Chain.Reset()
				a.session++
			}
			i++
		}
	})
}
