package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/instance"
	"github.com/wayward-sec/wayward/pipeline"
)

// Start measures a process: stopped cleanly with the state of many agents and more events
// waiting, started again.
func (o *Options) Start(ctx context.Context) (*Figures, error) {
	dir, err := os.MkdirTemp("", "wayward-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	c := config.Default()
	c.State, c.Embedded.Port, c.Listen, c.Instance = dir, 0, "off", "bench"
	f := &Figures{}
	for run := range o.Runs {
		if err := o.leaveState(ctx, c, run); err != nil {
			return nil, err
		}
		took, err := firstEvent(dir)
		if err != nil {
			return nil, err
		}
		f.add("start_to_first_event", float64(took.Milliseconds()), "ms")
	}
	return f, nil
}

// leaveState runs an engine over 30 events of each agent, stops it cleanly, and leaves it 1,000 more.
func (o *Options) leaveState(ctx context.Context, c config.Config, run int) error {
	i, err := instance.Open(ctx, c, instance.Options{Version: o.Version}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(append(slices.Clone(i.Config.Options), kgo.DefaultProduceTopic(c.Topics.Events))...)
	if err != nil {
		return err
	}
	s := fleet.NewTraffic(fleet.TrafficOptions{Seed: int64(run + 1), Agents: o.Agents, Tenants: 3, Plain: true,
		Rate: 2000})
	produce := func(n int) error {
		for range n {
			value := s.Next(make([]byte, 0, 704))
			cl.Produce(ctx, &kgo.Record{Key: append([]byte(nil), s.Key...), Value: value}, nil)
		}
		return cl.Flush(ctx)
	}
	running, cancel := context.WithCancel(ctx)
	engine := make(chan error, 1)
	go func() { engine <- pipeline.Run(running, i.Config) }()
	if err = produce(30 * o.Agents); err == nil {
		before := 0.0
		err = await(running, engine, func() bool {
			now := i.Metrics()["wayward_records_total"]
			done := now > 0 && now == before && now >= float64(30*o.Agents)
			before = now
			return done
		})
	}
	cancel()
	err = errors.Join(err, <-engine, produce(1000))
	cl.Close()
	return errors.Join(err, i.Close())
}

// firstEvent starts a process on the state in a directory and says how long it takes until the first
// event is applied.
func firstEvent(dir string) (took time.Duration, err error) {
	file := filepath.Join(dir, "wayward.yaml")
	port := 29100 + os.Getpid()%500
	if err := os.WriteFile(file,
		fmt.Appendf(nil, "state: %s\ninstance: bench\nlisten: 127.0.0.1:%d\nembedded: {port: %d}\n", dir, port,
			port+600), 0o600); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	child := exec.Command(self, "run", "--config", file, "--log-level", "error")
	child.Stderr = os.Stderr
	start := time.Now()
	if err := child.Start(); err != nil {
		return 0, err
	}
	for took = time.Since(start); took < 30*time.Second; took = time.Since(start) {
		if scraped(port, "wayward_records_total") > 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	child.Process.Signal(syscall.SIGTERM)
	if err := child.Wait(); err != nil {
		return 0, fmt.Errorf("the engine process: %w", err)
	}
	return took, nil
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
