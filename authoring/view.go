package authoring

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
	"github.com/wayward-sec/wayward/rules/expression"
)

// View is a rule for people: what it is for and how it runs.
type View struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Version  string   `json:"version"`
	Status   string   `json:"status"`
	Mode     string   `json:"mode"`
	Severity string   `json:"severity"`
	Stage    string   `json:"stage"`
	Why      string   `json:"why,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	By       []string `json:"by"`
	Form     string   `json:"form"`
	Tests    int      `json:"tests"`
	File     string   `json:"file"`
	FalsePos []string `json:"false_positives,omitempty"`
	Response string   `json:"response,omitempty"`
	Tune     string   `json:"tune,omitempty"`
	// Machine has the expressions that run on the slow virtual machine, with the reason.
	Machine map[string]string `json:"needs_the_machine,omitempty"`
}

// ViewOf is the view of a rule of a set.
func ViewOf(set *policy.Set, r *rules.Rule) View {
	v := View{ID: r.ID, Title: r.Title, Version: r.Version, Status: r.Status, Mode: r.Mode.String(),
		Severity: r.Severity.String(), Stage: "behaviour", Why: r.Why,
		Tags: r.Tags, File: set.RuleFile(r.ID), FalsePos: r.FalsePositives, Response: r.Response, Tune: r.Tune,
		Form: "event", Machine: map[string]string{}}
	if r.ForRelationStage() {
		v.Stage = "relation"
	}
	for _, k := range r.By {
		v.By = append(v.By, k.String())
	}
	switch {
	case r.Having != nil:
		v.Form = "window of " + policy.FormatSpan(r.Window)
	case r.Absent != nil:
		v.Form = "absence"
	case len(r.Steps) > 1 || r.Within > 0:
		v.Form = "sequence within " + policy.FormatSpan(r.Within)
	}
	for _, t := range set.RuleTests() {
		if t.Rule == r.ID {
			v.Tests++
		}
	}
	for where, x := range r.Expressions() {
		if x.VM != "" {
			v.Machine[where] = x.VM
		}
	}
	return v
}

// Rule finds a rule by its id.
func Rule(set *policy.Set, id string) (*rules.Rule, error) {
	var ids []string
	for _, r := range set.Rules() {
		if r.ID == id {
			return r, nil
		}
		ids = append(ids, r.ID)
	}
	return nil, fmt.Errorf("there is no rule %q; there are: %s", id, cmp.Or(strings.Join(ids, ", "), "none"))
}

// Index says for which events a condition is evaluated at all, by its prefilter.
func Index(g *expression.Prefilter) string {
	var out []string
	if g.Tools != nil {
		out = append(out, "tool "+strings.Join(g.Tools, ", "))
	}
	for c, word := range append([]string{"no class"}, event.Classes()...) {
		if g.Classes>>c&1 != 0 {
			out = append(out, "class "+word)
		}
	}
	for k := event.ToolCall; k <= event.Session; k++ {
		if g.Kinds>>k&1 != 0 {
			out = append(out, "kind "+k.String())
		}
	}
	return cmp.Or(strings.Join(out, "; "), "none: it is looked at with every event")
}
