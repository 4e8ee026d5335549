// Package formats turns what producers write into events as wayward reads them
// (wayward.event/v1). One record of a topic, or one line of a file, may hold many events or none.
// It must never know Kafka, policies or state: the same formats serve the ingress, replay, send and
// backtest. Begin reading at Format; native.go is one to copy.
package formats

import (
	"slices"

	"github.com/wayward-sec/wayward/event"
)

// Format turns the records of one kind into events. One goroutine at a time.
type Format interface {
	// Convert calls emit for each event of a record, in order. What it cannot convert it leaves out
	// and says so by an error, an *event.DecodeError where it can: the record then goes to the
	// dead-letter topic, beside the events that were emitted, so that one bad part hides no other.
	// key may be nil. The Value of what is emitted may be kept: it is a part of value, or memory of
	// its own. Tenant and Agent are valid until emit returns.
	Convert(key, value []byte, emit func(Event)) error
	// Salvage says which agent a record names that did not convert; false: none, or more than one.
	Salvage(key, value []byte) (event.Named, bool)
}

// Event is an event in the native form: JSON on one line, and whose it is.
type Event struct {
	Tenant, Agent string
	Value         []byte
}

// Kind is a format by name, as configs and flags have it.
type Kind struct {
	Name  string
	About string
	New   func() Format
}

// All are the formats there are. A new one is a file of its own and a line here.
var All = []Kind{
	{"native", "wayward.event/v1, one event a record", NewNative},
}

// New returns a format by name; nil: there is none of that name.
func New(name string) Format {
	i := slices.IndexFunc(All, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return All[i].New()
}

// Names are the names of all formats, in the order of All.
func Names() []string {
	names := make([]string, len(All))
	for i, k := range All {
		names[i] = k.Name
	}
	return names
}
