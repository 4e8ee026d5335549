package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// healthOf is what Health says as one text.
func healthOf(t *testing.T, h *Health) (ready bool, text string) {
	ready, stages, err := h.Check(t.Context())
	var b strings.Builder
	if err != nil {
		fmt.Fprintln(&b, "kafka:", err)
	}
	for _, s := range stages {
		fmt.Fprintf(&b, "%s: %q\n", s.Stage, s.Waiting)
		for _, p := range s.Partitions {
			fmt.Fprintf(&b, "%s %d: %s\n", s.Stage, p.Partition, p.Doing)
		}
	}
	return ready, b.String()
}

func TestReadyIsWhoHoldsTheStateOfItsPartitionsAndCanWrite(t *testing.T) {
	l := newLab(t)
	start := func(name string) *Health {
		c := l.config(name, l.store(""))
		c.Health = &Health{}
		if ready, text := healthOf(t, c.Health); ready || !strings.Contains(text, "has not begun") {
			t.Errorf("before it begins an engine is ready (%v):\n%s", ready, text)
		}
		l.start(c)
		return c.Health
	}
	until := func(what string, h *Health, want bool, say string) {
		t.Helper()
		l.until(what, func() bool { ready, text := healthOf(t, h); return ready == want && strings.Contains(text, say) })
	}
	l.produce(300)
	a := start("a")
	until("the only instance has both partitions", a, true, "behaviour 0: ready\nbehaviour 1: ready\n")

	b := start("b")
	until("the second one gets one of them", b, true, "ready\n")
	until("and the first keeps the other", a, true, "ready\n")
	c := start("c")
	l.until("with more instances than partitions one stands by, and all are ready", func() bool {
		empty := 0
		for _, h := range []*Health{a, b, c} {
			ready, stages, _ := h.Check(t.Context())
			if !ready || stages[0].Waiting != "" {
				return false
			}
			if len(stages[0].Partitions) == 0 {
				empty++
			}
		}
		return empty == 1
	})
	l.drained()
}

func TestNotReadyIsWhoCannotWrite(t *testing.T) {
	l := newLab(t)
	c := l.config("a", l.store(""))
	c.Health = &Health{}
	enc := &shortEncoder{}
	c.Encoder = enc
	l.start(c)
	l.until("it is ready", func() bool { ready, _ := healthOf(t, c.Health); return ready })
	enc.tooLarge.Store(true)
	l.produce(400)
	l.until("what cannot be written shows", func() bool {
		ready, text := healthOf(t, c.Health)
		return !ready && strings.Contains(text, "the last transaction could not be written")
	})
	enc.tooLarge.Store(false)
	l.until("and passes", func() bool { ready, _ := healthOf(t, c.Health); return ready })
	l.drained()
	l.exact()

	l.cluster.Close()
	l.until("a broker that is gone shows", func() bool {
		ready, text := healthOf(t, c.Health)
		return !ready && strings.Contains(text, "kafka: ")
	})
}

func TestNotReadyIsWhosePartitionIsPaused(t *testing.T) {
	l := newLab(t)
	c := l.config("a", l.store(""))
	c.Health = &Health{}
	c.Encoder = panics{}
	l.start(c)
	l.until("it is ready", func() bool { ready, _ := healthOf(t, c.Health); return ready })
	l.produce(400)
	l.until("a shard that fails shows", func() bool {
		_, stages, _ := c.Health.Check(t.Context())
		return slices.ContainsFunc(stages[0].Partitions, func(p PartitionHealth) bool {
			return !p.Ready && strings.HasPrefix(p.Doing, "paused after an error")
		})
	})
}

// panics fails on every finding, as a bug of ours would.
type panics struct{}

func (panics) Record(*event.Finding) (key, value []byte, headers []Header) { panic("on purpose") }
