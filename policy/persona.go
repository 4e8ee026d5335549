package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Verdict is the verdict of a persona on a call, or on one thing about it.
type Verdict uint8

// Verdicts, mildest first.
const (
	Allow Verdict = iota
	NeedsApproval
	Deny
)

func (v Verdict) String() string { return verdicts[v] }

var verdicts = []string{"allow", "needs_approval", "deny"}

// Rules of violations that no list entry decided.
const (
	byDefault = "default"
	// Unreadable: the value could not be read, so no list allows it.
	Unreadable = "unreadable"
)

// Dimension is one thing about a call that a persona has lists for.
type Dimension uint8

// Dimensions, in the order in which they are judged.
const (
	Tools Dimension = iota
	Servers
	Classes
	ResourceTypes
	Labels // of the resource, its classification among them
	Environments
	Destinations
	DestinationKinds
	Intents
	Credentials
	Dimensions
)

// Kinds of Violation that have no lists.
const (
	tenantKind    = "tenant" // whose the resource is
	tierKind      = "tier"
	hoursKind     = "hours"
	conditionKind = "condition" // of needs_approval
)

// String is the word for one value of the dimension; it is the Kind of a Violation.
func (d Dimension) String() string { return dimensionDefs[d].kind }

// Path is the key of the dimension's lists in a persona, such as resources.types.
func (d Dimension) Path() string { return dimensionDefs[d].path }

type dimensionDef struct {
	kind, path string
	fold       bool // any case
}

// dimensionDefs say how each dimension is written.
var dimensionDefs = [Dimensions]dimensionDef{
	{"tool", "tools", false}, {"server", "servers", false}, {"class", "classes", false},
	{"resource", "resources.types", true}, {"label", "resources.labels", true},
	{"environment", "resources.environments", true},
	{"destination", "destinations", true}, {"destination_kind", "destination_kinds", true},
	{"intent", "intents", false}, {"credential", "credentials", false},
}

// Persona is a role that agents play, and what that role may do. It is made by Load and Parse,
// which compile its lists, and does not change afterwards.
//
// Each dimension is judged alike:
//
//  1. A value in a deny list is a violation, whatever other lists have it.
//  2. A value in a needs_approval list is a violation unless somebody approved it.
//     An entry with conditions counts only where they hold.
//  3. A value in an allow list is fine.
//  4. For any other value, Default decides.
//
// So an allow list makes exceptions from default: deny or needs_approval. With default: allow it
// forbids nothing. Load wants a default where there is an allow list, since people get that wrong.
//
// The default applies to every tool and every destination. To other dimensions it applies only if
// the persona has an allow list for them: an allowed tool already says what may be done. An unknown
// value (no class, no server, no label) is no violation, but the tool must still be allowed. Explain
// shows what was unknown.
type Persona struct {
	Name        string
	Tenant      string // "" = every tenant
	Extends     string // its parent, whose parts are already in here
	Description string
	Agents      []string // names and patterns of its agents, for events that carry no persona
	Default     Verdict  // of values that no list has
	Lists       [Dimensions]Lists
	Conditions  []*Condition   // under which a call needs an approval
	OwnTenant   bool           // a resource of another tenant is a violation, except those of SharedBy
	SharedBy    []string       // names and patterns of tenants
	MaxTier     int64          // a less trusted agent is a violation; 0: any agent may play the persona
	Hours       *Hours         // nil: at any time
	Zone        *time.Location // of Hours, and of its limits' calendar days; nil: the tenant's
	Approvals   Approvals
	Separate    []*Separation
	Severity    event.Severity
	Tags        []string
	Respond     *event.Response // to a violation; nil: none
	// Version is the first 12 hex digits of the SHA-256 of the whole definition, inherited parts
	// included.
	Version string
	File    string // where it was read; not part of its identity
	Line    int
	Tests   []Test // not part of its identity

	shared     *glob.List // SharedBy
	tenantRule string     // own, and what SharedBy adds
	rules      [Dimensions]compiledLists
	judged     uint16 // bit per dimension that has something to judge
	badClasses uint16 // bit per event.Class
	needs      bool
	classRules [16]Ruling

	def        personaDef    // with what it inherits
	written    personaDef    // what is in the canonical JSON
	input      *personaInput // where each part was written
	explainAll bool          // Check reports what is allowed, too; only in Explain's copy
}

