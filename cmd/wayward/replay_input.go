package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// input is what a replay reads.
type input struct {
	history.Source
	total int64 // in unit
	unit  string
	since int64 // event time before which nothing is reported
	close func()
	hint  func() string // what to do if records do not decode
}

// open opens the file or the range of the topic. back is how far before the range the longest
// window reaches: what lies there fills the windows and is not reported.
func (o *replayOptions) open(cmd *cobra.Command, c *config.Config, back time.Duration) (*input, error) {
	if o.topic == "" {
		if o.from != "" || o.to != "" {
			return nil, errors.New("--from and --to are times of a topic: give --from-topic")
		}
		lines, err := history.OpenLines(o.input)
		if err != nil {
			return nil, err
		}
		return &input{Source: history.Converted(lines, formats.New(o.format)), hint: lines.Hint, total: lines.Size,
			unit: "bytes", close: lines.Close}, nil
	}
	from, err := moment("--from", o.from)
	if err != nil {
		return nil, err
	}
	to, err := moment("--to", o.to)
	if err != nil {
		return nil, err
	}
	if c.Kafka.Embedded() {
		return nil, errors.New("--from-topic needs brokers: give --config with brokers in it")
	}
	options, err := c.Kafka.Options()
	if err != nil {
		return nil, err
	}
	before, since := from, int64(0)
	if !from.IsZero() {
		since = from.UnixMilli()
		before = from.Add(-back)
	}
	rng, err := history.OpenRange(cmd.Context(), options, o.topic, before, to)
	if err != nil {
		return nil, err
	}
	return &input{Source: history.Converted(rng, formats.New(o.format)), hint: func() string { return "" }, total: rng.Total, unit: "records", since: since, close: func() { rng.Close() }}, nil
}

// flagsOfInput adds what says where events come from.
func (o *replayOptions) flagsOfInput(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.input, "input", "i", "",
		"`file` of events, one a line, plain or .gz, .zst, .xz; - is standard input")
	formatFlag(cmd, &o.format)
	f.StringVar(&o.topic, "from-topic", "", "`topic` to read instead of a file")
	f.StringVar(&o.from, "from", "", "first broker `time` of the topic, RFC 3339; its beginning without")
	f.StringVar(&o.to, "to", "", "broker `time` to stop at; its end without")
	cmd.MarkFlagsMutuallyExclusive("input", "from-topic")
	cmd.MarkFlagsOneRequired("input", "from-topic")
}

func (o *replayOptions) place(at int64) string {
	if o.topic != "" {
		return fmt.Sprintf("%s offset %d", o.topic, at)
	}
	return fmt.Sprintf("%s line %d", o.input, at)
}

// moment reads the time that a flag gives; without one it is zero.
func moment(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%s %s: not a time; write it as 2026-11-20T14:30:00Z", flag, s)
	}
	return t, nil
}
