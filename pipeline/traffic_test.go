package pipeline

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/policy"
)

// Streams of events for tests: the same seed makes the same events. Agents of a traffic call tools,
// out of order if asked to, and often enough to cross the limits of the sets strict and other.

func setOf(t testing.TB, def string) *policy.Set {
	t.Helper()
	s, err := policy.Parse([]byte(def))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Sets whose limits are low, so that a short stream finds much.
const (
	strict = `{"v":1,"personas":[{"name":"clerk","default":"allow","tools":{"deny":["rm"]}}],"limits":[
{"id":"agent-calls","scope":"agent","measure":"count","max":"6","window":"1m"},{"id":"session-rows","scope":"session","measure":"records","max":"100"},
{"id":"user-calls","scope":"user","measure":"count","max":"12","window":"1m"},{"id":"user-again","scope":"user","measure":"count","max":"1","window":"1m"},{"id":"user-rows","scope":"user","measure":"records","max":"90","window":"30s","kind":"tumbling"},
{"id":"persona-calls","scope":"persona","measure":"count","max":"30","window":"1m"},{"id":"tenant-money","scope":"tenant","measure":"amount","currency":"EUR","max":"300","window":"5m"}],"rules":[
{"id":"mail-after-search","title":"x","by":["agent"],"within":"20s","suppress":"5s","steps":[{"name":"a","where":"tool.name == \"search\"","capture":{"u":"user"}},{"name":"b","where":"tool.name == \"mail\" and user != a.u"}]},
{"id":"many-mails","title":"x","by":["session"],"window":"1m","where":"tool.name == \"mail\"","let":{"n":"count()"},"having":"n > 3","explain":"string(n)"},
{"id":"passed-on","title":"x","by":["user"],"within":"30s","select":"each","steps":[{"name":"a","where":"tool.name == \"rm\"","capture":{"who":"agent.id"}},{"name":"b","where":"tool.name == \"mail\" and agent.id != a.who"}]},
{"id":"adds-up","title":"x","by":["user"],"within":"1m","suppress":"1s","steps":[{"name":"a","where":"tool.name == \"search\"","let":{"r":"sum(result.records)","d":"distinct(agent.id)"},"having":"r > 20 and d > 1"},
 {"name":"b","where":"tool.name == \"mail\" and result.records < a.r","let":{"m":"sum(amount.value)"},"having":"m > 15"}]},
{"id":"sizes","title":"x","by":["agent"],"window":"2m","suppress":"1s","where":"tool.name in [\"search\", \"mail\"]","let":{"q":"quantile(result.records, 0.5)","top":"max(result.records)","mean":"avg(amount.value)"},"having":"q > 6 and top > mean","explain":"string(q) + string(mean)"},
{"id":"forbidden","title":"x","suppress":"1s","where":"tool.name == \"rm\" and \"tool\" in role.forbids and baseline.p(\"volume\") <= 1"},
{"id":"no-mail","title":"x","by":["agent"],"suppress":"1s","steps":[{"name":"a","where":"tool.name == \"rm\""}],"absent":{"where":"tool.name == \"mail\"","for":"40s"}}]}`
	other = `{"v":1,"limits":[{"id":"agent-calls","scope":"agent","measure":"count","max":"3","window":"1m"},{"id":"user-calls","scope":"user","measure":"count","max":"12","window":"1m"}],"rules":[
{"id":"mail-after-search","title":"x","by":["agent"],"within":"20s","suppress":"5s","steps":[{"name":"a","where":"tool.name == \"search\"","capture":{"u":"user"}},{"name":"b","where":"tool.name == \"mail\" and user != a.u"}]}]}`
)

const day0 = 1_700_000_000_000

// traffic is a stream of events with disorder.
type traffic struct {
	*rand.Rand
	now    int64
	n      int
	behind int // up to so many milliseconds
	agents int
	step   int64    // at most so many milliseconds between two events; 0: 1200
	roles  []string // of the agents, in turn; nil: all are clerks
}

func (g *traffic) event() (line []byte, at int64) {
	if g.now == 0 {
		g.now = day0
	}
	g.now += g.Int64N(cmp.Or(g.step, 1200))
	if g.IntN(150) == 0 {
		g.now += 90_000
	}
	g.n++
	at = g.now
	if g.behind > 0 && g.IntN(3) == 0 {
		at -= g.Int64N(int64(g.behind))
	}
	agent := g.IntN(g.agents)
	user := fmt.Sprint("user-", g.IntN(3))
	if g.IntN(3) == 0 {
		user = fmt.Sprint("of-agent-", agent) // so that what is found about the user is about one agent
	}
	persona := "clerk"
	if len(g.roles) > 0 {
		persona = g.roles[agent%len(g.roles)]
	}
	tool := []string{"search", "search", "mail", "rm"}[g.IntN(4)]
	return fmt.Appendf(nil,
		`{"id":"e%06d","time":%d,"kind":"tool_call","tenant":"t%d","agent":{"id":"agent-%d"},"user":%q,"session":"s%d","persona":%q,"tool":{"name":%q},`+
			`"result":{"outcome":"ok","records":%d},"amount":{"value":"%d","currency":"EUR"}}`, g.n, at, g.IntN(2),
		agent,
		user, g.IntN(2), persona, tool, g.IntN(15), g.IntN(20)), at
}

func stream(seed uint64, behind, agents int) *traffic {
	return &traffic{Rand: rand.New(rand.NewPCG(seed, 99)), behind: behind, agents: agents}
}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// file is a stream as JSONL.
func file(seed uint64, n, behind, agents int) []byte {
	return fileOf(stream(seed, behind, agents), n)
}

func fileOf(g *traffic, n int) []byte {
	var b []byte
	for range n {
		line, _ := g.event()
		b = append(append(b, line...), '\n')
		if g.IntN(50) == 0 {
			b = append(append(b, line...), '\n') // the same event again
		}
	}
	return b
}

const (
	hour     = 3_600_000
	midnight = 19_675 * baselines.DayMS // before day0
)