// Lists are the entries of a dimension that are allowed, denied and in need of approval.
type Lists struct{ Allow, Deny, Needs []string }

// Ruling is a verdict and the entry that decided, or default.
type Ruling struct {
	Verdict Verdict
	Rule    string
}

// Violation is one thing that a persona may not do, or not without approval.
type Violation struct {
	Kind    string  // a dimension's word, or condition, tenant, tier or hours
	Value   string  // what was used; aliases the event
	Rule    string  // the entry that decided, or default
	Verdict Verdict // Deny or NeedsApproval
}

// compiledLists is the lists of one dimension, compiled.
type compiledLists struct {
	deny, needs, allow *glob.List
	named              *glob.List    // tools in entries with conditions: fine where those do not hold
	open               bool          // what no list names is fine
	words              externalWords // of Destinations
}

// Check appends to dst what the call does that the persona may not do. It leaves out hours, since
// only the Judge knows the zone. Only tool calls are judged, and of a call in two records only the
// result, so that one call is one violation. A call without violations allocates nothing.
func (p *Persona) Check(e *event.Event, dst []Violation) []Violation {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return dst
	}
	return p.judgeCall(e, p.judgeTool(e, dst))
}

// judgeTool judges the tool and its server, which are the same in every call of the tool.
func (p *Persona) judgeTool(e *event.Event, dst []Violation) []Violation {
	if p.judged&(1<<Tools) != 0 {
		if r := p.toolRuling(&e.Tool); r.Verdict != Allow || p.explainAll {
			dst = append(dst, Violation{Tools.String(), e.Tool.Name, r.Rule, r.Verdict})
		}
	}
	if p.judged&(1<<Servers) != 0 && e.Tool.Server != "" {
		dst = p.judgeValue(Servers, e.Tool.Server, dst)
	}
	return dst
}

// judgeCall judges everything else.
func (p *Persona) judgeCall(e *event.Event, dst []Violation) []Violation {
	if bad := classBits(e) & p.badClasses; bad != 0 {
		for c := event.Read; c <= event.Delegate; c++ {
			if bad&(1<<c) != 0 {
				dst = append(dst, Violation{Classes.String(), c.String(), p.classRules[c].Rule,
					p.classRules[c].Verdict})
			}
		}
	}
	if p.judged&(1<<ResourceTypes|1<<Labels|1<<Environments) != 0 {
		dst = p.judgeResource(&e.Resource, dst)
	}
	if len(p.Conditions) > 0 {
		dst = p.judgeConditions(e, dst)
	}
	if p.OwnTenant && e.Resource.Tenant != "" && e.Resource.Tenant != e.Tenant && p.shared.Find(e.Resource.Tenant) < 0 {
		dst = append(dst, Violation{tenantKind, e.Resource.Tenant, p.tenantRule, Deny})
	}
	if p.judged&(1<<Destinations) != 0 {
		dst = p.judgeDestination(&e.Destination, dst)
	}
	if p.judged&(1<<DestinationKinds|1<<Intents|1<<Credentials) != 0 {
		if p.judged&(1<<DestinationKinds) != 0 && e.Destination.Kind != "" {
			dst = p.judgeFolded(DestinationKinds, e.Destination.Kind, dst)
		}
		if p.judged&(1<<Intents) != 0 && e.Intent != "" {
			dst = p.judgeValue(Intents, e.Intent, dst)
		}
		if p.judged&(1<<Credentials) != 0 {
			if id := event.Identity(e.Agent.Credential); id != "" {
				// a decoder has brought it into that form already
				dst = p.judgeValue(Credentials, id, dst)
			}
		}
	}
	if p.MaxTier > 0 && e.Has&event.HasTier != 0 && e.Agent.Tier > p.MaxTier {
		dst = append(dst, Violation{tierKind, strconv.FormatInt(e.Agent.Tier, 10),
			"at most " + strconv.FormatInt(p.MaxTier, 10), Deny})
	}
	if e.Unreadable != 0 {
		dst = p.judgeUnreadable(e, dst)
	}
	return dst
}

