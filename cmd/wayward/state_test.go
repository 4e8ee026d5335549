package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/cmd/wayward/oracle"
	"github.com/wayward-sec/wayward/state"
)

// conf writes the config file of an engine of the testbed.
func (a *testbed) conf(spec engineSpec) string {
	facts := ""
	if spec.Facts > 0 {
		facts = fmt.Sprintf(", facts_partitions: %d", spec.Facts)
	}
	name := filepath.Join(a.dir, fmt.Sprintf("%s-%d.yaml", spec.Instance, time.Now().UnixNano()))
	must(a.t,
		os.WriteFile(name,
			fmt.Appendf(nil,
				"brokers: [%q]\ngroup: %swayward\ninstance: %q\nstate: %s\npolicies: %s\ntopics: {prefix: %q%s}\n",
				a.brokers[0], a.prefix, spec.Instance, spec.State, a.policies, a.prefix, facts), 0o600))
	return name
}

// since are the records of a topic from offsets on.
func (a *testbed) since(topic string, from map[int32]int64) []*kgo.Record {
	return slices.DeleteFunc(a.read(topic), func(r *kgo.Record) bool { return r.Offset < from[r.Partition] })
}

func (a *testbed) ends(topic string) map[int32]int64 {
	ends, err := a.adm.ListEndOffsets(context.Background(), topic)
	must(a.t, err)
	out := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
	return out
}

func uidsOf(t *testing.T, alerts []*kgo.Record) []string {
	uids := map[string]bool{}
	for _, r := range alerts {
		x, err := oracle.ReadAlert(r)
		must(t, err)
		if !strings.HasPrefix(x.Rule, "response/") {
			// whether a command is answered in time is the wall clock's
			uids[x.UID] = true
		}
	}
	return slices.Sorted(maps.Keys(uids))
}

// The life of an operator: state is looked at, verified, found damaged, rebuilt on this disk; then
// the number of partitions changes, everything is rebuilt from the events, and the findings are the
// same, with equal ids.
func TestStateInfoVerifyRebuild(t *testing.T) { stateLife(t, nil, 1500*time.Millisecond) }

func TestKafkaStateInfoVerifyRebuild(t *testing.T) {
	stateLife(t, strings.Split(kafkaAddress(t), ","), 6*time.Second)
}

