package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/terminal"
)

// backtestReport is what two replays differ in.
type backtestReport struct {
	Bad    int            `json:"bad"` // records that do not decode
	Events int64          `json:"events"`
	New    int            `json:"new"`
	Lost   int            `json:"lost"`
	Same   int            `json:"same"`
	Rules  []backtestRule `json:"rules"`
	found  [2]map[string]*event.Finding
}

type backtestRule struct {
	Rule        string           `json:"rule"`
	New         int              `json:"new"`
	Lost        int              `json:"lost"`
	Same        int              `json:"same"`
	NewSamples  []backtestSample `json:"new_samples,omitempty"`
	LostSamples []backtestSample `json:"lost_samples,omitempty"`
}

type backtestSample struct {
	UID   string `json:"uid"`
	Time  string `json:"time"`
	Scope string `json:"scope"`
	Why   string `json:"why"`
}

func (r *backtestReport) compare(samples int) {
	rules := map[string]*backtestRule{}
	of := func(f *event.Finding) *backtestRule {
		name := f.Detector + "/" + f.Rule
		if rules[name] == nil {
			rules[name] = &backtestRule{Rule: name}
		}
		return rules[name]
	}
	inOrder := func(m map[string]*event.Finding) []*event.Finding {
		return slices.SortedFunc(maps.Values(m),
			func(a, b *event.Finding) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.UID, b.UID)) })
	}
	sample := func(list []backtestSample, f *event.Finding) []backtestSample {
		if len(list) < samples {
			list = append(list, backtestSample{f.UID, terminal.UTC(f.Time), f.ScopeType + " " + f.ScopeID, f.Why})
		}
		return list
	}
	for _, f := range inOrder(r.found[1]) {
		k := of(f)
		if r.found[0][f.UID] != nil {
			k.Same++
			r.Same++
			continue
		}
		k.New++
		r.New++
		k.NewSamples = sample(k.NewSamples, f)
	}
	for _, f := range inOrder(r.found[0]) {
		if r.found[1][f.UID] == nil {
			k := of(f)
			k.Lost++
			r.Lost++
			k.LostSamples = sample(k.LostSamples, f)
		}
	}
	r.Rules = []backtestRule{}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		r.Rules = append(r.Rules, *rules[name])
	}
}

func (r *backtestReport) print(w io.Writer, base, candidate string) error {
	green, red, plain := "", "", ""
	if sinks.Colour(terminal.Raw(w)) {
		w = terminal.Raw(w)
		green, red, plain = "\x1b[32m", "\x1b[31m", "\x1b[0m"
	}
	undecoded := ""
	if r.Bad > 0 {
		undecoded = fmt.Sprintf(", %d records that do not decode", r.Bad)
	}
	fmt.Fprintf(w, "%d events%s; %s against %s\n\n", r.Events, undecoded, candidate, base)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RULE\tNEW\tLOST\tSAME")
	for _, k := range r.Rules {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\n", terminal.Visible(k.Rule, 100), k.New, k.Lost, k.Same)
	}
	fmt.Fprintf(t, "all\t%d\t%d\t%d\n", r.New, r.Lost, r.Same)
	if err := t.Flush(); err != nil {
		return err
	}
	for _, k := range r.Rules {
		for _, s := range k.NewSamples {
			fmt.Fprintf(w, "%s+ %s  %s  %s: %s%s\n", green, s.Time, terminal.Visible(k.Rule, 100), terminal.Visible(s.Scope, 100),
				terminal.Visible(s.Why, 140), plain)
		}
		for _, s := range k.LostSamples {
			fmt.Fprintf(w, "%s- %s  %s  %s: %s%s\n", red, s.Time, terminal.Visible(k.Rule, 100), terminal.Visible(s.Scope, 100),
				terminal.Visible(s.Why, 140), plain)
		}
	}
	return nil
}