// unreadableMarks are the marks of an event by which the value of a dimension could not be read. A
// damaged destination.value is none if the domain is declared, since then the domain is judged.
var unreadableMarks = [Dimensions]event.Unreadable{
	Servers: event.UnreadableServer, Classes: event.UnreadableClass | event.UnreadableEffect,
	ResourceTypes: event.UnreadableResourceType,
	Labels:        event.UnreadableLabels | event.UnreadableClassification, Environments: event.UnreadableEnvironment,
	Destinations:     event.UnreadableDestination | event.UnreadableDomain,
	DestinationKinds: event.UnreadableDestinationKind, Intents: event.UnreadableIntent,
	Credentials: event.UnreadableCredential,
}

// judgeUnreadable judges values that could not be read. No allow list allows them, so Default
// decides. The part that could be read was judged before: a deny list may have it.
func (p *Persona) judgeUnreadable(e *event.Event, dst []Violation) []Violation {
	add := func(kind string, v Verdict) {
		if !slices.ContainsFunc(dst, func(x Violation) bool {
			return x.Kind == kind && x.Verdict >= v &&
				x.Verdict != Allow
		}) {
			dst = append(dst, Violation{kind, Unreadable, Unreadable, v})
		}
	}
	for d := range Dimensions {
		marks := unreadableMarks[d]
		if d == Destinations && e.Destination.Domain != "" {
			marks = event.UnreadableDomain
		}
		if e.Unreadable&marks != 0 && !p.rules[d].open {
			add(d.String(), p.Default)
		}
	}
	if p.OwnTenant && e.Unreadable&event.UnreadableResourceTenant != 0 {
		add(tenantKind, Deny)
	}
	if p.MaxTier > 0 && e.Unreadable&event.UnreadableTier != 0 && e.Has&event.HasTier == 0 {
		add(tierKind, Deny)
	}
	return dst
}

func (p *Persona) judgeResource(r *event.Resource, dst []Violation) []Violation {
	if p.judged&(1<<ResourceTypes) != 0 && r.Type != "" {
		dst = p.judgeFolded(ResourceTypes, r.Type, dst)
	}
	if p.judged&(1<<Labels) != 0 {
		for _, l := range r.Labels {
			dst = p.judgeFolded(Labels, l, dst)
		}
		if c := r.Classification; c != "" && !slices.Contains(r.Labels, c) {
			dst = p.judgeFolded(Labels, c, dst)
		}
	}
	if p.judged&(1<<Environments) != 0 && r.Environment != "" {
		dst = p.judgeFolded(Environments, r.Environment, dst)
	}
	return dst
}

// judgeValue judges one value.
func (p *Persona) judgeValue(d Dimension, s string, dst []Violation) []Violation {
	if r := p.ruling(d, s); r.Verdict != Allow || p.explainAll {
		return append(dst, Violation{d.String(), s, r.Rule, r.Verdict})
	}
	return dst
}

// judgeFolded judges one value in any case. It lowers the value on the stack, so that it allocates
// nothing. The buffer is small, since it has to be cleared first.
func (p *Persona) judgeFolded(d Dimension, s string, dst []Violation) []Violation {
	if !event.HasUpper(s) {
		return p.judgeValue(d, s, dst)
	}
	var buf [MaxName]byte
	if r := p.ruling(d, event.LowerInto(buf[:], s)); r.Verdict != Allow || p.explainAll {
		return append(dst, Violation{d.String(), s, r.Rule, r.Verdict})
	}
	return dst
}