func stateLife(t *testing.T, brokers []string, session time.Duration) {
	a := newTestbed(t, brokers)
	s := &crashRun{session: session, txn: 4 * time.Second}
	spec := a.spec(s, "0")
	spec.Proxy, spec.Listen = "", freePort(t)
	conf := a.conf(spec)
	says := func(code int, want []string, args ...string) string {
		t.Helper()
		got, out, errs := wayward(t, append(args, "-c", conf)...)
		for _, w := range want {
			if !strings.Contains(out+errs, w) {
				t.Errorf("%q does not say %q:\n%s%s", args, w, out, errs)
			}
		}
		if got != code {
			t.Errorf("%q: exit %d, want %d:\n%s%s", args, got, code, out, errs)
		}
		return out
	}
	says(3, []string{"there is no state in"}, "state", "info")
	says(3, []string{"there is no state in"}, "state", "verify")
	says(0, []string{"nothing to do"}, "state", "rebuild", "--yes")

	// Events first: an engine that has said of every partition that it is idle waits for none of
	// them, and event time runs many times faster here than the lateness allows for.
	str := newTraffic(a, 1)
	began := time.Now()
	str.run(1200, func() bool { return time.Since(began) > time.Second })
	e := a.run(spec, nil)
	str.run(1200, func() bool { return time.Since(began) > 7*time.Second })
	str.finish()
	if b := a.settle(str.sent, 20*time.Second); b.Bad() > 0 {
		a.mu.Lock()
		defer a.mu.Unlock()
		t.Fatalf("lost %d, doubled %d, wrong %d before anything was done:\n%s\n%s", b.Lost, b.Doubled, b.Wrong,
			strings.Join(b.Samples, "\n"), a.log.String())
	}
	says(2, []string{"is in use by process", "needs a directory of its own"}, "state", "info")
	says(2, []string{"is in use by process"}, "state", "verify")
	says(2, []string{"is in use by process", "stop it first"}, "state", "rebuild", "--yes")
	// An instance with another directory that wants all of it begun anew.
	other := spec
	other.Instance, other.State = "1", filepath.Join(a.dir, "state-1")
	mine := conf
	conf = a.conf(other)
	says(2, []string{"instances are at work", "wayward-behaviour-0", "Stop all of them first"}, "state", "rebuild",
		"--all", "--yes")
	conf = mine
	e.stop(t)

	says(0, []string{"6 partitions of events, 4 of facts", "behaviour", "relation", "ago"}, "state", "info")
	var report stateReport
	must(t, json.Unmarshal([]byte(says(0, nil, "state", "info", "--output", "json")), &report))
	pages := map[string]int{}
	for _, p := range report.Partitions {
		for k, n := range p.Pages {
			pages[p.Stage+" "+k] += n
		}
		if p.Main == 0 || p.Saved == 0 || p.Watermark == 0 || p.Seq == 0 || len(p.Set) != 32 {
			t.Errorf("info leaves something out: %+v", p)
		}
	}
	if len(report.Partitions) != 10 || pages["behaviour agents"] < 100 || pages["behaviour sessions"] < 100 ||
		pages["relation scopes"] < 10 || pages["relation breakers"] < 10 || len(report.Sets) != 2 ||
		report.Bytes < 10_000 {
		t.Errorf("%d partitions, %v, %d sets", len(report.Partitions), pages, len(report.Sets))
	}
	says(0, []string{"10 partitions", ": 0 damaged"}, "state", "verify")

	// A flipped bit, and a page whose checksum is right and whose content is cut short.
	damage(t, filepath.Join(spec.State, "store"), 'b', 2)
	cutShort(t, filepath.Join(spec.State, "store"), 'r', 1)
	out := says(1, []string{"behaviour partition 2: agents: 1 damaged: its checksum is wrong", "relation partition 1: ",
		": 1 damaged: it does not decode", ": 2 damaged"}, "state", "verify")
	for _, tenant := range crashTenants {
		if strings.Contains(out, tenant) {
			t.Errorf("verify shows what is in a page:\n%s", out)
		}
	}

	// This disk alone.
	says(0, []string{"delete the state in", "No finding is issued again"}, "state", "rebuild", "--dry-run")
	if !state.Exists(filepath.Join(spec.State, "store")) {
		t.Error("a dry run deletes state")
	}
	says(2, []string{"give --yes"}, "state", "rebuild")
	before := a.ends(a.topics.Alerts)
	says(0, []string{"done"}, "state", "rebuild", "--yes")
	e = a.run(spec, nil)
	untilReady(t, spec.Listen)
	e.stop(t)
	says(0, []string{"10 partitions", ": 0 damaged"}, "state", "verify")
	if n := len(a.since(a.topics.Alerts, before)); n > 0 {
		t.Errorf("%d findings were issued again after the disk alone was rebuilt", n)
	}

	// Facts get another number of partitions.
	first := uidsOf(t, a.read(a.topics.Alerts))
	before, dead := a.ends(a.topics.Alerts), a.ends(a.topics.DLQ)
	spec.Facts = 3
	conf = a.conf(spec)
	e = a.run(spec, nil)
	<-e.done
	if e.code != 2 {
		t.Errorf("an engine started over a wrong number of partitions, exit code %d", e.code)
	}
	out = says(0, []string{"wayward.facts has 4 partitions and should have 3", "empty topic " + a.topics.Journal,
		"forget consumer groups", "issued again, with equal ids"}, "state", "rebuild", "--dry-run")
	for _, never := range []string{a.topics.Events, a.topics.Alerts, a.topics.DLQ, a.topics.Sets} {
		if strings.Contains(out, "empty topic "+never) {
			t.Errorf("rebuild would empty %s", never)
		}
	}
	says(0, []string{"deleting topic " + a.topics.Journal, "creating topic " + a.topics.Facts, "done"}, "state",
		"rebuild", "--yes")
	e = a.run(spec, nil)
	var b oracle.Balance
	eventually(30*time.Second, func() bool {
		b = oracle.Compare(str.sent, nil, &oracle.Topics{Alerts: a.since(a.topics.Alerts, before),
			DLQ:     a.since(a.topics.DLQ, dead),
			Control: a.read(a.topics.Control)})
		return b.Lost == 0
	})
	untilReady(t, spec.Listen)
	e.stop(t)
	b = oracle.Compare(str.sent, nil, &oracle.Topics{Alerts: a.since(a.topics.Alerts, before),
		DLQ:     a.since(a.topics.DLQ, dead),
		Control: a.read(a.topics.Control)})
	if b.Bad() > 0 || b.Findings < 100 {
		t.Errorf("after the rebuild: lost %d, doubled %d, wrong %d of %d findings", b.Lost, b.Doubled, b.Wrong,
			b.Findings)
	}
	if diff := cmp.Diff(first, uidsOf(t, a.since(a.topics.Alerts, before))); diff != "" {
		t.Errorf("ids of findings before and after the rebuild:\n%s", diff)
	}
	says(0, []string{"6 partitions of events, 3 of facts"}, "state", "info")
	t.Logf("%d events, %d findings, each issued again with the same id", len(str.sent), b.Findings)
}

