package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// imports says who may know whom. Interfaces live with the caller; package instance puts a running
// engine together, and package main alone may import everything. Whoever may import event may import
// the packages below it.
var imports = map[string][]string{
	"event":           {"event/jsonscan"},
	"event/glob":      {"event"},
	"event/jsonscan":  {},
	"event/localtime": {"event"},
	"event/memo":      {},
	"event/retime":    {"event"},
	"event/spelling":  {"event"},
	"event/wire":      {"event"},
	"sketch":          {"event/wire"},
	"state":           {},
	"configs":         {},
	"rules":           {"event", "rules/expression", "sketch"},
	"catalogue":       {"event", "rules/expression"},
	"policy":          {"catalogue", "event", "rules", "rules/expression"},
	"baselines":       {"event", "sketch"},
	"formats":         {"event"},
	"sinks":           {"event"},
	"baselines/audit": {"baselines", "policy"},
	"suggest":         {"baselines", "catalogue", "detectors/rarity", "detectors/volume", "event", "policy"},
	"fleet":           {},
	"eval":            {"baselines", "detectors", "detectors/sequence", "event", "fleet", "pipeline", "pipeline/history", "policy", "sinks"},
	"detectors":       {"baselines", "catalogue", "event", "policy", "rules", "sketch"},
	// every folder of a detector, unless it stands by itself below
	"detectors/*":             {"baselines", "catalogue", "detectors", "event", "policy", "sketch"},
	"detectors/volume":        {"baselines", "catalogue", "detectors", "detectors/limit", "event", "policy", "sketch"},
	"detectors/rule":          {"baselines", "catalogue", "detectors", "detectors/rarity", "detectors/volume", "event", "policy", "rules", "rules/expression"},
	"detectors/detectorstest": {"baselines", "catalogue", "detectors", "event", "policy"},
	"rules/expression":        {"event"},
	"response":                {"event", "policy"},
	"pipeline":                {"baselines", "detectors", "detectors/all", "event", "formats", "pipeline/broker", "pipeline/history", "policy", "response", "sketch", "state"},
	"pipeline/history":        {"event", "formats", "pipeline/broker"},
	"pipeline/broker":         {},
	"config":                  {"event/spelling", "formats", "pipeline", "pipeline/broker", "policy", "sinks", "state"},
	"explain":                 {"baselines", "event", "sinks", "terminal"},
	"client":                  {"baselines", "baselines/inspect", "config", "event", "explain", "pipeline", "pipeline/broker", "terminal"},
	"instance":                {"authoring", "config", "event", "pipeline", "pipeline/broker", "policy", "sinks", "state", "terminal"},
	"rebuild":                 {"config", "pipeline", "pipeline/broker", "state"},
	"bench":                   {"config", "event", "fleet", "instance", "pipeline", "pipeline/broker", "pipeline/history"},
	"fleet/feed":              {"fleet", "pipeline/broker"},
	"terminal":                {"event"},
	"authoring":               {"catalogue", "detectors", "detectors/rule", "event", "pipeline", "pipeline/history", "policy", "rules", "rules/expression", "terminal"},
	"doctor":                  {"config", "pipeline", "pipeline/broker", "policy", "state"},
	"cmd/wayward/oracle":      {},
	"docs/samples/gateway":    {"event"},
	"baselines/inspect":       {"baselines", "baselines/audit", "detectors/rarity", "detectors/sequence", "detectors/volume", "event", "event/wire", "pipeline/history", "terminal"},
}

func TestImportsGoOneWay(t *testing.T) {
	const module = "github.com/wayward-sec/wayward/"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(words[0], module)
		may, listed := imports[pkg]
		if pkg == "cmd/wayward" {
			continue
		}
		if !listed && strings.HasPrefix(pkg, "detectors/") {
			may, listed = imports["detectors/*"], true
		}
		if !listed {
			t.Errorf("package %s is new: say in this test whom it may import, and in ARCHITECTURE.md what it is for",
				pkg)
		}
		for _, i := range words[1:] {
			ours, ok := strings.CutPrefix(i, module)
			if strings.HasPrefix(ours, "event/") && slices.Contains(may, "event") ||
				pkg == "detectors/all" && strings.HasPrefix(ours, "detectors/") {
				continue
			}
			if ok && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s: it may import only %v", pkg, ours, may)
			}
			if strings.HasPrefix(pkg, "docs/samples/") && strings.Contains(i, ".") && !strings.HasPrefix(i, module) &&
				!strings.HasPrefix(i, "github.com/twmb/franz-go/") {
				t.Errorf("%s imports %s: a sample shows the wire with a Kafka client and package event alone", pkg, i)
			}
			if strings.Contains(i, "dgraph-io/badger") && pkg != "state" {
				t.Errorf("%s imports Badger: only package state knows it", pkg)
			}
			if strings.HasSuffix(i, "/kfake") && pkg != "pipeline/broker" {
				t.Errorf("%s imports kfake: only the embedded broker knows it", pkg)
			}
		}
	}
}
