package policy

import (
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
)

func (c *collector) loadTools(files []*file) {
	type doc struct {
		Tools []catalogue.Definition `json:"tools"`
	}
	each(c, files, func(d *doc, src *source) {
		addAll(d.Tools, c.addTool, src, "tools")
	})
}

func (c *collector) addTool(d catalogue.Definition, src *source, path string) {
	c.addSource(src)
	bad := src.reporter(path)
	if len(d.Names) == 0 {
		if len(d.Servers) == 0 {
			bad("names", `an entry needs names; list the tools that it is about, or servers for all tools of a server`)
			return
		}
		d.Names = []string{"*"}
	}
	checkEntries(bad, "names", d.Names)
	checkEntries(bad, "servers", d.Servers)
	checkTenant(bad, "tenant", d.Tenant)
	if d.Class != "" {
		if _, ok := event.ParseClass(d.Class); !ok {
			bad("class", "unknown class %s; %s", event.Quote(d.Class), didYouMean(d.Class, event.Classes()))
		}
	}
	if d.SideEffect != "" {
		if _, ok := event.ParseSideEffect(d.SideEffect); !ok {
			bad("side_effect", "unknown side effect %s; %s", event.Quote(d.SideEffect),
				didYouMean(d.SideEffect, event.SideEffects()))
		}
	}
	for _, w := range []struct{ path, text, whose string }{
		{"resource.type", d.Resource.Type, "a type"}, {"resource.environment", d.Resource.Environment,
			"an environment"}, {"destination.kind", d.Destination.Kind, "a kind"},
	} {
		if w.text != "" {
			checkName(bad, w.path, w.whose, w.text)
		}
	}
	currency := d.Amount.Currency
	if catalogue.IsCurrency(currency) {
		currency = ""
	}
	if d.Amount.Currency != "" && d.Amount.Value == "" {
		bad("amount",
			"there is a currency but no value; add value: with the path of the argument that holds the amount")
	}
	for _, p := range []struct{ path, arg string }{
		{"resource.id", d.Resource.ID}, {"subject", d.Subject}, {"destination.value", d.Destination.Value},
		{"amount.value", d.Amount.Value}, {"amount.currency", currency},
	} {
		checkArgument(bad, p.path, p.arg)
	}
	for i, p := range d.Ignore {
		checkArgument(bad, at("ignore", i), p)
	}
	if len(d.Labels) > event.MaxLabels {
		bad("labels", "%d labels; an event carries at most %d", len(d.Labels), event.MaxLabels)
	}
	for i, l := range d.Labels {
		checkName(bad, at("labels", i), "a label", l)
	}
	d.Names, d.Servers, d.Labels, d.Ignore = sorted(d.Names), sorted(d.Servers), sorted(d.Labels), sorted(d.Ignore)
	where := src.place(path)
	for _, n := range d.Names {
		key := [4]string{"tool", d.Tenant, n, strings.Join(d.Servers, "\x00")}
		if first, dup := c.places[key]; dup {
			bad("names", "tool %s %s is already at %s; make one entry of them, or tell them apart by servers", event.Quote(n),
				ofTenant(d.Tenant), first)
			return
		}
		c.places[key] = where
	}
	c.tools = append(c.tools, catalogue.Entry{Definition: d, Where: where.String()})
}

func checkArgument(bad report, path, arg string) {
	if arg == "" {
		return
	}
	if what := catalogue.CheckPath(arg); what != "" {
		bad(path, "argument path %s %s; write names with dots between them, as in order.items[0].id", event.Quote(arg), what)
	}
}

// newCatalogue compiles entries. It sorts them first, so that nothing depends on the order of
// files.
func newCatalogue(entries []catalogue.Entry) ([]catalogue.Definition, *catalogue.Catalogue) {
	type written struct {
		catalogue.Entry
		text string
	}
	list := make([]written, len(entries))
	for i, e := range entries {
		list[i] = written{e, string(canonical(e.Definition))}
	}
	slices.SortFunc(list, func(a, b written) int { return strings.Compare(a.text, b.text) })
	var defs []catalogue.Definition
	sorted := make([]catalogue.Entry, len(list))
	for i := range list {
		defs, sorted[i] = append(defs, list[i].Definition), list[i].Entry
	}
	return defs, catalogue.New(sorted)
}
