package policy

import (
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Verdict is what a persona's default says.
type Verdict uint8

// Verdicts of a persona's default.
const (
	Allow Verdict = iota
	Deny
)

func (v Verdict) String() string { return verdicts[v] }

var verdicts = []string{"allow", "deny"}

// byDefault is the rule of a violation that no list entry decided.
const byDefault = "default"

// Persona is a role that agents play, and what that role may do. It is made by Load and Parse, which compile its lists, and does not
// change afterwards.
//
// Each of tool, class and destination is judged alike:
//
//  1. what a deny list names is a violation, whatever else is said about it;
//  2. what an allow list names is fine;
//  3. what no list names is what Default says.
//
// So an allow list makes exceptions from default: deny. Under default: allow it forbids nothing, it only records what is meant; Load
// asks for a default where there is an allow list, since that is what people get wrong.
//
// Default deny judges every tool and every destination, but classes only once the persona has a list of allowed ones: an allowed tool
// already says what may be done. An unknown class is not a violation, it is unknown; its tool must still be allowed.
type Persona struct {
	Name         string
	Tenant       string // "" = every tenant
	Description  string
	Agents       []string // names and patterns of the agents that play it, for events that carry no persona
	Default      Verdict  // what happens to a tool, class or destination that no list names
	Tools        Lists    // names and patterns, case-sensitive
	Classes      Lists    // words of event.Class, or * for all of them
	Destinations Lists    // domains or other targets, names and patterns, in any case; also the words external and internal
	Severity     event.Severity
	Tags         []string
	Version      string // first 12 hex digits of the SHA-256 of the whole definition
	File         string // where it was read; not part of its identity
	Line         int

	tools, destinations         rules
	badClasses                  uint16 // bit per event.Class
	classRules                  [16]string
	allowExternal, denyExternal bool
	allowInternal, denyInternal bool

	def personaDef
}

// Lists is what is named as allowed and as denied.
type Lists struct{ Allow, Deny []string }

// Violation is one thing that a persona may not do.
type Violation struct {
	Kind  string // tool, class or destination
	Value string // what was used; aliases the event
	Rule  string // the entry of a deny list that decided, or default
}

type rules struct{ allow, deny *globs }

func compileRules(l Lists, fold bool) rules {
	return rules{compileGlobs(l.Allow, fold), compileGlobs(l.Deny, fold)}
}

// Check appends to dst what the call does that the persona may not. Only tool calls are judged, and of a call in two records the result,
// so that one call is one violation. A call that is fine costs no allocation.
func (p *Persona) Check(e *event.Event, dst []Violation) []Violation {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return dst
	}
	if i := p.tools.deny.find(e.Tool.Name); i >= 0 {
		dst = append(dst, Violation{"tool", e.Tool.Name, p.tools.deny.entries[i]})
	} else if p.Default == Deny && p.tools.allow.find(e.Tool.Name) < 0 {
		dst = append(dst, Violation{"tool", e.Tool.Name, byDefault})
	}
	if bad := classBits(e) & p.badClasses; bad != 0 {
		for c := event.Read; c <= event.Delegate; c++ {
			if bad&(1<<c) != 0 {
				dst = append(dst, Violation{"class", c.String(), p.classRules[c]})
			}
		}
	}
	return p.destination(&e.Destination, dst)
}

// classBits is what a call claims to do and what it really did, if either is known: a delete behind a tool that calls itself a read is
// still a delete.
func classBits(e *event.Event) uint16 {
	return (1<<e.Tool.Class | 1<<e.Result.Effect) &^ (1 << event.NoClass)
}

// compileClasses fills the mask of what is forbidden and says why.
func (p *Persona) compileClasses() {
	names := func(list []string, c event.Class) string {
		for _, word := range list {
			if word == "*" || word == c.String() {
				return word
			}
		}
		return ""
	}
	for c := event.Read; c <= event.Delegate; c++ {
		rule := names(p.Classes.Deny, c)
		if rule == "" && p.Default == Deny && len(p.Classes.Allow) > 0 && names(p.Classes.Allow, c) == "" {
			rule = byDefault
		}
		if rule != "" {
			p.badClasses |= 1 << c
			p.classRules[c] = rule
		}
	}
}

