package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/suggest"
	"github.com/wayward-sec/wayward/terminal"
)

func newTools() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "What the tools are that agents call",
		Long: "tools shows what wayward makes of recorded tool calls. The catalogue in tools/*.yaml of the policies says what calls are; for what it does\n" +
			"not say, the names of tools and arguments are read. What neither tells stays unknown and is listed as such.",
		Example: "  wayward tools classify events.jsonl.zst                        what recorded calls are\n" +
			"  wayward tools draft events.jsonl.zst -o policies/tools/seen.yaml\n" +
			"  wayward tools list --config wayward.yaml                       what was called while wayward ran",
	}
	cmd.AddCommand(newToolsClassify(), newToolsDraft(), newToolsList())
	return cmd
}

func newToolsClassify() *cobra.Command {
	var o toolsOptions
	var output string
	cmd := &cobra.Command{
		Use:   "classify FILE",
		Short: "Say tool by tool what recorded calls are, and from what that is known",
		Long: "classify reads events, one a line, plain or .gz, .zst, .xz (- is standard input), and says of each tool what class its calls are, what they\n" +
			"touch, where they go, how often and from what that is known; and at the end, which tools it does not know. No value of an argument is shown.\n" +
			"The exit code is 1 if lines did not decode, 3 if there is no tool call.",
		Example: "  wayward tools classify events.jsonl.zst\n" +
			"  wayward tools classify events.jsonl --ignore-declared --output json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.survey(cmd, args[0])
			if err != nil {
				return err
			}
			if output == "json" {
				err = s.json(cmd.OutOrStdout())
			} else {
				err = s.table(cmd.OutOrStdout())
			}
			return cmp.Or(err, s.empty(cmd, args[0]), s.bad.code())
		},
	}
	o.flags(cmd)
	outputFlag(cmd, &output, "table", "json")
	cmd.Flags().BoolVar(&o.ignore, "ignore-declared", false,
		"leave out what the events say of class, resource, subject, destination and amount")
	return cmd
}

func newToolsDraft() *cobra.Command {
	var o toolsOptions
	var output string
	cmd := &cobra.Command{
		Use:   "draft FILE",
		Short: "Write a catalogue to edit from recorded calls",
		Long: "draft reads events as classify does, and writes an entry for each tool with what is known of it, the most called first. What is not known is\n" +
			"left as a comment to fill in. Put the file into the folder tools of your policies. The exit code is 1 if lines did\n" +
			"not decode.",
		Example: "  wayward tools draft events.jsonl.zst -o policies/tools/seen.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.survey(cmd, args[0])
			if err == nil {
				err = s.empty(cmd, args[0])
			}
			if err != nil {
				return err
			}
			var b bytes.Buffer
			s.Draft(&b, terminal.OneLine)
			if output == "" {
				_, err = cmd.OutOrStdout().Write(b.Bytes())
				return cmp.Or(err, s.bad.code())
			}
			// what somebody edited must not be lost
			f, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return fmt.Errorf("output: %w; name a new file", err)
			}
			_, err = f.Write(b.Bytes())
			return cmp.Or(errors.Join(err, f.Close()), s.bad.code())
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "new `file` to write; standard output without")
	return cmd
}

type toolsOptions struct {
	policiesFlags
	format        string
	ignore, quiet bool
}

func (o *toolsOptions) flags(cmd *cobra.Command) {
	o.policiesFlags.flags(cmd)
	formatFlag(cmd, &o.format)
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "no progress, nothing about lines that did not decode")
}

// survey is what was seen in a stream.
type survey struct {
	*suggest.ToolSurvey
	bad undecoded
}

// survey reads a stream.
func (o *toolsOptions) survey(cmd *cobra.Command, input string) (*survey, error) {
	c, err := config.Load(o.config)
	if err != nil {
		return nil, err
	}
	set, err := config.LoadPolicies(cmp.Or(o.dir, c.Policies))
	if err != nil {
		return nil, err
	}
	s := &survey{ToolSurvey: suggest.NewToolSurvey(set.Catalogue())}
	s.bad, err = eachEvent(cmd, input, o.format, o.quiet, func(_ []byte, e *event.Event) error {
		s.Add(e, o.ignore)
		return nil
	})
	return s, err
}

// empty says that there was no tool call.
func (s *survey) empty(cmd *cobra.Command, input string) error {
	if s.Calls > 0 {
		return nil
	}
	if s.bad.n > 0 {
		return s.bad.code()
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "wayward: there is no tool call in %s\n", input)
	return errSilent{3}
}
