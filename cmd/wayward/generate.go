package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/terminal"
)

type generateOptions struct {
	stream        fleet.TrafficOptions
	events        int64
	disorder      time.Duration
	start, output string
}

func newGenerate() *cobra.Command {
	var o generateOptions
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Write the events of a made-up fleet of agents, with some attacks in it",
		Long: "generate writes wayward.event/v1, one JSON record a line: sessions of support, payments, devops and analyst agents of several tenants, whose\n" +
			"benign work violates none of the example policies. Woven in are a bulk export, a loop, tampering by an agent that may only read, a payment to a\n" +
			"stranger's account and a fan-out over many agents, each about every 6 s of event time (12,000 events if --rate is below 2000).\n" +
			"The same options give the same bytes. The fleet, its users and its attacks follow from --rate: write more --events to see the same fleet for longer.",
		Example: "  wayward generate --events 1000000 --output events.jsonl.zst\n" +
			"  wayward generate --events 120000 --rate 2000 --disorder 2s | wayward replay --input - --flush\n" +
			"  wayward generate --tenants 8 --agents 10000 --attacks=false --output quiet.jsonl.gz\n" +
			"  wayward generate --plain --agents 10000 --events 3000000 --output bench.jsonl",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags().Changed("attacks")); err != nil {
				return err
			}
			return o.run(cmd)
		},
	}
	f := cmd.Flags()
	f.Int64VarP(&o.events, "events", "n", 100_000, "`number` of events")
	f.Int64Var(&o.stream.Seed, "seed", 1, "`number` that all that is drawn follows from")
	f.Float64Var(&o.stream.Rate, "rate", 2000, "`events` per second of event time")
	f.IntVar(&o.stream.Tenants, "tenants", 3, "`number` of tenants")
	f.IntVar(&o.stream.Agents, "agents", 60,
		"`number` of agents over all tenants; a few are much busier than the others (Zipf 1.1)")
	f.IntVar(&o.stream.Size, "size", 640, "average `bytes` of a record")
	f.DurationVar(&o.disorder, "disorder", 0,
		"`time` by which records may come out of order, agent against agent, as 2s; each agent's own stay in order")
	f.BoolVar(&o.stream.Attacks, "attacks", true, "weave attacks in")
	f.BoolVar(&o.stream.Plain, "plain", false,
		"a fixed workload for benchmarks: tool calls alone, of exactly --size bytes, no attacks")
	f.StringVar(&o.start, "start", "2026-01-05T08:00:00Z", "event `time` of the first event, RFC 3339")
	f.StringVarP(&o.output, "output", "o", "-",
		"`file` to write, compressed if it ends in .gz or .zst; - is standard output")
	return cmd
}

// check reports everything that is wrong with the flags, and fills in the rest of the options.
func (o *generateOptions) check(attacksGiven bool) error {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	s := &o.stream
	if o.events < 1 {
		bad("--events %d: use at least 1", o.events)
	}
	const years = 100 * 365 * 24 * 3600
	if !(s.Rate >= 0.01 && s.Rate <= fleet.MaxRate) { // so written, NaN is out as well
		bad("--rate %v: use 0.01 to %d events per second", s.Rate, int(fleet.MaxRate))
	} else if float64(o.events)/s.Rate > years {
		bad("--events %d at --rate %v last longer than a hundred years; raise --rate or lower --events", o.events,
			s.Rate)
	}
	if s.Tenants < 1 || s.Tenants > 10_000 {
		bad("--tenants %d: use 1 to 10000", s.Tenants)
	}
	if s.Agents < 1 || s.Agents > 1_000_000 {
		bad("--agents %d: use 1 to 1000000", s.Agents)
	} else if s.Agents < s.Tenants {
		bad("--agents %d for --tenants %d: every tenant needs one", s.Agents, s.Tenants)
	}
	if s.Size < fleet.MinSize || s.Size > fleet.MaxSize {
		bad("--size %d: use %d to %d bytes", s.Size, fleet.MinSize, fleet.MaxSize)
	}
	if o.disorder < 0 || o.disorder > time.Hour {
		bad("--disorder %v: use 0s to 1h", o.disorder)
	} else if o.disorder%time.Millisecond != 0 {
		bad("--disorder %v: use whole milliseconds", o.disorder)
	}
	s.Disorder = o.disorder.Milliseconds()
	start, err := time.Parse(time.RFC3339, o.start)
	if err != nil {
		bad("--start %s: not a time; write it as 2026-01-05T08:00:00Z", o.start)
	} else if start.Year() < 1971 || start.Year() > 2200 {
		bad("--start %s: use a year from 1971 to 2200", o.start)
	}
	s.Start = start.UnixMilli()
	if s.Plain {
		if s.Attacks && attacksGiven {
			bad("--plain has no attacks: leave --attacks out")
		}
		s.Attacks = false
	}
	if most := fleet.TrafficPersonas; s.Attacks && s.Tenants >= 1 && s.Agents >= s.Tenants &&
		(s.Agents+s.Tenants-1)/s.Tenants < most {
		bad("--agents %d for --tenants %d: attacks need agents of all %d personas; use at least %d, or --attacks=false",
			s.Agents, s.Tenants, most, most*s.Tenants)
	}
	if o.output == "" {
		bad("--output is empty: name a file, or - for standard output")
	}
	return errors.Join(wrong...)
}

func (o *generateOptions) run(cmd *cobra.Command) (err error) {
	w := cmd.OutOrStdout()
	if o.output != "-" {
		file, err := os.Create(o.output)
		if err != nil {
			return fmt.Errorf("output: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		w = file
	}
	shown := bar{total: o.events, start: time.Now()}
	if f, ok := terminal.Raw(cmd.ErrOrStderr()).(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		shown.w = f
		length := time.Duration(float64(o.events) / o.stream.Rate * float64(time.Second))
		shown.draw("%d events, some %s before compression, %v of event time", o.events,
			bytesOf(o.events*int64(o.stream.Size)), length.Round(time.Millisecond))
		fmt.Fprintln(f)
	}
	n, err := o.write(cmd.Context(), w, &shown)
	shown.end(n)
	if err != nil {
		return fmt.Errorf("output %s after %d events: %w", o.output, n, err)
	}
	return nil
}

// write makes the events and says how many it wrote. What it wrote when ctx ended is whole records,
// readable also if compressed.
func (o *generateOptions) write(ctx context.Context, w io.Writer, shown *bar) (n int64, err error) {
	out := io.WriteCloser(nopCloser{w})
	switch {
	case strings.HasSuffix(o.output, ".gz"):
		// The middle level costs several times what making the records does; such files are read
		// more often than written.
		out, err = gzip.NewWriterLevel(w, gzip.BestSpeed)
	case strings.HasSuffix(o.output, ".zst"):
		out, err = zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()

	const chunk = 256 << 10
	s := fleet.NewTraffic(o.stream)
	buf := make([]byte, 0, chunk+4*o.stream.Size)
	for made := int64(0); made < o.events; {
		for buf = buf[:0]; len(buf) < chunk && made < o.events; made++ {
			buf = append(s.Next(buf), '\n')
		}
		if _, err := out.Write(buf); err != nil {
			return n, err
		}
		n = made
		if ctx.Err() != nil && n < o.events {
			return n, errors.New("interrupted")
		}
		shown.at(n)
	}
	return n, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