// personaDef is a persona as it is written, in YAML and in the canonical JSON alike.
type personaDef struct {
	Name         string   `json:"name"`
	Tenant       string   `json:"tenant,omitempty"`
	Description  string   `json:"description,omitempty"`
	Agents       []string `json:"agents,omitempty"`
	Default      string   `json:"default,omitempty"`
	Tools        listsDef `json:"tools,omitzero"`
	Classes      listsDef `json:"classes,omitzero"`
	Destinations listsDef `json:"destinations,omitzero"`
	Severity     string   `json:"severity,omitempty"`
	Tags         []string `json:"tags,omitempty"`
}

type listsDef struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

func (l listsDef) IsZero() bool { return len(l.Allow) == 0 && len(l.Deny) == 0 }

// compile makes the persona and reports what is wrong with its definition; with anything wrong the result is not to be used.
func (d personaDef) compile(bad report) *Persona {
	checkName(bad, "name", "a persona", d.Name)
	checkTenant(bad, "tenant", d.Tenant)
	checkText(bad, "description", d.Description, maxProse)
	checkEntries(bad, "agents", d.Agents)
	d.Agents = sorted(d.Agents)
	checkTags(bad, d.Tags)

	p := &Persona{Name: d.Name, Tenant: d.Tenant, Description: d.Description, Agents: d.Agents, Tags: d.Tags,
		Tools: Lists(d.Tools), Classes: Lists(d.Classes), Destinations: Lists(d.Destinations)}

	// A violation of policy is certain, not a guess: high unless said otherwise.
	p.Severity = parseSeverity(bad, &d.Severity, event.High)
	allows := len(d.Tools.Allow) + len(d.Classes.Allow) + len(d.Destinations.Allow)
	switch d.Default {
	case "deny":
		p.Default = Deny
	case "allow":
	case "":
		if allows > 0 {
			bad("default", "there is an allow list but no default; add default: deny if all else is forbidden, or default: allow if not")
		}
		d.Default = "allow"
	default:
		bad("default", "unknown default %s; %s", quote(d.Default), choose(d.Default, verdicts))
	}
	for _, l := range []struct {
		path string
		def  listsDef
	}{{"tools", d.Tools}, {"classes", d.Classes}, {"destinations", d.Destinations}} {
		checkEntries(bad, l.path+".allow", l.def.Allow)
		checkEntries(bad, l.path+".deny", l.def.Deny)
		denied := map[string]bool{}
		for _, s := range l.def.Deny {
			denied[s] = true
		}
		for i, s := range l.def.Allow {
			if denied[s] {
				bad(at(l.path+".allow", i), "%s is both allowed and denied; deny wins, so remove one", quote(s))
			}
		}
	}
	if p.Default == Deny && len(d.Tools.Allow) == 0 && !slices.Contains(d.Tools.Deny, "*") {
		bad("tools", `default is deny and no tool is allowed, so every call would be a violation; list tools under allow, or write deny: ["*"] if that is meant`)
	}
	words := append(event.Classes(), "*")
	for _, l := range []struct {
		path string
		list []string
	}{{"classes.allow", d.Classes.Allow}, {"classes.deny", d.Classes.Deny}} {
		for i, s := range l.list {
			if !slices.Contains(words, s) {
				bad(at(l.path, i), "unknown class %s; %s", quote(s), choose(s, words))
			}
		}
	}
	for i, s := range d.Destinations.Allow {
		// *acme.com lets notacme.com pass, which anybody may register.
		if len(s) > 1 && s[0] == '*' && !strings.ContainsRune("*?.-_", rune(s[1])) && strings.Contains(s, ".") && !isGlob(s[1:]) {
			bad(at("destinations.allow", i), "%s also allows any other domain that ends so; write %q and %q", quote(s), s[1:], "*."+s[1:])
		}
	}

	p.tools = compileRules(p.Tools, false)
	p.compileClasses()
	rest := Lists{}
	rest.Allow, p.allowExternal, p.allowInternal = withoutWords(p.Destinations.Allow)
	rest.Deny, p.denyExternal, p.denyInternal = withoutWords(p.Destinations.Deny)
	p.destinations = compileRules(rest, true)
	p.def = d
	p.Version = version(d)
	return p
}

// withoutWords takes external and internal out of a list of destinations.
func withoutWords(list []string) (rest []string, ext, in bool) {
	for _, s := range list {
		switch lower(s) {
		case external:
			ext = true
		case internal:
			in = true
		default:
			rest = append(rest, s)
		}
	}
	return rest, ext, in
}
