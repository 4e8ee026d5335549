package rarity

import (
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
)

// maxUnknown bounds the open findings of one agent about what is new. What is new beyond, within a
// day, goes on with the last one of its field: an agent that makes up names must not raise a flood
// of findings.
const maxUnknown = 8

// maxAlso bounds what a sentence says to be new besides.
const maxAlso = 3

// fieldTexts say of each field how a finding is titled and what its values are called.
var fieldTexts = [Fields]struct {
	title, many string
	tags        []string
}{
	{"First use of a tool", "tools", []string{"ASI02", "AML.T0053"}},
	{"First use of a tool for an intent", "pairs of intent and tool", []string{"ASI01", "ASI02", "AML.T0053"}},
	{"First use of a server", "servers", []string{"ASI04", "AML.T0053"}},
	{"A tool's definition has changed", "definitions", []string{"ASI04", "AML.T0110"}},
	{"First contact with a domain", "domains", []string{"ASI01", "ASI02", "AML.T0086"}},
	{"First contact with an address", "addresses", []string{"ASI01", "ASI02", "AML.T0086"}},
	{"First contact with a domain through a tool", "pairs of tool and domain", []string{"ASI02", "AML.T0086"}},
	{"First touch of a class of resources", "classes of resources", []string{"ASI02", "ASI03"}},
	{"First work for a user", "users", []string{"ASI03"}},
	{"First hand-off or message to an agent", "receivers", []string{"ASI07", "ASI10"}},
}

// reachTexts are words for what a call of a class is to its destination.
var reachTexts = map[event.Class]string{event.Pay: "payment to", event.Send: "message to", event.Grant: "grant to",
	event.Delegate: "hand-off to", event.Read: "read from", event.Write: "write to",
	event.Delete: "deletion at", event.Exec: "execution at", event.Approve: "approval for"}

// report records what is new about an event: one finding for each value of an agent. worst is what
// it is named after.
func (d *rarity) report(x *detectors.Scene, e *event.Event, p *agentDay, m *Model, worst *novelty,
	joint float64, alert bool) {
	if p.detail == nil {
		p.detail = &agentDayDetail{}
	}
	f := worst.field
	kind := uint64(f) << 1
	if alert {
		kind |= 1
	}
	const kinds = 0x1f
	what := mixed(worst.hash, uint64(f))&^kinds | kind
	open := &p.detail.open
	same, full := -1, len(*open) >= maxUnknown
	for i := range *open {
		if (*open)[i].What == what {
			full = false
		} else if (*open)[i].What&kinds == kind {
			same = i
		}
	}
	others := false
	if full {
		if same >= 0 && x.Time-(*open)[same].Trigger.Time < baselines.DayMS {
			what, others = (*open)[same].What, true
		} else {
			*open = append((*open)[:0], (*open)[1:]...)
		}
	}
	t, activity := open.Add(what, x.Ref(e))
	if activity == event.Again {
		return
	}
	if activity == event.Create && alert {
		x.Delta.Audit.Of[f.Test()].Alerts++
	}
	out := x.NewAnomaly("rarity", f.Test(), f.String(), joint, alert)
	out.Activity = activity
	r := &fieldTexts[f]
	out.Title, out.Tags = r.title, r.tags
	out.Why = d.why(x, e, m, worst, joint)
	switch {
	case others:
		out.Why += "; one of many that were new to it"
	case t.Count > 1:
		out.Why += "; " + strconv.FormatInt(t.Count, 10) + " times so far"
	}
	out.ScopeType, out.ScopeID = "agent", e.Agent.ID
	out.Time, out.First, out.Last, out.Count, out.Refs = t.Trigger.Time, t.First, max(x.Time,
		t.Trigger.Time), t.Count, t.All()
	out.Target = d.target(e, worst)
	a := out.Anomaly
	a.Observed, a.Expected = 1, worst.p
	for i := range d.fresh {
		if n := &d.fresh[i]; n.p < Odd && len(a.Scores) < int(Fields) {
			a.Scores = append(a.Scores, event.Score{Name: n.field.String(), P: n.p})
		}
	}
	x.Find(out)
}

// target is what a finding is about, beside the tool.
func (d *rarity) target(e *event.Event, n *novelty) string {
	switch n.field {
	case DomainField, ToolDomainField:
		return d.domain(e, n.value)
	case AddressField:
		return detectors.Short(e.Destination.Value)
	case ResourceField:
		return e.Resource.Type
	case EdgeField:
		return recipient(e)
	}
	return ""
}

