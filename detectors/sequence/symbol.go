package sequence

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

// Symbols that are no calls. Those of calls and classes are hashes.
const (
	// what comes before the first; as the last of an n-gram it stands for the context itself
	beginSymbol    = 0
	endSymbol      = 1
	newSymbol      = 2 // in items: a call that is new
	outcomeSymbols = 3 // and one more for each outcome
	symbolHashes   = 16
)

// Step is one call as a sequence sees it. How it ended is told apart from what it was: an error
// where any call may err is no new call.
type Step struct {
	Call uint32 // tool, class and resource type
	// class and resource type: what a call is, whatever does it. The lowest bit is set if it sends,
	// pays, deletes, approves or grants
	Class   uint32
	Intent  uint32 // 0: none is known
	Outcome event.Outcome
}

// Sink tells whether the call moves something that cannot be taken back.
func (s Step) Sink() bool { return s.Class&1 != 0 && s.Class >= symbolHashes }

// Symbol is what the hash of a call stands for.
type Symbol struct {
	ID, Class      uint32 // as in Step
	Tool, Resource string // at most maxName bytes of each; no tool: all calls of the class
	Action         event.Class
}

const sinks = 1<<event.Send | 1<<event.Pay | 1<<event.Delete | 1<<event.Approve | 1<<event.Grant

// StepOf is the step of a call.
func StepOf(tool, resource string, class event.Class, outcome event.Outcome, intent string) Step {
	kind := mix(xxhash.Sum64String(resource) + uint64(class)*0x9e3779b97f4a7c15)
	s := Step{Class: uint32(kind)&^1 | uint32(sinks>>class&1), Outcome: outcome}
	s.Class = max(s.Class, symbolHashes)
	s.Call = max(uint32(mix(kind^xxhash.Sum64String(tool)*0xff51afd7ed558ccd)>>32), symbolHashes)
	if intent != "" {
		s.Intent = max(uint32(xxhash.Sum64String(intent)>>32), 1)
	}
	return s
}

// ended is the call as what comes next remembers it: with how it ended, if it did not end well.
func (s Step) ended() uint32 {
	if s.Outcome <= event.OK {
		return s.Call
	}
	return s.Call ^ uint32(s.Outcome)*0x9e3779b9
}

// symbolOf is what stands behind a call, in memory of its own.
func symbolOf(s Step, tool, resource string, class event.Class) Symbol {
	return Symbol{s.Call, s.Class, baselines.Name(tool), baselines.Name(resource), class}
}

// String says what the call is.
func (s *Symbol) String() string {
	switch s.ID {
	case beginSymbol:
		return "the start"
	case endSymbol:
		return "the end"
	}
	what := s.Tool
	if what == "" {
		what = "another tool"
		if s.Action != event.NoClass {
			what += " of class " + s.Action.String()
		}
	}
	if s.Resource != "" {
		what += " on " + s.Resource
	}
	return what
}

// mix spreads 64 bits over 64 bits.
func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

func symbolIn(in []Symbol, id uint32) *Symbol {
	if i, ok := slices.BinarySearchFunc(in, id, func(s Symbol, id uint32) int { return cmp.Compare(s.ID, id) }); ok {
		return &in[i]
	}
	return nil
}
