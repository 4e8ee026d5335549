package pipeline

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
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

func act(agent, session, tool string, n int, t int64, records int64) *event.Event {
	return &event.Event{ID: fmt.Sprint("e", n), Time: t, Kind: event.ToolCall, Tenant: "acme", Persona: "clerk",
		Agent: event.Agent{ID: agent}, Session: session,
		Tool: event.Tool{Name: tool, Class: event.Read}, Has: event.HasRecords,
		Result: event.ResultOf{Outcome: event.OK, Records: records}}
}

// lineOf is the record of a call as act and crowd make it.
func lineOf(e *event.Event) []byte {
	b := fmt.Appendf(nil, `{"id":%q,"time":%d,"kind":"tool_call","tenant":%q,"agent":{"id":%q},"tool":{"name":%q,"class":%q}`,
		e.ID, e.Time, e.Tenant, e.Agent.ID, e.Tool.Name, e.Tool.Class)
	for _, f := range []struct{ name, value string }{{"persona", e.Persona}, {"user", e.User}, {"session", e.Session}} {
		if f.value != "" {
			b = fmt.Appendf(b, `,%q:%q`, f.name, f.value)
		}
	}
	if e.Has&event.HasRecords != 0 {
		b = fmt.Appendf(b, `,"result":{"outcome":"ok","records":%d}`, e.Result.Records)
	}
	if e.Has&event.HasAmount != 0 {
		b = fmt.Appendf(b, `,"amount":{"value":"%d","currency":%q}`, e.Amount.Micro/1_000_000, e.Amount.Currency)
	}
	return append(b, '}')
}

// crowd makes decoded events of many agents at honest work: ten events a millisecond, no disorder.
func crowd(n, agents int) []event.Event {
	r := rand.New(rand.NewPCG(1, 1))
	out := make([]event.Event, n)
	for i := range out {
		a := r.IntN(agents)
		out[i] = event.Event{ID: fmt.Sprintf("01JC%08d", i), Time: day0 + int64(i)/10, Kind: event.ToolCall,
			Tenant: "acme", Persona: "clerk", User: fmt.Sprint("user-", a%2000),
			Agent: event.Agent{ID: fmt.Sprintf("agent-%05d", a)}, Session: fmt.Sprint("s", i/(100*agents)),
			Tool: event.Tool{Name: "crm.search", Class: event.Read},
			Has:  event.HasRecords, Result: event.ResultOf{Outcome: event.OK, Records: int64(r.IntN(5))}}
	}
	return out
}

const crowdAgents = 10_000

func perSecond(b *testing.B, n int, what string) {
	b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), what+"/s")
}

// slide moves events on, so that a window never fills and every id is new.
func slide(e *event.Event, round int) {
	e.Time += 60_000
	id := []byte(e.ID)
	for i := range 4 {
		id[i] = byte('A' + round%26)
		round /= 26
	}
	e.ID = string(id)
}

// keyOf is somebody's private key.
func keyOf(name string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{name[0]}, ed25519.SeedSize))
}

func publicOf(name string) string {
	return base64.StdEncoding.EncodeToString(keyOf(name).Public().(ed25519.PublicKey))
}

// Personas that respond, each at another scope; more is what stands beside enforce.
func armed(enforce bool, more string) string {
	return fmt.Sprintf(`{"v":1,"personas":[
{"name":"clerk","default":"allow","tools":{"deny":["rm"]},"respond":{"action":"block","scope":"agent","duration":"1m"}},
{"name":"courier","default":"allow","tools":{"deny":["rm"]},"respond":{"action":"kill","scope":"session"}},
{"name":"porter","default":"allow","tools":{"deny":["rm"]},"respond":{"action":"block","scope":"user","duration":"2m"}},
{"name":"guide","default":"allow","tools":{"deny":["rm"]},"respond":{"action":"throttle","scope":"tool","calls":"5","per":"1m","duration":"30s"}}],
"limits":[{"id":"much","scope":"agent","measure":"count","max":"3","window":"1m","respond":{"action":"throttle","calls":"2","per":"1m","duration":"5m"}},
{"id":"user-much","scope":"user","measure":"count","max":"7","window":"1m","respond":{"action":"kill","duration":"4m"}}],
"inventory":[{"kind":"agent","names":["agent-0","agent-1","agent-2","agent-3","agent-4","agent-5","agent-6"]},{"kind":"settings","respond":{"action":"escalate","scope":"agent","duration":"3m"}}],
"response":[{"enforce":%v,"keys":[{"name":"alice","tenants":["*"],"public":%q},{"name":"bob","tenants":["t1"],"public":%q}]%s}]}`, enforce, publicOf("alice"), publicOf("bob"), more)
}

