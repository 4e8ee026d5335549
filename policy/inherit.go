package policy

import (
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Inheritance of personas: `extends: base`. Lists of the child and of its parent are united. Of
// fields with one value the child's wins. A child may forbid what its parent allows, but not the
// reverse: to allow what a parent denies, or wants approved, is an error that stops the start.
// Name, tenant, description, agents and tests are not inherited.
//
// A tenant's persona may extend one of the same tenant or one for every tenant, such as the one
// with the same name that it replaces. A persona for every tenant cannot extend a tenant's.

// maxGenerations bounds the chain of parents.
const maxGenerations = 8

// personaInput is a persona as it was read, and its definition with what it inherits.
type personaInput struct {
	def       personaDef
	src       *source
	path      string
	key       name
	duplicate bool // another one has the same name
	depth     int  // number of its parents
	base      bool // others extend it, and no agent is listed for it
	merged    *personaDef
	from      origins // of the inherited parts
}

// origin is where a part of a definition was written.
type origin struct {
	src  *source
	path string
}

// origins are where inherited parts were written, by path.
type origins map[string]origin

// of is where the field at path was written.
func (d *personaInput) of(path string) origin {
	for p := path; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
		if o, ok := d.from[p]; ok {
			return origin{o.src, o.path + path[len(p):]}
		}
	}
	if path == "" {
		return origin{d.src, d.path}
	}
	return origin{d.src, d.path + "." + path}
}

// Base reports whether others extend the persona and no agent is listed for it.
func (p *Persona) Base() bool { return p.input.base }

func (o origin) place() place { return o.src.place(o.path) }

// report reports on a field where it was written.
func (d *personaInput) report(path, format string, args ...any) {
	o := d.of(path)
	o.src.reporter("")(o.path, format, args...)
}

// addPersona keeps a definition. inherit compiles all of them later.
func (c *collector) addPersona(def personaDef, src *source, path string) {
	c.addSource(src)
	d := &personaInput{def: def, src: src, path: path, key: name{def.Tenant, def.Name}, from: origins{}}
	c.drafts = append(c.drafts, d)
	if def.Name != "" {
		place := name{def.Tenant, event.Identity(def.Name)} // two that differ in case would be one
		if first, dup := c.places[place]; dup {
			d.report("name", "persona %s %s is already at %s; rename or remove one", event.Quote(def.Name),
				ofTenant(def.Tenant), first)
			d.duplicate = true
			return
		}
		c.places[place] = src.place(path)
	}
	for i, a := range def.Agents {
		claim := agentClaim{d.key, src.place(path + "." + at("agents", i))}
		if other, dup := c.agents[name{def.Tenant, a}]; !dup {
			c.agents[name{def.Tenant, a}] = claim
		} else if other.persona != d.key && a != "" {
			d.report(at("agents", i), "agent %s already plays %s at %s; keep it in one of them", event.Quote(a),
				event.Quote(other.persona.name), other.where)
		}
	}
}

// inherit compiles the personas that were read, each with what it inherits.
func (c *collector) inherit() {
	byName := map[name]*personaInput{}
	for _, d := range c.drafts {
		if !d.duplicate {
			byName[d.key] = d
		}
	}
	for _, d := range c.drafts {
		if parent := byName[c.parentOf(d, byName)]; parent != nil {
			parent.base = len(parent.def.Agents) == 0
		}
	}
	for _, d := range c.drafts {
		c.merge(d, byName, nil)
	}
	for _, d := range c.drafts {
		p := d.merged.compile(d.report, d.base)
		here := d.src.place(d.path)
		p.File, p.Line, p.input = here.file, here.line, d
		for i := range p.Tests {
			p.Tests[i].File, p.Tests[i].Line = p.Place(at("tests", i))
		}
		p.written = p.def
		if d.def.Extends != "" {
			p.written = d.def
			p.written.Agents, p.written.Tests = sorted(d.def.Agents), nil
		}
		if !d.duplicate && d.key.name != "" {
			c.personas[d.key] = p
		}
		if !d.duplicate {
			c.personaLimits(d)
		}
	}
	c.drafts = nil
}

// parentOf is the name of the parent: the tenant's own of that name, else the one for every tenant.
func (c *collector) parentOf(d *personaInput, byName map[name]*personaInput) name {
	if d.def.Extends == "" {
		return name{}
	}
	own := name{d.key.tenant, d.def.Extends}
	if d.key.tenant != "" && (own == d.key || byName[own] == nil) {
		return name{"", d.def.Extends}
	}
	return own
}

