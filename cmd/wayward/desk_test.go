package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
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
	return runCommand(d.T, append(args, "--config", d.config)...)
}

func runCommand(t *testing.T, args ...string) (stdout, stderr string, code int) {
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

// signerOf makes a key with keygen, and returns the part of a policy that knows it.
func signerOf(t *testing.T, tenants string) (file, response string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "alice.pem")
	args := []string{"breaker", "keygen", "--name", "alice", "--out", file}
	if tenants != "" {
		args = append(args, "--tenant", tenants)
	}
	out, errs, code := runCommand(t, args...)
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

func runCommandWith(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
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
	return runCommand(t, args...)
}
