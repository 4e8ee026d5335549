package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/pipeline"
)

type benchOptions struct {
	events, agents, runs int
	brokers              []string
	policies, profile    string
	seconds              int
	load                 float64 // share of the drained rate at which the latency is measured
}

func newBench() *cobra.Command {
	o := benchOptions{}
	cmd := &cobra.Command{
		Use:   "bench [replay] [live] [kafka] [start]",
		Short: "Measure whole paths on this machine",
		Long: "bench prints lines \"name value unit\". replay: a file of 640-byte events through both stages. live: the embedded broker, draining a backlog\n" +
			"in transactions, then event to alert at half that load. kafka: the same on --brokers. start: from process start to the first event applied.\n" +
			"Each is the median of --runs.",
		Example:   "  wayward bench\n  wayward bench replay --events 5000000 --runs 5\n  wayward bench kafka --brokers 127.0.0.1:19092",
		ValidArgs: []string{"replay", "live", "kafka", "start"},
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"replay", "live", "start"}
			}
			if o.load <= 0 || o.load > 1 {
				return errors.New("--load must be above 0 and at most 1")
			}
			if o.events < 1000 || o.agents < 1 || o.runs < 1 {
				return errors.New("--events must be at least 1000, --agents and --runs at least 1")
			}
			if o.profile != "" {
				file, err := os.Create(o.profile)
				if err != nil {
					return err
				}
				defer file.Close()
				if err := pprof.StartCPUProfile(file); err != nil {
					return err
				}
				defer pprof.StopCPUProfile()
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "# wayward %s, %s, %s/%s, GOMAXPROCS %d, %s\n", versionOf(), runtime.Version(), runtime.GOOS,
				runtime.GOARCH, runtime.GOMAXPROCS(0), cpuModel())
			for _, a := range args {
				var err error
				switch a {
				case "replay":
					err = o.replay(cmd.Context(), w)
				case "live":
					err = o.live(cmd.Context(), w, "live_embedded", nil)
				case "kafka":
					if len(o.brokers) == 0 {
						return errors.New("bench kafka needs --brokers")
					}
					err = o.live(cmd.Context(), w, "live_kafka", o.brokers)
				case "start":
					err = o.start(cmd.Context(), w)
				}
				if err != nil {
					return fmt.Errorf("bench %s: %w", a, err)
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.events, "events", 3_000_000, "events of 640 bytes")
	f.IntVar(&o.agents, "agents", 10_000, "agents, drawn by Zipf 1.1")
	f.IntVar(&o.runs, "runs", 3, "runs; the median is printed")
	f.StringSliceVar(&o.brokers, "brokers", nil, "of a real Kafka, for bench kafka")
	f.StringVar(&o.policies, "policies", "", "`directory` of policies; the built-in limits without")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile to `file`")
	f.IntVar(&o.seconds, "seconds", 10, "of part load, for the latency")
	f.Float64Var(&o.load, "load", 0.5, "`share` of the drained rate at which the latency is measured")
	return cmd
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for l := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return "unknown processor"
}

// usage is what a run cost.
type usage struct {
	wall   time.Time
	cpu    time.Duration
	allocs uint64
}

func used() usage {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{time.Now(), time.Duration(r.Utime.Nano() + r.Stime.Nano()), m.Mallocs}
}

func resident() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 64)
			return kb / 1024
		}
	}
	return 0
}

// figures collects the values of several runs.
type figures struct {
	names []string
	unit  map[string]string
	all   map[string][]float64
}

func (f *figures) add(name string, v float64, unit string) {
	if f.all == nil {
		f.all, f.unit = map[string][]float64{}, map[string]string{}
	}
	if f.all[name] == nil {
		f.names = append(f.names, name)
		f.unit[name] = unit
	}
	f.all[name] = append(f.all[name], v)
}

