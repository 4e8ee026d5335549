package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/client"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
)

// learnedEngine is an engine with the embedded broker, a process of its own, and a persona that has
// been at work for some days.
type learnedEngine struct {
	*desk
	key    string
	day    int64 // midnight of the present day, Unix milliseconds
	n      int
	seen   map[string]straying // findings about sessions, by the session's name
	reader *kgo.Client         // of alerts
}

// straying is what a finding says of the baseline that it rests on.
type straying struct {
	Snapshot, State string
	alert           bool
}

const learnedDays = 8

// newLearnedEngine starts the engine, sends the days and waits until the last of them is closed.
func newLearnedEngine(t *testing.T) *learnedEngine {
	file, public := signerOf(t, "acme")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"response/response.yaml":   public,
		"personas/support.yaml":    "personas:\n  - {name: support}\n",
		"baselines/baselines.yaml": "baselines:\n  - {learn_days: 3, learn_sessions: 100}\n",
		"limits/none.yaml":         "builtin: false\n",
	} {
		name = filepath.Join(dir, "policies", name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, []byte(text), 0o644))
	}
	broker, listen := freePort(t), freePort(t)
	_, port, _ := strings.Cut(broker, ":")
	c := &learnedEngine{desk: &desk{T: t, broker: broker, config: filepath.Join(dir, "wayward.yaml")}, key: file,
		seen: map[string]straying{}}
	must(t,
		os.WriteFile(c.config,
			fmt.Appendf(nil,
				"embedded: {port: %s}\nlisten: %q\nstate: %q\npolicies: %q\ntopics: {partitions: 2, facts_partitions: 2}\n",
				port, listen, filepath.Join(dir, "state"), filepath.Join(dir, "policies")), 0o600))
	loaded, err := config.Load(c.config)
	must(t, err)
	c.topics = loaded.Topics
	self, err := os.Executable()
	must(t, err)
	engine := exec.Command(self, "run", "--config", c.config)
	engine.Env = append(os.Environ(), "WAYWARD_ROLE=wayward")
	logs := &output{}
	engine.Stdout, engine.Stderr = logs, logs
	must(t, engine.Start())
	t.Cleanup(func() {
		engine.Process.Signal(os.Interrupt)
		if err := engine.Wait(); err != nil {
			t.Errorf("the engine: %v", err)
		}
		if t.Failed() {
			t.Logf("the engine said:\n%.6000s", logs.String())
		}
	})
	untilReady(t, listen)
	c.client, err = kgo.NewClient(kgo.SeedBrokers(broker))
	must(t, err)
	t.Cleanup(c.client.Close)
	c.reader, err = kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(c.topics.Alerts),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(20*time.Millisecond),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	must(t, err)
	t.Cleanup(c.reader.Close)

	// yesterday: nothing of it is in the future
	c.day = time.Now().UTC().Truncate(24*time.Hour).UnixMilli() - baselines.DayMS
	for day := c.day - learnedDays*baselines.DayMS; day < c.day; day += baselines.DayMS {
		var events []*kgo.Record
		for k := range 40 * 6 { // forty sessions of six calls, of eight agents
			session, call := k/6, k%6
			at := day + int64(9*60+session*11)*60_000 + int64(call)*7000
			events = append(events, c.call(at, fmt.Sprintf("support-%d", session%8),
				fmt.Sprintf("s%d-%d", day/baselines.DayMS, session), []string{"search", "read", "read", "note", "reply",
					"close"}[call], 1+(k*7)%5))
		}
		must(t, c.client.ProduceSync(t.Context(), events...).FirstErr())
	}
	for k := range 8 {
		must(t, c.client.ProduceSync(t.Context(), c.call(c.day+2*3_600_000, fmt.Sprintf("support-%d", k),
			fmt.Sprint("morning", k), "search", 1)).FirstErr())
	}
	last := inspect.Day(c.day/baselines.DayMS - 1)
	if !eventually(60*time.Second, func() bool {
		out, _, code := c.run("baseline", "list", "support", "--tenant", "acme")
		return code == 0 && strings.Contains(out, last) && strings.Contains(out, "active")
	}) {
		out, errs, _ := c.run("baseline", "list", "--tenant", "acme")
		t.Fatalf("day %s was not closed:\n%s%s", last, out, errs)
	}
	return c
}

func (c *learnedEngine) call(at int64, agent, session, tool string, records int) *kgo.Record {
	c.n++
	return &kgo.Record{Topic: c.topics.Events, Key: event.AppendKey(nil, "acme", agent), Value: fmt.Appendf(nil,
		`{"id":"c%06d","time":%d,"kind":"tool_call","tenant":"acme","agent":{"id":%q},"session":%q,"persona":"support","tool":{"name":%q,"class":"read"},"result":{"outcome":"ok","records":%d}}`,
		c.n, at, agent, session, tool, records)}
}

// stray has an agent that nobody has seen read far too much in one session, and returns what is
// found of it.
func (c *learnedEngine) stray(try int) (f straying) {
	c.Helper()
	c.n++
	agent, session := fmt.Sprintf("new-%d", c.n), fmt.Sprintf("burst-%d", c.n)
	var events []*kgo.Record
	for k := range 150 {
		events = append(events, c.call(c.day+4*3_600_000+int64(try)*120_000+int64(k)*500, agent, session, "read", 40))
	}
	must(c.T, c.client.ProduceSync(c.Context(), events...).FirstErr())
	if !eventually(20*time.Second, func() bool {
		c.alerts()
		_, found := c.seen[session]
		return found
	}) {
		c.Fatalf("a burst of 150 reads was not found")
	}
	return c.seen[session]
}

