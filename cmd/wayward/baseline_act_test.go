package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/client"
	"github.com/wayward-sec/wayward/event"
)

func TestOrdersOnBaselinesFollowWhatBecomesOfThem(t *testing.T) {
	d := newDesk(t)
	file, public := signer(t, "acme")
	o, other := support(), newOffice("acme", "payer", "", 3, "a")
	other.work(firstDay, 1)
	put := func(key string, value []byte) {
		if err := d.client.ProduceSync(d.Context(), &kgo.Record{Topic: d.topics.Baselines, Key: []byte(key),
			Value: value}).FirstErr(); err != nil {
			d.Error(err)
		}
	}
	write := func(m *baselines.Model) {
		keys, values := stored(m, 1000)
		for i := range keys {
			put(keys[i], values[i])
		}
	}
	frozen := baselines.Changed(o.m, baselines.Terms{}, func(m *baselines.Model) { m.Frozen = true })
	reply := map[string]func(f event.Feedback, r *kgo.Record){
		"done":   func(event.Feedback, *kgo.Record) { write(other.m); write(frozen) },
		"others": func(event.Feedback, *kgo.Record) { write(other.m) },
		"forgotten": func(event.Feedback, *kgo.Record) {
			keys, _ := stored(o.m, 1000)
			put(keys[0], nil)
		},
		"refused": func(f event.Feedback, r *kgo.Record) {
			err := d.client.ProduceSync(d.Context(), &kgo.Record{Topic: d.topics.DLQ, Key: r.Key, Value: r.Value,
				Headers: []kgo.RecordHeader{
					{Key: "reason", Value: []byte("no_snapshot")},
					{Key: "detail", Value: []byte("there is no such snapshot")}}}).FirstErr()
			if err != nil {
				d.Error(err)
			}
		},
	}
	d.answer(func(f event.Feedback, r *kgo.Record) {
		if f.Baseline != nil && f.Baseline.Op == "import" {
			if m, err := inspect.DecodeModel(f.Baseline.Model); err != nil || m.Hash() != f.Baseline.Hash ||
				f.Reason == "done" && m.Hash() != o.m.Hash() {
				d.Errorf("imports something else: %v", err)
			}
		}
		if !f.Verify(public) || f.Baseline == nil {
			d.Errorf("not signed, or no order: %s", r.Value)
		}
		reply[f.Reason](f, r)
	})
	act := func(op string, args ...string) []string {
		return append([]string{"baseline", op, "support", "--tenant", "acme", "--fork", "v4", "--by", "alice", "--key",
			file}, args...)
	}
	force := "in force: " + frozen.Snapshot() + ", active, frozen\n"
	for _, c := range []struct {
		args []string
		code int
		want string // after the first line
	}{
		{act("freeze", "--reason", "done"), 0, force},
		{act("unfreeze", "--reason", "done"), 0, force},
		{act("suspect", "--reason", "done"), 0, force},
		{act("rollback", "--day", "2026-11-10", "--reason", "done"), 0, force},
		{act("approve", "tool:bank.transfer", "--reason", "done"), 0, force},
		{act("reject", "tool:bank.transfer", "--reason", "done"), 0, force},
		{act("reset", "--reason", "forgotten"), 0, "forgotten: it begins anew\n"},
		{act("rollback", "--day", "2026-11-10", "--reason", "refused"), 1,
			"refused: no_snapshot: there is no such snapshot\n"},
		{act("freeze", "--wait", "300ms", "--reason", "forgotten"), 1,
			"nothing came within 300ms. See whether wayward run is up (/readyz), whether agent.events.dlq has the feedback with a reason why it was refused, " +
				"and whether policies/response has the key alice for this tenant\n"},
		{act("freeze", "--wait", "300ms", "--reason", "others"), 1,
			"nothing came within 300ms. See whether wayward run is up (/readyz), whether agent.events.dlq has the feedback with a reason why it was refused, " +
				"and whether policies/response has the key alice for this tenant\n"},
		{act("freeze", "--wait", "0", "--reason", "others"), 0, ""},
	} {
		out, errs, code := d.run(c.args...)
		first, rest, _ := strings.Cut(out, "\n")
		if rest != c.want || code != c.code || errs != "" ||
			!strings.HasPrefix(first, "sent: "+c.args[1]+" acme persona support, feedback ") {
			t.Errorf("%s\nexit %d, want %d; got\n%s%s", strings.Join(c.args[1:], " "), code, c.code, out, errs)
		}
	}
	exported := o.file(t, append(o.days[:3:3], o.m)...)
	out, errs, code := d.run("baseline", "import", exported, "--by", "alice", "--key", file, "--reason", "done")
	if first, rest, _ := strings.Cut(out, "\n"); code != 0 || errs != "" || rest != force ||
		!strings.HasPrefix(first, "sent: import acme persona support, feedback ") {
		t.Errorf("import: exit %d: %s%s", code, out, errs)
	}
	if _, errs, code := d.run("baseline", "import", exported, "--persona", "payer", "--by", "alice", "--key", file,
		"--reason", "done"); code != 3 || !strings.Contains(errs, "no baseline of payer") {
		t.Errorf("import of nobody: exit %d: %s", code, errs)
	}
	if _, _, code := d.run("baseline", "import", exported, "--day", "2026-11-02", "--by", "alice", "--key", file,
		"--reason", "refused"); code != 1 {
		t.Errorf("a refused import: exit %d", code)
	}
	out, _, code = d.run(act("freeze", "--reason", "done", "--output", "json")...)
	var got client.BaselineOutcome
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || len(got.Feedback) != 32 ||
		got.Snapshot != frozen.Snapshot() || !got.Frozen || got.State != "active" {
		t.Errorf("%v, exit %d: %s", err, code, out)
	}
}