// toolRuling is ruling for the name of a tool.
func (p *Persona) toolRuling(t *event.Tool) Ruling {
	r := &p.rules[Tools]
	if i := r.deny.FindTool(t); i >= 0 {
		return Ruling{Deny, r.deny.Entries[i]}
	}
	if i := r.needs.FindTool(t); i >= 0 {
		return Ruling{NeedsApproval, r.needs.Entries[i]}
	}
	if r.open {
		return Ruling{Allow, byDefault}
	}
	if i := r.allow.FindTool(t); i >= 0 {
		return Ruling{Allow, r.allow.Entries[i]}
	}
	if i := r.named.FindTool(t); i >= 0 {
		return Ruling{Allow, r.named.Entries[i]}
	}
	return Ruling{p.Default, byDefault}
}

// ruling is the ruling of a dimension's lists on a value.
func (p *Persona) ruling(d Dimension, s string) Ruling {
	r := &p.rules[d]
	if i := r.deny.Find(s); i >= 0 {
		return Ruling{Deny, r.deny.Entries[i]}
	}
	if i := r.needs.Find(s); i >= 0 {
		return Ruling{NeedsApproval, r.needs.Entries[i]}
	}
	if r.open {
		return Ruling{Allow, byDefault}
	}
	if i := r.allow.Find(s); i >= 0 {
		return Ruling{Allow, r.allow.Entries[i]}
	}
	if i := r.named.Find(s); i >= 0 {
		return Ruling{Allow, r.named.Entries[i]}
	}
	return Ruling{p.Default, byDefault}
}

// classBits are the class that a call claims and the effect that it really had, if known: a delete
// by a tool that calls itself a read is still a delete.
func classBits(e *event.Event) uint16 {
	return (1<<e.Tool.Class | 1<<e.Result.Effect) &^ (1 << event.NoClass)
}

// compileRules compiles the lists of every dimension.
func (p *Persona) compileRules() {
	for d := range Dimensions {
		l := p.Lists[d]
		r := &p.rules[d]
		r.open = p.Default == Allow || l.Allow == nil && d != Tools && d != Destinations
		if d == Destinations {
			w := &r.words
			l.Allow, w.external[Allow], w.internal[Allow] = withoutWords(l.Allow)
			l.Needs, w.external[NeedsApproval], w.internal[NeedsApproval] = withoutWords(l.Needs)
			l.Deny, w.external[Deny], w.internal[Deny] = withoutWords(l.Deny)
		}
		compile := func(l []string) *glob.List { return glob.NewList(l, dimensionDefs[d].fold) }
		switch d {
		case Credentials:
			compile = glob.NewIdentities
		case Destinations:
			compile = compileHosts
		}
		r.deny, r.needs, r.allow = compile(l.Deny), compile(l.Needs), compile(l.Allow)
		if !r.open || len(p.Lists[d].Deny)+len(p.Lists[d].Needs) > 0 {
			p.judged |= 1 << d
		}
	}
	p.needs = p.Default == NeedsApproval || len(p.Conditions) > 0 ||
		slices.ContainsFunc(p.Lists[:], func(l Lists) bool { return len(l.Needs) > 0 })
	for c := event.Read; c <= event.Delegate; c++ {
		if p.classRules[c] = p.ruling(Classes, c.String()); p.classRules[c].Verdict != Allow {
			p.badClasses |= 1 << c
		}
	}
}

// NeedsApproval reports whether anything that the persona may do needs an approval.
func (p *Persona) NeedsApproval() bool { return p.needs }

