package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
)

// events are the records of the topic of events, by agent; each agent's in their order.
func (d *desk) events() map[string][]*kgo.Record {
	d.Helper()
	ends, err := kadm.NewClient(d.client).ListEndOffsets(d.Context(), d.topics.Events)
	must(d, err)
	var left int64
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.broker), kgo.ConsumeTopics(d.topics.Events),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(d, err)
	defer cl.Close()
	out := map[string][]*kgo.Record{}
	for left > 0 {
		fetched := cl.PollFetches(d.Context())
		must(d, fetched.Err())
		for r := range fetched.RecordsAll() {
			out[string(r.Key)] = append(out[string(r.Key)], r)
			left--
		}
	}
	return out
}

func call(at, agent, rest string) string {
	return fmt.Sprintf(`{"time":%s,"kind":"tool_call","tenant":"acme","agent":{"id":%q},"tool":{"name":"get_order"}%s}`,
		at, agent, rest)
}

func TestSendWritesEventsAsTheyAreUnderTheirKeys(t *testing.T) {
	d := newDesk(t)
	good := []string{call("1767600000001", "a|b", ""), call(`"2026-01-05T08:00:00Z"`, "c", `, "args" : { "x":1.50 }`),
		call("1767600000003", "a|b", "")}
	file := writeFile(t, "e.jsonl", good[0]+"\n\n{\"time\":1}\r\n"+good[1]+"\r\nnothing\n"+good[2])
	_, errs, code := d.run("send", file)
	if code != 1 || !strings.Contains(errs, file+" line 3: ") || !strings.Contains(errs, file+" line 5: ") ||
		!strings.Contains(errs, "3 events sent to agent.events in ") {
		t.Errorf("exit %d: %s", code, errs)
	}
	got := map[string][]string{}
	for key, records := range d.events() {
		for _, r := range records {
			got[key] = append(got[key], string(r.Value))
		}
	}
	if diff := cmp.Diff(map[string][]string{"acme|a%7Cb": {good[0], good[2]}, "acme|c": {good[1]}}, got); diff != "" {
		t.Error(diff)
	}
	if _, errs, code := d.run("send", file, "--quiet"); code != 1 || errs != "" {
		t.Errorf("exit %d, told to be quiet: %s", code, errs)
	}
}

func TestSendNowLetsEventsHappenAgain(t *testing.T) {
	d := newDesk(t)
	file := writeFile(t, "e.jsonl", strings.Join([]string{
		call(`"2026-01-05T08:00:00.000Z"`, "a", ""),
		// 36 s later
		call("1767600036000", "a", `,"approval":{"id":"x","state":"granted","expires":"2026-01-05T09:00:00Z"}`),
		call("1767600072000", "a", ""),
	}, "\n"))
	began := time.Now()
	_, errs, code := d.run("send", file, "--now", "--speed", "100")
	took := time.Since(began)
	if code != 0 || took < 720*time.Millisecond {
		t.Errorf("exit %d after %v: %s", code, took, errs)
	}
	var decoder event.Decoder
	var first int64
	for i, r := range d.events()["acme|a"] {
		var e event.Event
		must(t, decoder.Decode(r.Value, &e))
		if i == 0 {
			first = e.Time
			if at := time.UnixMilli(e.Time); at.Before(began.Truncate(time.Millisecond)) || at.After(began.Add(took)) {
				t.Errorf("the first one happens at %v, sent from %v on for %v", at, began, took)
			}
		}
		if e.Time-first != int64(i)*360 {
			t.Errorf("event %d happens %d ms after the first", i, e.Time-first)
		}
		if ahead := e.Time - r.Timestamp.UnixMilli(); ahead > 0 { // the broker's stamp
			t.Errorf("event %d was sent %d ms before it happens", i, ahead)
		}
		if i == 1 && e.Approval.Expires-first != 36_000 {
			t.Errorf("the approval expires %d ms after the first", e.Approval.Expires-first)
		}
	}
}

func TestSendKeepsToARate(t *testing.T) {
	d := newDesk(t)
	file := writeFile(t, "e.jsonl", strings.Repeat(call("1767600000001", "a", "")+"\n", 11))
	began := time.Now()
	if _, errs, code := d.run("send", file, "--rate", "50"); code != 0 || time.Since(began) < 200*time.Millisecond ||
		len(d.events()["acme|a"]) != 11 {
		t.Errorf("exit %d after %v: %s", code, time.Since(began), errs)
	}
}

func TestSendSaysWhatItCannotDo(t *testing.T) {
	d := newDesk(t)
	one := writeFile(t, "one.jsonl", call("1767600000001", "a", ""))
	for _, x := range []struct {
		args string
		code int
		says string
	}{
		{one + " --speed 60", 2, "--speed is for --now"},
		{one + " --now --speed 0", 2, "--speed 0: use a number above 0"},
		{one + " --now --speed NaN", 2, "--speed NaN: use a number above 0"},
		{one + " --rate -1", 2, "--rate -1: use 0 to 1000000"},
		{one + "x", 2, "no such file"},
		{writeFile(t, "empty.jsonl", "\n"), 3, "there is no event in "},
		{writeFile(t, "bad.jsonl", strings.Repeat("x\n", 7)), 1, "7 records did not decode: not_json; the first is "},
	} {
		if _, errs, code := d.run(append([]string{"send"}, strings.Fields(x.args)...)...); code != x.code ||
			!strings.Contains(errs, x.says) {
			t.Errorf("%s: exit %d, want %d saying %q: %s", x.args, code, x.code, x.says, errs)
		}
	}
	if n := len(d.events()); n != 0 {
		t.Errorf("events of %d agents were sent all the same", n)
	}
	_, err := kadm.NewClient(d.client).DeleteTopic(t.Context(), d.topics.Events)
	must(t, err)
	if _, errs, code := d.run("send", one); code != 2 ||
		!strings.Contains(errs, "topic agent.events is missing: run wayward topics apply") {
		t.Errorf("without the topic: exit %d: %s", code, errs)
	}
	none := writeFile(t, "none.yaml", "brokers: ["+freePort(t)+"]\n")
	if _, errs, code := runCommand(t, "send", one, "-c", none); code != 2 || !strings.Contains(errs, "nothing listens at ") {
		t.Errorf("without a broker: exit %d: %s", code, errs)
	}
}

func TestSendCanBeInterruptedWhileItWaits(t *testing.T) {
	d := newDesk(t)
	file := writeFile(t, "e.jsonl", call("1767600000001", "a", "")+"\n"+call("1767700000000", "a", ""))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs bytes.Buffer
	ended := make(chan int)
	go func() { ended <- execute(ctx, []string{"send", file, "--now", "-c", d.config}, &out, &errs) }()
	for len(d.events()) == 0 {
		if t.Context().Err() != nil {
			return
		}
	}
	cancel()
	if code := <-ended; code != 130 || !strings.Contains(errs.String(), "1 events sent") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}
