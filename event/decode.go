package event

import (
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event/jsonscan"
)

// Reasons are the words a DecodeError can carry: few and fixed, so that they can label a metric and
// stand in a header of the dead letter.
var Reasons = []string{
	notJSON, tooLarge, tooDeep, badUTF8, wrongType, outOfRange, missingField,
	unknownWord, unknownVersion, badTime, badTenant, duplicateField, tooLong,
}

const (
	notJSON        = jsonscan.NotJSON
	tooLarge       = "too_large"
	tooDeep        = "too_deep"
	badUTF8        = jsonscan.BadUTF8
	wrongType      = "wrong_type"
	outOfRange     = "out_of_range"
	missingField   = "missing_field"
	unknownWord    = "unknown_word"
	unknownVersion = "unknown_version"
	badTime        = "bad_time"
	badTenant      = "bad_tenant"
	duplicateField = "duplicate_field"
	tooLong        = "too_long"
)

// DecodeError says why a record is not an event. It never holds content of the record: Field is a
// name from the table of fields.
type DecodeError struct {
	Reason string // one of Reasons
	Field  string // path of the known field it happened in, such as tool.name; empty: in none
	Offset int    // bytes into the record
	Want   string // what was expected there
}

func (e *DecodeError) Error() string {
	at := " at byte " + strconv.Itoa(e.Offset) + ": expected " + e.Want
	if e.Field == "" {
		return e.Reason + at
	}
	return e.Reason + " in " + e.Field + at
}

// Decoder turns records into events without allocating. Its zero value is ready; it belongs to one
// goroutine.
type Decoder struct {
	text   arena[byte]   // what had to be unescaped or made up
	labels arena[string] // the arrays behind Resource.Labels
	fault  DecodeError   // of the record in hand

	// Of repair.go, for the record in hand; not looked at while all can be read.
	e        *Event
	strict   bool // the fault is in what must be right: nobody further out may repair it
	repaired int
	noted    DecodeError // the first that was repaired
	about    uint16      // a bit per Kind that has a fault if the event is of it:
	faults   [Session + 1]DecodeError
	brackets jsonscan.Brackets // scratch
}

// Reset forgets the scratch: events decoded since the last Reset become invalid.
func (d *Decoder) Reset() {
	d.text.reset()
	d.labels.reset()
}

// Decode reads one record of wayward.event/v1. The event's strings and slices alias p or the
// scratch and hold until p changes or Reset. After an error, which is a *DecodeError, nothing in e
// may be relied on.
//
// It is strict in what names the event (time, kind, tenant, agent.id, the tool of a call), in words
// that decide (phase, policy.verdict, approval.state) and in the structure of the record: JSON to the
// letter (RFC 8259), valid UTF-8, no field twice, numbers in range. Where two readers could read a
// record differently, a sender could show each of them another event. All other fields may have been
// chosen by the agent: what of them cannot be read is cut or replaced, and marked in e.Unreadable
// (repair.go). Unknown fields are skipped.
func (d *Decoder) Decode(p []byte, e *Event) error {
	*e = Event{}
	d.e, d.strict, d.repaired, d.about = e, false, 0, 0
	if d.event(p, e) < 0 {
		fault := d.fault
		d.fault, d.repaired = DecodeError{}, 0
		return &fault
	}
	return nil
}

// DecodeStrict is Decode for events that somebody writes by hand, as in tests of policies: what
// would be repaired is an error.
func (d *Decoder) DecodeStrict(p []byte, e *Event) error {
	if err := d.Decode(p, e); err != nil {
		return err
	}
	return d.Repaired()
}

// Repaired is the first fault that was repaired in the record that was decoded last; nil: there was
// none. It is for those who send events; Event.Unreadable has all fields that were repaired.
func (d *Decoder) Repaired() error {
	if d.repaired == 0 {
		return nil
	}
	fault := d.noted
	return &fault
}

// All readers below take the offset at which their value begins and return the offset behind it, or
// -1 after noting the fault in d. Offset and record travel in registers: kept in d they cost a
// store and a load per byte looked at.