// personaDef is a persona as it is written, in YAML and in the canonical JSON.
type personaDef struct {
	Name             string          `json:"name"`
	Tenant           string          `json:"tenant,omitempty"`
	Extends          string          `json:"extends,omitempty"`
	Description      string          `json:"description,omitempty"`
	Agents           []string        `json:"agents,omitempty"`
	Default          string          `json:"default,omitempty"`
	Tools            listsDef        `json:"tools,omitzero"`
	Servers          listsDef        `json:"servers,omitzero"`
	Classes          listsDef        `json:"classes,omitzero"`
	Resources        resourcesDef    `json:"resources,omitzero"`
	Destinations     listsDef        `json:"destinations,omitzero"`
	DestinationKinds listsDef        `json:"destination_kinds,omitzero"`
	Intents          listsDef        `json:"intents,omitzero"`
	Credentials      listsDef        `json:"credentials,omitzero"`
	Needs            []needsDef      `json:"needs_approval,omitempty"`
	Tier             tierDef         `json:"tier,omitzero"`
	Hours            []hoursDef      `json:"hours,omitempty"`
	Zone             string          `json:"zone,omitempty"`
	Approvals        approvalsDef    `json:"approvals,omitzero"`
	Separate         []separationDef `json:"separate,omitempty"`
	Limits           []limitDef      `json:"limits,omitempty"`
	Severity         string          `json:"severity,omitempty"`
	Tags             []string        `json:"tags,omitempty"`
	Respond          respondDef      `json:"respond,omitzero"`
	Tests            []testDef       `json:"tests,omitempty"`
}

type listsDef struct {
	Allow []string `json:"allow,omitzero"` // written and empty: nothing is allowed
	Deny  []string `json:"deny,omitempty"`
	Needs []string `json:"needs_approval,omitempty"`
}

type resourcesDef struct {
	Types        listsDef  `json:"types,omitzero"`
	Labels       listsDef  `json:"labels,omitzero"`
	Environments listsDef  `json:"environments,omitzero"`
	Tenants      oneOrMore `json:"tenants,omitempty"`
}

type tierDef struct {
	AtMost string `json:"at_most,omitempty"`
}

// lists are the definition's lists by dimension.
func (d *personaDef) lists() [Dimensions]*listsDef {
	return [Dimensions]*listsDef{&d.Tools, &d.Servers, &d.Classes, &d.Resources.Types, &d.Resources.Labels,
		&d.Resources.Environments,
		&d.Destinations, &d.DestinationKinds, &d.Intents, &d.Credentials}
}

// namedList is one list of a dimension.
type namedList struct {
	verdict Verdict
	key     string
	list    *[]string
}

// named are the lists of a dimension, strongest first.
func (l *listsDef) named() [3]namedList {
	return [3]namedList{{Deny, "deny", &l.Deny}, {NeedsApproval, "needs_approval", &l.Needs},
		{Allow, "allow", &l.Allow}}
}