// merge sets the merged definition of a persona. below are the personas that extend it and led
// here, the youngest first.
func (c *collector) merge(d *personaInput, byName map[name]*personaInput, below []*personaInput) {
	if d.merged != nil {
		return
	}
	own := d.def
	d.merged = &own
	key := c.parentOf(d, byName)
	parent := byName[key]
	below = append(below, d)
	switch {
	case d.def.Extends == "":
		return
	case parent == nil:
		var names []string
		for _, o := range c.drafts {
			if o.key.name != "" && o.key.name != d.key.name && (o.key.tenant == "" || o.key.tenant == d.key.tenant) {
				names = append(names, o.key.name)
			}
		}
		i := slices.IndexFunc(c.drafts, func(o *personaInput) bool {
			return o.key.name == d.def.Extends &&
				o.key.tenant != d.key.tenant
		})
		switch {
		case i >= 0:
			d.report("extends",
				"persona %s at %s is tenant %s's own, and nobody else may extend it; extend one for every tenant, or of the same tenant",
				event.Quote(d.def.Extends), c.drafts[i].src.place(c.drafts[i].path), event.Quote(c.drafts[i].key.tenant))
		case len(names) == 0:
			d.report("extends", "there is no persona %s to extend; define it, or remove extends", event.Quote(d.def.Extends))
		default:
			d.report("extends", "there is no persona %s to extend; %s", event.Quote(d.def.Extends),
				didYouMean(d.def.Extends, sorted(names)))
		}
		return
	case slices.Contains(below, parent):
		circle := below[slices.Index(below, parent):]
		var steps []string
		for _, o := range circle {
			steps = append(steps, event.Quote(o.key.name)+" ("+o.of("extends").place().String()+")")
		}
		d.report("extends",
			"personas extend each other in a circle: %s and back to %s; remove extends from one of them",
			strings.Join(steps, " extends "), event.Quote(parent.key.name))
		return
	}
	c.merge(parent, byName, below)
	if d.depth = parent.depth + 1; d.depth == maxGenerations+1 {
		d.report("extends", "more than %d personas stand above %s; let it extend one that is nearer to the top",
			maxGenerations, event.Quote(d.key.name))
	}
	d.inheritFrom(parent)
}

// inheritFrom unites the definition with the parent's, and reports contradictions.
func (d *personaInput) inheritFrom(parent *personaInput) {
	up := parent.merged
	over := up.lists()
	for dim, l := range d.merged.lists() {
		d.takeLists(parent, Dimension(dim), l, over[dim])
	}
	scalar := func(path string, into *string, theirs string) {
		if *into == "" && theirs != "" {
			*into = theirs
			d.from[path] = parent.of(path)
		}
	}
	m := d.merged
	scalar("default", &m.Default, up.Default)
	scalar("tier.at_most", &m.Tier.AtMost, up.Tier.AtMost)
	scalar("zone", &m.Zone, up.Zone)
	scalar("approvals.valid", &m.Approvals.Valid, up.Approvals.Valid)
	scalar("severity", &m.Severity, up.Severity)
	flag := func(path string, into **bool, theirs *bool) {
		if *into == nil && theirs != nil {
			*into = theirs
			d.from[path] = parent.of(path)
		}
	}
	flag("approvals.not_self", &m.Approvals.NotSelf, up.Approvals.NotSelf)
	flag("approvals.digest", &m.Approvals.Digest, up.Approvals.Digest)
	flag("approvals.once", &m.Approvals.Once, up.Approvals.Once)
	// Hours, approvers and responses are not united: the union of two sets of hours is longer hours.
	if len(m.Hours) == 0 && len(up.Hours) > 0 {
		m.Hours = up.Hours
		d.from["hours"] = parent.of("hours")
	}
	if len(m.Approvals.By) == 0 && len(up.Approvals.By) > 0 {
		m.Approvals.By = up.Approvals.By
		d.from["approvals.by"] = parent.of("approvals.by")
	}
	if len(m.Resources.Tenants) == 0 && len(up.Resources.Tenants) > 0 {
		m.Resources.Tenants = up.Resources.Tenants
		d.from["resources.tenants"] = parent.of("resources.tenants")
	}
	if m.Respond.IsZero() && !up.Respond.IsZero() {
		m.Respond = up.Respond
		d.from["respond"] = parent.of("respond")
	}
	m.Tags = slices.Clone(m.Tags)
	for i, tag := range up.Tags {
		if !slices.Contains(m.Tags, tag) {
			d.from[at("tags", len(m.Tags))] = parent.of(at("tags", i))
			m.Tags = append(m.Tags, tag)
		}
	}
	m.Needs = slices.Clone(m.Needs)
	for i, n := range up.Needs {
		if !slices.ContainsFunc(m.Needs, n.equal) {
			d.from[at("needs_approval", len(m.Needs))] = parent.of(at("needs_approval", i))
			m.Needs = append(m.Needs, n)
		}
	}
	m.Separate = slices.Clone(m.Separate)
	for i, s := range up.Separate {
		theirs := parent.of(at("separate", i))
		if k := slices.IndexFunc(m.Separate, func(o separationDef) bool { return o.Name == s.Name }); k >= 0 {
			d.report(at("separate", k)+".name",
				"the pair %s is taken over from %s already and cannot be changed; rename it", event.Quote(s.Name),
				theirs.place())
			continue
		}
		d.from[at("separate", len(m.Separate))] = theirs
		m.Separate = append(m.Separate, s)
	}
	if parent.key.name == d.key.name {
		// The limits of the persona that it replaces hold for its name in every tenant.
		return
	}
	m.Limits = slices.Clone(m.Limits)
	for i, l := range up.Limits {
		if !slices.ContainsFunc(m.Limits, func(o limitDef) bool { return o.ID == l.ID }) {
			d.from[at("limits", len(m.Limits))] = parent.of(at("limits", i))
			m.Limits = append(m.Limits, l)
		}
	}
}

