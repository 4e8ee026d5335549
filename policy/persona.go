package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Verdict is what a persona says of a call, or of one thing about it.
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
	// Unreadable: what the event says there could not be read, so no list lets it pass.
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

// What is judged besides lists, and kinds of Violation.
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
//  1. what a deny list names is a violation, whatever else is said about it;
//  2. what a needs_approval list names is a violation unless somebody approved it, with conditions where they hold;
//  3. what an allow list names is fine;
//  4. what no list names is what Default says.
//
// So an allow list makes exceptions from default: deny or needs_approval. Under default: allow it
// forbids nothing, it only records what is meant; Load asks for a default where there is an allow
// list, since that is what people get wrong.
//
// The default judges every tool and every destination, but of the other dimensions only those that
// the persona has an allow list for: an allowed tool already says what may be done. What is not
// known (a class, a server, a label) is not a violation, it is unknown; the tool must still be
// allowed. Explain shows what was unknown.
type Persona struct {
	Name        string
	Tenant      string // "" = every tenant
	Extends     string // the persona it takes over from; what it says is already in here
	Description string
	Agents      []string // names and patterns of the agents that play it, for events that carry no persona
	Default     Verdict  // what happens to what no list names
	Lists       [Dimensions]Lists
	Conditions  []*Condition   // under which a call needs an approval
	OwnTenant   bool           // a resource of another tenant is a violation, but for SharedBy
	SharedBy    []string       // names and patterns of tenants whose resources are no violation
	MaxTier     int64          // an agent that is trusted less is a violation; 0: any may play it
	Hours       *Hours         // nil: at any time
	Zone        *time.Location // of Hours, and of its limits' calendar days; nil: the tenant's
	Approvals   Approvals
	Separate    []*Separation
	Severity    event.Severity
	Tags        []string
	Respond     *event.Response // what a violation asks for; nil: nothing
	// first 12 hex digits of the SHA-256 of the whole definition, inherited parts included
	Version string
	File    string // where it was read; not part of its identity
	Line    int
	Tests   []Test // not part of its identity

	shared     *glob.List // SharedBy
	tenantRule string     // own, and what SharedBy adds
	rules      [Dimensions]ruling
	used       uint16 // bit per dimension that has something to judge
	badClasses uint16 // bit per event.Class
	needs      bool
	classRules [16]Ruling

	def     personaDef // with what it inherits
	written personaDef // what is in the canonical JSON
	draft   *draft     // where each part was written
	all     bool       // Check tells what is allowed as well: of Explain's copy
}

// Lists is what is named as allowed, as denied and as in need of approval.
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

// ruling is the lists of one dimension, compiled.
type ruling struct {
	deny, needs, allow *glob.List
	named              *glob.List // by conditions, of Tools: fine where they do not hold
	open               bool       // what no list names is fine
	words              words      // of Destinations
}

// Check appends to dst what the call does that the persona may not, its hours left aside: those
// need a zone, which is the Judge's. Only tool calls are judged, and of a call in two records the
// result, so that one call is one violation. A call that is fine costs no allocation.
func (p *Persona) Check(e *event.Event, dst []Violation) []Violation {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return dst
	}
	return p.rest(e, p.tool(e, dst))
}

// tool judges what is the same for every call of a tool.
func (p *Persona) tool(e *event.Event, dst []Violation) []Violation {
	if p.used&(1<<Tools) != 0 {
		if r := p.toolRuling(&e.Tool); r.Verdict != Allow || p.all {
			dst = append(dst, Violation{Tools.String(), e.Tool.Name, r.Rule, r.Verdict})
		}
	}
	if p.used&(1<<Servers) != 0 && e.Tool.Server != "" {
		dst = p.one(Servers, e.Tool.Server, dst)
	}
	return dst
}

// rest judges everything else.
func (p *Persona) rest(e *event.Event, dst []Violation) []Violation {
	if bad := classBits(e) & p.badClasses; bad != 0 {
		for c := event.Read; c <= event.Delegate; c++ {
			if bad&(1<<c) != 0 {
				dst = append(dst, Violation{Classes.String(), c.String(), p.classRules[c].Rule,
					p.classRules[c].Verdict})
			}
		}
	}
	if p.used&(1<<ResourceTypes|1<<Labels|1<<Environments) != 0 {
		dst = p.resource(&e.Resource, dst)
	}
	if len(p.Conditions) > 0 {
		dst = p.conditions(e, dst)
	}
	if p.OwnTenant && e.Resource.Tenant != "" && e.Resource.Tenant != e.Tenant && p.shared.Find(e.Resource.Tenant) < 0 {
		dst = append(dst, Violation{tenantKind, e.Resource.Tenant, p.tenantRule, Deny})
	}
	if p.used&(1<<Destinations) != 0 {
		dst = p.destination(&e.Destination, dst)
	}
	if p.used&(1<<DestinationKinds|1<<Intents|1<<Credentials) != 0 {
		if p.used&(1<<DestinationKinds) != 0 && e.Destination.Kind != "" {
			dst = p.folded(DestinationKinds, e.Destination.Kind, dst)
		}
		if p.used&(1<<Intents) != 0 && e.Intent != "" {
			dst = p.one(Intents, e.Intent, dst)
		}
		if p.used&(1<<Credentials) != 0 {
			if id := event.Identity(e.Agent.Credential); id != "" {
				// it is in that form already if a decoder read it
				dst = p.one(Credentials, id, dst)
			}
		}
	}
	if p.MaxTier > 0 && e.Has&event.HasTier != 0 && e.Agent.Tier > p.MaxTier {
		dst = append(dst, Violation{tierKind, strconv.FormatInt(e.Agent.Tier, 10),
			"at most " + strconv.FormatInt(p.MaxTier, 10), Deny})
	}
	if e.Unreadable != 0 {
		dst = p.unreadable(e, dst)
	}
	return dst
}