func (d *Decoder) event(p []byte, e *Event) int {
	if len(p) > MaxSize {
		return d.fail(tooLarge, MaxSize, "at most 1 MiB")
	}
	i := jsonscan.Space(p, 0)
	if i >= len(p) || p[i] != '{' {
		return d.fail(notJSON, i, "an object")
	}
	i++
	e.Time = math.MinInt64 // stands for absent; no time that is read comes near
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			if i = at; i < 0 {
				return i
			}
			break
		}
		var bit uint64
		switch string(key) {
		case "v":
			bit, i = 1<<0, d.version(p, at)
		case "id":
			bit, i = 1<<1, d.string(p, at, &e.ID)
		case "time":
			bit, i = 1<<2, d.time(p, at, &e.Time, firstTime)
		case "kind":
			bit, i = 1<<3, word(d, p, at, kinds, &e.Kind)
		case "call":
			bit, i = 1<<4, d.string(p, at, &e.Call)
		case "phase":
			bit, i = 1<<5, word(d, p, at, phases, &e.Phase)
		case "tenant":
			bit, i = 1<<6, d.tenant(p, at, &e.Tenant)
		case "persona":
			bit, i = 1<<7, d.string(p, at, &e.Persona)
		case "agent":
			bit, i = 1<<8, d.agent(p, at, e)
		case "user":
			bit, i = 1<<9, d.string(p, at, &e.User)
		case "session":
			bit, i = 1<<10, d.string(p, at, &e.Session)
		case "conversation":
			bit, i = 1<<11, d.string(p, at, &e.Conversation)
		case "intent":
			bit, i = 1<<12, d.string(p, at, &e.Intent)
		case "trace":
			bit, i = 1<<13, d.trace(p, at, &e.Trace)
		case "delegation":
			bit, i = 1<<14, d.delegation(p, at, e)
		case "origin":
			bit, i = 1<<15, d.origin(p, at, &e.Origin)
		case "tool":
			bit, i = 1<<16, d.tool(p, at, &e.Tool)
		case "args":
			bit, i = 1<<17, d.object(p, at, 1, &e.Args)
		case "args_digest":
			bit, i = 1<<18, d.string(p, at, &e.ArgsDigest)
		case "provenance":
			bit, i = 1<<19, d.object(p, at, 1, &e.Provenance)
		case "resource":
			bit, i = 1<<20, d.resource(p, at, &e.Resource)
		case "subject":
			bit, i = 1<<21, d.string(p, at, &e.Subject)
		case "destination":
			bit, i = 1<<22, d.destination(p, at, &e.Destination)
		case "result":
			bit, i = 1<<23, d.result(p, at, e)
		case "amount":
			bit, i = 1<<24, d.amount(p, at, &e.Amount, &e.Has, HasAmount, 2, "amount.")
		case "cost":
			bit, i = 1<<25, d.cost(p, at, e)
		case "duration_ms":
			bit, i = 1<<26, d.float(p, at, &e.DurationMS, &e.Has, HasDuration)
		case "policy":
			bit, i = 1<<27, d.policy(p, at, &e.Policy)
		case "approval":
			bit, i = 1<<28, d.approval(p, at, e)
		case "message":
			bit, i = 1<<29, d.message(p, at, &e.Message)
		case "audit":
			bit, i = 1<<30, d.audit(p, at, &e.Audit)
		case "source":
			bit, i = 1<<31, d.source(p, at, e)
		case "attrs":
			bit, i = 1<<32, d.object(p, at, 1, &e.Attrs)
		default:
			i = d.skip(p, at, 1)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
	if i = jsonscan.Space(p, i); i != len(p) {
		return d.fail(notJSON, i, "nothing behind the object")
	}

	switch {
	case e.Time == math.MinInt64:
		return d.missing("time", i)
	case e.Kind == 0:
		return d.missing("kind", i)
	case e.Tenant == "":
		return d.missing("tenant", i)
	case e.Agent.ID == "":
		return d.missing("agent.id", i)
	case d.about>>e.Kind&1 != 0:
		d.fault = d.faults[e.Kind]
		return -1
	case e.Kind == ToolCall && e.Tool.Name == "":
		return d.missing("tool.name", i)
	}
	e.Tool.Normalise()
	d.identities(e)
	if e.Conversation == "" {
		e.Conversation = e.Trace.ID
	}
	if e.ID == "" {
		e.ID = d.identity(p, e.Agent.ID)
	}
	return i
}

// Structure.

// enter returns the offset behind the opening brace at i, or behind null: then p[i-1] is not a
// brace.
func (d *Decoder) enter(p []byte, i int) int {
	if i < len(p) && p[i] == '{' {
		return i + 1
	}
	return d.absent(p, i, "an object")
}

