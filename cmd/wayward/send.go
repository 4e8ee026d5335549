package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/retime"
)

func newSend() *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:   "send FILE",
		Short: "Send recorded events to a running wayward, for trying things out",
		Long: "send writes events, one a line, plain or .gz, .zst, .xz (- is standard input), to agent.events under the key tenant|agent.id, as producers do.\n" +
			"With --now they happen again: the first one gets the present time, the others theirs by their distance from it, and each is sent when its time\n" +
			"has come. Without, they keep their times: an engine that has seen newer ones of the same agent takes them for late. An event with an id that the\n" +
			"agent has had before counts once, so leave ids out to send a file again. Lines that are no events are not sent: exit code 1; 3 if there is no event.\n" +
			"Without brokers in the config, the embedded broker of the wayward run on this machine gets them.",
		Example: "  wayward send events.jsonl --now\n" +
			"  wayward send yesterday.jsonl.zst --now --speed 60 -c wayward.yaml    an hour in a minute\n" +
			"  wayward generate --events 100000 | wayward send - --rate 5000",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	configFlag(cmd, &o.config)
	f := cmd.Flags()
	formatFlag(cmd, &o.format)
	f.BoolVar(&o.now, "now", false, "let them happen now")
	f.Float64Var(&o.speed, "speed", 1, "with --now: so many `times` as fast as they happened")
	f.Float64Var(&o.rate, "rate", 0, "at most so many `events` a second; 0: no bound")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress, nothing about lines that did not decode, no summary")
	return cmd
}

type sendOptions struct {
	lookup
	format      string
	now, quiet  bool
	speed, rate float64
}

func (o *sendOptions) run(cmd *cobra.Command, input string) error {
	if !(o.speed > 0 && o.speed <= 1e6) { // so written, NaN is out as well
		return fmt.Errorf("--speed %v: use a number above 0, such as 60", o.speed)
	}
	if o.speed != 1 && !o.now {
		return errors.New("--speed is for --now: without, events keep their times")
	}
	if !(o.rate >= 0 && o.rate <= 1e6) {
		return fmt.Errorf("--rate %v: use 0 to 1000000 events a second", o.rate)
	}
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	c, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer c.Close()

	start := time.Now()
	again := retime.Schedule{Start: start, Speed: o.speed}
	n := 0
	var taken atomic.Int64
	bad, err := eachEvent(cmd, input, o.format, o.quiet, func(line []byte, e *event.Event) error {
		due := start
		if o.rate > 0 {
			due = start.Add(time.Duration(float64(n) / o.rate * float64(time.Second)))
		}
		if o.now {
			if n == 0 {
				again.First = e.Time
			}
			line = again.Record(line, e)
			if at := again.At(e.Time); at.After(due) {
				due = at
			}
		}
		n++
		if err := wait(ctx, due); err != nil {
			return err
		}
		key := event.AppendKey(nil, e.Tenant, e.Agent.ID)
		c.Produce(ctx, c.Topics.Events, key, bytes.Clone(line), func(err error) {
			if err != nil {
				cancel(err)
				return
			}
			taken.Add(1)
		})
		return nil
	})
	if ferr := c.Flush(ctx); err == nil {
		err = ferr
	}
	if n > 0 && !o.quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d events sent to %s in %v\n", taken.Load(), c.Topics.Events,
			time.Since(start).Round(time.Millisecond))
	}
	switch {
	case cmd.Context().Err() == nil && ctx.Err() != nil:
		return context.Cause(ctx) // what the broker said
	case err != nil:
		return err
	case bad.n > 0:
		return bad.code()
	case n == 0:
		fmt.Fprintf(cmd.ErrOrStderr(), "wayward: there is no event in %s\n", input)
		return errSilent{3}
	}
	return nil
}

// wait waits for a time.
func wait(ctx context.Context, due time.Time) error {
	left := time.Until(due)
	if left <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(left):
		return nil
	}
}
