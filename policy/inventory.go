package policy

import (
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Inventory is what is registered: agents, tools and servers, and the severity of findings about
// what is not.
//
// If a tenant has no entry for a kind of thing, neither its own nor one for every tenant, that kind
// is not checked: a fleet that was just connected must not cause a storm of findings. What changes
// under the same name (a new version, another definition) is a finding anyway.
type Inventory struct {
	Severity event.Severity // of its findings; low unless the config says otherwise
	Response *event.Response
	entries  []entry
}

// ThingKind is a kind of thing that the inventory knows.
type ThingKind uint8

// Kinds of things.
const (
	AgentThing ThingKind = iota
	ToolThing
	ServerThing
)

var thingKinds = []string{"agent", "tool", "server"}

func (k ThingKind) String() string { return thingKinds[k] }

// ParseThingKind returns the kind that a word names.
func ParseThingKind(word string) (ThingKind, bool) {
	i := slices.Index(thingKinds, word)
	return ThingKind(max(i, 0)), i >= 0
}

type entry struct {
	kind    ThingKind
	tenant  string // "" = every tenant
	names   *glob.List
	server  *glob.List // of a tool
	retired bool
	hash    string // of a tool: the only definition that is accepted
	version string // of an agent
}

// Registered is the entry of the inventory for a thing.
type Registered struct {
	Kept    bool // the tenant has entries of this kind, so a thing without one is unregistered
	Known   bool
	Retired bool
	Hash    string // accepted definition, if one is pinned
	Version string // accepted version, if one is pinned
}

// Find returns the entry for a thing: the last that fits, a tenant's own before one for all.
func (v *Inventory) Find(kind ThingKind, tenant, name, server string) Registered {
	var r Registered
	own := false
	tool := event.Tool{Name: name, Server: server}
	for i := range v.entries {
		e := &v.entries[i]
		if e.kind != kind || e.tenant != "" && e.tenant != tenant {
			continue
		}
		r.Kept = true
		if own && e.tenant == "" || !e.called(name, &tool) || !e.server.Passes(server) {
			continue
		}
		own = e.tenant != ""
		r.Known, r.Retired, r.Hash, r.Version = true, e.retired, e.hash, e.version
	}
	return r
}

// called reports whether the entry has the name of the thing.
func (e *entry) called(name string, tool *event.Tool) bool {
	if e.kind == ToolThing {
		return e.names.FindTool(tool) >= 0
	}
	return e.names.Find(name) >= 0
}

type inventoryDef struct {
	// agent, tool, server; or settings, for severity and respond of all findings
	Kind     string     `json:"kind"`
	Tenant   string     `json:"tenant,omitempty"`
	Names    []string   `json:"names,omitempty"`
	Servers  []string   `json:"servers,omitempty"` // of tools
	Retired  *bool      `json:"retired,omitempty"`
	Hash     string     `json:"definition_hash,omitempty"`
	Version  string     `json:"version,omitempty"`
	Severity string     `json:"severity,omitempty"`
	Respond  respondDef `json:"respond,omitzero"`
}

func (c *collector) loadInventory(files []*file) {
	type doc struct {
		Inventory []inventoryDef `json:"inventory"`
	}
	each(c, files, func(d *doc, src *source) {
		addAll(d.Inventory, c.addRegistered, src, "inventory")
	})
}

func (c *collector) addRegistered(d inventoryDef, src *source, path string) {
	c.addSource(src)
	bad := src.reporter(path)
	if d.Kind == "settings" {
		if first, dup := c.places[section("inventory")]; dup {
			bad("kind", "the settings of the inventory are already at %s; keep one of them", first)
			return
		}
		c.places[section("inventory")] = src.place(path)
		if d.Tenant != "" || len(d.Names) > 0 || len(d.Servers) > 0 || d.Retired != nil || d.Hash != "" ||
			d.Version != "" {
			bad("kind", "settings have only severity and respond; put the rest into an entry of its own")
		}
		parseSeverity(bad, &d.Severity, event.Low)
		d.Respond.compile(bad, "respond", event.AgentScope, event.SessionScope, event.ToolScope, event.ServerScope)
		c.inventory = append(c.inventory, d)
		return
	}
	kind, ok := ParseThingKind(d.Kind)
	if !ok {
		bad("kind", "unknown kind %s; %s", event.Quote(d.Kind), didYouMean(d.Kind, append(slices.Clone(thingKinds), "settings")))
	}
	checkTenant(bad, "tenant", d.Tenant)
	if len(d.Names) == 0 {
		bad("names", "an entry needs names; list names or patterns")
	}
	checkEntries(bad, "names", d.Names)
	checkEntries(bad, "servers", d.Servers)
	switch {
	case len(d.Servers) > 0 && kind != ToolThing:
		bad("servers", "only tools are on servers; remove it")
	case d.Hash != "" && kind != ToolThing:
		bad("definition_hash", "only tools have a definition; remove it")
	case d.Version != "" && kind != AgentThing:
		bad("version", "only agents have a version; remove it")
	case d.Severity != "" || !d.Respond.IsZero():
		bad("severity", "severity and respond hold for the whole inventory; put them into an entry of kind: settings")
	}
	c.inventory = append(c.inventory, d)
}

func newInventory(defs []inventoryDef) *Inventory {
	v := &Inventory{Severity: event.Low}
	mute := func(string, string, ...any) {}
	for _, d := range defs {
		if d.Kind == "settings" {
			v.Severity = parseSeverity(mute, &d.Severity, event.Low)
			v.Response = d.Respond.compile(mute, "respond", event.AgentScope, event.SessionScope, event.ToolScope,
				event.ServerScope)
			continue
		}
		kind, _ := ParseThingKind(d.Kind)
		v.entries = append(v.entries, entry{kind: kind, tenant: d.Tenant, names: glob.NewList(d.Names, false),
			server:  glob.NewList(d.Servers, false),
			retired: d.Retired != nil && *d.Retired, hash: d.Hash, version: d.Version})
	}
	return v
}
