// Package policy is what people declare: personas and what each may do, limits, rules, the
// inventory, tenants, approvals, separated duties, settings of responses and baselines, and
// definitions of tools. A violation of a persona is certain: it does not depend on anything
// learned.
//
// Load reads YAML and reports every problem. The Set that it returns is compiled and never changes,
// so any number of shards may share it.
//
// It must never know detectors, statistics, Kafka or how events arrive. What the names, arguments
// and values of a call mean is the business of package catalogue.
//
// Begin reading with Set in this file, Load in load.go and Persona.Check in persona.go.
package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
	"github.com/wayward-sec/wayward/rules"
	"github.com/wayward-sec/wayward/rules/expression"
)

// Set is everything in the folder of policies, compiled and immutable.
type Set struct {
	personas  []*Persona // by tenant and name
	limits    []*Limit   // by id
	tenants   []*Tenant  // by name
	catalogue *catalogue.Catalogue
	inventory *Inventory
	response  Settings
	learning  baselineSettings
	rules     []*rules.Rule // by id
	ruleTests []RuleTest
	ruleFiles map[string]string
	ruleDefs  map[string]json.RawMessage
	byName    map[name]*Persona
	agents    map[name]string           // plain names of agents
	patterns  map[string][]agentPattern // by tenant, most specific first
	bytes     []byte
	hash      string
	supposed  *expression.Supposed // baselines of a test; nil otherwise
	warnings  []*Problem           // for lint, about texts that the compiled set does not have
}

// name is something within a tenant; "" is every tenant.
type name struct{ tenant, name string }

type agentPattern struct {
	glob.Pattern
	pattern, persona string
}

// Personas are all personas, by tenant and name.
func (s *Set) Personas() []*Persona { return slices.Clone(s.personas) }

// Limits are all limits, by id.
func (s *Set) Limits() []*Limit { return slices.Clone(s.limits) }

// Catalogue is the catalogue of the definitions of tools.
func (s *Set) Catalogue() *catalogue.Catalogue { return s.catalogue }

// Tally is how many definitions of a kind a set has.
type Tally struct {
	What string
	N    int
}

// Counts are the numbers of all kinds, so that people see whether their files were found.
func (s *Set) Counts() []Tally {
	return []Tally{{"rules", len(s.rules)}, {"personas", len(s.personas)}, {"limits", len(s.limits)},
		{"tools", s.catalogue.Len()}, {"inventory entries", len(s.inventory.entries)},
		{"tenants", len(s.tenants)}, {"response keys", len(s.response.Keys)},
		{"baseline settings", len(s.learning.defs)}}
}

// LongestWindow is the length of the longest window of a limit or a rule.
func (s *Set) LongestWindow() time.Duration {
	ms := int64(0)
	for _, l := range s.limits {
		ms = max(ms, l.WindowMS)
	}
	for _, r := range s.rules {
		ms = max(ms, r.Window, r.Within+r.AbsentFor)
	}
	return time.Duration(ms) * time.Millisecond
}

// Inventory is what is registered.
func (s *Set) Inventory() *Inventory { return s.inventory }

// Response is the settings of commands.
func (s *Set) Response() *Settings { return &s.response }

// Persona returns the tenant's own persona of that name, in any spelling (event.Identity), else the
// one for every tenant, else nil.
func (s *Set) Persona(tenant, persona string) *Persona {
	persona = event.Identity(persona)
	if p, ok := s.byName[name{tenant, persona}]; ok {
		return p
	}
	return s.byName[name{"", persona}]
}

// PersonaOf returns the name, as event.Identity has it, of the persona that an agent plays
// according to the lists of agents, or "". A plain name comes before a pattern, then the tenant's
// own persona before one for every tenant, then the pattern with more fixed characters, then the
// one that sorts first: nothing depends on the order of files. It is slow: callers keep the result.
func (s *Set) PersonaOf(tenant, agent string) string {
	persona, _ := s.personaOfAgent(tenant, agent)
	return persona
}

// personaOfAgent is PersonaOf, and the entry that fits the agent.
func (s *Set) personaOfAgent(tenant, agent string) (persona, entry string) {
	for _, t := range [...]string{tenant, ""} {
		if p, ok := s.agents[name{t, agent}]; ok {
			return p, agent
		}
	}
	for _, t := range [...]string{tenant, ""} {
		for i := range s.patterns[t] {
			if p := &s.patterns[t][i]; p.Match(agent) {
				return p.persona, p.pattern
			}
		}
	}
	return "", ""
}

// Hash is the first 128 bits of the SHA-256 of Bytes, in hex: the same for the same definitions,
// however they are spread over files, ordered and commented.
func (s *Set) Hash() string { return s.hash }

// Bytes is the set as canonical JSON. Parse makes the same set of it, except for the places where
// personas were read.
func (s *Set) Bytes() []byte { return bytes.Clone(s.bytes) }

