package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
)

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
