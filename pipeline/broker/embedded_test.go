package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func startEmbedded(t *testing.T, dir string) *Embedded {
	t.Helper()
	e, err := StartEmbedded(dir, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func adminOf(t *testing.T, addr string) (*kgo.Client, *kadm.Client) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl, kadm.NewClient(cl)
}

// applyTopics makes the topics of specs on the broker.
func applyTopics(ctx context.Context, adm *kadm.Client, specs []TopicSpec) error {
	changes, err := PlanTopics(ctx, adm, specs)
	if err != nil {
		return err
	}
	return ApplyTopics(ctx, adm, changes, nil)
}

func writeRecords(ctx context.Context, cl *kgo.Client, topic string, n int) error {
	for i := range n {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(i))}).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

// heldRecords is the number of records of a topic.
func heldRecords(t *testing.T, adm *kadm.Client, topic string) (n int64) {
	t.Helper()
	starts, err := adm.ListStartOffsets(t.Context(), topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	ends, err := adm.ListEndOffsets(t.Context(), topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		s, _ := starts.Lookup(topic, o.Partition)
		n += o.Offset - s.Offset
	})
	return n
}

func TestEmbeddedKeepsRecordsOverACleanStop(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	e := startEmbedded(t, dir)
	if !e.Clean() {
		t.Error("a broker that never was did not stop uncleanly")
	}
	topics := DefaultTopics()
	cl, adm := adminOf(t, e.Addr())
	if err := applyTopics(t.Context(), adm, topics.Specs(true, 1)); err != nil {
		t.Fatal(err)
	}
	if err := writeRecords(t.Context(), cl, topics.Events, 10); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}

	e = startEmbedded(t, dir)
	if !e.Clean() {
		t.Error("a clean stop is taken for a crash")
	}
	_, adm = adminOf(t, e.Addr())
	if got := heldRecords(t, adm, topics.Events); got != 10 {
		t.Errorf("%d records after a clean stop, want 10", got)
	}
	changes, err := PlanTopics(t.Context(), adm, topics.Specs(true, 1))
	if err != nil || len(changes) > 0 {
		t.Errorf("topics differ after a restart: %v %v", changes, err)
	}
}

// The child of the crash test: this test binary, run again with a directory.
const crashDir = "WAYWARD_TEST_CRASH_DIR"

func TestEmbeddedCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("runs only as a child of TestEmbeddedAfterACrash")
	}
	ctx := t.Context()
	e, err := StartEmbedded(dir, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	topics := DefaultTopics()
	cl, adm := adminOf(t, e.Addr())
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topics.Events, Partition: 0, At: 7})
	if err := errors.Join(
		applyTopics(ctx, adm, topics.Specs(true, 1)),
		writeRecords(ctx, cl, topics.Events, 50),
		writeRecords(ctx, cl, topics.Journal, 20),
		adm.CommitAllOffsets(ctx, "wayward-behaviour", offsets),
		adm.CommitAllOffsets(ctx, "siem", offsets),
	); err != nil {
		t.Fatal(err)
	}
	tx, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()), kgo.TransactionalID("t"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.BeginTransaction(), writeRecords(ctx, tx, topics.Facts, 3)); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL) // with a transaction open
	select {}
}

