package expression

import (
	"slices"
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

// One table has the fields of an event. Whoever adds one there has to say here what rules make of it;
// and a field of rules that no event carries any more is found.
func TestRulesKnowEveryFieldOfTheTable(t *testing.T) {
	asked := map[string]bool{}
	for _, f := range Fields() {
		asked[f.Name] = true
	}
	names := event.FieldNames()
	for _, name := range names {
		switch why := elsewhere[name]; {
		case asked[name] && why != "":
			t.Errorf("%s can be asked: take it out of elsewhere", name)
		case !asked[name] && why == "":
			t.Errorf("%s is a field of events that rules cannot ask: add it to fields.go, or say why not", name)
		}
	}
	for name := range elsewhere {
		if !slices.Contains(names, name) {
			t.Errorf("elsewhere has %s, which is no field of events", name)
		}
	}
	for _, f := range Fields() {
		if f.notInEvent || len(f.Name) > 4 && f.Name[:4] == "has." || slices.Contains(derived, f.Name) {
			continue
		}
		if !slices.Contains(names, f.Name) {
			t.Errorf("rules have %s, which is no field of events", f.Name)
		}
	}
	for _, name := range derived {
		if !asked[name] {
			t.Errorf("derived has %s, which rules do not have", name)
		}
	}
}
