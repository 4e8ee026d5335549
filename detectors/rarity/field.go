package rarity

import (
	"github.com/wayward-sec/wayward/baselines"
)

// Field is one thing about a call that may be seen for the first time.
type Field uint8

// Fields. Some lie within another: an address is judged only where its domain is known, a pair of
// tool and domain only where both are, a tool for an intent only where the tool is. So one new
// thing is new once.
const (
	ToolField       Field = iota
	IntentToolField       // a tool for an intent
	ServerField
	DefinitionField // what a tool of a server says of itself: a hash
	DomainField     // of a destination; of one without, its kind
	AddressField    // the destination in full
	ToolDomainField // a domain through a tool
	ResourceField   // type, environment and labels of a resource
	UserField
	EdgeField // persona, else agent, that work is handed to or that is written to
	Fields
)

var fieldDefs = [Fields]struct {
	name  string
	test  baselines.Test
	named bool // names are kept beside hashes
	// sent: whether it is there is up to the producer, so what appears for the first time says
	// nothing before it has been there for long. The others are there as soon as the agent does it:
	// a persona that never sends is known never to send.
	sent bool
	wide bool // part of the tenant's vocabulary
}{
	{name: "tool", test: baselines.ToolTest, named: true, wide: true},
	{name: "intent_tool", test: baselines.ToolTest, sent: true},
	{name: "server", test: baselines.ServerTest, named: true, sent: true, wide: true},
	{name: "definition", test: baselines.DefinitionTest, named: true, sent: true},
	{name: "domain", test: baselines.DestinationTest, named: true, wide: true},
	{name: "address", test: baselines.DestinationTest},
	{name: "tool_domain", test: baselines.DestinationTest},
	{name: "resource", test: baselines.ResourceTest, named: true, sent: true},
	{name: "user", test: baselines.UserTest, sent: true},
	{name: "edge", test: baselines.EdgeTest},
}

func (f Field) String() string { return fieldDefs[f].name }

// Test is the test of the field, as the audit counts it.
func (f Field) Test() baselines.Test { return fieldDefs[f].test }

// Named tells whether names of the field's values are kept; of the others a hash is all there is.
func (f Field) Named() bool { return fieldDefs[f].named }

// Wide tells whether the tenant as a whole has a vocabulary of the field.
func (f Field) Wide() bool { return fieldDefs[f].wide }

// ParseField returns the field that a word names.
func ParseField(word string) (Field, bool) {
	for f := range Fields {
		if fieldDefs[f].name == word {
			return f, true
		}
	}
	return 0, false
}