// compile makes the persona and reports what is wrong with its definition. If anything is, the
// result must not be used. base: others extend it and no agent is listed for it, so it may be
// incomplete.
func (d personaDef) compile(bad report, base bool) *Persona {
	checkName(bad, "name", "a persona", d.Name)
	if glob.Is(d.Name) {
		bad("name", "%s has * or ? in it, which stand for other characters wherever personas are listed; rename it",
			event.Quote(d.Name))
	}
	checkTenant(bad, "tenant", d.Tenant)
	checkText(bad, "description", d.Description, maxProse)
	checkEntries(bad, "agents", d.Agents)
	d.Agents = sorted(d.Agents)
	checkTags(bad, d.Tags)

	p := &Persona{Name: d.Name, Tenant: d.Tenant, Extends: d.Extends, Description: d.Description, Agents: d.Agents,
		Tags: d.Tags}
	// A violation of policy is certain, so the default severity is high.
	p.Severity = parseSeverity(bad, &d.Severity, event.High)
	p.compileDefault(bad, &d, base)
	for dim, l := range d.lists() {
		p.Lists[dim] = Lists{l.Allow, l.Deny, l.Needs}
		checkLists(bad, dimensionDefs[dim].path, l, dimensionDefs[dim].fold)
	}
	var named []string
	p.Conditions, named = compileConditions(bad, d.Needs)
	p.rules[Tools].named = glob.NewList(named, false)
	if p.Default == Deny && !base && len(d.Tools.Allow)+len(d.Tools.Needs)+len(named) == 0 &&
		!slices.Contains(d.Tools.Deny, "*") {
		bad("tools",
			`default is deny and no tool is allowed, so every call would be a violation; list tools under allow, or write deny: ["*"] if that is meant`)
	}
	words := append(event.Classes(), "*")
	for _, l := range d.Classes.named() {
		for i, s := range *l.list {
			if !slices.Contains(words, s) {
				bad(at("classes."+l.key, i), "unknown class %s; %s", event.Quote(s), didYouMean(s, words))
			}
		}
	}
	for i, s := range d.Destinations.Allow {
		// *acme.com allows notacme.com, which anybody may register.
		if len(s) > 1 && s[0] == '*' && !strings.ContainsRune("*?.-_", rune(s[1])) && strings.Contains(s, ".") &&
			!glob.Is(s[1:]) {
			bad(at("destinations.allow", i), "%s also allows any other domain that ends so; write %q and %q", event.Quote(s),
				s[1:], "*."+s[1:])
		}
	}
	p.compileTenants(bad, d.Resources.Tenants)
	if s := d.Tier.AtMost; s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 1000 {
			bad("tier.at_most", "%s is no tier; use a number from 1, the most trusted, such as 2", event.Quote(s))
		}
		p.MaxTier = int64(n)
	}
	p.Zone = parseZone(bad, "zone", d.Zone)
	p.Hours = compileHours(bad, d.Hours)
	p.Approvals = d.Approvals.compile(bad)
	p.Separate = compileSeparations(bad, p, d.Separate)
	p.Respond = d.Respond.compile(bad, "respond", event.AgentScope, event.SessionScope, event.UserScope,
		event.ToolScope, event.ServerScope)
	p.Tests = compileTests(bad, p, d.Tests)
	d.Tests = nil

	p.compileRules()
	p.def = d
	p.Version = version(d)
	return p
}

func (p *Persona) compileDefault(bad report, d *personaDef, base bool) {
	allows := 0
	for _, l := range d.lists() {
		allows += len(l.Allow)
	}
	switch d.Default {
	case "":
		if allows > 0 && !base {
			bad("default",
				"there is an allow list but no default; add default: deny if all else is forbidden, or default: allow if not")
		}
		d.Default = "allow"
	default:
		v := slices.Index(verdicts, d.Default)
		if v < 0 {
			bad("default", "unknown default %s; %s", event.Quote(d.Default), didYouMean(d.Default, verdicts))
			return
		}
		p.Default = Verdict(v)
	}
}

// checkLists checks the entries of one dimension. No entry may stand in two lists.
func checkLists(bad report, path string, l *listsDef, fold bool) {
	said := map[string]Verdict{}
	for _, n := range l.named() {
		checkEntries(bad, path+"."+n.key, *n.list)
		for i, s := range *n.list {
			if fold {
				s = event.Lower(s)
			}
			if first, twice := said[s]; twice && first != n.verdict {
				bad(at(path+"."+n.key, i), "%s is both %s and %s; %s wins, so remove one", event.Quote(s), n.verdict.participle(),
					first.participle(), strings.ReplaceAll(first.String(), "_", " "))
			} else {
				said[s] = n.verdict
			}
		}
	}
}

// participle is the verdict as a participle.
func (v Verdict) participle() string {
	return [...]string{"allowed", "in need of approval", "denied"}[v]
}

// withoutWords splits a list of destinations into names and the words external and internal.
func withoutWords(list []string) (rest []string, ext, in bool) {
	for _, s := range list {
		switch event.Lower(s) {
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
