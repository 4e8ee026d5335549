package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

// Health is what a running engine says of itself: whether each stage has its partitions, holds
// their state and can write. Give one in Config and ask it from anywhere. Its zero value is an
// engine that has not begun.
type Health struct {
	mu     sync.Mutex
	stages []stageHealth // in the order of Stages
	kafka  *kgo.Client
	disk   error
	start  string // what the start waits for

	asking sync.Mutex // one question to Kafka at a time
	asked  time.Time
	answer error
}

type stageHealth struct {
	StageHealth
	at time.Time // when the stage last said so
}

// StageHealth is that of one stage.
type StageHealth struct {
	Stage      string
	Waiting    string            // for what the stage as a whole waits; "": for nothing
	Partitions []PartitionHealth // that the group gave to this instance; none: it stands by
}

// PartitionHealth is that of one partition.
type PartitionHealth struct {
	Partition int32
	Ready     bool
	Doing     string
}

// Ready tells whether the stage waits for nothing, as a whole and in each partition.
func (s *StageHealth) Ready() bool {
	return s.Waiting == "" && !slices.ContainsFunc(s.Partitions, func(p PartitionHealth) bool { return !p.Ready })
}

// silence is how long a stage's loop may say nothing until it counts as stuck.
const silence = 10 * time.Second

// Check tells whether Kafka answers and every stage is ready, how each stage is, and why Kafka does
// not answer if it does not. Kafka is asked at most once a second, however often we are.
func (h *Health) Check(ctx context.Context) (ready bool, stages []StageHealth, kafka error) {
	h.mu.Lock()
	cl := h.kafka
	for _, s := range h.stages {
		if quiet := time.Since(s.at); quiet > silence && s.Waiting == "" {
			s.Waiting = fmt.Sprintf("its loop has stood still for %s", quiet.Round(time.Second))
		}
		stages = append(stages, s.StageHealth)
	}
	start := h.start
	if cl == nil {
		h.mu.Unlock()
		if start != "" {
			return false, stages, errors.New(start)
		}
		return false, stages, errNotBegun
	}
	h.mu.Unlock()
	kafka = h.ask(ctx, cl)
	ready = kafka == nil && h.Disk() == nil &&
		!slices.ContainsFunc(stages, func(s StageHealth) bool { return !s.Ready() })
	return ready, stages, kafka
}

// Disk is why nothing can be saved; nil: it can.
func (h *Health) Disk() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.disk
}

func (h *Health) setDisk(problem error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.disk = problem
}

func (h *Health) ask(ctx context.Context, cl *kgo.Client) error {
	h.asking.Lock()
	defer h.asking.Unlock()
	if time.Since(h.asked) > time.Second {
		// the answer is for others too
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if h.answer = cl.Ping(ctx); h.answer != nil {
			h.answer = broker.Explained(h.answer)
		}
		h.asked = time.Now()
	}
	return h.answer
}

// waitFor says what the start waits for; "": for nothing.
func (h *Health) waitFor(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.start = what
}

var errNotBegun = fmt.Errorf("the engine has not begun: it waits for Kafka, or for its topics")

// begin says through which client to ask, and which stages there will be.
func (h *Health) begin(cl *kgo.Client, names []string) {
	for _, n := range names {
		h.set(StageHealth{Stage: n, Waiting: "it begins"})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kafka = cl
}

func (h *Health) set(s StageHealth) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, found := slices.BinarySearchFunc(h.stages, s.Stage, func(a stageHealth, name string) int {
		return cmp.Compare(slices.Index(Stages, a.Stage), slices.Index(Stages, name))
	})
	if !found {
		h.stages = slices.Insert(h.stages, at, stageHealth{})
	}
	h.stages[at] = stageHealth{s, time.Now()}
}

// reportHealth tells Health where the loop is. Often enough to be seen in time, seldom enough to
// cost nothing.
func (st *stage) reportHealth() {
	if time.Since(st.reportedAt) < 100*time.Millisecond {
		return
	}
	st.reportedAt = time.Now()
	s := StageHealth{Stage: st.name}
	a := st.assigned.Load()
	switch {
	case a == nil:
		s.Waiting = noAssignment
	case st.unwritten:
		s.Waiting = notWritten
	}
	if a != nil {
		for _, p := range *a {
			s.Partitions = append(s.Partitions, st.partition(p).health())
		}
	}
	st.cfg.Health.set(s)
}

// What a stage as a whole may wait for.
const (
	noAssignment = "the group has not said yet which partitions are this instance's"
	notWritten   = "the last transaction could not be written"
)
