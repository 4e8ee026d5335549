package policy

import (
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Condition is an entry of needs_approval with conditions, such as {tools: [pay_*], above: {amount:
// "500", currency: EUR}}. All conditions must hold, and of each list one entry.
//
// The persona allows the tools that it names where the conditions do not hold, whatever the default
// is. A bare "*" names no tool.
type Condition struct {
	tools, servers, types, labels, environments *glob.List
	destinations                                *Persona // nil: anywhere
	classes                                     uint16
	above                                       bool
	micro                                       int64 // of above, in millionths
	currency                                    string
	text                                        string
}

type needsDef struct {
	Tools         []string `json:"tools,omitempty"`
	Servers       []string `json:"servers,omitempty"`
	Classes       []string `json:"classes,omitempty"`
	ResourceTypes []string `json:"resource_types,omitempty"`
	Labels        []string `json:"labels,omitempty"`
	Environments  []string `json:"environments,omitempty"`
	Destinations  []string `json:"destinations,omitempty"`
	Above         aboveDef `json:"above,omitzero"`
}

type aboveDef struct {
	Amount   string `json:"amount,omitempty"`
	Currency string `json:"currency,omitempty"`
}

func (d needsDef) equal(o needsDef) bool { return string(canonical(d)) == string(canonical(o)) }

// compileConditions reads the entries with conditions, and returns the tools that they name.
func compileConditions(bad report, defs []needsDef) (all []*Condition, tools []string) {
	for i, d := range defs {
		path := at("needs_approval", i)
		c := &Condition{}
		n := 0
		for _, l := range []struct {
			path string
			list []string
			to   **glob.List
			fold bool
		}{{"tools", d.Tools, &c.tools, false}, {"servers", d.Servers, &c.servers, false},
			{"resource_types", d.ResourceTypes, &c.types, true},
			{"labels", d.Labels, &c.labels, true}, {"environments", d.Environments, &c.environments, true},
			{"destinations", d.Destinations, nil, true}} {
			checkEntries(bad, path+"."+l.path, l.list)
			n += len(l.list)
			if l.to != nil {
				*l.to = glob.NewList(l.list, l.fold)
			}
		}
		c.classes = parseClasses(bad, path+".classes", d.Classes)
		if len(d.Destinations) > 0 {
			c.destinations = &Persona{}
			c.destinations.Lists[Destinations].Needs = d.Destinations
			c.destinations.compileRules()
		}
		if c.above = d.Above != (aboveDef{}); c.above {
			c.limit(bad, path+".above", d.Above)
		}
		if n+len(d.Classes) == 0 && !c.above {
			bad(path,
				"an entry without a condition is every call; give it tools, classes, environments, labels, destinations or above, or write default: needs_approval")
		}
		c.text = d.String()
		for _, s := range d.Tools {
			if s != "*" {
				tools = append(tools, s)
			}
		}
		all = append(all, c)
	}
	return all, tools
}

func (c *Condition) limit(bad report, path string, d aboveDef) {
	switch {
	case d.Amount == "":
		bad(path, `above needs an amount; write above: {amount: "500.00", currency: EUR}, say`)
	case d.Currency == "":
		bad(path, "above needs a currency, since amounts of two cannot be compared; add currency: EUR, say")
	case !catalogue.IsCurrency(d.Currency):
		bad(path+".currency", "%s is no currency; use its three capital letters as in ISO 4217, such as EUR",
			event.Quote(d.Currency))
	}
	if d.Amount != "" {
		var what string
		if c.micro, what = parseMicro(d.Amount); what != "" {
			bad(path+".amount", "%s", what)
		}
	}
	c.currency = d.Currency
}

// String is the entry for people: pay_* above 500 EUR.
func (d needsDef) String() string {
	var parts []string
	for _, l := range []struct {
		word string
		list []string
	}{{"", d.Tools}, {"on ", d.Servers}, {"", d.Classes}, {"of ", d.ResourceTypes}, {"labelled ", d.Labels},
		{"in ", d.Environments}, {"to ", d.Destinations}} {
		if len(l.list) > 0 {
			parts = append(parts, l.word+joinOr(l.list))
		}
	}
	if d.Above != (aboveDef{}) {
		parts = append(parts, "above "+d.Above.Amount+" "+d.Above.Currency)
	}
	return strings.Join(parts, " ")
}

// holds reports whether the entry makes the call need an approval. It does not allocate.
func (c *Condition) holds(e *event.Event) bool {
	r := &e.Resource
	if !c.tools.PassesTool(&e.Tool) || !c.servers.Passes(e.Tool.Server) || c.classes != 0 &&
		c.classes&classBits(e) == 0 ||
		!passesFolded(c.types, r.Type) || !passesFolded(c.environments, r.Environment) {
		return false
	}
	if c.labels != nil && !passesFolded(c.labels, r.Classification) &&
		!slices.ContainsFunc(r.Labels, func(l string) bool { return passesFolded(c.labels, l) }) {
		return false
	}
	if c.destinations != nil {
		var buf [4]Violation
		if len(c.destinations.judgeDestination(&e.Destination, buf[:0])) == 0 {
			return false
		}
	}
	return !c.above || c.exceeds(e)
}

// exceeds reports whether the call may move more money than above says. An unknown amount exceeds:
// no currency, another one, no amount at all. But if the entry names neither tools nor classes, a
// call without an amount exceeds only if it is a payment, and a read never does.
func (c *Condition) exceeds(e *event.Event) bool {
	if e.Has&event.HasAmount == 0 {
		bits := classBits(e)
		if bits&(1<<event.Pay) != 0 {
			return true
		}
		named := c.classes != 0 || c.tools != nil && c.tools.Find("*") < 0
		return named && bits != 1<<event.Read
	}
	micro := e.Amount.Micro
	if micro < 0 { // money paid back moves too
		micro = -micro
	}
	return micro > c.micro || micro < 0 || len(e.OtherAmounts) > 0 ||
		!strings.EqualFold(strings.TrimSpace(e.Amount.Currency), c.currency)
}

func passesFolded(g *glob.List, s string) bool {
	if g == nil {
		return true
	}
	var buf [MaxName]byte
	if event.HasUpper(s) {
		s = event.LowerInto(buf[:], s)
	}
	return s != "" && g.Find(s) >= 0
}

// judgeConditions appends a violation for each entry by which the call needs an approval.
func (p *Persona) judgeConditions(e *event.Event, dst []Violation) []Violation {
	for _, c := range p.Conditions {
		if c.holds(e) {
			dst = append(dst, Violation{conditionKind, e.Tool.Name, c.text, NeedsApproval})
		} else if p.explainAll {
			dst = append(dst, Violation{conditionKind, e.Tool.Name, c.text, Allow})
		}
	}
	return dst
}