// alerts reads what has come on the topic of alerts since it was last asked.
func (c *learnedEngine) alerts() {
	ctx, cancel := context.WithTimeout(c.Context(), 200*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil {
		c.reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			var a struct {
				IsAlert  bool `json:"is_alert"`
				Unmapped struct {
					Wayward struct {
						Session string
						Anomaly straying
					}
				}
			}
			must(c.T, json.Unmarshal(r.Value, &a))
			w := a.Unmapped.Wayward
			if w.Anomaly.Snapshot != "" && w.Session != "" {
				f := w.Anomaly
				f.alert = a.IsAlert || c.seen[w.Session].alert
				c.seen[w.Session] = f
			}
		})
	}
}

// order types a command and returns what is in force then.
func (c *learnedEngine) order(args ...string) (r client.BaselineOutcome, code int) {
	c.Helper()
	out, errs, code := c.run(append([]string{"baseline"}, append(args, "--reason", "drill", "--by", "alice", "--key",
		c.key, "--output", "json", "--wait", "30s")...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		c.Fatalf("%v: exit %d, %v\n%s%s", args, code, err, out, errs)
	}
	return r, code
}

// What a person orders is signed, decided by the relation shard, published, and judged by from then
// on.
func TestOrdersAboutBaselinesReachALiveEngine(t *testing.T) {
	c := newLearnedEngine(t)
	support := func(op string, args ...string) []string {
		return append(append([]string{op, "support"}, args...), "--tenant", "acme")
	}
	try := 0
	judgedBy := func(what string, r client.BaselineOutcome, alert bool) {
		t.Helper()
		var f straying
		for range 10 { // the shard of the agent hears of it a moment after the topic
			try++
			if f = c.stray(try); f.Snapshot == r.Snapshot {
				break
			}
		}
		if f.Snapshot != r.Snapshot || f.State != r.State || f.alert != alert {
			t.Errorf("%s: a burst is judged by %+v, want %+v, alert %v", what, f, r, alert)
		}
	}
	must := func(what string, want client.BaselineOutcome, args []string) client.BaselineOutcome {
		t.Helper()
		r, code := c.order(args...)
		if code != 0 || r.Refused != "" || want.State != "" && r.State != want.State || r.Frozen != want.Frozen ||
			r.Reset != want.Reset {
			t.Fatalf("%s: exit %d, %+v, want %+v", what, code, r, want)
		}
		return r
	}
	judgedBy("freeze", must("freeze", client.BaselineOutcome{State: "active", Frozen: true}, support("freeze")), true)
	must("unfreeze", client.BaselineOutcome{State: "active"}, support("unfreeze"))
	judgedBy("suspect", must("suspect", client.BaselineOutcome{State: "suspect"}, support("suspect")), false)
	judgedBy("unfreeze", must("unfreeze", client.BaselineOutcome{State: "active"}, support("unfreeze")), true)
	back := must("rollback", client.BaselineOutcome{State: "active"}, support("rollback", "--day", inspect.Day(c.day/baselines.DayMS-3)))
	judgedBy("rollback", back, true)
	if r, code := c.order(support("approve", "tool:nothing")...); code != 1 ||
		!strings.Contains(r.Refused, "nothing_waits") {
		t.Errorf("approving what does not wait: exit %d, %+v", code, r)
	}

	// Out and in again.
	file := filepath.Join(t.TempDir(), "support.jsonl")
	c.done("baseline", "export", "support", "--tenant", "acme", "--out", file)
	must("reset", client.BaselineOutcome{Reset: true}, support("reset"))
	if out, _, _ := c.run("baseline", "list", "support", "--tenant", "acme"); strings.Contains(out, "active") {
		t.Errorf("after a reset there still is\n%s", out)
	}
	if r, code := c.order(support("freeze")...); code != 1 || !strings.Contains(r.Refused, "no_baseline") {
		t.Errorf("freezing what is forgotten: exit %d, %+v", code, r)
	}
	judgedBy("import", must("import", client.BaselineOutcome{State: "active"}, []string{"import", file}), true)
}

// What waits in quarantine is learned, or kept out for good, as a person says.
func TestWhatWaitsInALiveEngineIsDecided(t *testing.T) {
	c := newLearnedEngine(t)
	o := support() // fork v4 of another installation, in which a tool and a domain wait
	_, code := c.order("import", o.file(t, o.m))
	if code != 0 {
		t.Fatalf("import: exit %d", code)
	}
	waiting := func() string {
		return c.done("baseline", "show", "support", "--tenant", "acme", "--fork", "v4")
	}
	if out := waiting(); !strings.Contains(out, "tool:bank.transfer") ||
		!strings.Contains(out, "domain:pastebin.example") {
		t.Fatalf("what waits is not shown:\n%s", out)
	}
	for _, args := range [][]string{{"approve", "support", "tool:bank.transfer"},
		{"reject", "support", "domain:pastebin.example"}} {
		r, code := c.order(append(args, "--tenant", "acme", "--fork", "v4")...)
		if code != 0 || r.Snapshot == "" {
			t.Errorf("%v: exit %d, %+v", args, code, r)
		}
		if r, code := c.order(append(args, "--tenant", "acme", "--fork", "v4")...); code != 1 || r.Refused == "" {
			t.Errorf("%v again: exit %d, %+v", args, code, r)
		}
	}
	if out := waiting(); strings.Contains(out, "tool:bank.transfer") ||
		!strings.Contains(out, "rejected: never, unless somebody approves it") {
		t.Errorf("what was decided is not so:\n%s", out)
	}
}