func TestADryRunOfAnOrderOnABaselinePrintsASignedRecord(t *testing.T) {
	file, public := signer(t, "")
	t.Setenv(client.KeyEnv, file)
	out, errs, code := runCommand(t, "baseline", "rollback", "support", "--tenant", "acme", "--day", "2026-11-10", "--hash",
		"3fa9", "--reason", "learned from an incident", "--by", "alice", "--dry-run", "--config", "/does/not/exist")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	f, err := event.ParseFeedback([]byte(out))
	if err != nil || !f.Verify(public) {
		t.Fatalf("%v: %s", err, out)
	}
	f.ID, f.Time, f.Signature = "", 0, nil
	want := event.Feedback{Tenant: "acme", Type: event.BaselineFeedback,
		Scope:    event.Scope{Type: event.PersonaScope, ID: "support", Tenant: "acme"},
		Baseline: &event.BaselineOrder{Op: "rollback", Day: "2026-11-10", Hash: "3fa9"},
		By:       "alice", Reason: "learned from an incident"}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for args, want := range map[string]string{
		"rollback support --tenant acme --reason x --by alice":                                           `"day" not set`,
		"rollback support --tenant acme --day tuesday --reason x --by alice":                             "is no day",
		"approve support --tenant acme --reason x --by alice":                                            "accepts 2 arg(s)",
		"freeze support --reason x --by alice":                                                           `"tenant" not set`,
		"freeze support --tenant acme --reason= --by alice":                                              "--reason is empty",
		"freeze support --tenant acme --reason x --by alice --key /does/not/exist":                       "keygen makes one",
		"freeze * --tenant acme --reason x --by alice --config /does/not/exist.yaml":                     "type yes, or give --yes",
		"freeze support --tenant a|b --reason x --by alice --config /does/not/exist":                     "tenant",
		fmt.Sprintf("approve support %s --tenant acme --reason x --by alice", strings.Repeat("x", 2000)): "item",
	} {
		if _, errs, code := runCommand(t, append([]string{"baseline"}, shellWords(args)...)...); code != 2 ||
			!strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, want %q: %s", args, code, want, errs)
		}
	}
}