// State that belongs to topics that are gone is not taken for theirs, though offsets and names fit;
// it is rebuilt for this disk alone.
func TestStateOfTopicsThatAreGoneIsRefused(t *testing.T) {
	a := newTestbed(t, nil)
	s := &crashRun{session: 1500 * time.Millisecond, txn: 4 * time.Second}
	specs := make([]engineSpec, 2)
	for i := range specs {
		specs[i] = a.spec(s, fmt.Sprint(i))
		specs[i].Proxy, specs[i].Listen = "", freePort(t)
	}
	for _, spec := range specs {
		e := a.run(spec, nil)
		untilReady(t, spec.Listen)
		e.stop(t)
	}
	if code, out, errs := wayward(t, "state", "rebuild", "--all", "--yes", "-c", a.conf(specs[0])); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	first := a.run(specs[0], nil)
	untilReady(t, specs[0].Listen)
	e := a.run(specs[1], nil)
	<-e.done
	a.mu.Lock()
	log := a.log.String()
	a.mu.Unlock()
	if e.code != 2 || !strings.Contains(log, "were deleted and made anew since this state was made") {
		t.Errorf("an engine went on with state of other topics, exit code %d:\n%s", e.code, log)
	}
	// The first one is at work by now, and need not be stopped.
	code, out, errs := wayward(t, "state", "rebuild", "--yes", "-c", a.conf(specs[1]))
	if code != 0 || strings.Contains(out, "empty topic") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	e = a.run(specs[1], nil)
	untilReady(t, specs[1].Listen)
	e.stop(t)
	first.stop(t)
}

func TestEmbeddedStateIsRebuilt(t *testing.T) {
	dir := t.TempDir()
	listen := freePort(t)
	conf := writeFile(t, filepath.Join(dir, "c.yaml"), fmt.Sprintf("embedded: {port: 0}\nlisten: %q\nstate: s\n",
		listen))
	live := func() {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan string, 1)
		go func() {
			code, _, errs := waywardContext(ctx, "run", "-c", conf)
			done <- fmt.Sprint(code, errs)
		}()
		untilReady(t, listen)
		if code, _, errs := wayward(t, "state", "rebuild", "--all", "--yes", "-c", conf); code != 2 ||
			!strings.Contains(errs, "in use by") {
			t.Errorf("rebuild under a running instance: exit %d: %s", code, errs)
		}
		stop()
		if got := <-done; !strings.HasPrefix(got, "0") {
			t.Error(got)
		}
	}
	live()
	if code, out, errs := wayward(t, "state", "rebuild", "--all", "--yes", "-c", conf); code != 0 ||
		!strings.Contains(errs, "creating topic wayward.journal") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if code, _, _ := wayward(t, "state", "info", "-c", conf); code != 3 {
		t.Errorf("state is still there after the rebuild, exit %d", code)
	}
	live()
	if code, out, errs := wayward(t, "state", "info", "-c", conf); code != 0 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestStateOfANewerBinaryIsRefused(t *testing.T) {
	dir := t.TempDir()
	conf := writeFile(t, filepath.Join(dir, "c.yaml"), "state: s\n")
	newerState(t, filepath.Join(dir, "s", "store"))
	for _, verb := range []string{"info", "verify"} {
		if code, _, errs := wayward(t, "state", verb, "-c", conf); code != 2 ||
			!strings.Contains(errs, "run the newer binary") {
			t.Errorf("state %s: exit %d: %s", verb, code, errs)
		}
	}
	if _, err := state.Open(filepath.Join(dir, "s", "store")); !errors.Is(err, state.ErrNewer) {
		t.Errorf("Open: %v", err)
	}
}

// newerState makes a store that a newer binary wrote.
func newerState(t *testing.T, dir string) {
	s, err := state.Open(dir)
	must(t, err)
	must(t, s.SetMeta("format", []byte{state.Format + 1}))
	must(t, s.Close())
}

// cutShort cuts a page in half, under a checksum that fits.
func cutShort(t *testing.T, dir string, stage, p byte) {
	db, err := badger.OpenManaged(badger.DefaultOptions(dir).WithLogger(nil))
	must(t, err)
	defer db.Close()
	tx := db.NewTransactionAt(1<<63, false)
	defer tx.Discard()
	it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte{'p', stage, 0, 0, 0, p}})
	defer it.Close()
	it.Rewind()
	v, err := it.Item().ValueCopy(nil)
	must(t, err)
	half := v[4 : 4+(len(v)-4)/2]
	v = binary.BigEndian.AppendUint32(nil, crc32.Checksum(half, crc32.MakeTable(crc32.Castagnoli)))
	w := db.NewTransactionAt(1<<63, true)
	must(t, w.Set(it.Item().KeyCopy(nil), append(v, half...)))
	must(t, w.CommitAt(it.Item().Version(), nil))
}
