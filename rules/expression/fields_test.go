package expression

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// elsewhere are the fields of an event that no rule asks by their own name, and why.
var elsewhere = map[string]string{
	"v":                         "there is one version",
	"id":                        "says nothing of what was done",
	"time":                      "hour, weekday, within and windows",
	"trace.span":                "changes with every call",
	"trace.parent":              "changes with every call",
	"delegation.limit.value":    "delegation.limit",
	"delegation.limit.currency": "delegation.limit is compared with amounts of its own currency",
	"tool.read_only_hint":       "tool.read_only",
	"tool.open_world_hint":      "a claim of the server that decides nothing",
	"tool.hash_version":         "part of tool.definition_hash",
	"args":                      "arg() and args.incomplete",
	"attrs":                     "nothing reads it yet",
	"provenance":                "a claim of the producer that nothing checks",
	"result.content":            "never kept; result.content_hash",
	"message.text":              "never kept; message.text_hash",
	"cost.cached_tokens":        "part of cost.usd",
	"approval.digest":           "checked by the approval detector",
	"approval.expires":          "checked by the approval detector",
	"audit.before":              "read by the detector of announced changes",
	"audit.after":               "read by the detector of announced changes",
	"source.name":               "the gateway's, not the agent's",
	"source.trusted":            "the gateway's, not the agent's",
	"source.seq":                "the gateway's, not the agent's",
	"source.sample_rate":        "the gateway's, not the agent's",
}

// derived are fields of rules that no event carries under that name: made of others.
var derived = []string{"tool.full", "tool.read_only", "destination.internal", "args.incomplete", "delegation.limit",
	"event.unreadable", "side_effect"}

// fieldGaps are the fields of events (by name) that rules cannot ask, without a reason in
// elsewhere, and those of rules that no event has.
func fieldGaps(names []string) (gaps []string) {
	asked := map[string]bool{}
	for _, f := range Fields() {
		asked[f.Name] = true
	}
	for _, name := range names {
		switch why := elsewhere[name]; {
		case asked[name] && why != "":
			gaps = append(gaps, name+" can be asked: take it out of elsewhere")
		case !asked[name] && why == "":
			gaps = append(gaps, name+" is a field of events that rules cannot ask: add it to fields.go, or say why not")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
		if !slices.Contains(names, name) {
			gaps = append(gaps, name+" is in elsewhere, and no field of events")
		}
	}
	for _, f := range Fields() {
		if f.notInEvent || strings.HasPrefix(f.Name, "has.") || slices.Contains(derived, f.Name) {
			continue
		}
		if !slices.Contains(names, f.Name) {
			gaps = append(gaps, f.Name+" is a field of rules, and none of events")
		}
	}
	for _, name := range derived {
		if !asked[name] {
			gaps = append(gaps, name+" is in derived, and no field of rules")
		}
	}
	return gaps
}

// Package event has the table of fields. Whoever adds one there has to say here what rules make of
// it; and a field of rules that no event carries any more is found.
func TestRulesKnowEveryFieldOfTheTable(t *testing.T) {
	names := event.FieldNames()
	for _, g := range fieldGaps(names) {
		t.Error(g)
	}
	if got := fieldGaps(append(slices.Clone(names), "tool.colour")); len(got) != 1 ||
		!strings.HasPrefix(got[0], "tool.colour is a field of events that rules cannot ask") {
		t.Errorf("a field that is added to the table: %q", got)
	}
	without := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "tool.server" || n == "trace.span" })
	if got := fieldGaps(without); len(got) != 2 {
		t.Errorf("fields that are taken out of the table: %q", got)
	}
}