func (f *figures) since(u usage, prefix string, events int) {
	n := used()
	e := float64(events)
	f.add(prefix+"_events_per_second", e/n.wall.Sub(u.wall).Seconds(), "events/s")
	f.add(prefix+"_cpu_per_event", float64((n.cpu-u.cpu).Nanoseconds())/e/1000, "us/event")
	f.add(prefix+"_allocations_per_event", float64(n.allocs-u.allocs)/e, "allocs/event")
	f.add(prefix+"_resident", resident(), "MiB")
}

func (f *figures) print(w io.Writer) {
	for _, n := range f.names {
		v := slices.Sorted(slices.Values(f.all[n]))
		fmt.Fprintf(w, "%s %.4g %s\n", n, v[len(v)/2], f.unit[n])
	}
}

func (o *benchOptions) stream() *fleet.Traffic {
	return fleet.NewTraffic(fleet.TrafficOptions{Seed: 1, Agents: o.agents, Tenants: 3, Plain: true, Rate: 2000})
}

func (o *benchOptions) replay(ctx context.Context, w io.Writer) error {
	policies, err := loadPolicies(o.policies)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "wayward-bench-*.jsonl")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	s := o.stream()
	var buf []byte
	for range o.events {
		if buf = append(s.Next(buf), '\n'); len(buf) > 1<<20 {
			if _, err := file.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	if _, err := file.Write(buf); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	var f figures
	for range o.runs {
		runtime.GC()
		u := used()
		lines, err := pipeline.OpenLines(file.Name())
		if err != nil {
			return err
		}
		r := pipeline.Replay{Policy: policies, Flush: true, Deliver: func(*event.Finding) error { return nil }}
		sum, err := r.Run(ctx, lines)
		lines.Close()
		if err != nil {
			return err
		}
		if sum.Events != int64(o.events) {
			return fmt.Errorf("%d of %d events replayed: %v", sum.Events, o.events, sum.Dead)
		}
		f.since(u, "replay", o.events)
		f.add("replay_findings", float64(sum.Findings), "findings")
	}
	f.print(w)
	return nil
}

// warmUp is left out of the latency: the stream's time has just jumped from the backlog's to the
// present, and what was idle meanwhile is forgotten.
const warmUp = 15 * time.Second

// live drains a backlog, then measures event to alert at half the rate that came out.
func (o *benchOptions) live(ctx context.Context, w io.Writer, name string, brokers []string) error {
	var f figures
	for run := range o.runs {
		if err := o.liveOnce(ctx, &f, name, brokers, run); err != nil {
			return err
		}
	}
	f.print(w)
	return nil
}

func (o *benchOptions) liveOnce(ctx context.Context, f *figures, name string, brokers []string, run int) (err error) {
	dir, err := os.MkdirTemp("", "wayward-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c := defaultConfig()
	c.State, c.Listen, c.Embedded.Port, c.Brokers = dir, "off", 0, brokers
	c.Group = fmt.Sprintf("bench-%d-%d", os.Getpid(), run)
	if brokers != nil {
		c.Topics.Prefix = c.Group + "."
		c.Topics = c.Topics.Full()
	}
	c.Policies = filepath.Join(dir, "policies")
	if err := benchPolicies(c.Policies); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	i, err := assemble(ctx, c, wiring{}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	cl, err := kgo.NewClient(append(slices.Clone(i.cfg.Options), kgo.DefaultProduceTopic(c.Topics.Events),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.MaxBufferedRecords(50_000))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if brokers != nil {
		adm := kadm.NewClient(cl)
		specs := c.Topics.Specs(false, 1)
		changes, err := pipeline.PlanTopics(ctx, adm, specs)
		if err != nil {
			return err
		}
		if err := pipeline.ApplyTopics(ctx, adm, changes, func(pipeline.Change) {}); err != nil {
			return err
		}
		defer func() {
			var names []string
			for _, s := range specs {
				names = append(names, s.Name)
			}
			_, derr := adm.DeleteTopics(context.WithoutCancel(ctx), names...)
			err = errors.Join(err, derr)
		}()
	}
	var lost atomic.Pointer[error]
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			lost.CompareAndSwap(nil, &err)
		}
	}
	s := o.stream()
	produce := func() {
		value := s.Next(make([]byte, 0, 704)) // first: it sets the key
		cl.Produce(ctx, &kgo.Record{Key: append([]byte(nil), s.Key...), Value: value}, promise)
	}
	for range o.events {
		produce()
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if e := lost.Load(); e != nil {
		return *e
	}
	runtime.GC()
	u := used()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	engine := make(chan error, 1)
	go func() { engine <- pipeline.Run(ctx, i.cfg) }()
	applied := func() float64 { return values(i.registry)["wayward_records_total"] }
	if err := await(ctx, engine, func() bool { return applied() >= float64(o.events) }); err != nil {
		return err
	}
	rate := float64(o.events) / time.Since(u.wall).Seconds()
	f.since(u, name, o.events)

	// Half load: events carry the present, and each finding its trigger's time.
	alerts, err := kgo.NewClient(append(slices.Clone(i.cfg.Options),
		kgo.ConsumeTopics(c.Topics.Alerts, c.Topics.Commands), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.FetchMaxWait(10*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer alerts.Close()
	var waits, orders []float64
	var counted atomic.Int64 // findings of events after this time count
	read := make(chan struct{})
	actx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(read)
		for actx.Err() == nil {
			alerts.PollFetches(actx).EachRecord(func(r *kgo.Record) {
				if r.Topic == c.Topics.Commands {
					cmd, err := event.ParseCommand(r.Value)
					if since := counted.Load(); err == nil && cmd.Issuer.Type == "rule" && since > 0 &&
						cmd.Time > since {
						orders = append(orders, float64(time.Now().UnixMilli()-cmd.Time))
					}
					return
				}
				if !bytes.Contains(r.Value, []byte(`"activity_id":1,`)) {
					return // an update keeps its trigger's time
				}
				now := time.Now().UnixMilli()
				var at int64
				for _, h := range r.Headers {
					if h.Key == "ce_time" {
						if t, err := time.Parse(time.RFC3339Nano, string(h.Value)); err == nil {
							at = t.UnixMilli()
						}
					}
				}
				if at > counted.Load() && counted.Load() > 0 {
					waits = append(waits, float64(now-at))
				}
			})
		}
	}()
	half := fleet.NewTraffic(fleet.TrafficOptions{Seed: 2, Agents: o.agents, Tenants: 3, Plain: true, Rate: rate * o.load,
		Start: time.Now().UnixMilli()})
	start := time.Now()
	counted.Store(start.UnixMilli() + warmUp.Milliseconds())
	for time.Since(start) < warmUp+time.Duration(o.seconds)*time.Second {
		for half.Time-start.UnixMilli() <= time.Since(start).Milliseconds() {
			value := half.Next(make([]byte, 0, 704))
			cl.Produce(ctx, &kgo.Record{Key: append([]byte(nil), half.Key...), Value: value}, promise)
		}
		time.Sleep(time.Millisecond)
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	time.Sleep(time.Second)
	stop()
	<-read
	cancel()
	if err := <-engine; err != nil {
		return err
	}
	if len(waits) < 100 {
		return fmt.Errorf("only %d findings at half load: too few to speak of a percentile", len(waits))
	}
	if len(orders) < 100 {
		return fmt.Errorf("only %d commands at half load: too few to speak of a percentile", len(orders))
	}
	slices.Sort(waits)
	slices.Sort(orders)
	f.add(name+"_violation_to_command_p50", orders[len(orders)/2], "ms")
	f.add(name+"_violation_to_command_p99", orders[len(orders)*99/100], "ms")
	f.add(name+"_event_to_alert_p50", waits[len(waits)/2], "ms")
	f.add(name+"_event_to_alert_p99", waits[len(waits)*99/100], "ms")
	return nil
}

// benchPolicies are limits that an ordinary workload crosses now and then, in the behaviour stage.
func benchPolicies(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "limits"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "limits", "bench.yaml"), []byte(`builtin: true
limits:
  - id: bench-agent-calls
    title: Bench
    scope: agent
    measure: count
    max: 20
    window: 1s
    kind: tumbling
    severity: low
    respond: {action: throttle, scope: agent, duration: 1s, calls: 10, per: 1s}
  - id: bench-session-calls
    title: Bench
    scope: session
    measure: count
    max: 40
    severity: low
    respond: {action: escalate, scope: session, duration: 5s}
`), 0o644)
}

func await(ctx context.Context, engine <-chan error, done func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case err := <-engine:
			return fmt.Errorf("the engine stopped: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// start measures a process: stopped cleanly with the state of many agents and one more event
// waiting, started again.
func (o *benchOptions) start(ctx context.Context, w io.Writer) error {
	dir, err := os.MkdirTemp("", "wayward-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c := defaultConfig()
	c.State, c.Embedded.Port, c.Listen, c.Instance = dir, 0, "off", "bench"
	log := slog.New(slog.DiscardHandler)
	var f figures
	for run := range o.runs {
		i, err := assemble(ctx, c, wiring{}, log)
		if err != nil {
			return err
		}
		cl, err := kgo.NewClient(append(slices.Clone(i.cfg.Options), kgo.DefaultProduceTopic(c.Topics.Events))...)
		if err != nil {
			return err
		}
		s := fleet.NewTraffic(fleet.TrafficOptions{Seed: int64(run + 1), Agents: o.agents, Tenants: 3, Plain: true, Rate: 2000})
		produce := func(n int) error {
			for range n {
				value := s.Next(make([]byte, 0, 704))
				cl.Produce(ctx, &kgo.Record{Key: append([]byte(nil), s.Key...), Value: value}, nil)
			}
			return cl.Flush(ctx)
		}
		ectx, cancel := context.WithCancel(ctx)
		engine := make(chan error, 1)
		go func() { engine <- pipeline.Run(ectx, i.cfg) }()
		if err = produce(30 * o.agents); err == nil {
			before := 0.0
			err = await(ectx, engine, func() bool {
				now := values(i.registry)["wayward_records_total"]
				done := now > 0 && now == before && now >= float64(30*o.agents)
				before = now
				return done
			})
		}
		cancel()
		err = errors.Join(err, <-engine, produce(1000))
		cl.Close()
		if err = errors.Join(err, i.Close()); err != nil {
			return err
		}
		file := filepath.Join(dir, "wayward.yaml")
		port := 29100 + os.Getpid()%500
		if err := os.WriteFile(file,
			fmt.Appendf(nil, "state: %s\ninstance: bench\nlisten: 127.0.0.1:%d\nembedded: {port: %d}\n", dir, port,
				port+600), 0o600); err != nil {
			return err
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		child := exec.Command(self, "run", "--config", file, "--log-level", "error")
		child.Stderr = os.Stderr
		start := time.Now()
		if err := child.Start(); err != nil {
			return err
		}
		var took time.Duration
		for took = time.Since(start); took < 30*time.Second; took = time.Since(start) {
			if scraped(port, "wayward_records_total") > 0 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		child.Process.Signal(syscall.SIGTERM)
		if err := child.Wait(); err != nil {
			return fmt.Errorf("the engine process: %w", err)
		}
		f.add("start_to_first_event", float64(took.Milliseconds()), "ms")
	}
	f.print(w)
	return nil
}

// scraped is the behaviour stage's value of a metric of a process on this machine; 0 if it does not
// answer.
func scraped(port int, metric string) float64 {
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), metric+`{stage="behaviour"} `); ok {
			n, _ := strconv.ParseFloat(v, 64)
			return n
		}
	}
	return 0
}
