package broker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// Embedded is a Kafka broker inside this process, for laptops, tests and the
// demo: one node, loopback, no security. It is franz-go's kfake with what kfake
// lacks for that: a lock, retention that runs, and knowing whether it was stopped
// or died. Nothing else in the production code knows kfake, whose API moves.
//
// What it acknowledged survives the process. A transaction is not atomic over a
// crash of the process, though (research/engine.md, K2), and without a sync per
// batch a loss of power takes what the system had not written yet.
type Embedded struct {
	cluster *kfake.Cluster
	addr    string
	dir     string      // "": memory only
	was     os.FileInfo // the broker's directory as it was at the start
	lock    *os.File
	log     *brokerLog

	clean     bool // how the previous stop was
	discarded atomic.Bool

	stop   chan struct{} // ends the retention loop
	loop   sync.WaitGroup
	closed sync.Once
	err    error // of Close
}

// ErrDirInUse says that another process holds the state directory.
var ErrDirInUse = errors.New("state directory in use")

const (
	cleanMarker = "clean"  // in the state directory, while the broker is cleanly stopped
	lockFile    = "lock"   // in the state directory
	brokerDir   = "broker" // in the state directory: kfake's
)

var retentionEvery = 30 * time.Second // shorter in the test

// StartEmbedded starts the broker on 127.0.0.1:port, any free port if it is 0.
// Its data are in dir, which it makes, locks and owns until Close; with "" they
// are in memory.
func StartEmbedded(dir string, port int, log *slog.Logger) (_ *Embedded, err error) {
	e := &Embedded{dir: dir, clean: true, log: &brokerLog{log: log}, stop: make(chan struct{})}
	if dir != "" {
		if e.dir, err = filepath.Abs(dir); err != nil {
			return nil, fmt.Errorf("state directory %s: %w", dir, err)
		}
		if e.lock, err = lockDir(e.dir); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				e.lock.Close()
			}
		}()
	}
	// Listening comes before the marker is touched: a taken port must not make a
	// clean stop look like a crash.
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf(
			"embedded broker: port %d is taken, perhaps by another wayward or a Kafka: stop that, choose another port, or name its address in brokers to use it",
			port)
	}
	if err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	defer func() {
		if err != nil {
			ln.Close()
		}
	}()
	opts := []kfake.Opt{
		kfake.NumBrokers(1), // no other leader, so that a consumer cannot be thrown back (K7)
		kfake.Ports(port),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return ln, nil }),
		kfake.ClusterID("wayward-embedded"),
		kfake.WithLogger(e.log),
		kfake.BrokerConfigs(map[string]string{
			// Never: kfake's cleaner compacts too, which loses records (K4, K5), and after
			// a restart it does not run at all until a topic changes. We run retention.
			"log.cleaner.backoff.ms": strconv.FormatInt((100 * 365 * 24 * time.Hour).Milliseconds(), 10),
			// A laptop may be shut for longer than Kafka's week.
			"offsets.retention.minutes": strconv.Itoa(365 * 24 * 60),
			"message.max.bytes":         strconv.Itoa(largeRecords + 12),
		}),
	}
	if e.dir != "" {
		if e.clean, err = e.takeMarker(); err != nil {
			return nil, err
		}
		opts = append(opts, kfake.DataDir(filepath.Join(e.dir, brokerDir)))
	}
	start := time.Now()
	if e.cluster, err = kfake.NewCluster(opts...); err != nil {
		if e.dir != "" {
			return nil, fmt.Errorf(
				"embedded broker: its data in %s cannot be read; move the directory away to start empty: %w",
				filepath.Join(e.dir, brokerDir), err)
		}
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	if e.dir != "" {
		if e.was, err = os.Stat(filepath.Join(e.dir, brokerDir)); err != nil {
			e.cluster.Close()
			return nil, fmt.Errorf("embedded broker: %w", err)
		}
	}
	e.addr = ln.Addr().String()
	e.loop.Add(1)
	go e.retain()
	log.Info("embedded broker started", "addr", e.addr, "dir", e.dir, "clean", e.clean, "took",
		time.Since(start).Round(time.Millisecond))
	return e, nil
}

// Addr is host:port of the broker.
func (e *Embedded) Addr() string { return e.addr }

// Clean says whether the broker was cleanly stopped the time before; true as
// well if there was none. If it is false, transactions may be torn: the caller
// drops its own state and then calls DiscardInternal.
func (e *Embedded) Clean() bool { return e.clean }

// retain applies the retention of the topics.
func (e *Embedded) retain() {
	defer e.loop.Done()
	t := time.NewTicker(retentionEvery)
	defer t.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-t.C:
			e.cluster.ApplyRetention()
		}
	}
}

// Close stops the broker and marks its data as clean, unless a crash before this
// run was left standing or the disk failed. Close the clients first.
func (e *Embedded) Close() error {
	e.closed.Do(func() {
		close(e.stop)
		e.loop.Wait()
		e.cluster.Close()
		if e.dir == "" {
			return
		}
		e.err = e.leave()
		if err := e.lock.Close(); e.err == nil && err != nil {
			e.err = fmt.Errorf("embedded broker: unlocking %s: %w", e.dir, err)
		}
	})
	return e.err
}

// Broken is the first thing that the broker could not write to its disk; nil: nothing. It goes on
// with what it has in memory.
func (e *Embedded) Broken() error {
	if first := e.log.trouble.Load(); first != nil {
		return fmt.Errorf(
			"embedded broker: %s: not everything is on disk in %s, the next start will treat this stop as a crash; see to disk space and permissions",
			*first, e.dir)
	}
	if e.dir == "" {
		return nil
	}
	// kfake makes its directory again when it stops, and that holds next to nothing.
	if now, err := os.Stat(filepath.Join(e.dir, brokerDir)); err != nil || !os.SameFile(e.was, now) {
		return fmt.Errorf(
			"embedded broker: %s was removed or replaced while it ran, and the records in it are gone; the next start begins without them",
			filepath.Join(e.dir, brokerDir))
	}
	return nil
}

