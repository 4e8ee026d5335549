package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/history"
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

func (o *benchOptions) stream() *fleet.Traffic {
	return fleet.NewTraffic(fleet.TrafficOptions{Seed: 1, Agents: o.agents, Tenants: 3, Plain: true, Rate: 2000})
}

func (o *benchOptions) replay(ctx context.Context, w io.Writer) error {
	policies, err := config.LoadPolicies(o.policies)
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
		lines, err := history.OpenLines(file.Name())
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