// Supposing is the set with what a test supposes to be learned. That is no part of its identity.
func (s *Set) Supposing(test *expression.Supposed) *Set {
	out := *s
	out.supposed = test
	return &out
}

// Supposed is what a test supposes to be learned; it is never nil.
func (s *Set) Supposed() *expression.Supposed {
	if s.supposed == nil {
		return &expression.Supposed{}
	}
	return s.supposed
}

// Without is the set with a rule turned off; the set itself if it has no such rule.
func (s *Set) Without(rule string) (*Set, error) {
	var def setDef
	if err := json.Unmarshal(s.bytes, &def); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(def.Rules, func(d ruleDef) bool { return d.ID == rule })
	if i < 0 {
		return s, nil
	}
	def.Rules[i].Mode = rules.Off.String()
	b, err := json.Marshal(def)
	if err != nil {
		return nil, err
	}
	return Parse(b)
}

// setDef is a set as it is written in JSON.
type setDef struct {
	V         int                    `json:"v"`
	Tenants   []tenantDef            `json:"tenants,omitempty"`
	Tools     []catalogue.Definition `json:"tools,omitempty"`
	Personas  []personaDef           `json:"personas"`
	Limits    []limitDef             `json:"limits"`
	Inventory []inventoryDef         `json:"inventory,omitempty"`
	Response  []responseDef          `json:"response,omitempty"`
	Baselines []baselineDef          `json:"baselines,omitempty"`
	Rules     []ruleDef              `json:"rules,omitempty"`
}

// Parse reads what Bytes wrote. Sets come over Kafka, so it checks everything that Load checks.
func Parse(b []byte) (*Set, error) {
	var def setDef
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&def); err != nil {
		return nil, fmt.Errorf("policy set: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("policy set: something follows the set")
	}
	if def.V != 1 {
		return nil, fmt.Errorf("policy set: version %d; this program reads version 1", def.V)
	}
	c := newCollector()
	src := &source{file: "policy set"}
	addAll(def.Tenants, c.addTenant, src, "tenants")
	addAll(def.Tools, c.addTool, src, "tools")
	addAll(def.Personas, c.addPersona, src, "personas")
	c.inherit()
	addAll(def.Limits, c.addLimit, src, "limits")
	addAll(def.Inventory, c.addRegistered, src, "inventory")
	addAll(def.Response, c.addResponse, src, "response")
	addAll(def.Baselines, c.addBaseline, src, "baselines")
	addAll(def.Rules, c.addRule, src, "rules")
	if err := errors.Join(c.problems()...); err != nil {
		return nil, err
	}
	return c.set(), nil
}

// Default is the set without any policies: no personas, and limits that an agent at honest work
// does not reach.
func Default() *Set {
	c := newCollector()
	c.addBuiltins()
	return c.set()
}

// builtins are the limits that hold until somebody writes others.
var builtins = []limitDef{
	{ID: "builtin-session-calls", Title: "Very many calls in one session", Scope: "session", Measure: "count",
		Max:      "50",
		Severity: "medium", Tags: []string{"ASI02", "ASI08", "AML.T0034.002"}}, // a loop
	{ID: "builtin-user-calls-hour", Title: "Very many calls for one user", Scope: "user", Measure: "count", Max: "450",
		Window: "1h",
		// also when spread over agents and sessions
		Severity: "medium", Tags: []string{"ASI02", "AML.T0053"}},
	{ID: "builtin-user-records-hour", Title: "Very many records read for one user", Scope: "user", Measure: "records",
		Max: "5000", Window: "1h",
		Severity: "medium", Tags: []string{"ASI02", "AML.T0085.001"}}, // over-pull
}

// builtinVersions are the versions of the built-in limits, by id.
var builtinVersions = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for _, d := range builtins {
		all[d.ID] = d.compile(func(string, string, ...any) {}).Version
	}
	return all
})

func isBuiltin(id, version string) bool { return version != "" && builtinVersions()[id] == version }

// collector gathers definitions from files, and reports what is wrong in each and between them.
type collector struct {
	drafts   []*personaInput
	personas map[name]*Persona
	limits   map[string]*Limit
	// ids of limits that stand in a persona, and not by themselves in the canonical JSON
	ofPersonas map[string]bool
	tenants    map[string]*Tenant
	tools      []catalogue.Entry
	inventory  []inventoryDef
	response   []responseDef
	baselines  []baselineDef
	rules      []compiledRule
	ruleTests  []RuleTest
	warnings   []*Problem
	read       int    // number of files
	nestedSet  string // a folder of policies inside this one
	rulesAt    map[string]place
	shadow     bool // the shadow folder is being read
	agents     map[name]agentClaim
	places     map[any]place // of personas, limits and tenants, by their key
	sources    []*source
}

