package policy

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
)

// Judgement is the verdict of a persona on one thing about a call, and where it was written.
type Judgement struct {
	Kind    string `json:"kind"` // a Violation's, or approval or separation
	Value   string `json:"value"`
	Verdict string `json:"verdict"` // a Verdict's word, or "unknown" if the event lacks the value
	Rule    string `json:"rule"`    // the entry that decided, or default
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
}

// Explain returns the verdict on a call, and the judgement of each thing about it, as Check does.
// Approvals and separated duties depend on earlier events, so it only names them.
func (j *Judge) Explain(e *event.Event, t *catalogue.Tool) (Verdict, []Judgement) {
	p := j.Persona
	vs := j.Check(e, t, e.Time, nil)
	verdict := Strongest(vs)
	if e.Kind != event.ToolCall {
		return verdict, nil
	}
	every := *p
	every.explainAll, every.judged, every.badClasses = true, 1<<Dimensions-1, 1<<(event.Delegate+1)-1
	every.OwnTenant, every.MaxTier = false, 0
	whole := *e
	whole.Phase = event.NoPhase
	var out []Judgement
	seen := map[string]bool{}
	for _, v := range every.Check(&whole, nil) {
		seen[v.Kind] = true
		out = append(out, p.explained(v))
	}
	say := func(kind, value, verdict, rule, path string) {
		jd := Judgement{Kind: kind, Value: value, Verdict: verdict, Rule: rule}
		if path != "" {
			jd.File, jd.Line = p.Place(path)
		}
		out = append(out, jd)
	}
	for d := range Dimensions {
		if p.judged&(1<<d) != 0 && !seen[d.String()] {
			say(d.String(), "", "unknown", "the event does not say", "")
		}
	}
	scalar := func(judged bool, kind, value, rule, path string) {
		if !judged {
			return
		}
		at := slices.IndexFunc(vs, func(v Violation) bool { return v.Kind == kind })
		switch {
		case at >= 0:
			say(kind, vs[at].Value, vs[at].Verdict.String(), rule, path)
		case value == "":
			say(kind, "", "unknown", "the event does not say", "")
		default:
			say(kind, value, Allow.String(), rule, path)
		}
	}
	tier := ""
	if e.Has&event.HasTier != 0 {
		tier = strconv.FormatInt(e.Agent.Tier, 10)
	}
	scalar(p.OwnTenant, tenantKind, e.Resource.Tenant, p.tenantRule, "resources.tenants")
	scalar(p.MaxTier > 0, tierKind, tier, "at most "+strconv.FormatInt(p.MaxTier, 10), "tier.at_most")
	if j.clock != nil {
		scalar(true, hoursKind, sayLocal(j.clock.Local(e.Time), j.zone), p.Hours.text, "hours")
	}
	if verdict == NeedsApproval {
		digest := "arguments unknown"
		var args Arguments
		if canonical, _ := args.Digests(e, SHA256); canonical != "" {
			digest = "arguments sha256:" + canonical
		} else if e.ArgsDigest != "" {
			digest = "arguments " + e.ArgsDigest
		}
		say("approval", digest, NeedsApproval.String(), p.Approvals.String(), "approvals")
	}
	for i, s := range p.Separate {
		for k, is := range s.Sides(e) {
			if is {
				say("separation", s.Name, Allow.String(), "never with "+s.Side(1-k)+" by one "+s.Within.String(),
					at("separate", i))
			}
		}
	}
	return verdict, out
}

// explained is a violation with the place of the entry that decided.
func (p *Persona) explained(v Violation) Judgement {
	j := Judgement{Kind: v.Kind, Value: v.Value, Verdict: v.Verdict.String(), Rule: v.Rule}
	if v.Kind == conditionKind {
		i := slices.IndexFunc(p.Conditions, func(c *Condition) bool { return c.text == v.Rule })
		j.File, j.Line = p.Place(at("needs_approval", max(i, 0)))
		return j
	}
	if v.Rule == Unreadable {
		j.Rule = "what the event says there could not be read"
		j.File, j.Line = p.Place("default")
		return j
	}
	d := Dimension(slices.IndexFunc(dimensionDefs[:], func(def dimensionDef) bool { return def.kind == v.Kind }))
	if v.Rule == byDefault {
		if v.Verdict == p.Default && (v.Verdict != Allow || p.judged&(1<<d) != 0 && len(p.Lists[d].Allow) > 0) {
			j.File, j.Line = p.Place("default")
			return j
		}
		j.Rule = "no list names it"
		return j
	}
	if d == Tools && v.Verdict == Allow && !slices.Contains(p.Lists[Tools].Allow, v.Rule) {
		j.File, j.Line = p.namedAt(v.Rule)
		return j
	}
	l := p.Lists[d]
	for _, n := range (&listsDef{l.Allow, l.Deny, l.Needs}).named() {
		if n.verdict != v.Verdict {
			continue
		}
		i := slices.IndexFunc(*n.list, func(s string) bool {
			return s == v.Rule || event.Lower(s) == v.Rule && (v.Rule == external || v.Rule == internal)
		})
		j.File, j.Line = p.Place(at(dimensionDefs[d].path+"."+n.key, max(i, 0)))
	}
	return j
}

// namedAt is where the tool stands in an entry with conditions.
func (p *Persona) namedAt(tool string) (file string, line int) {
	for i, c := range p.def.Needs {
		if k := slices.Index(c.Tools, tool); k >= 0 {
			return p.Place(at(at("needs_approval", i)+".tools", k))
		}
	}
	return "", 0
}

// Place is where a part of the persona was written. The line is 0 if it was no file.
func (p *Persona) Place(path string) (file string, line int) {
	at := p.input.of(path).place()
	return at.file, at.line
}

// String says for people which approvals count.
func (a *Approvals) String() string {
	parts := []string{"by anybody"}
	if len(a.By) > 0 {
		parts[0] = "by " + joinOr(a.By)
	}
	if a.NotSelf {
		parts = append(parts, "not the agent's own side")
	}
	if a.ValidMS > 0 {
		parts = append(parts, "valid "+FormatSpan(a.ValidMS))
	}
	switch a.Digest {
	case event.Yes:
		parts = append(parts, "of these very arguments")
	case event.Unknown:
		parts = append(parts, "of these arguments where both show a digest")
	}
	if a.Once {
		parts = append(parts, "used once")
	}
	return strings.Join(parts, ", ")
}