// takeLists unites the lists of one dimension.
func (d *personaInput) takeLists(parent *personaInput, dim Dimension, own, up *listsDef) {
	info := dimensionDefs[dim]
	lists, theirs := own.named(), up.named()
	skip := map[string]bool{} // entries of the parent that are dealt with
	// An entry that the parent has in a stricter list is a contradiction.
	for i, n := range lists {
		for _, o := range theirs[:i] {
			strict := glob.NewList(*o.list, info.fold)
			for k, s := range *n.list {
				plain := s
				if info.fold {
					plain = event.Lower(s)
				}
				j := slices.Index(*o.list, s)
				if j < 0 && !glob.Is(s) {
					j = strict.Find(plain)
				}
				if j < 0 {
					j = slices.Index(*o.list, "*")
				}
				if j >= 0 {
					skip[(*o.list)[j]] = true
					where := parent.of(at(info.path+"."+o.key, j))
					d.report(at(info.path+"."+n.key, k),
						"%s is %s here, but %s by %s of %s at %s; %s wins, so remove one", event.Quote(s), n.verdict.participle(),
						o.verdict.participle(),
						event.Quote((*o.list)[j]), event.Quote(parent.key.name), where.place(),
						strings.ReplaceAll(o.verdict.String(), "_", " "))
				}
			}
		}
	}
	// An entry that the child has in a stricter list replaces the parent's.
	for i, n := range lists {
		mine := *n.list
		all := slices.Clone(mine)
		if all == nil && *theirs[i].list != nil {
			all = []string{} // a list that is written and empty
		}
		for k, s := range *theirs[i].list {
			if slices.Contains(mine, s) || skip[s] {
				continue
			}
			d.from[at(info.path+"."+n.key, len(all))] = parent.of(at(info.path+"."+n.key, k))
			all = append(all, s)
		}
		for _, s := range mine {
			skip[s] = true
		}
		*n.list = all
	}
}

// personaLimits adds the limits that a persona has. They count its own calls only.
func (c *collector) personaLimits(d *personaInput) {
	prefix := "persona." + d.key.name + "."
	if d.key.tenant != "" {
		prefix = "persona." + d.key.tenant + "." + d.key.name + "."
	}
	for i, l := range d.merged.Limits {
		o := d.of(at("limits", i))
		if len(l.Where.Personas)+len(l.Where.Tenants) > 0 {
			o.src.reporter(o.path)("where",
				"a persona's limit counts its own calls alone; remove personas and tenants, or move the limit to limits/")
		}
		if l.ID != "" {
			if !IsID(d.key.name) {
				d.report("name",
					"a persona with limits gives them its name, so %s must be of letters, digits, dots, hyphens and underscores; rename it",
					event.Quote(d.key.name))
				return
			}
			l.ID = prefix + l.ID
		}
		l.Where.Personas = []string{d.key.name}
		if d.key.tenant != "" {
			l.Where.Tenants = []string{d.key.tenant}
		}
		c.addLimit(l, o.src, o.path)
		c.ofPersonas[l.ID] = true
	}
}