// why is the sentence: what was seen first, by whom, and how often such a thing comes.
func (d *rarity) why(x *detectors.Scene, e *event.Event, m *Model, worst *novelty, joint float64) string {
	var b strings.Builder
	b.WriteString(d.what(x, e, worst))
	b.WriteString(" by persona " + strconv.Quote(detectors.Short(x.Persona)))
	whose := ""
	if !m.Ready() {
		whose = " of the tenant"
		b.WriteString(", which is young")
		m = ModelOf(x.Base.Prior)
	}
	o := &m.Of[worst.field]
	b.WriteString("; " + event.Thousands(int64(m.Support())) + " agent-days" + whose + " know " +
		strconv.Itoa(len(o.Values)) + " " + fieldTexts[worst.field].many)
	b.WriteString(", a new one comes on " + shareOf(m.New(worst.field)) + " of them")
	if worst.worst < Circumstances {
		b.WriteString(", " + [...]string{"and is sent, paid or granted something",
			"and is sent, paid or granted something by a tool's result",
			"and sends, pays, deletes or the like"}[worst.worst] +
			" on " + shareOf(m.Happens(worst.worst)))
	}
	if worst.wide && whose == "" {
		b.WriteString("; no persona of the tenant knows it")
	}
	also := 0
	for i := range d.fresh {
		if n := &d.fresh[i]; n.p < Odd && n.value != worst.value {
			if also++; also > maxAlso {
				b.WriteString("; and more that is new")
				break
			}
			b.WriteString("; also " + d.what(x, e, n))
		}
	}
	if worst.judged&(2<<TaintedReach) != 0 {
		b.WriteString("; the destination came from a tool result")
	}
	b.WriteString("; such a day is " + event.Odds(joint))
	return b.String()
}

// what says what is new.
func (d *rarity) what(x *detectors.Scene, e *event.Event, n *novelty) string {
	q := func(s string) string { return strconv.Quote(detectors.Short(s)) }
	reach := reachTexts[e.Tool.Class]
	if reach == "" {
		reach = "contact with"
	}
	switch n.field {
	case ToolField:
		return "first use of tool " + q(e.Tool.Name)
	case IntentToolField:
		return "first use of tool " + q(e.Tool.Name) + " for intent " + q(e.Intent)
	case ServerField:
		return "first use of server " + q(e.Tool.Server)
	case DefinitionField:
		of, form := definitionOf(&e.Tool)
		s := "first use of definition " + q(prefixOf(e.Tool.DefinitionHash)) + " of tool " + q(e.Tool.Name)
		if same, _ := ModelOf(x.Base).Definition(of, form); same != nil {
			s += " instead of " + q(same.Name) + ", known since " +
				time.UnixMilli(int64(same.First)*baselines.DayMS).UTC().Format(time.DateOnly) + ","
		}
		return s
	case DomainField:
		if name := d.domain(e, n.value); !strings.HasSuffix(name, ":") {
			return "first " + reach + " domain " + q(name)
		}
		return "first " + reach + " a destination of kind " + q(e.Destination.Kind)
	case AddressField:
		return "first " + reach + " this address at " + q(d.domainOf(e))
	case ToolDomainField:
		return "first " + reach + " " + q(d.domain(e, n.value)) + " through tool " + q(e.Tool.Name)
	case ResourceField:
		kind, rest, _ := strings.Cut(ResourceClass(&e.Resource), "|")
		if rest = strings.ReplaceAll(strings.Trim(rest, "|"), "|", ", "); rest != "" {
			kind += " (" + rest + ")"
		}
		return "first touch of resources of class " + q(kind)
	case UserField:
		return "first work for user " + q(e.User)
	case EdgeField:
		to := recipient(e)
		if persona := d.set.PersonaOf(e.Tenant, to); persona != "" {
			return "first hand-off or message to persona " + q(persona) + " (agent " + q(to) + ")"
		}
		return "first hand-off or message to agent " + q(to)
	}
	return ""
}

// domainOf is the domain of an event's address, or its kind.
func (d *rarity) domainOf(e *event.Event) string {
	if len(d.domains) > 0 && d.domains[0] != "" {
		return strings.ToLower(d.domains[0])
	}
	return e.Destination.Kind
}

// shareOf is a share as people say it: in percent, or, if that would be too small a number, as one
// of so many.
func shareOf(p float64) string {
	if p < 0.00095 {
		return event.Odds(p)
	}
	return event.Percent(p)
}
