package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/client"
	"github.com/wayward-sec/wayward/explain"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/terminal"
)

func newExplain() *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain [FINDING]",
		Short: "Say what a finding observed, what is usual, how rare that is, and draw it",
		Long: "explain shows a finding to people: what was observed and expected, how rare that is, against whose baseline, what the alert budget made of it, and on\n" +
			"which events it rests. Amounts are drawn on a logarithmic axis with the band of what is usual, sequences as a table of steps with their surprise in bits.\n" +
			"FINDING is a uid, or at least eight characters that it begins with, or the whole OCSF record. A uid is looked for in --input (standard input without), or\n" +
			"with --config on the alert topic; without FINDING every finding of the input is explained. Of a finding that grew the newest state is shown. Exit 3 if there\n" +
			"is none.",
		Example: "  wayward explain 90b1c2d3e4f50617 --input findings.jsonl\n" +
			"  wayward explain 90b1c2d3e4f5061728394a5b6c7d8e9f --config wayward.yaml --output json\n" +
			"  wayward replay --input events.jsonl.zst --output - --quiet | wayward explain",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.input, "input", "i", "-",
		"`file` of findings as replay writes them, plain or .gz, .zst, .xz; - is standard input")
	f.StringVarP(&o.config, "config", "c", "", "config `file`: read the alert topic of that wayward instead")
	cmd.MarkFlagFilename("config", "yaml", "yml")
	f.StringVar(&o.commands, "commands", "",
		"`file` of commands as replay writes them; with --config they come from their topic")
	f.DurationVar(&o.since, "since", 7*24*time.Hour, "with --config: how far back")
	outputFlag(cmd, &o.output, "text", "json")
	f.BoolVar(&o.ascii, "ascii", false,
		"draw with ASCII alone, as is done on terminals that do not say they understand UTF-8")
	cmd.MarkFlagsMutuallyExclusive("input", "config")
	cmd.MarkFlagsMutuallyExclusive("commands", "config")
	return cmd
}

type explainOptions struct {
	input, config, commands, output string
	since                           time.Duration
	ascii                           bool
}

// leastPrefix is how much of a uid must be given: fewer characters would name several.
const leastPrefix = 8

func (o *explainOptions) run(cmd *cobra.Command, args []string) error {
	arg := ""
	if len(args) > 0 {
		arg = strings.TrimSpace(args[0])
	}
	if arg != "" && arg[0] != '{' && len(arg) < leastPrefix {
		return fmt.Errorf("%q: give at least %d characters of a uid, or the whole record", arg, leastPrefix)
	}
	if o.since <= 0 {
		return fmt.Errorf("--since %v: use a time such as 24h", o.since)
	}
	var found explain.Explanations
	var err error
	switch {
	case strings.HasPrefix(arg, "{"):
		x := explain.Explanation{Record: []byte(arg)}
		if x.Finding, x.Truncated, err = sinks.Read(x.Record); err != nil {
			return fmt.Errorf("finding: %w", err)
		}
		found.List = []*explain.Explanation{&x}
		if o.config != "" {
			err = o.fromTopics(cmd, &found, "")
		}
	case o.config != "":
		found.Want = arg
		err = o.fromTopics(cmd, &found, arg)
	default:
		found.Want = arg
		err = history.EachObject(cmd.Context(), o.input, found.Add)
	}
	if err == nil && o.commands != "" {
		err = o.fileCommands(cmd, &found)
	}
	if err != nil {
		return err
	}
	if arg != "" && len(found.List) > 1 {
		var uids []string
		for _, x := range found.List[:min(len(found.List), 5)] {
			uids = append(uids, terminal.Visible(x.Finding.UID, 64))
		}
		return fmt.Errorf("%s begins the uids of %d findings, such as %s: give more of it", arg, len(found.List),
			oneOf(uids))
	}
	if len(found.List) == 0 {
		what := "no findings"
		if arg != "" {
			what = "no finding " + terminal.Visible(arg, 64)
		}
		if found.Foreign > 0 {
			what += fmt.Sprintf(" (%d records are none of wayward; the first: %s)", found.Foreign,
				terminal.Visible(found.First.Error(), 200))
		}
		fmt.Fprintln(cmd.ErrOrStderr(), what)
		return errSilent{3}
	}
	return o.print(cmd.OutOrStdout(), found.List, arg != "")
}

// fromTopics looks for a finding on the alert topic, if it is to be looked for, and for the
// commands that followed.
func (o *explainOptions) fromTopics(cmd *cobra.Command, found *explain.Explanations, uid string) error {
	c, err := (&lookup{config: o.config}).open(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	since := time.Now().Add(-o.since)
	if len(found.List) == 0 {
		if err := c.Values(cmd.Context(), c.Topics.Alerts, since, found.Add); err != nil {
			return err
		}
	}
	found.CommandsRead()
	bad := client.Unread{From: c.Topics.Commands}
	defer bad.Report(cmd.ErrOrStderr())
	return c.Values(cmd.Context(), c.Topics.Commands, since, func(record []byte) {
		if err := found.AddCommand(record); err != nil {
			bad.Add(err)
		}
	})
}

func (o *explainOptions) fileCommands(cmd *cobra.Command, found *explain.Explanations) error {
	found.CommandsRead()
	bad := client.Unread{From: o.commands}
	defer bad.Report(cmd.ErrOrStderr())
	return history.EachObject(cmd.Context(), o.commands, func(record []byte) {
		if err := found.AddCommand(record); err != nil {
			bad.Add(err)
		}
	})
}

func (o *explainOptions) print(w io.Writer, list []*explain.Explanation, one bool) error {
	if o.output == "json" {
		out := []any{}
		for _, x := range list {
			out = append(out, x.JSON())
		}
		if one {
			return printJSON(w, out[0])
		}
		return printJSON(w, out)
	}
	var b bytes.Buffer
	d := terminal.DrawingFor(w, o.ascii)
	for i, x := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		x.Write(&b, d)
	}
	_, err := w.Write(b.Bytes())
	return err
}