// doubtful are the marks that make the value of a dimension unknown, whatever was kept of it. A
// damaged destination.value is none where its domain is declared, since that is judged.
var doubtful = [Dimensions]event.Unreadable{
	Servers: event.UnreadableServer, Classes: event.UnreadableClass | event.UnreadableEffect,
	ResourceTypes: event.UnreadableResourceType,
	Labels:        event.UnreadableLabels | event.UnreadableClassification, Environments: event.UnreadableEnvironment,
	Destinations:     event.UnreadableDestination | event.UnreadableDomain,
	DestinationKinds: event.UnreadableDestinationKind, Intents: event.UnreadableIntent,
	Credentials: event.UnreadableCredential,
}

// unreadable judges what could not be read: it is unknown, so no allow list lets it pass, and what
// is not allowed is what Default says. What was kept of it was judged before: a deny list may still
// name that.
func (p *Persona) unreadable(e *event.Event, dst []Violation) []Violation {
	add := func(kind string, v Verdict) {
		if !slices.ContainsFunc(dst, func(x Violation) bool {
			return x.Kind == kind && x.Verdict >= v &&
				x.Verdict != Allow
		}) {
			dst = append(dst, Violation{kind, Unreadable, Unreadable, v})
		}
	}
	for d := range Dimensions {
		marks := doubtful[d]
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

func (p *Persona) resource(r *event.Resource, dst []Violation) []Violation {
	if p.used&(1<<ResourceTypes) != 0 && r.Type != "" {
		dst = p.folded(ResourceTypes, r.Type, dst)
	}
	if p.used&(1<<Labels) != 0 {
		for _, l := range r.Labels {
			dst = p.folded(Labels, l, dst)
		}
		if c := r.Classification; c != "" && !slices.Contains(r.Labels, c) {
			dst = p.folded(Labels, c, dst)
		}
	}
	if p.used&(1<<Environments) != 0 && r.Environment != "" {
		dst = p.folded(Environments, r.Environment, dst)
	}
	return dst
}

// one judges one value.
func (p *Persona) one(d Dimension, s string, dst []Violation) []Violation {
	if r := p.ruling(d, s); r.Verdict != Allow || p.all {
		return append(dst, Violation{d.String(), s, r.Rule, r.Verdict})
	}
	return dst
}

// folded judges one value in any case. It lowers it on the stack, in a buffer that is small since
// it has to be cleared first: an event without fault must not cost an allocation for its letters.
func (p *Persona) folded(d Dimension, s string, dst []Violation) []Violation {
	if !event.HasUpper(s) {
		return p.one(d, s, dst)
	}
	var buf [MaxName]byte
	if r := p.ruling(d, event.LowerInto(buf[:], s)); r.Verdict != Allow || p.all {
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

// ruling is what the lists of a dimension say of a value.
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

// classBits is what a call claims to do and what it really did, if either is known: a delete behind
// a tool that calls itself a read is still a delete.
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
			p.used |= 1 << d
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

// NeedsApproval tells whether anything that the persona may do waits for somebody's word.
func (p *Persona) NeedsApproval() bool { return p.needs }

// personaDef is a persona as it is written, in YAML and in the canonical JSON alike.
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
	Allow []string `json:"allow,omitzero"` // empty, but said: nothing is allowed
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

// compile makes the persona and reports what is wrong with its definition; with anything wrong the
// result is not to be used. Of a base, which others extend and no agent is listed to play, it is
// not asked that it could be used alone.
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
	// A violation of policy is certain, not a guess: high unless said otherwise.
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
				bad(at("classes."+l.key, i), "unknown class %s; %s", event.Quote(s), choose(s, words))
			}
		}
	}
	for i, s := range d.Destinations.Allow {
		// *acme.com lets notacme.com pass, which anybody may register.
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
			bad("default", "unknown default %s; %s", event.Quote(d.Default), choose(d.Default, verdicts))
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
				bad(at(path+"."+n.key, i), "%s is both %s and %s; %s wins, so remove one", event.Quote(s), n.verdict.said(),
					first.said(), strings.ReplaceAll(first.String(), "_", " "))
			} else {
				said[s] = n.verdict
			}
		}
	}
}

// said is the verdict as a participle.
func (v Verdict) said() string { return [...]string{"allowed", "in need of approval", "denied"}[v] }

// withoutWords takes external and internal out of a list of destinations.
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