// member reads up to the next member's value; i is behind the opening brace or the last value, at
// is where the value begins. more is false at the end of the object, with at behind its brace, and
// after a fault, with at -1.
func (d *Decoder) member(p []byte, i int) (key []byte, at int, more bool) {
	// No value ends in {, so that byte before i means the first member.
	first := p[i-1] == '{'
	if i < len(p) && p[i] <= ' ' {
		i = jsonscan.Space(p, i)
	}
	if i < len(p) && p[i] == '}' {
		return nil, i + 1, false
	}
	if !first {
		if i >= len(p) || p[i] != ',' {
			return nil, d.fail(notJSON, i, "a comma or a closing brace"), false
		}
		if i++; i < len(p) && p[i] <= ' ' {
			i = jsonscan.Space(p, i)
		}
	}
	if i >= len(p) || p[i] != '"' {
		return nil, d.fail(notJSON, i, "a field name"), false
	}
	end, escaped, reason := jsonscan.String(p, i+1)
	if reason != "" {
		if end = d.brokenName(p, i, end, reason); end < 0 {
			return nil, end, false
		}
	} else if key = p[i+1 : end]; escaped {
		key = d.name(key)
	}
	i = end + 1
	if i < len(p) && p[i] <= ' ' {
		i = jsonscan.Space(p, i)
	}
	if i >= len(p) || p[i] != ':' {
		return nil, d.fail(notJSON, i, "a colon"), false
	}
	if i++; i < len(p) && p[i] <= ' ' {
		i = jsonscan.Space(p, i)
	}
	return key, i, true
}

// name unescapes a field name. Without it "\u0069d" would be unknown to us and id to others.
func (d *Decoder) name(raw []byte) []byte {
	const longest = 6 * 32 // no field has a name of more than 32 bytes, and no byte needs more than six
	if len(raw) > longest {
		return nil
	}
	b := d.text.take(len(raw))
	n := len(jsonscan.Unescape(b[:0], raw))
	d.text.giveBack(len(raw) - n)
	return b[:n:n]
}

// absent skips null, which counts as an absent field, and refuses any other value.
func (d *Decoder) absent(p []byte, i int, want string) int {
	if jsonscan.Literal(p, i, "null") {
		return i + 4
	}
	if i < len(p) {
		switch c := p[i]; c {
		case '"', '{', '[', '-', 't', 'f':
			return d.fail(wrongType, i, want)
		default:
			if c-'0' <= 9 {
				return d.fail(wrongType, i, want)
			}
		}
	}
	return d.fail(notJSON, i, want)
}

// Faults.

func (d *Decoder) fail(reason string, at int, want string) int {
	d.fault = DecodeError{Reason: reason, Offset: at, Want: want}
	return -1
}

func (d *Decoder) missing(field string, at int) int {
	d.fault = DecodeError{Reason: missingField, Field: field, Offset: at, Want: "a value that is not empty"}
	return -1
}

// refuse ends an object over the member with this key: its value was at fault, or it came twice.
// Only known names enter the path of the fault, for unknown ones are content.
func (d *Decoder) refuse(i, at int, key []byte, bit uint64) int {
	if i >= 0 {
		d.fail(duplicateField, at, "the field once")
	}
	switch {
	case bit == 0:
	case d.fault.Field == "":
		d.fault.Field = string(key)
	default:
		d.fault.Field = string(key) + "." + d.fault.Field
	}
	return -1
}

// identity makes the id of an event that came without one, from its bytes. It is no security boundary:
// xxhash is quick, but collisions can be made on purpose, so an id that must be trusted comes from the
// gateway. The two halves hash prefixes of different length, which shifts the record in the lanes of
// the hash: a collision made for one half does not by itself hold for the other.
func (d *Decoder) identity(p []byte, agent string) string {
	const digits = "0123456789abcdef"
	id := d.text.take(32)
	for half, prefix := range [2]string{"wayward.event", "id"} {
		var h xxhash.Digest
		h.Reset()
		h.WriteString(prefix)
		h.Write(p)
		// the record holds it too; written again, since the id promises to differ by agent
		h.WriteString(agent)
		sum := h.Sum64()
		for k := range 16 {
			id[16*half+k] = digits[sum>>(60-4*k)&15]
		}
	}
	return alias(id)
}
