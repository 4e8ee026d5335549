package policy

import (
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Lint reports what is suspicious about the personas, though it is not wrong.
func (s *Set) Lint() []*Problem {
	var all []*Problem
	for _, p := range s.personas {
		bad := func(path, format string, args ...any) {
			o := p.input.of(path)
			one := source{file: o.src.file, fields: o.src.fields}
			one.reporter("")(o.path, format, args...)
			for _, w := range one.problems {
				if !slices.ContainsFunc(all, func(x *Problem) bool { return *x == *w }) {
					// it is inherited, so every child has it
					all = append(all, w)
				}
			}
		}
		p.lint(s, bad)
	}
	sortProblems(all)
	return all
}

func (p *Persona) lint(s *Set, bad report) {
	for d := range Dimensions {
		info := dimensionDefs[d]
		for _, n := range (&listsDef{p.Lists[d].Allow, p.Lists[d].Deny, p.Lists[d].Needs}).named() {
			for i, entry := range *n.list {
				if glob.Is(entry) || n.verdict == Deny || d == Destinations &&
					(event.Lower(entry) == external || event.Lower(entry) == internal) {
					continue
				}
				plain := entry
				if info.fold {
					plain = event.Lower(entry)
				}
				if r := p.ruling(d, plain); r.Verdict > n.verdict {
					bad(at(info.path+"."+n.key, i),
						"%s is %s here, but %s by %s, so this entry does nothing; remove one", event.Quote(entry),
						n.verdict.participle(), r.Verdict.participle(), event.Quote(r.Rule))
				}
			}
		}
	}
	for i, c := range p.def.Needs {
		for k, entry := range c.Tools {
			if r := p.ruling(Tools, entry); !glob.Is(entry) && r.Verdict != Allow {
				bad(at(at("needs_approval", i)+".tools", k),
					"%s needs an approval under conditions here, but is %s by %s whatever they are, so this entry does nothing; remove one",
					event.Quote(entry), r.Verdict.participle(), event.Quote(r.Rule))
			}
		}
	}
	needs := p.NeedsApproval()
	if !needs && !p.input.merged.Approvals.IsZero() && !p.input.base {
		bad("approvals", "nothing needs an approval here; add a needs_approval list, or remove approvals")
	}
	if needs && len(p.Approvals.By) == 0 && !p.input.base {
		bad("approvals", "anybody may approve who is not the agent's own side; name the approvers in approvals.by")
	}
	for i, pair := range p.Separate {
		if p.forbids(&pair.sides[0]) && p.forbids(&pair.sides[1]) {
			bad(at("separate", i),
				"both sides of %s are forbidden anyway, so the pair is never found; remove it, or allow one side",
				event.Quote(pair.Name))
		}
	}
	if p.Extends != "" {
		parent := s.byName[name{p.Tenant, event.Identity(p.Extends)}]
		if parent == nil || parent == p {
			parent = s.byName[name{"", event.Identity(p.Extends)}]
		}
		if parent != nil && p.Default < parent.Default {
			bad("default",
				"the default is %s, but that of %s is %s, so all that no list names is let go; name what is meant under allow instead",
				p.Default, event.Quote(parent.Name), parent.Default)
		}
	}
}

// forbids reports whether the persona denies every call of a side, by its names and classes.
func (p *Persona) forbids(d *side) bool {
	if d.classes != 0 {
		all := true
		for c := event.Read; c <= event.Delegate; c++ {
			all = all && (d.classes&(1<<c) == 0 || p.classRules[c].Verdict == Deny)
		}
		if all {
			return true
		}
	}
	denied := func(dim Dimension, list *glob.List) bool {
		return list != nil &&
			!slices.ContainsFunc(list.Entries, func(entry string) bool {
				return glob.Is(entry) ||
					p.ruling(dim, entry).Verdict != Deny
			})
	}
	return denied(Tools, d.tools) || denied(Servers, d.servers)
}
