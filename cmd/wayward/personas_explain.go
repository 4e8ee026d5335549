package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/terminal"
)

func newPersonasExplain() *cobra.Command {
	var o policiesFlags
	var input, output string
	cmd := &cobra.Command{
		Use:   "explain --event FILE",
		Short: "Say of calls what their persona makes of them, and why",
		Long: "explain reads events, one a line, and prints for each tool call every thing that the persona judges: its value, the verdict, and the\n" +
			"entry that decided with file and line. What the event does not say is unknown: no violation, but shown.",
		Example: "  wayward personas explain --policies configs --event call.json\n" +
			"  zcat events.jsonl.gz | wayward personas explain -c wayward.yaml --event - --output json",
		Args: cobra.NoArgs,
	}
	outputFlag(cmd, &output, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		set, err := o.load(nil)
		if err != nil {
			return err
		}
		return explainCalls(cmd, set, input, output)
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&input, "event", "",
		"`file` of events, one a line, plain or .gz, .zst, .xz; - is standard input")
	require(cmd, "event")
	return cmd
}

// explanation is what decided about one event.
type explanation struct {
	Event   string             `json:"event"`
	Agent   string             `json:"agent"`
	Persona string             `json:"persona"`
	Tool    string             `json:"tool"`
	Verdict string             `json:"verdict"`
	Because []policy.Judgement `json:"because"`
	Note    string             `json:"note,omitempty"`
}

func explainCalls(cmd *cobra.Command, set *policy.Set, input, output string) error {
	w := cmd.OutOrStdout()
	var scratch catalogue.Scratch
	all := []explanation{}
	err := history.EachEvent(cmd.Context(), input, func(e *event.Event) error {
		defer scratch.Reset()
		x := explainOne(set, e, &scratch)
		if output == "json" {
			all = append(all, x)
			return nil
		}
		return printExplanation(w, &x)
	})
	if err == nil && output == "json" {
		err = printJSON(w, all)
	}
	return err
}

func explainOne(set *policy.Set, e *event.Event, scratch *catalogue.Scratch) explanation {
	persona, mismatch := set.Role(e.Tenant, e.Agent.ID, e.Persona)
	x := explanation{Event: e.ID, Agent: e.Agent.ID, Persona: persona, Tool: e.Tool.Name, Verdict: "not judged",
		Because: []policy.Judgement{}}
	j := set.Judge(e.Tenant, persona)
	switch {
	case e.Kind != event.ToolCall:
		x.Note = "a persona judges tool calls alone; this is a " + e.Kind.String()
	case persona == "":
		x.Note = "the event names no persona, and no persona lists the agent"
	case j == nil:
		x.Note = "no persona of that name is defined"
	default:
		t := set.Catalogue().Tool(e.Tenant, &e.Tool)
		t.Complete(e, scratch)
		if e.Phase == event.Attempt {
			x.Note = "an attempt: its result is judged, so that one call is one violation"
		}
		verdict, because := j.Explain(e, t)
		x.Verdict, x.Because = verdict.String(), because
	}
	if mismatch == policy.Otherwise && x.Note == "" {
		x.Note = fmt.Sprintf("the event says persona %s, but the lists of agents have %s for the agent",
			terminal.Visible(e.Persona, 60), terminal.Visible(persona, 60))
	}
	return x
}

func printExplanation(w io.Writer, x *explanation) error {
	fmt.Fprintf(w, "%s: agent %s as %s, tool %s: %s\n", terminal.Visible(x.Event, 100), terminal.Visible(x.Agent, 100), terminal.Dash(x.Persona),
		terminal.Dash(x.Tool), x.Verdict)
	if x.Note != "" {
		fmt.Fprintln(w, "  "+x.Note)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, b := range x.Because {
		where := ""
		if b.Line > 0 {
			where = fmt.Sprintf("%s:%d", b.File, b.Line)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", b.Kind, terminal.Dash(b.Value), b.Verdict, b.Rule, where)
	}
	return t.Flush()
}
