package sinks

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// clean is how a text comes back: bytes that are no UTF-8 are replaced one by one.
func clean(s string) string { return string([]rune(s)) }

func cleaned(f event.Finding) event.Finding {
	for _, s := range texts(&f) {
		*s = clean(*s)
	}
	return f
}

// texts are all strings of f, with tags and references copied first.
func texts(f *event.Finding) []*string {
	f.Tags, f.Refs = append([]string(nil), f.Tags...), append([]event.Ref(nil), f.Refs...)
	all := []*string{&f.UID, &f.Tenant, &f.Detector, &f.Rule, &f.RuleVersion, &f.Title, &f.Why, &f.ScopeType,
		&f.ScopeID, &f.Agent, &f.Persona, &f.Session,
		&f.User, &f.Tool, &f.Server, &f.Target, &f.Measure, &f.Unit, &f.Observed, &f.Expected, &f.Stage, &f.Full,
		&f.Unreadable}
	for i := range f.Tags {
		all = append(all, &f.Tags[i])
	}
	for i := range f.Refs {
		all = append(all, &f.Refs[i].ID, &f.Refs[i].Agent)
	}
	if f.Anomaly == nil {
		return all
	}
	a := *f.Anomaly
	f.Anomaly = &a
	a.Scores, a.Steps = slices.Clone(a.Scores), slices.Clone(a.Steps)
	all = append(all, &a.Family, &a.Test, &a.Feature, &a.Unit, &a.Season, &a.Persona, &a.Fork, &a.Snapshot, &a.State)
	for i := range a.Scores {
		all = append(all, &a.Scores[i].Name)
	}
	for i := range a.Steps {
		s := &a.Steps[i]
		s.Usual = slices.Clone(s.Usual)
		all = append(all, &s.What)
		for j := range s.Usual {
			all = append(all, &s.Usual[j].What)
		}
	}
	return all
}

// pieces are what random texts are made of.
var pieces = []string{"a", "tool", " ", "\"", "\\", "\n", "\r", "\t", "\x00", "\x1b[2J", "\x7f", "\u009b", "é", "混",
	"🙂", "\u2028", "\u202e", "\U000e0041", "\xff", "\xc3", "\xed\xa0\x80", "|", "%", "<", "AML.T0053", "ASI02", "{",
	"[", "\ufeff", "\ufffd"}

func randomText(r *rand.Rand, max int) string {
	var b strings.Builder
	for range r.IntN(max + 1) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

func randomFinding(r *rand.Rand, length int) event.Finding {
	f := event.Finding{
		Activity: event.Activity(1 + r.IntN(2)), Analytic: event.Analytic(1 + r.IntN(3)),
		Severity: event.Severity(1 + r.IntN(5)), Class: event.Class(r.IntN(10)),
		Risk: r.IntN(101), Alert: r.IntN(2) == 0, Incomplete: r.IntN(2) == 0, Time: r.Int64N(1 << 42),
		First: r.Int64N(1 << 42), Last: r.Int64N(1 << 42),
		Now: r.Int64N(2) * r.Int64N(1<<42), Count: r.Int64(), WindowMS: r.Int64N(3) * 60000,
		Tags: make([]string, r.IntN(8)), Refs: make([]event.Ref, r.IntN(maxRefs+1)),
	}
	if r.IntN(2) == 0 {
		f.Anomaly = randomAnomaly(r)
	}
	for _, s := range texts(&f) {
		*s = randomText(r, length)
	}
	for i := range f.Refs {
		f.Refs[i].Time = r.Int64N(1 << 42)
		if r.IntN(2) == 0 || f.Refs[i].Agent == "" {
			f.Refs[i].Agent = f.Agent
		}
	}
	if f.Measure == "" {
		f.Unit, f.Observed, f.Expected = "", "", ""
	}
	return f
}

// randomAnomaly has numbers of few figures, which come back as they are.
func randomAnomaly(r *rand.Rand) *event.Anomaly {
	n := func() float64 { return float64(r.IntN(1e6)) / 1000 }
	p := func() float64 { return float64(r.IntN(1e6)) / 1e6 }
	a := &event.Anomaly{P: p(), Alpha: p(), WindowMS: r.Int64N(3) * 60000, AgentDays: r.Int64N(1 << 40),
		Agents: r.Int64N(1 << 40)}
	if r.IntN(2) == 0 {
		a.Observed, a.Expected, a.Low, a.High = n(), n(), n(), n()
	}
	for range r.IntN(4) {
		a.Scores = append(a.Scores, event.Score{P: p()})
	}
	for range r.IntN(maxSteps + 1) {
		s := event.Step{Bits: n()}
		for range r.IntN(maxUsual + 1) {
			s.Usual = append(s.Usual, event.Usual{Share: p()})
		}
		a.Steps = append(a.Steps, s)
	}
	return a
}