func TestEmbeddedAfterACrash(t *testing.T) {
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEmbeddedCrashChild$")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := child.CombinedOutput()
	if ws, ok := child.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("the child was to kill itself: %v\n%s", err, out)
	}

	e := startEmbedded(t, dir)
	if e.Clean() {
		t.Fatal("a crash is taken for a clean stop")
	}
	topics := DefaultTopics()
	_, adm := adminOf(t, e.Addr())
	if got := heldRecords(t, adm, topics.Events); got != 50 {
		t.Errorf("%d of 50 acknowledged records survived", got)
	}

	// Stopped without having discarded anything: the next start must not trust it.
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = startEmbedded(t, dir)
	if e.Clean() {
		t.Fatal("a crash is forgotten without DiscardInternal")
	}
	_, adm = adminOf(t, e.Addr())
	if err := e.DiscardInternal(t.Context(), topics.Discardable(), []string{"wayward-behaviour", "wayward-relation"}); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, name := range []string{topics.Events, topics.Journal, topics.Facts} {
		got[name] = heldRecords(t, adm, name)
	}
	if diff := cmp.Diff(map[string]int64{topics.Events: 50, topics.Journal: 0, topics.Facts: 0}, got); diff != "" {
		t.Errorf("records after DiscardInternal (-want +got):\n%s", diff)
	}
	for group, want := range map[string]int{"wayward-behaviour": 0, "siem": 1} {
		offsets, err := adm.FetchOffsets(t.Context(), group)
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			t.Fatal(err)
		}
		if n := len(offsets.Offsets().Sorted()); n != want {
			t.Errorf("group %s has %d offsets, want %d", group, n, want)
		}
	}
	changes, err := PlanTopics(t.Context(), adm, topics.Specs(true, 1))
	if err != nil || len(changes) > 0 {
		t.Errorf("DiscardInternal changed the topics themselves: %v %v", changes, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e = startEmbedded(t, dir); !e.Clean() {
		t.Error("a clean stop after DiscardInternal is taken for a crash")
	}
}

func TestEmbeddedRefusesWhatIsTaken(t *testing.T) {
	dir := t.TempDir()
	e := startEmbedded(t, dir)
	log := slog.New(slog.DiscardHandler)
	_, err := StartEmbedded(dir, 0, log)
	if want := fmt.Sprintf("state directory in use by pid %d", os.Getpid()); err == nil ||
		!strings.Contains(err.Error(), want) || !errors.Is(err, ErrDirInUse) {
		t.Errorf("a second broker on the directory: %v, want %q", err, want)
	}
	_, port, _ := strings.Cut(e.Addr(), ":")
	n, _ := strconv.Atoi(port)

	other := t.TempDir()
	startEmbedded(t, other).Close()
	if _, err = StartEmbedded(other, n, log); err == nil || !strings.Contains(err.Error(), "port "+port+" is taken") {
		t.Errorf("a taken port: %v", err)
	}
	if again := startEmbedded(t, other); !again.Clean() {
		t.Error("a taken port made a clean stop look like a crash")
	}
}

func TestEmbeddedInMemoryLeavesNothing(t *testing.T) {
	e := startEmbedded(t, "")
	cl, adm := adminOf(t, e.Addr())
	topics := DefaultTopics()
	if err := errors.Join(applyTopics(t.Context(), adm, topics.Specs(true, 1)),
		writeRecords(t.Context(), cl, topics.Events, 1)); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	if err := e.Close(); err != nil || !e.Clean() {
		t.Errorf("close: %v, clean %v", err, e.Clean())
	}
}

func TestEmbeddedStopWithAFailedWriteIsNotClean(t *testing.T) {
	dir := t.TempDir()
	e := startEmbedded(t, dir)
	// as kfake says it
	e.log.Logf(kfake.LogLevelWarn, "persist batch %s-%d: %v", "agent.events", 0, syscall.ENOSPC)
	if err := e.Close(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("close after a failed write: %v", err)
	}
	if startEmbedded(t, dir).Clean() {
		t.Error("a broker that could not write is taken for clean")
	}
}

// kfake itself runs no retention after a restart.
func TestEmbeddedAppliesRetentionAfterARestart(t *testing.T) {
	defer func(d time.Duration) { retentionEvery = d }(retentionEvery)
	retentionEvery = 5 * time.Millisecond
	dir := t.TempDir()
	e := startEmbedded(t, dir)
	cl, adm := adminOf(t, e.Addr())
	spec := TopicSpec{Name: "old", Partitions: 1, Replication: 1,
		Configs: map[string]string{"retention.ms": "3600000", "cleanup.policy": "compact"}}
	if err := applyTopics(t.Context(), adm, []TopicSpec{spec}); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	e.Close()

	e = startEmbedded(t, dir)
	cl, adm = adminOf(t, e.Addr())
	if err := cl.ProduceSync(t.Context(),
		&kgo.Record{Topic: "old", Timestamp: time.Now().Add(-2 * time.Hour)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); heldRecords(t, adm, "old") > 0; {
		if time.Now().After(end) {
			t.Fatal("a record past its retention is still there")
		}
	}
}
