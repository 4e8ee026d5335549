package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/client"
	"github.com/wayward-sec/wayward/event"
)

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
	out, errs, code := runCommand(t, "breaker", "trip", "tool", "crm|export", "--tenant", "acme", "--action", "throttle",
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
		out, errs, code := runCommandWith(t, "no\n", args...)
		if code != 2 || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit %d, %s%s; want %s", c.name, code, out, errs, c.want)
		}
		if strings.Contains(errs, "hunter2") {
			t.Errorf("%s: says what is in the file", c.name)
		}
	}
	if _, errs, code := runCommandWith(t, "yes\n", "breaker", "trip", "tenant", "acme", "--action", "block", "--reason", "x",
		"--by", "alice", "--key", file, "--config", "/does/not/exist"); code != 2 ||
		!strings.Contains(errs, "This is about acme tenant acme: all of its agents at once. Type yes to go on: ") ||
		!strings.Contains(errs, "open /does/not/exist") {
		t.Errorf("a yes: exit %d %s", code, errs)
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
