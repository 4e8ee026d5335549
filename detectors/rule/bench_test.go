package rule

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

var benchTools = []struct {
	name  string
	class event.Class
}{{"crm.search", event.Read}, {"crm.get", event.Read}, {"crm.update", event.Write}, {"mail.send", event.Send},
	{"pay.refund", event.Pay}, {"db.query", event.Read}, {"db.delete", event.Delete},
	{"shell.run", event.Exec}, {"iam.grant", event.Grant}, {"files.read", event.Read}}

// manyRules is a set of n rules on single events and some sequences of three steps. Seven in ten
// name a tool, as rules in the field do.
func manyRules(t testing.TB, n, sequences int) *policy.Set {
	var list []map[string]any
	for i := range n {
		tool := benchTools[(i/10+i)%len(benchTools)]
		where := ""
		switch i % 10 {
		case 0, 1:
			where = fmt.Sprintf(`tool.name == %q and user != "admin" and result.bytes > %d`, tool.name, 1_000_000+i)
		case 2:
			where = fmt.Sprintf(`tool.name in ["pay.refund", "mail.send", "iam.grant"] and result.records > %d`, 5000+i)
		case 3:
			where = fmt.Sprintf(
				`kind == "tool_call" and tool.server startsWith "mcp-" and result.records > %d and amount.value > 3.5`,
				5000+i)
		case 4:
			where = fmt.Sprintf(`tool.name == "files.read" and arg("path") matches "^/etc/(passwd|shadow|k%d)"`, i)
		case 5:
			where = fmt.Sprintf(`tool.name == "mail.send" and any(resource.labels, # == "pii%d")`, i)
		case 6:
			where = fmt.Sprintf(`tool.name == %q and hour < 1 and agent.tier > %d`, tool.name, i)
		case 7:
			where = fmt.Sprintf(
				`tool.name == "db.query" and (arg("q") contains "drop table %d" or arg("q") contains "union select")`,
				i)
		case 8:
			where = fmt.Sprintf(`tool.class == %q and result.outcome == "denied" and intent == "i%d"`, tool.class, i)
		case 9:
			where = fmt.Sprintf(
				`tool.class == "pay" and not domain(destination.domain, "d%d.example") and amount.value > %d`, i,
				100_000+i)
		}
		list = append(list, map[string]any{"id": fmt.Sprint("rule-", i), "title": "t", "where": where})
	}
	for i := range sequences {
		list = append(list, map[string]any{"id": fmt.Sprint("sequence-", i), "title": "t", "by": []string{"agent"},
			"within": "10m", "steps": []map[string]any{
				{"name": "a", "where": fmt.Sprintf(`tool.name == "iam.grant" and subject == "s%d"`, i),
					"capture": map[string]string{"who": "subject"}},
				{"name": "b", "where": fmt.Sprintf(`tool.name == "db.delete" and subject == "s%d"`, i)},
				{"name": "c", "where": `tool.name == "mail.send" and subject == a.who`}}})
	}
	text, err := json.Marshal(map[string]any{"v": 1, "limits": []any{}, "personas": []any{}, "rules": list})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// BenchmarkRules is what 100 rules on single events and 20 sequences of three steps cost an event
// of 10,000 agents, alone and together. Of the events a share moves a sequence on.
func BenchmarkRules(b *testing.B) {
	for _, c := range []struct {
		name             string
		rules, sequences int
	}{{"100 rules and 20 sequences", 100, 20}, {"100 rules", 100, 0}, {"20 sequences", 0, 20},
		{"1000 rules", 1000, 0}} {
		b.Run(c.name, func(b *testing.B) {
			set := manyRules(b, c.rules, c.sequences)
			d := newRules(9, set).(*ruleRunner)
			who := detectors.New(set).Who("acme", "clerk", "")
			r := rand.New(rand.NewPCG(1, 1))
			const agents = 10_000
			memories := make([]detectors.Memory, agents)
			events := make([]event.Event, 1<<14)
			at := make([]int, len(events))
			for i := range events {
				tool := benchTools[r.IntN(len(benchTools))]
				at[i] = r.IntN(agents)
				events[i] = event.Event{ID: fmt.Sprint("e", i), Time: int64(i), Kind: event.ToolCall, Tenant: "acme",
					Persona: "clerk", User: "u", Agent: event.Agent{ID: fmt.Sprint("agent-", at[i])}, Session: "s",
					Tool:    event.Tool{Name: tool.name, Server: "mcp-x", Class: tool.class},
					Subject: fmt.Sprint("s", r.IntN(400)), Has: event.HasRecords | event.HasBytes,
					Result: event.ResultOf{Outcome: event.OK, Records: int64(r.IntN(100)),
						Bytes: int64(r.IntN(100_000))},
					Args: []byte(
						`{"path":"/var/data/customers/export.csv","q":"select id, name from accounts where region = 'eu'","limit":10}`)}
			}
			counted := &detectorstest.NoHost{}
			x := detectors.Scene{Host: counted, Who: who}
			moved := 0
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				j := i & (len(events) - 1)
				x.Time, x.Agent = int64(i), &memories[at[j]]
				d.Observe(&x, &events[j])
				if len(d.hits) > 0 {
					moved++
				}
			}
			b.ReportMetric(100*float64(moved)/float64(b.N), "%moved")
		})
	}
}

func BenchmarkLoadRules(b *testing.B) { // 1,000 rules
	text := manyRules(b, 1000, 0).Bytes()
	for range b.N {
		if _, err := policy.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
