package detectors

import (
	"fmt"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/policy"
)

// Kind is a detector as it is registered: everything that others need to know of it.
type Kind struct {
	Name string // as findings, metrics and rules carry it
	Slot byte   // names its parts in state: never changed, never reused
	New  func(slot byte, set *policy.Set) Detector
	Part func() Part // an empty part of a Memory
	// Keeps says whether the part of a session stays when another session of its name begins; ended:
	// the one before said that it ended; started: the new one says that it starts. nil: never.
	Keeps func(ended, started bool) bool
	// Learns is its part of deltas and models; the slot is filled in. Zero: it learns nothing.
	Learns baselines.PartKind
	// Oddity says that rules may ask for its smallest p-value, by baseline.p("name").
	Oddity bool
}

// Slots bounds the slots of detectors. Slot 0 ends an encoded memory.
const Slots = baselines.Slots

// registered are the detectors in the order in which they see an event, and by slot.
var (
	registered []Kind
	bySlot     [Slots]*Kind
)

// Register sets the detectors, in the order in which they see an event. Package detectors/all does so
// when it is initialised; a test may do so again before it makes a Panel or reads state.
func Register(list ...Kind) []Kind {
	registered, bySlot = append([]Kind(nil), list...), [Slots]*Kind{}
	var learned []baselines.PartKind
	for i := range registered {
		k := &registered[i]
		if k.Slot == 0 || k.Slot >= Slots || bySlot[k.Slot] != nil {
			panic(fmt.Sprintf("detectors: slot %d of %s is taken or out of range", k.Slot, k.Name))
		}
		bySlot[k.Slot] = k
	}
	for slot, k := range bySlot {
		if k != nil && k.Learns.Delta != nil {
			part := k.Learns
			part.Slot = byte(slot)
			learned = append(learned, part)
		}
	}
	baselines.Register(learned)
	return registered
}

// Names are the detectors' names, as findings and metrics carry them.
func Names() []string {
	out := make([]string, len(registered))
	for i := range registered {
		out[i] = registered[i].Name
	}
	return out
}

// SlotOf is the slot of the detector of a name whose p-value rules may ask for; 0: there is none.
func SlotOf(name string) byte {
	for i := range registered {
		if k := &registered[i]; k.Oddity && k.Name == name {
			return k.Slot
		}
	}
	return 0
}

func kindOf(slot byte) *Kind {
	if k := bySlot[slot]; k != nil {
		return k
	}
	panic(fmt.Sprintf("detectors: no detector has slot %d; is it registered (detectors/all)?", slot))
}

func known(slot byte) bool { return slot < Slots && bySlot[slot] != nil }

var nothingOdd = func() (p [Slots]float64) {
	for i := range p {
		p[i] = 1
	}
	return p
}()
