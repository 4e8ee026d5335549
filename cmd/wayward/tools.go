package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/suggest"
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
