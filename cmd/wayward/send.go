package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
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
	c, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer c.client.Close()

	start := time.Now()
	p := playing{start: start, speed: o.speed}
	n := 0
	var taken atomic.Int64
	bad, err := eachEvent(cmd, input, o.format, o.quiet, func(line []byte, e *event.Event) error {
		due := start
		if o.rate > 0 {
			due = start.Add(time.Duration(float64(n) / o.rate * float64(time.Second)))
		}
		if o.now {
			if n == 0 {
				p.first = e.Time
			}
			line = p.retimed(line, e)
			if at := p.at(e.Time); at.After(due) {
				due = at
			}
		}
		n++
		if err := wait(ctx, due); err != nil {
			return err
		}
		r := &kgo.Record{Topic: c.Topics.Events, Key: event.AppendKey(nil, e.Tenant, e.Agent.ID),
			Value: bytes.Clone(line)}
		c.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(missing(c.Topics.Events, err))
				return
			}
			taken.Add(1)
		})
		return nil
	})
	if ferr := c.client.Flush(ctx); err == nil {
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

// playing lets events happen again, from a time on.
type playing struct {
	start time.Time
	first int64 // time of the first event
	speed float64
}

// at is when what happened at a time happens again.
func (p *playing) at(ms int64) time.Time {
	after := float64(ms-p.first) / p.speed * float64(time.Millisecond)
	return p.start.Add(time.Duration(min(max(after, -math.MaxInt64/2), math.MaxInt64/2)))
}

// retimed is a record with other times: the event's own, and the one until which an approval holds.
// Nothing else of it changes, not even blanks, since digests are made of bytes.
func (p *playing) retimed(record []byte, e *event.Event) []byte {
	stamp := func(ms int64) []byte { return p.at(ms).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z07:00"`) }
	record = replaced(record, "time", func([]byte) []byte { return stamp(e.Time) })
	if e.Has&event.HasExpires == 0 {
		return record
	}
	return replaced(record, "approval", func(approval []byte) []byte {
		return replaced(approval, "expires", func([]byte) []byte { return stamp(e.Approval.Expires) })
	})
}

// replaced is a JSON object with another value under a key.
func replaced(object []byte, key string, value func(old []byte) []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(object))
	d.Token()
	for d.More() {
		name, _ := d.Token()
		var old json.RawMessage
		if d.Decode(&old) != nil {
			break
		}
		if name == key {
			end := int(d.InputOffset())
			return slices.Concat(object[:end-len(old)], value(old), object[end:])
		}
	}
	return object
}