func (e *Embedded) leave() error {
	if err := e.Broken(); err != nil {
		return err
	}
	if !e.clean && !e.discarded.Load() {
		return nil // else the next start would trust what this one should have thrown away
	}
	// kfake leaves its files to the system; the marker must not reach the disk before them.
	if err := syncTree(filepath.Join(e.dir, brokerDir)); err != nil {
		return fmt.Errorf("embedded broker: %w", err)
	}
	f, err := os.Create(filepath.Join(e.dir, cleanMarker))
	if err != nil {
		return fmt.Errorf("embedded broker: marking the stop as clean: %w", err)
	}
	return errors.Join(f.Sync(), f.Close(), syncDir(e.dir))
}

// takeMarker removes the marker of a clean stop and says whether the data can be
// trusted. The removal is on disk before the first record can be.
func (e *Embedded) takeMarker() (clean bool, err error) {
	err = os.Remove(filepath.Join(e.dir, cleanMarker))
	switch {
	case err == nil:
		return true, syncDir(e.dir)
	case !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("embedded broker: %w", err)
	}
	_, err = os.Stat(filepath.Join(e.dir, brokerDir))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // there was no broker yet
	}
	return false, err
}

// DiscardInternal empties the given topics and forgets the given consumer
// groups, and touches nothing else. After a crash of the process the broker may
// hold half of a transaction, so everything that follows from agent.events is
// dropped and made again. Drop the engine's own state before: a crash between
// the two is then seen as a crash by the next start. The groups must be idle.
func (e *Embedded) DiscardInternal(ctx context.Context, internal []string, groups []string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.addr))
	if err != nil {
		return fmt.Errorf("embedded broker: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	deleted, err := adm.DeleteGroups(ctx, groups...)
	if err != nil {
		return fmt.Errorf("embedded broker: deleting consumer groups: %w", err)
	}
	for _, g := range deleted.Sorted() {
		switch {
		case errors.Is(g.Err, kerr.NonEmptyGroup):
			return fmt.Errorf("embedded broker: consumer group %s is in use: stop its members first", g.Group)
		case g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound):
			return fmt.Errorf("embedded broker: deleting consumer group %s: %w", g.Group, g.Err)
		}
	}
	if len(internal) > 0 {
		topics, err := adm.ListTopics(ctx, internal...)
		if err != nil {
			return fmt.Errorf("embedded broker: listing topics: %w", err)
		}
		configs, err := adm.DescribeTopicConfigs(ctx, internal...)
		if err != nil {
			return fmt.Errorf("embedded broker: reading the settings of topics: %w", err)
		}
		for _, name := range internal {
			if err := e.empty(name, topics[name], configs); err != nil {
				return fmt.Errorf("embedded broker: emptying topic %s: %w", name, err)
			}
		}
	}
	e.discarded.Store(true)
	e.log.log.Info("embedded broker discarded what follows from events", "topics", len(internal), "groups", len(groups))
	return nil
}

// empty deletes a topic and makes it again. Deleting its records would not do:
// kfake remembers that only if it is stopped cleanly.
func (e *Embedded) empty(name string, topic kadm.TopicDetail, configs kadm.ResourceConfigs) error {
	if errors.Is(topic.Err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	if topic.Err != nil {
		return topic.Err
	}
	own := map[string]string{}
	described, err := configs.On(name, nil)
	if err = cmp.Or(err, described.Err); err != nil {
		return err
	}
	for _, c := range described.Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
			own[c.Key] = c.MaybeValue()
		}
	}
	if err := e.cluster.DeleteTopic(name); err != nil {
		return err
	}
	return e.cluster.CreateTopic(name, int32(len(topic.Partitions)), own)
}

// lockDir makes dir and takes its lock, which the system gives back however this
// process ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("state directory %s: its file system gives no locks (%w): use a local disk", dir,
				err)
		}
		by := "another process"
		if b, _ := io.ReadAll(io.LimitReader(f, 32)); len(b) > 0 {
			by = "pid " + string(bytes.TrimSpace(b))
		}
		return nil, fmt.Errorf("%w by %s: %s: stop that process, or give this one another directory", ErrDirInUse, by,
			dir)
	}
	// For the message above, and for people who look into the directory.
	if err := cmp.Or(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		f.Close()
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return f, nil
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// syncTree has everything below dir written to disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncDir(path) // the same for a file
	})
}

// brokerLog passes kfake's log on and remembers the first write that failed:
// kfake logs it, goes on, and even commits a transaction whose marker it lost (K3).
type brokerLog struct {
	log     *slog.Logger
	trouble atomic.Pointer[string]
}

// Logf implements kfake.Logger.
func (l *brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	at := slog.LevelDebug // what kfake calls info is about single requests
	switch level {
	case kfake.LogLevelError:
		at = slog.LevelError
	case kfake.LogLevelWarn:
		at = slog.LevelWarn
	}
	// A log line is all there is of a write that failed, here or while closing.
	lost := strings.HasPrefix(format, "persist ") || strings.HasPrefix(format, "save session state")
	if lost {
		at = slog.LevelError
	}
	if !l.log.Enabled(context.Background(), at) && !lost {
		return
	}
	msg := fmt.Sprintf(format, args...)
	if lost {
		l.trouble.CompareAndSwap(nil, &msg)
	}
	l.log.Log(context.Background(), at, "embedded broker", "message", msg)
}
