package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/sinks"
)

// sink is where findings go: a file, sorted; else lines for people on standard output.
func (o *replayOptions) sink(cmd *cobra.Command) (deliver func(*event.Finding) error, done func() error, err error) {
	if o.output == "" {
		t := sinks.NewTerminal(cmd.OutOrStdout(), sinks.Colour(cmd.OutOrStdout()))
		return t.Deliver, t.Close, nil
	}
	var w io.Writer = cmd.OutOrStdout()
	closeFile := func() error { return nil }
	if o.output != "-" {
		f, err := os.Create(o.output)
		if err != nil {
			return nil, nil, fmt.Errorf("output: %w", err)
		}
		w, closeFile = f, f.Close
	}
	s := sinks.NewSorted(w, &sinks.OCSF{Version: versionOf()})
	return s.Deliver, func() error { return errors.Join(s.Close(), closeFile()) }, nil
}

// commandSink is where commands go: a file, as they would stand on the topic; else, beside findings
// for people, lines; else nowhere.
func (o *replayOptions) commandSink(cmd *cobra.Command) (command func(*event.Command) error, done func() error,
	err error) {
	nothing := func() error { return nil }
	switch {
	case o.commands == "" && o.output == "":
		t := sinks.NewTerminal(cmd.OutOrStdout(), sinks.Colour(cmd.OutOrStdout()))
		return t.Command, nothing, nil
	case o.commands == "":
		return nil, nothing, nil
	case o.commands == o.output && o.output == "-":
		return nil, nil, errors.New(
			"--output and --commands cannot both be standard output: name a file for one of them")
	}
	var w io.Writer = cmd.OutOrStdout()
	closeFile := nothing
	if o.commands != "-" {
		f, err := os.Create(o.commands)
		if err != nil {
			return nil, nil, fmt.Errorf("commands: %w", err)
		}
		w, closeFile = f, f.Close
	}
	b := bufio.NewWriter(w)
	return func(c *event.Command) error {
		_, err := b.Write(append(c.Append(nil), '\n'))
		return err
	}, func() error { return errors.Join(b.Flush(), closeFile()) }, nil
}

// summarize says for people what a replay read, found and left out.
func summarize(w io.Writer, s pipeline.Summary, took time.Duration, flushed bool) {
	fmt.Fprintf(w, "%d events in %v (%.0f/s)", s.Events, took.Round(time.Millisecond), float64(s.Events)/took.Seconds())
	if s.Events > 0 {
		fmt.Fprintf(w, ", from %s to %s", time.UnixMilli(s.First).UTC().Format(time.RFC3339),
			time.UnixMilli(s.Last).UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(w, "\n%d findings, %d updates of findings, %d commands; %d agents, sessions and scopes remembered\n",
		s.Findings, s.Updates, s.Commands, s.Pages)
	for _, c := range []struct {
		n    int64
		what string
	}{
		{s.Repeated, "events came again (same id, same agent) and were counted once"},
		{s.Late, "events were more than 10 s behind their agent's newest"},
		{s.Future, "events were stamped in the future; their time was replaced"},
		{s.Dropped,
			"times an agent, session or scope was not remembered: its tenant has used up its share of the state (engine.page_cap)"},
		{s.Evicted,
			"agents, sessions and scopes idle for an hour were forgotten to make room for others of their tenant"},
		{s.Stateless,
			"events were judged without memory of their agent, since there was no room for it: by persona, limits of a call and rules on single events alone"},
	} {
		if c.n > 0 {
			fmt.Fprintf(w, "%d %s\n", c.n, c.what)
		}
	}
	for _, limit := range slices.Sorted(maps.Keys(s.Unmeasured)) {
		fmt.Fprintf(w,
			"limit %s: %d calls could not be measured: an amount without a currency, or a number that could not be read\n",
			limit, s.Unmeasured[limit])
	}
	for _, rule := range slices.Sorted(maps.Keys(s.RuleErrors)) {
		fmt.Fprintf(w,
			"rule %s: an expression failed %d times, and counted as not true; try it with wayward rules eval\n", rule,
			s.RuleErrors[rule])
	}
	if s.Pending > 0 && !flushed {
		fmt.Fprintf(w, "%d buckets above one agent still wait for the watermark: --flush closes them\n", s.Pending)
	}
}
