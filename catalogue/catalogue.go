// Package catalogue says what tool calls are: what class a call has, what it touches, whom it is
// about, where it goes, how much it moves. It goes by what operators declared (Definition), by the
// words in names of tools (verbs.go, refinements.go) and of arguments (parts.go, part_tables.go),
// and by the values of arguments (shapes.go): SQL, command lines, URLs, amounts. What none of them
// says stays unknown.
//
// It must never know personas, limits or any other policy: operators' definitions are given to New
// as values. It keeps nothing of what calls held, and reads a call without allocating, unless the
// call holds commands, SQL or code. Its tables have general words of English, no product's tools.
//
// Begin reading with Catalogue.Tool and Tool.Complete in tool.go.
package catalogue

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Catalogue is what operators declared of tools in tools/*.yaml. It does not change.
type Catalogue struct {
	plain    map[name][]*entry
	patterns map[string][]pattern // by tenant, most specific first
	n        int                  // entries
}

// name is the name of a tool within a tenant; "" is every tenant.
type name struct{ tenant, name string }

// Definition is what an operator declares of some tools, as it is written in YAML and in the
// canonical JSON of a set of policies alike.
type Definition struct {
	Names       []string       `json:"names,omitempty"`
	Servers     []string       `json:"servers,omitempty"`
	Tenant      string         `json:"tenant,omitempty"`
	Class       string         `json:"class,omitempty"`
	SideEffect  string         `json:"side_effect,omitempty"`
	Resource    ResourceDef    `json:"resource,omitzero"`
	Subject     string         `json:"subject,omitempty"` // argument path
	Destination DestinationDef `json:"destination,omitzero"`
	Amount      AmountDef      `json:"amount,omitzero"`
	Labels      []string       `json:"labels,omitzero"`
	Ignore      []string       `json:"ignore,omitempty"` // argument paths
}

// ResourceDef is what a Definition says of the resource that a call touches.
type ResourceDef struct {
	Type        string `json:"type,omitempty"`
	ID          string `json:"id,omitempty"` // argument path
	Environment string `json:"environment,omitempty"`
}

// DestinationDef is what a Definition says of where a call goes.
type DestinationDef struct {
	Kind     string `json:"kind,omitempty"`
	Value    string `json:"value,omitempty"` // argument path
	External *bool  `json:"external,omitempty"`
}

// AmountDef is what a Definition says of how much money a call moves.
type AmountDef struct {
	Value    string `json:"value,omitempty"`    // argument path
	Currency string `json:"currency,omitempty"` // three capitals, or an argument path
}

// Entry is a Definition that was checked, and where it stands: file and line.
type Entry struct {
	Definition
	Where string
}

// entry is an Entry with its patterns compiled.
type entry struct {
	Entry
	servers *glob.List
}

// pattern is an entry by one of its names with wildcards.
type pattern struct {
	glob.Pattern
	text string
	*entry
}

// New compiles entries. Of two that are equally specific the first counts, so the caller puts them
// into an order that does not depend on the order of files.
func New(entries []Entry) *Catalogue {
	c := &Catalogue{plain: map[name][]*entry{}, patterns: map[string][]pattern{}, n: len(entries)}
	for _, declared := range entries {
		e := &entry{Entry: declared, servers: glob.NewList(declared.Servers, false)}
		for _, n := range e.Names {
			if glob.Is(n) {
				c.patterns[e.Tenant] = append(c.patterns[e.Tenant], pattern{glob.Compile(n), n, e})
			} else {
				c.plain[name{e.Tenant, n}] = append(c.plain[name{e.Tenant, n}], e)
			}
		}
	}
	anyServer := func(e *entry) int {
		if e.servers == nil {
			return 1
		}
		return 0
	}
	for _, list := range c.plain {
		slices.SortStableFunc(list, func(a, b *entry) int { return anyServer(a) - anyServer(b) })
	}
	for _, list := range c.patterns {
		slices.SortStableFunc(list, func(a, b pattern) int {
			return cmp.Or(glob.Fixed(b.text)-glob.Fixed(a.text), anyServer(a.entry)-anyServer(b.entry),
				strings.Compare(a.text, b.text))
		})
	}
	return c
}

// Len is how many entries there are.
func (c *Catalogue) Len() int { return c.n }

// merge gathers what the entries that fit the tool say.
func (c *Catalogue) merge(x *Tool, tenant string, t *event.Tool) {
	d := &x.entry
	for _, e := range c.entries(tenant, t) {
		where := e.Where
		take := func(field string, have *string, says string) {
			if *have == "" && says != "" {
				*have, x.sources[field] = says, where
			}
		}
		take("class", &d.Class, e.Class)
		take("side_effect", &d.SideEffect, e.SideEffect)
		take("resource.type", &d.Resource.Type, e.Resource.Type)
		take("resource.id", &d.Resource.ID, e.Resource.ID)
		take("resource.environment", &d.Resource.Environment, e.Resource.Environment)
		take("subject", &d.Subject, e.Subject)
		take("destination.kind", &d.Destination.Kind, e.Destination.Kind)
		take("destination.value", &d.Destination.Value, e.Destination.Value)
		take("amount.value", &d.Amount.Value, e.Amount.Value)
		take("amount.currency", &d.Amount.Currency, e.Amount.Currency)
		if d.Destination.External == nil && e.Destination.External != nil {
			d.Destination.External, x.sources["destination.external"] = e.Destination.External, where
		}
		if d.Labels == nil && e.Labels != nil {
			d.Labels, x.sources["labels"] = e.Labels, where
		}
		d.Ignore = append(d.Ignore, e.Ignore...)
	}
}

// entries are those that fit a tool, most specific first.
func (c *Catalogue) entries(tenant string, t *event.Tool) []*entry {
	full := string(t.AppendFull(nil))
	var out []*entry
	add := func(e *entry) {
		if e.servers.Passes(t.Server) && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	owners := []string{tenant, ""}
	if tenant == "" {
		owners = owners[1:]
	}
	for _, o := range owners {
		for _, e := range c.plain[name{o, full}] {
			add(e)
		}
		for _, e := range c.plain[name{o, t.Name}] {
			add(e)
		}
	}
	for _, o := range owners {
		for i := range c.patterns[o] {
			if p := &c.patterns[o][i]; p.Match(t.Name) || (t.Sent != "" || event.NamesServer(p.text)) &&
				p.Match(full) {
				add(p.entry)
			}
		}
	}
	return out
}