// agentClaim is the persona that lists an agent.
type agentClaim struct {
	persona name
	where   place
}

func newCollector() *collector {
	return &collector{rulesAt: map[string]place{}, personas: map[name]*Persona{}, limits: map[string]*Limit{},
		ofPersonas: map[string]bool{}, tenants: map[string]*Tenant{}, agents: map[name]agentClaim{}, places: map[any]place{}}
}

func (c *collector) addSource(src *source) {
	if !slices.Contains(c.sources, src) {
		c.sources = append(c.sources, src)
	}
}

func ofTenant(tenant string) string {
	if tenant == "" {
		return "of every tenant"
	}
	return "of tenant " + event.Quote(tenant)
}

func (c *collector) addLimit(d limitDef, src *source, path string) {
	c.addSource(src)
	l := d.compile(src.reporter(path))
	l.Builtin = isBuiltin(d.ID, l.Version) // the JSON of a set does not say so
	if l.ID == "" {
		return
	}
	if first, dup := c.places[l.ID]; dup {
		src.reporter(path)("id", "limit %s is already at %s; rename or remove one", event.Quote(l.ID), first)
		return
	}
	c.places[l.ID] = src.place(path)
	c.limits[l.ID] = l
}

// addBuiltins adds the built-in limits before any others: of two equal ids the later one is
// reported, which must be the user's.
func (c *collector) addBuiltins() {
	src := &source{fields: map[string]place{"limits": {file: "the built-in limits"}}}
	for i, d := range builtins {
		c.addLimit(d, src, at("limits", i))
	}
}

// problems are all problems, in the order of files and lines.
func (c *collector) problems() []error {
	var all []*Problem
	for _, s := range c.sources {
		all = append(all, s.problems...)
	}
	sortProblems(all)
	var errs []error
	for i, p := range all {
		if i == 0 || *p != *all[i-1] {
			errs = append(errs, p)
		}
	}
	return errs
}

func sortProblems(all []*Problem) {
	slices.SortStableFunc(all, func(a, b *Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			strings.Compare(a.What, b.What))
	})
}

// set compiles what was gathered without problems.
func (c *collector) set() *Set {
	s := &Set{byName: map[name]*Persona{}, agents: map[name]string{}, patterns: map[string][]agentPattern{}}
	def := setDef{V: 1, Personas: []personaDef{}, Limits: []limitDef{}}
	for _, p := range c.personas {
		s.personas = append(s.personas, p)
		s.byName[name{p.Tenant, event.Identity(p.Name)}] = p
	}
	slices.SortFunc(s.personas, func(a, b *Persona) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Name, b.Name))
	})
	for _, p := range s.personas {
		def.Personas = append(def.Personas, p.written)
		for _, a := range p.Agents {
			if glob.Is(a) {
				s.patterns[p.Tenant] = append(s.patterns[p.Tenant], agentPattern{glob.Compile(a), a, event.Identity(p.Name)})
			} else {
				s.agents[name{p.Tenant, a}] = event.Identity(p.Name)
			}
		}
	}
	for _, ps := range s.patterns {
		slices.SortFunc(ps, func(a, b agentPattern) int {
			return cmp.Or(glob.Fixed(b.pattern)-glob.Fixed(a.pattern), strings.Compare(a.pattern, b.pattern))
		})
	}
	for _, t := range c.tenants {
		s.tenants = append(s.tenants, t)
	}
	slices.SortFunc(s.tenants, func(a, b *Tenant) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range s.tenants {
		def.Tenants = append(def.Tenants, t.def)
	}
	def.Tools, s.catalogue = newCatalogue(c.tools)
	def.Inventory, s.inventory = c.inventory, newInventory(c.inventory)
	def.Response, s.response = c.response, settings(c.response)
	s.learning = newLearning(c.baselines)
	def.Baselines = s.learning.defs
	for _, l := range c.limits {
		s.limits = append(s.limits, l)
	}
	slices.SortFunc(s.limits, func(a, b *Limit) int { return strings.Compare(a.ID, b.ID) })
	for _, l := range s.limits {
		if !c.ofPersonas[l.ID] {
			def.Limits = append(def.Limits, l.def)
		}
	}
	slices.SortFunc(c.rules, func(a, b compiledRule) int { return strings.Compare(a.ID, b.ID) })
	s.warnings = c.warnings
	s.ruleTests, s.ruleFiles, s.ruleDefs = c.ruleTests, map[string]string{}, map[string]json.RawMessage{}
	for _, r := range c.rules {
		s.rules = append(s.rules, r.Rule)
		s.ruleFiles[r.ID], s.ruleDefs[r.ID] = r.file, canonical(r.def)
		def.Rules = append(def.Rules, r.def)
	}
	s.bytes = canonical(def)
	sum := sha256.Sum256(s.bytes)
	s.hash = hex.EncodeToString(sum[:16])
	return s
}
