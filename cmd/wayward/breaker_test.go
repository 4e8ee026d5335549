package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/client"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/terminal"
)

// desk is an embedded broker with all topics, and somebody at a terminal.
type desk struct {
	*testing.T
	broker string // address
	config string // file that names it
	topics broker.Topics
	client *kgo.Client
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	b, err := broker.StartEmbedded("", 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	d := &desk{T: t, broker: b.Addr(), topics: broker.DefaultTopics(),
		config: filepath.Join(t.TempDir(), "wayward.yaml")}
	d.topics.Partitions, d.topics.FactsPartitions = 3, 1
	if err := os.WriteFile(d.config, fmt.Appendf(nil, "brokers: [%q]\n", b.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	d.client, err = kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.client.Close)
	adm := kadm.NewClient(d.client)
	changes, err := broker.PlanTopics(t.Context(), adm, d.topics.Specs(true, 1))
	if err == nil {
		err = broker.ApplyTopics(t.Context(), adm, changes, func(broker.Change) {})
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// put writes one record under the scope's key; no value is a tombstone. at is the time of the log.
func (d *desk) put(topic string, s event.Scope, value []byte, at time.Time) {
	d.Helper()
	if err := d.client.ProduceSync(d.Context(), &kgo.Record{Topic: topic, Key: s.AppendKey(nil), Value: value,
		Timestamp: at}).FirstErr(); err != nil {
		d.Fatal(err)
	}
}

// run gives what a command says and its exit code.
func (d *desk) run(args ...string) (stdout, stderr string, code int) {
	d.Helper()
	return typed(d.T, append(args, "--config", d.config)...)
}

func typed(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code = execute(ctx, args, &out, &errs)
	return out.String(), errs.String(), code
}

// done is the output of a command that must work.
func (d *desk) done(args ...string) string {
	d.Helper()
	out, errs, code := d.run(args...)
	if code != 0 {
		d.Fatalf("wayward %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

var (
	theAgent   = event.Scope{Type: event.AgentScope, ID: "agt-7731", Tenant: "acme"}
	theSession = event.Scope{Type: event.SessionScope, ID: "s-1", Tenant: "acme", Agent: "agt-9"}
	theTool    = event.Scope{Type: event.ToolScope, ID: event.ToolID("crm", "export"), Tenant: "globex"}
	opened     = time.Date(2026, 11, 20, 14, 33, 4, 0, time.UTC)
)

func breakerOf(s event.Scope, a event.Action, epoch int64, mode string) event.Breaker {
	state := map[event.Action]string{event.Observe: "observed", event.Throttle: "throttled"}[a]
	if state == "" {
		state = "open"
	}
	return event.Breaker{Scope: s, State: state, Action: a, Epoch: epoch, Since: opened.UnixMilli(), Mode: mode,
		CommandID: fmt.Sprintf("c%d", epoch), FindingUID: "f00d",
		Reason: "moved 180000 B; the limit is 90000 B", Issuer: event.Issuer{Type: "rule", Rule: "export-volume",
			Version: "ab12"}}
}

func commandOf(s event.Scope, a event.Action, epoch int64, mode string) event.Command {
	return event.Command{ID: fmt.Sprintf("c%d", epoch), Action: a, Scope: s, Epoch: epoch, Time: opened.UnixMilli(),
		DurationMS: 900_000, Mode: mode,
		Issuer: event.Issuer{Type: "rule", Rule: "export-volume", Version: "ab12"},
		Reason: "moved 180000 B; the limit is 90000 B", FindingUID: "f00d", ReplyTo: "agent.acks"}
}

func TestBreakerListShowsThePresentOfEveryScope(t *testing.T) {
	d := newDesk(t)
	put := func(b event.Breaker) { d.put(d.topics.Breakers, b.Scope, b.Append(nil), time.Time{}) }
	put(breakerOf(theAgent, event.Throttle, 1, event.Enforce))
	last := breakerOf(theAgent, event.Block, 2, event.Enforce)
	last.Enforced, last.Until = "applied", opened.Add(15*time.Minute).UnixMilli()
	put(last)
	throttled := breakerOf(theTool, event.Throttle, 1, event.Enforce)
	throttled.Rate = event.Rate{Calls: 10, PerSeconds: 60, Classes: []event.Class{event.Send}}
	throttled.Reason = "an agent chose this \x1b[31mtext\t"
	put(throttled)
	put(breakerOf(theSession, event.Kill, 4, event.DryRun))
	put(breakerOf(event.Scope{Type: event.GlobalScope, ID: "*"}, event.Observe, 5, event.DryRun))
	gone := event.Scope{Type: event.UserScope, ID: "u-1", Tenant: "acme"}
	put(breakerOf(gone, event.Block, 3, event.Enforce))
	d.put(d.topics.Breakers, gone, nil, time.Time{})
	d.put(d.topics.Breakers, event.Scope{Type: event.UserScope, ID: "u-2", Tenant: "acme"},
		[]byte(`{"schema":"wayward.breaker/v9"}`), time.Time{})

	// A transaction that is not committed is not the present.
	txn, err := kgo.NewClient(kgo.SeedBrokers(d.broker), kgo.TransactionalID("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Close()
	aborted := breakerOf(theAgent, event.Kill, 9, event.Enforce)
	if err := txn.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := txn.ProduceSync(t.Context(), &kgo.Record{Topic: d.topics.Breakers, Key: theAgent.AppendKey(nil),
		Value: aborted.Append(nil)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := txn.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}

	out, errs, code := d.run("breaker", "list")
	want := `SCOPE                   STATE      ACTION                        EPOCH  SINCE                UNTIL                       MODE     ENFORCED    REASON
acme agent agt-7731     open       block                         2      2026-11-20 14:33:04  2026-11-20 14:48:04 (over)  enforce  applied     moved 180000 B; the limit is 90000 B
globex tool crm|export  throttled  throttle to 10 in 1m of send  1      2026-11-20 14:33:04  restored                    enforce  no ack yet  an agent chose this \x1b[31mtext\t
`
	if diff := cmp.Diff(want, out); diff != "" || code != 0 {
		t.Errorf("exit %d (-want +got):\n%s", code, diff)
	}
	wantErrs := "records of agent.breakers that cannot be read, and are left out: 1; the first: breaker: schema \"wayward.breaker/v9\", this program reads \"wayward.breaker/v1\"\n" +
		"2 more are dry_run, on which no gateway acts: --all-modes shows them\n"
	if diff := cmp.Diff(wantErrs, errs); diff != "" {
		t.Errorf("standard error (-want +got):\n%s", diff)
	}

	for args, want := range map[string]string{
		"--all-modes":                                "c2 c4 c1 c5",
		"--all-modes --tenant acme":                  "c2 c4 c5",
		"--all-modes --type session":                 "c4",
		"--all-modes --type session --tenant globex": "",
		"--all-modes --type global --tenant globex":  "c5",
		"--action block":                             "c2",
		"--action kill":                              "",
	} {
		var got []event.Breaker
		var records []json.RawMessage
		if err := json.Unmarshal([]byte(d.done(append([]string{"breaker", "list", "--output", "json"},
			strings.Fields(args)...)...)), &records); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range records {
			b, err := event.ParseBreaker(r)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b)
			ids = append(ids, b.CommandID)
		}
		if strings.Join(ids, " ") != want {
			t.Errorf("%s: got %v, want %s", args, ids, want)
		}
		if args == "--action block" {
			if diff := cmp.Diff([]event.Breaker{last}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	}
	if out, errs, _ := d.run("breaker", "list", "--type", "session"); out != "nothing is stopped\n" ||
		!strings.Contains(errs, "1 more are dry_run") {
		t.Errorf("a dry run alone: %s%s", out, errs)
	}
	if _, errs, _ := d.run("breaker", "list", "--all-modes"); !strings.Contains(errs,
		"2 of them are dry_run: no gateway acts on them") {
		t.Errorf("a dry run among others: %s", errs)
	}
}

func TestBreakerShowAndHistoryTellWhoDidWhat(t *testing.T) {
	d := newDesk(t)
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	state := breakerOf(theAgent, event.Block, 7, event.Enforce)
	state.Enforced = "applied"
	d.put(d.topics.Breakers, theAgent, state.Append(nil), at(0))
	first, second := commandOf(theAgent, event.Block, 7, event.Enforce), commandOf(theSession, event.Kill, 3,
		event.DryRun)
	d.put(d.topics.Commands, theAgent, first.Append(nil), at(0))
	d.put(d.topics.Commands, theSession, second.Append(nil), at(10))
	d.put(d.topics.Commands, theAgent, first.Append(nil), at(20)) // sent again: acks count from the first
	for i, status := range []event.AckStatus{event.Received, event.Applied} {
		a := event.Ack{CommandID: "c7", Tenant: "acme", Scope: theAgent, Epoch: 7, Time: 1, Status: status, By: "gw-1",
			Detail: "3 connections closed"}
		d.put(d.topics.Acks, theAgent, a.Append(nil), at(40+100*i))
	}
	unknown := event.Ack{CommandID: "c0", Tenant: "acme", Scope: theAgent, Epoch: 1, Time: 1, Status: event.Failed}
	d.put(d.topics.Acks, theAgent, unknown.Append(nil), at(300))
	said := event.Feedback{ID: "b1", Time: 1, Tenant: "acme", Type: event.VerdictFeedback, Scope: theAgent,
		FindingUID: "f00d", Verdict: "false_positive", By: "bob", Reason: "a new campaign"}
	d.put(d.topics.Feedback, theAgent, said.Append(nil), at(60_000))
	asked := event.Feedback{ID: "b2", Time: 1, Tenant: "acme", Type: event.RestoreFeedback, Scope: theAgent,
		By: "alice", Reason: "a new campaign"}
	d.put(d.topics.Feedback, theAgent, asked.Append(nil), at(61_000))
	restored := commandOf(theAgent, event.Restore, 8, event.Enforce)
	restored.Issuer, restored.DurationMS, restored.Reason = event.Issuer{Type: "human", By: "alice",
		Rule: "b2"}, 0, "a new campaign"
	d.put(d.topics.Commands, theAgent, restored.Append(nil), at(61_050))

	lines := func(s string) string { // without the column of times, and with one blank for many
		var b strings.Builder
		for line := range strings.Lines(strings.ReplaceAll(s, start.UTC().Format("2006-01-02")+" ", "")) {
			if f := strings.Fields(line); len(f) > 1 {
				fmt.Fprintln(&b, strings.Join(f[1:], " "))
			}
		}
		return b.String()
	}
	const story = `SCOPE EPOCH WHO WHAT AFTER WHY
acme agent agt-7731 7 rule export-volume block for 15m moved 180000 B; the limit is 90000 B
acme agent agt-7731 7 rule export-volume block for 15m moved 180000 B; the limit is 90000 B
acme agent agt-7731 7 gw-1 received 40ms 3 connections closed
acme agent agt-7731 7 gw-1 applied 140ms 3 connections closed
acme agent agt-7731 1 a gateway failed, of no command that is known
acme agent agt-7731 bob says false_positive a new campaign
acme agent agt-7731 alice asks to restore, unsigned a new campaign
acme agent agt-7731 8 alice restore a new campaign
`
	out := d.done("breaker", "show", "agent", "agt-7731", "--tenant", "acme")
	head, rest, _ := strings.Cut(out, "\n\n")
	if diff := cmp.Diff(`acme agent agt-7731 is open
  action    block
  mode      enforce
  epoch     7
  since     2026-11-20 14:33:04
  until     restored
  enforced  applied
  by        rule export-volume
  reason    moved 180000 B; the limit is 90000 B
  command   c7
  finding   f00d`, head); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(story, lines(rest)); diff != "" {
		t.Errorf("history of one (-want +got):\n%s", diff)
	}
	all := strings.Replace(story,
		"acme agent agt-7731 7 rule export-volume block for 15m moved 180000 B; the limit is 90000 B\n",
		"acme agent agt-7731 7 rule export-volume block for 15m moved 180000 B; the limit is 90000 B\nacme session s-1 of agt-9 3 rule export-volume kill for 15m, dry_run moved 180000 B; the limit is 90000 B\n",
		1)
	// it may be older than what was asked for
	all = strings.Replace(all, ", of no command that is known", "", 1)
	if diff := cmp.Diff(all, lines(d.done("breaker", "history"))); diff != "" {
		t.Errorf("history of all (-want +got):\n%s", diff)
	}
	if out := d.done("breaker", "history", "--since", "1s"); out != "no commands, acks or feedback\n" {
		t.Errorf("of the last second: %s", out)
	}
	if out := d.done("breaker", "history", "session", "s-1", "--agent", "agt-9", "--tenant", "acme"); strings.Count(out,
		"\n") != 2 || !strings.Contains(out, "kill for 15m, dry_run") {
		t.Errorf("of a session: %s", out)
	}

	var shown struct {
		Breaker *struct{ Epoch int64 }
		History []struct {
			Type    string
			Latency *int64 `json:"latency_ms"`
			Record  struct{ Status string }
		}
	}
	if err := json.Unmarshal([]byte(d.done("breaker", "show", "agent", "agt-7731", "--tenant", "acme", "--output",
		"json")), &shown); err != nil {
		t.Fatal(err)
	}
	if h := shown.History; shown.Breaker == nil || shown.Breaker.Epoch != 7 || len(h) != 8 || h[3].Type != "ack" ||
		*h[3].Latency != 140 || h[3].Record.Status != "applied" || h[0].Latency != nil {
		t.Errorf("got %+v", shown)
	}
	if out := d.done("breaker", "show", "user", "u-1", "--tenant",
		"acme"); out != "acme user u-1 is free: its breaker is closed\n\nno commands, acks or feedback\n" {
		t.Errorf("one that was never tripped: %s", out)
	}
	if out := d.done("breaker", "show", "user", "u-1", "--tenant", "acme", "--output", "json"); !strings.Contains(out,
		`"breaker": null`) || !strings.Contains(out, `"history": []`) {
		t.Errorf("one that was never tripped: %s", out)
	}
}

// signerOf makes a key with keygen, and returns the part of a policy that knows it.
func signerOf(t *testing.T, tenants string) (file, response string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "alice.pem")
	args := []string{"breaker", "keygen", "--name", "alice", "--out", file}
	if tenants != "" {
		args = append(args, "--tenant", tenants)
	}
	out, errs, code := typed(t, args...)
	if code != 0 || !strings.Contains(errs, "the private key is in "+file) {
		t.Fatalf("keygen: exit %d %s", code, errs)
	}
	return file, out
}

// signer makes a key with keygen, and has policies know it.
func signer(t *testing.T, tenants string) (file string, public ed25519.PublicKey) {
	t.Helper()
	file, out := signerOf(t, tenants)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "response"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "response", "response.yaml"), []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
	set, problems := policy.Load(dir)
	if len(problems) > 0 {
		t.Fatalf("%v in\n%s", problems, out)
	}
	k := set.Response().Key("alice")
	if k == nil || k.Serves("acme") != (tenants == "" || tenants == "acme") || k.Serves("") != (tenants == "") {
		t.Fatalf("%+v from\n%s", k, out)
	}
	return file, k.Public
}

// answer plays the other side of the wire: it checks what comes on agent.feedback and answers each
// record.
func (d *desk) answer(say func(f event.Feedback, r *kgo.Record)) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.broker), kgo.ConsumeTopics(d.topics.Feedback),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		d.Fatal(err)
	}
	ctx, cancel := context.WithCancel(d.Context())
	done := make(chan struct{})
	d.Cleanup(func() {
		cancel()
		<-done
		cl.Close()
	})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				f, err := event.ParseFeedback(r.Value)
				if err != nil || string(r.Key) != f.Scope.Key() {
					d.Errorf("%v, key %s: %s", err, r.Key, r.Value)
				}
				say(f, r)
			})
		}
	}()
}

func TestTripAndRestoreFollowWhatBecomesOfThem(t *testing.T) {
	d := newDesk(t)
	file, public := signer(t, "acme")
	reply := map[string]func(f event.Feedback, r *kgo.Record){}
	obey := func(mode string, statuses ...event.AckStatus) func(event.Feedback, *kgo.Record) {
		return func(f event.Feedback, _ *kgo.Record) {
			other := commandOf(f.Scope, event.Block, 6, event.Enforce) // somebody else's
			d.put(d.topics.Commands, f.Scope, other.Append(nil), time.Time{})
			x := commandOf(f.Scope, f.Action, 7, mode)
			if f.Type == event.RestoreFeedback {
				x.Action = event.Restore
			}
			x.DurationMS, x.Rate, x.Issuer = f.DurationMS, f.Rate, event.Issuer{Type: "human", By: f.By, Rule: f.ID}
			d.put(d.topics.Commands, f.Scope, x.Append(nil), time.Time{})
			for _, status := range statuses {
				a := event.Ack{CommandID: x.ID, Tenant: f.Tenant, Scope: f.Scope, Epoch: 7, Time: 1, Status: status,
					By: "gw-1", Detail: "told"}
				d.put(d.topics.Acks, f.Scope, a.Append(nil), time.Time{})
			}
		}
	}
	reply["applied"] = obey(event.Enforce, event.Received, event.Applied)
	reply["failed"] = obey(event.Enforce, event.Received, event.Failed)
	reply["not answered"] = obey(event.Enforce)
	reply["dry"] = obey(event.DryRun)
	reply["refused"] = func(f event.Feedback, r *kgo.Record) {
		err := d.client.ProduceSync(d.Context(), &kgo.Record{Topic: d.topics.DLQ, Key: r.Key, Value: r.Value,
			Headers: []kgo.RecordHeader{
				{Key: "reason", Value: []byte("signature")},
				{Key: "detail", Value: []byte("key alice did not sign this")}}}).FirstErr()
		if err != nil {
			d.Error(err)
		}
	}
	reply["silence"] = func(event.Feedback, *kgo.Record) {}
	d.answer(func(f event.Feedback, r *kgo.Record) {
		if !f.Verify(public) {
			d.Errorf("not signed: %s", r.Value)
		}
		reply[f.Reason](f, r)
	})

	trip := []string{"breaker", "trip", "agent", "agt-7731", "--tenant", "acme", "--by", "alice", "--key", file}
	for _, c := range []struct {
		args []string
		code int
		want string // after the first line
	}{
		{append(trip, "--action", "block", "--duration", "15m", "--reason", "applied"), 0,
			"command: block, epoch 7 for 15m\ngw-1: received, told\ngw-1: applied, told\n"},
		{append(trip, "--action", "throttle", "--calls", "10", "--per", "1m", "--class", "pay,send", "--reason",
			"applied"), 0,
			"command: throttle to 10 in 1m of pay,send, epoch 7\ngw-1: received, told\ngw-1: applied, told\n"},
		{append(trip, "--action", "kill", "--reason", "failed"), 1,
			"command: kill, epoch 7\ngw-1: received, told\ngw-1: failed, told\n"},
		{append(trip, "--action", "kill", "--wait", "1s", "--reason", "not answered"), 0,
			"command: kill, epoch 7\nno gateway has answered within 1s; look again with wayward breaker show\n"},
		{append(trip, "--action", "block", "--reason", "dry"), 0,
			"command: block, epoch 7, dry_run: no gateway acts on it (enforce: true in policies/response turns it on)\n"},
		{append(trip, "--action", "block", "--reason", "refused"), 1,
			"refused: signature: key alice did not sign this\n"},
		{append(trip, "--action", "block", "--wait", "500ms", "--reason", "silence"), 1,
			"no command came within 500ms. See whether wayward run is up (/readyz), whether agent.events.dlq has the feedback with a reason why " +
				"it was refused, whether policies/response has the key alice for this tenant, and whether the scope is under a stronger action already (wayward breaker show)\n"},
		{append(trip, "--action", "block", "--wait", "0", "--reason", "silence"), 0, ""},
		{[]string{"breaker", "restore", "session", "s-1", "--agent", "agt-9", "--tenant", "acme", "--by", "alice",
			"--key", file, "--reason", "applied"}, 0,
			"command: restore, epoch 7\ngw-1: received, told\ngw-1: applied, told\n"},
	} {
		out, errs, code := d.run(c.args...)
		first, rest, _ := strings.Cut(out, "\n")
		if rest != c.want || code != c.code || errs != "" || !strings.HasPrefix(first, "sent: ") {
			t.Errorf("%s\nexit %d, want %d; got\n%s%s", strings.Join(c.args[2:], " "), code, c.code, out, errs)
		}
	}

	out, _, code := d.run(append(trip, "--action", "block", "--reason", "applied", "--output", "json")...)
	var got struct {
		Feedback string
		Command  struct{ Epoch int64 }
		Acks     []struct{ Status string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || len(got.Feedback) != 32 ||
		got.Command.Epoch != 7 || len(got.Acks) != 2 || got.Acks[1].Status != "applied" {
		t.Errorf("%v, exit %d: %s", err, code, out)
	}
}

func TestADryRunOfATripPrintsASignedRecordAndSendsNothing(t *testing.T) {
	file, public := signer(t, "")
	t.Setenv(client.KeyEnv, file)
	out, errs, code := typed(t, "breaker", "trip", "tool", "crm|export", "--tenant", "acme", "--action", "throttle",
		"--calls", "5", "--per", "10s", "--reason", " looked <odd> ", "--by", "alice", "--dry-run",
		"--finding", "f00d", "--config", "/does/not/exist")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	f, err := event.ParseFeedback([]byte(out))
	if err != nil || !f.Verify(public) {
		t.Fatalf("%v, signed: %t: %s", err, f.Verify(public), out)
	}
	if age := time.Since(time.UnixMilli(f.Time)); age < -time.Second || age > time.Minute || len(f.ID) != 32 {
		t.Errorf("made %v ago, id %s", age, f.ID)
	}
	f.ID, f.Time, f.Signature = "", 0, nil
	want := event.Feedback{Tenant: "acme", Type: event.TripFeedback,
		Scope: event.Scope{Type: event.ToolScope, ID: "crm|export", Tenant: "acme"}, FindingUID: "f00d",
		Action: event.Throttle,
		Rate:   event.Rate{Calls: 5, PerSeconds: 10}, By: "alice", Reason: "looked <odd>"}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeSentIsSaidBeforeAnythingIs(t *testing.T) {
	file, _ := signer(t, "")
	dir := t.TempDir()
	write := func(name string, text []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	shared := write("shared.pem", text, 0o644)
	other := write("other.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	base := map[string]string{"--tenant": "acme", "--action": "block", "--reason": "x", "--by": "alice", "--key": file,
		"--config": "/does/not/exist"}
	for _, c := range []struct {
		name  string
		scope string
		flags map[string]string // "": leave the flag out
		want  string
	}{
		{"no key", "agent a", map[string]string{"--key": ""},
			"no private key: name its file with --key or $WAYWARD_KEY_FILE; wayward breaker keygen makes one"},
		{"no such key", "agent a", map[string]string{"--key": dir + "/none.pem"},
			"none.pem: no such file or directory; wayward breaker keygen makes one"},
		{"a key that others may read", "agent a", map[string]string{"--key": shared},
			"others may read it (-rw-r--r--); run chmod 600 " + shared},
		{"no key in the file", "agent a", map[string]string{"--key": write("notes.txt", []byte("hunter2"), 0o600)},
			"notes.txt: want an Ed25519 private key as PKCS #8 in PEM"},
		{"another kind of key", "agent a", map[string]string{"--key": other},
			"other.pem: want an Ed25519 private key as PKCS #8 in PEM"},
		{"a folder", "agent a", map[string]string{"--key": dir}, "not a regular file"},
		{"no reason", "agent a", map[string]string{"--reason": "  "}, "--reason is empty"},
		{"too long a reason", "agent a", map[string]string{"--reason": strings.Repeat("x", 2000)},
			"reason is 2000 bytes long, at most 1024"},
		{"an unknown action", "agent a", map[string]string{"--action": "melt"},
			`"melt" for "--action" flag: use observe, throttle, escalate, block or kill`},
		{"restore as a trip", "agent a", map[string]string{"--action": "restore"}, `"restore" for "--action" flag`},
		{"a throttle without a rate", "agent a", map[string]string{"--action": "throttle"}, "a throttle needs --calls"},
		{"a rate of a block", "agent a", map[string]string{"--calls": "3"},
			"--calls, --per and --class belong to --action throttle"},
		{"an odd rate", "agent a", map[string]string{"--action": "throttle", "--calls": "3", "--per": "1500ms"},
			"whole seconds"},
		{"an unknown class", "agent a", map[string]string{"--action": "throttle", "--calls": "3", "--per": "1m",
			"--class": "steal"}, `--class "steal" is unknown; use read`},
		{"too long a duration", "agent a", map[string]string{"--duration": "9000h"},
			"feedback: duration \"P375D\": want ISO 8601"},
		{"a negative duration", "agent a", map[string]string{"--duration": "-1s"},
			"--duration -1s: use a time such as 15m"},
		{"an unknown scope", "fleet a", nil, `there is no type of scope "fleet"; use session, agent, persona`},
		{"no id", "agent", nil, "which agent? give its id"},
		{"no tenant", "agent a", map[string]string{"--tenant": ""}, "whose agent? give --tenant"},
		{"a tenant that cannot be", "agent a", map[string]string{"--tenant": "a|b"},
			`feedback: tenant "a|b": want 1 to 64 letters`},
		{"a session of nobody", "session s", nil, "whose session? give --agent"},
		{"an agent of an agent", "agent a", map[string]string{"--agent": "b"}, "--agent is for sessions alone"},
		{"two tenants", "tenant globex", nil, "tenant globex is not --tenant acme; give one of them"},
		{"global of a tenant", "global", nil, "global is everything of every tenant: give no id and no --tenant"},
		{"a whole tenant without a yes", "tenant", nil, "give --yes"},
		{"everything without a yes", "global", map[string]string{"--tenant": ""}, "give --yes"},
		{"a config that is not there", "agent a", nil, "config: open /does/not/exist"},
		{"a whole tenant with a yes", "tenant", map[string]string{"--yes": "true"}, "config: open /does/not/exist"},
	} {
		args := append([]string{"breaker", "trip"}, strings.Fields(c.scope)...)
		flags := map[string]string{}
		for k, v := range base {
			flags[k] = v
		}
		for k, v := range c.flags {
			flags[k] = v
		}
		for k, v := range flags {
			if v != "" {
				args = append(args, k+"="+v)
			}
		}
		out, errs, code := typedWith(t, "no\n", args...)
		if code != 2 || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit %d, %s%s; want %s", c.name, code, out, errs, c.want)
		}
		if strings.Contains(errs, "hunter2") {
			t.Errorf("%s: says what is in the file", c.name)
		}
	}
	if _, errs, code := typedWith(t, "yes\n", "breaker", "trip", "tenant", "acme", "--action", "block", "--reason", "x",
		"--by", "alice", "--key", file, "--config", "/does/not/exist"); code != 2 ||
		!strings.Contains(errs, "This is about acme tenant acme: all of its agents at once. Type yes to go on: ") ||
		!strings.Contains(errs, "open /does/not/exist") {
		t.Errorf("a yes: exit %d %s", code, errs)
	}
}

func typedWith(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.WriteString(stdin)
	w.Close()
	before := os.Stdin
	os.Stdin = r
	defer func() { os.Stdin = before; r.Close() }()
	return typed(t, args...)
}

func TestKeygenNeverWritesOverAKey(t *testing.T) {
	file, _ := signer(t, "")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v", info.Mode())
	}
	out, errs, code := typed(t, "breaker", "keygen", "--name", "alice", "--out", file)
	after, err := os.ReadFile(file)
	if code != 2 || out != "" || !strings.Contains(errs, "is there already: name another file with --out") ||
		err != nil || !bytes.Equal(before, after) {
		t.Errorf("exit %d %s%s, changed: %t", code, out, errs, !bytes.Equal(before, after))
	}
	if _, errs, code := typed(t, "breaker", "keygen", "--name", "../alice"); code != 2 ||
		!strings.Contains(errs, `--name "../alice": use up to 64 letters`) {
		t.Errorf("exit %d %s", code, errs)
	}
}

func TestASignerThatTheEngineWillRefuseIsWarned(t *testing.T) {
	d := newDesk(t)
	file, _ := signer(t, "")
	policies := t.TempDir()
	if err := os.Mkdir(filepath.Join(policies, "response"), 0o755); err != nil {
		t.Fatal(err)
	}
	know := func(text string) {
		if err := os.WriteFile(filepath.Join(policies, "response", "r.yaml"), []byte("response:\n  keys:\n"+text),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	config, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.config, fmt.Appendf(config, "policies: %s\n", policies), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := client.ReadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	entry := func(name, tenants string, public []byte) string {
		text, _ := json.Marshal(public) // base64
		return fmt.Sprintf("  - {name: %s, tenants: [%q], public: %s}\n", name, tenants, text)
	}
	right := key.Public().(ed25519.PublicKey)
	for _, c := range []struct{ keys, want string }{
		{entry("alice", "acme", right), ""},
		{entry("bob", "acme", right), "has no key alice"},
		{entry("alice", "acme", make([]byte, 32)), "has another public key for alice"},
		{entry("alice", "globex", right), "does not let alice act on acme agent a"},
	} {
		know(c.keys)
		_, errs, code := d.run("breaker", "trip", "agent", "a", "--tenant", "acme", "--action", "block", "--reason",
			"x", "--by", "alice", "--key", file, "--wait", "0")
		if code != 0 || !strings.Contains(errs, c.want) || (errs == "") != (c.want == "") {
			t.Errorf("exit %d %s, want %s", code, errs, c.want)
		}
	}
}

func TestWithoutABrokerOrItsTopicsItSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	file := filepath.Join(t.TempDir(), "wayward.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, _ := signer(t, "")
	commands := [][]string{{"breaker", "list"}, {"breaker", "show", "agent", "a", "--tenant", "acme"},
		{"breaker", "history"}, {"agents", "list"}, {"agents", "show", "a"},
		{"breaker", "trip", "agent", "a", "--tenant", "acme", "--action", "block", "--reason", "x", "--by", "alice",
			"--key", key},
		{"breaker", "restore", "agent", "a", "--tenant", "acme", "--reason", "x", "--by", "alice", "--key", key,
			"--wait", "0"}}
	write(fmt.Sprintf("embedded: {port: %d}\n", port))
	start := time.Now()
	for _, args := range commands[:3] {
		_, errs, code := typed(t, append(args, "--config", file)...)
		if code != 2 ||
			!strings.Contains(errs, fmt.Sprintf("no embedded broker: nothing listens at 127.0.0.1:%d", port)) ||
			!strings.Contains(errs, "start wayward run, or name the brokers of your Kafka") {
			t.Errorf("%v: exit %d %s", args, code, errs)
		}
	}
	write(fmt.Sprintf("brokers: [%q]\n", fmt.Sprintf("127.0.0.1:%d", port)))
	if _, errs, code := typed(t, "breaker", "list", "--config", file); code != 2 ||
		!strings.Contains(errs, "nothing listens at 127.0.0.1") || strings.Contains(errs, "embedded") {
		t.Errorf("exit %d %s", code, errs)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("four commands took %v to say that there is nobody", took)
	}

	b, err := broker.StartEmbedded("", 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	write(fmt.Sprintf("brokers: [%q]\n", b.Addr()))
	for _, args := range commands {
		_, errs, code := typed(t, append(args, "--config", file)...)
		if code != 2 || !strings.Contains(errs, "is missing: run wayward topics apply") {
			t.Errorf("%v: exit %d %s", args, code, errs)
		}
	}
	for _, args := range [][]string{{"breaker", "list", "--output", "xml"}, {"breaker", "list", "--type", "fleet"},
		{"breaker", "list", "--action", "restore"}, {"breaker", "history", "--since", "-1h"},
		{"agents", "list", "--since", "-1h"}} {
		if _, errs, code := typed(t, append(args, "--config", file)...); code != 2 ||
			!strings.Contains(errs, args[2]) || !strings.Contains(errs, "use ") {
			t.Errorf("%v: exit %d %s", args, code, errs)
		}
	}
}

func TestTheEmbeddedBrokerIsFoundByItsPort(t *testing.T) {
	d := newDesk(t)
	_, port, err := net.SplitHostPort(d.broker)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.config, []byte("embedded: {port: "+port+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := d.done("breaker", "list"); out != "nothing is stopped\n" {
		t.Error(out)
	}
}

func TestInventoryIsShown(t *testing.T) {
	d := newDesk(t)
	put := func(x event.Thing) {
		if err := d.client.ProduceSync(t.Context(), &kgo.Record{Topic: d.topics.Inventory, Key: x.AppendKey(nil),
			Value: x.Append(nil)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	old, now := opened.UnixMilli(), time.Now().UnixMilli()
	put(event.Thing{Kind: "agent", Tenant: "acme", ID: "agt-1", First: old, Last: old, Registered: event.Unregistered})
	put(event.Thing{Kind: "agent", Tenant: "acme", ID: "agt-1", First: old, Last: old + 60_000, Persona: "support",
		Owner: "team-a", Model: "m-1", Version: "1.2", Versions: []string{"1.1", "1.2"}, Tier: 2,
		Registered: event.Registered})
	put(event.Thing{Kind: "agent", Tenant: "acme", ID: "agt-2\x1b[2J", First: old, Last: now,
		Registered: event.Unregistered})
	put(event.Thing{Kind: "agent", Tenant: "globex", ID: "agt-1", First: old, Last: old, Registered: event.Registered,
		Retired: true})
	put(event.Thing{Kind: "tool", Tenant: "acme", ID: "export", Server: "crm", First: old, Last: old,
		DefinitionHash: "0123456789abcdef", Class: event.Send, Registered: event.Unkept})
	put(event.Thing{Kind: "server", Tenant: "acme", ID: "crm", First: old, Last: old, Registered: event.Unkept})

	if diff := cmp.Diff(`TENANT  AGENT         PERSONA  VERSION  FIRST SEEN           LAST SEEN            INVENTORY
acme    agt-1         support  1.2      2026-11-20 14:33:04  2026-11-20 14:34:04  registered
acme    agt-2\x1b[2J  -        -        2026-11-20 14:33:04  `+terminal.UTC(now)+`  unregistered
globex  agt-1         -        -        2026-11-20 14:33:04  2026-11-20 14:33:04  retired
`, d.done("agents", "list")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for args, want := range map[string][]string{
		"agents list --unregistered":             {`agt-2\u001b[2J`, "agt-1"},
		"agents list --unregistered --since 10m": {`agt-2\u001b[2J`},
		"agents list --tenant globex":            {"agt-1"},
		"agents list --tenant nobody":            nil,
		"agents show agt-1":                      {"agt-1", "agt-1"},
	} {
		var got []struct{ ID string }
		out := d.done(append(strings.Fields(args), "--output", "json")...)
		if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != len(want) {
			t.Errorf("%s: %v in %s", args, err, out)
		}
		for _, id := range want {
			if !strings.Contains(out, `"`+id+`"`) {
				t.Errorf("%s lacks %s: %s", args, id, out)
			}
		}
	}
	if diff := cmp.Diff(`agent agt-1 of acme
  inventory   registered
  first seen  2026-11-20 14:33:04
  last seen   2026-11-20 14:34:04
  persona     support
  owner       team-a
  model       m-1
  version     1.2
  versions    1.1, 1.2
  tier        2
`, d.done("agents", "show", "agt-1", "--tenant", "acme")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for args, want := range map[string]string{
		"agents show agt-1": "agents of several tenants have this id: give --tenant",
		"agents show agt-9": `no agent "agt-9" was seen`} {
		if _, errs, code := d.run(strings.Fields(args)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d %s", args, code, errs)
		}
	}

	tools := func(args ...string) string {
		cmd := newToolsList()
		var out, errs bytes.Buffer
		cmd.SetArgs(append(args, "--config", d.config))
		cmd.SetOut(&out)
		cmd.SetErr(&errs)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("%v %s", err, &errs)
		}
		return out.String()
	}
	if diff := cmp.Diff(`TENANT  TOOL    SERVER  CLASS  DEFINITION     FIRST SEEN           LAST SEEN            INVENTORY
acme    export  crm     send   0123456789ab…  2026-11-20 14:33:04  2026-11-20 14:33:04  -
`, tools()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := tools("--servers"); !strings.HasPrefix(got, "TENANT  SERVER  FIRST SEEN ") ||
		!strings.Contains(got, "\nacme    crm     2026-11-20 14:33:04") {
		t.Errorf("servers: %s", got)
	}
	if got := tools("--unregistered"); got != "none seen\n" {
		t.Errorf("nothing is unregistered where nothing is registered: %s", got)
	}
}

func TestShellsAreOfferedTheWords(t *testing.T) {
	for args, want := range map[string]string{
		"breaker trip ":                "session agent persona tool server user tenant global",
		"breaker restore ":             "session agent persona tool server user tenant global",
		"breaker show ":                "session agent persona tool server user tenant global",
		"breaker history ":             "session agent persona tool server user tenant global",
		"breaker trip agent ":          "",
		"breaker trip agent --action ": "observe throttle escalate block kill",
		"breaker list --type ":         "session agent persona tool server user tenant global",
		"breaker list --action ":       "observe throttle escalate block kill",
		"agents list --output ":        "table json",
		"baseline list --output ":      "table json",
		"baseline show --output ":      "text json",
		"explain --output ":            "text json",
		"schema ":                      "event command breaker ack feedback",
	} {
		out, _, _ := typed(t, append([]string{"__complete"}, strings.Split(args, " ")...)...)
		var words []string
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, ":") && !strings.HasPrefix(line, "--") {
				// flags that are still wanted are offered, too
				words = append(words, strings.TrimSpace(line))
			}
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%q: got %s, want %s", args, got, want)
		}
	}
}

func TestSchemasArePrinted(t *testing.T) {
	for _, name := range append(event.Schemas(), "") {
		args := []string{"schema", name}
		if name == "" {
			name, args = "event", args[:1]
		}
		if out, errs, code := typed(t, args...); code != 0 || out != string(event.SchemaOf(name)) {
			t.Errorf("%s: exit %d %s", name, code, errs)
		}
	}
	if _, errs, code := typed(t, "schema", "commands"); code != 2 ||
		!strings.Contains(errs, `there is no schema "commands"; use event, command, breaker, ack, feedback`) {
		t.Errorf("exit %d %s", code, errs)
	}
}
