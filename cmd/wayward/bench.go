package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/bench"
)

func newBench() *cobra.Command {
	var o bench.Options
	var profile string
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
			if o.Load <= 0 || o.Load > 1 {
				return errors.New("--load must be above 0 and at most 1")
			}
			if o.Events < 1000 || o.Agents < 1 || o.Runs < 1 {
				return errors.New("--events must be at least 1000, --agents and --runs at least 1")
			}
			if profile != "" {
				file, err := os.Create(profile)
				if err != nil {
					return err
				}
				defer file.Close()
				if err := pprof.StartCPUProfile(file); err != nil {
					return err
				}
				defer pprof.StopCPUProfile()
			}
			o.Version = versionOf()
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "# wayward %s, %s, %s/%s, GOMAXPROCS %d, %s\n", versionOf(), runtime.Version(), runtime.GOOS,
				runtime.GOARCH, runtime.GOMAXPROCS(0), bench.CPU())
			for _, a := range args {
				var f *bench.Figures
				var err error
				switch a {
				case "replay":
					f, err = o.Replay(cmd.Context())
				case "live":
					f, err = o.Live(cmd.Context(), "live_embedded", nil)
				case "kafka":
					if len(o.Brokers) == 0 {
						return errors.New("bench kafka needs --brokers")
					}
					f, err = o.Live(cmd.Context(), "live_kafka", o.Brokers)
				case "start":
					f, err = o.Start(cmd.Context())
				}
				if err != nil {
					return fmt.Errorf("bench %s: %w", a, err)
				}
				f.Print(w)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Events, "events", 3_000_000, "events of 640 bytes")
	f.IntVar(&o.Agents, "agents", 10_000, "agents, drawn by Zipf 1.1")
	f.IntVar(&o.Runs, "runs", 3, "runs; the median is printed")
	f.StringSliceVar(&o.Brokers, "brokers", nil, "of a real Kafka, for bench kafka")
	f.StringVar(&o.Policies, "policies", "", "`directory` of policies; the built-in limits without")
	f.StringVar(&profile, "cpuprofile", "", "write a CPU profile to `file`")
	f.IntVar(&o.Seconds, "seconds", 10, "of part load, for the latency")
	f.Float64Var(&o.Load, "load", 0.5, "`share` of the drained rate at which the latency is measured")
	return cmd
}