var roles = []string{"clerk", "courier", "porter", "guide", "clerk"}

// work is a stream of agents of several personas and versions, in sessions, over days; disorderly,
// with events that are late and times without any.
func work(seed uint64, days int) (lines []byte) {
	for _, line := range workOf(seed, days, true) {
		lines = append(append(lines, line...), '\n')
	}
	return lines
}

func workOf(seed uint64, days int, disorder bool) (lines [][]byte) {
	r := rand.New(rand.NewPCG(seed, 5))
	n := 0
	for at := int64(midnight + 5*hour); at < midnight+int64(days)*baselines.DayMS; at += r.Int64N(12 * 60_000) {
		if disorder && r.IntN(400) == 0 {
			at += 3 * hour
		}
		agent, phase, kind := r.IntN(12), "", "tool_call"
		if r.IntN(12) == 0 {
			kind, phase = "session", `"phase":"end",`
		}
		version := ""
		if agent%3 == 0 {
			version = fmt.Sprintf(`,"version":"v%d"`, agent)
			if disorder {
				// a new version is something that the relation stage tells, and when a live shard
				// hears of it is not when a replay does
				version = fmt.Sprintf(`,"version":"v%d"`, (at-midnight)/(2*baselines.DayMS))
			}
		}
		t := at
		if disorder && r.IntN(20) == 0 {
			t -= r.Int64N(3 * hour)
		}
		n++
		lines = append(lines,
			fmt.Appendf(nil,
				`{"id":"w%06d","time":%d,"kind":%q,%s"tenant":"t%d","agent":{"id":"agent-%d"%s},"session":"s%d","persona":%q,"tool":{"name":"search"},"result":{"outcome":"ok","records":%d}}`,
				n, t, kind, phase, agent%2, agent, version, r.IntN(3), []string{"clerk", "porter", ""}[agent%3],
				r.IntN(9)))
	}
	return lines
}

const tiedRule = `{"v":1,"rules":[{"id":"r","title":"t","by":["user"],"within":"30d","suppress":"1s","steps":[
	{"name":"a","where":"tool.class == \"read\""},{"name":"b","where":"tool.class == \"send\""}]}]}`

// tied are events of several agents and users, many of them of one millisecond, and the ids of
// those that complete the sequence of tiedRule by the order of the lines.
func tied(n int) (lines [][]byte, want []string) {
	g := rand.New(rand.NewPCG(7, 7))
	armed, last := map[int]bool{}, map[int]int{}
	for i := range n {
		user := g.IntN(5)
		for range 1 + g.IntN(4) {
			class, id := []string{"read", "send", "write"}[g.IntN(3)], fmt.Sprintf("%08x", g.Uint32())
			lines = append(lines,
				fmt.Appendf(nil,
					`{"time":%d,"id":%q,"kind":"tool_call","tenant":"acme","agent":{"id":"a%d"},"user":"u%d","tool":{"name":"x","class":%q},"result":{"outcome":"ok"}}`+
						"\n",
					day0+int64(i)*2000, id, g.IntN(20), user, class))
			switch {
			case class == "read":
				armed[user] = true
			case class == "send" && armed[user]:
				armed[user] = false
				if last[user] != i+1 { // else it is in the finding before
					want = append(want, id)
				}
				last[user] = i + 1
			}
		}
	}
	slices.Sort(want)
	return lines, want
}
