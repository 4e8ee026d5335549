package detectors

import (
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// declaration says when a tool is not what it is declared to be. What a server says of its tools is
// a claim (MCP says so itself): an observed effect that contradicts it is certain; a name that does
// is only a signal, since names are not written with care.
//
// One finding covers one kind of contradiction of one tool in the hands of one agent; it is updated
// as the count doubles.
type declaration struct{ slot byte }

func newDeclaration(slot byte, _ *policy.Set) Detector { return &declaration{slot} }

// contradictions are those of an agent, by a hash of kind, tool and server.
type contradictions struct{ list tallies }

// changes are the classes that no read can be.
const changes = 1<<event.Write | 1<<event.Delete | 1<<event.Send | 1<<event.Exec | 1<<event.Pay | 1<<event.Approve | 1<<event.Grant

func (d *declaration) Observe(x *Scene, e *event.Event) {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return
	}
	if e.Tool.OpenWorldHint == event.No && e.Destination.External == event.Yes {
		d.found(x, e, "closed-world", event.Medium,
			"declares that it stays inside (open_world_hint false), and reached an external destination")
	}
	claim := "read_only_hint true"
	if e.Tool.ReadOnlyHint != event.Yes {
		if e.Tool.Class != event.Read || e.Inferred&event.InferredClass != 0 {
			return
		}
		claim = "class read"
	}
	switch {
	case changes>>e.Result.Effect&1 != 0:
		d.found(x, e, "effect", event.Medium, "declares "+claim+", and its effect was "+e.Result.Effect.String())
	case e.Result.Effect == event.NoClass && changes>>x.Tool.Named&1 != 0:
		// an effect that is known to be a read clears the name
		d.found(x, e, "name", event.Signal, "declares "+claim+", and its name says "+x.Tool.Named.String()+" ("+
			strconv.Quote(x.Tool.Verb)+")")
	}
}

func (d *declaration) found(x *Scene, e *event.Event, kind string, severity event.Severity, what string) {
	h := xxhash.New()
	h.WriteString(kind + "\x00")
	h.WriteString(e.Tool.Name)
	h.WriteString("\x00")
	h.WriteString(e.Tool.Server)
	key := h.Sum64()
	part := x.Agent.Ensure(d.slot).(*contradictions)
	o, activity := part.list.add(key, x.Ref(e))
	if activity == event.Again {
		return
	}
	server := ""
	if e.Tool.Server != "" {
		server = " of " + strconv.Quote(short(e.Tool.Server))
	}
	x.Find(event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: severity, Risk: risk(severity),
		Alert:    severity > event.Signal,
		Detector: "declaration", Rule: kind, Title: "Tool is not what it declares to be",
		Why:  "tool " + strconv.Quote(short(e.Tool.Name)) + server + " " + what + times(o.count),
		Tags: []string{"ASI04", "AML.T0110"}, ScopeType: "agent", ScopeID: e.Agent.ID, Target: e.Tool.Name,
		Time: o.trigger.Time, First: o.first, Last: max(x.Time, o.first), Count: o.count, Refs: o.all(),
	})
}

// Append encodes the contradictions.
func (p *contradictions) Append(b []byte) []byte {
	if len(p.list) == 0 {
		return b
	}
	return p.list.append(b)
}

// Decode reads what Append wrote.
func (p *contradictions) Decode(r *wire.Reader) { p.list.decode(r) }

// declarationKind registers the detector of contradictions between what events say.
var declarationKind = Kind{Name: "declaration", Slot: 3, New: newDeclaration,
	Part: func() Part { return new(contradictions) }}
