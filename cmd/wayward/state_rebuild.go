package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/rebuild"
)

func newStateRebuild() *cobra.Command {
	var o rebuildOptions
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Throw state away, so that the next start makes it anew",
		Long: "rebuild deletes this instance's state on disk. The next start makes it anew: from the changelog topics, and the journal and the events since.\n\n" +
			"With --all it also empties the internal topics (control, journal, facts, changelogs) and forgets the consumer groups, so that everything is made anew\n" +
			"from the beginning of the events that Kafka still has. It decides so by itself if partition counts have changed: state is cut by them. All instances\n" +
			"must be stopped; run rebuild for each of them before it is started. Events, findings and all other topics for others to read stay as they are.\n\n" +
			"After --all, findings on the events that are still there are issued again, with equal ids: who stores findings by finding_info.uid sees no second one.\n" +
			"Breakers stay as agent.commands and agent.breakers have them, their epochs go on, and no command is issued for what was judged before.\n" +
			"Windows that reach back to events that Kafka has deleted begin with less than they had.",
		Example: "  wayward state rebuild -c wayward.yaml --dry-run        say what it would do\n" +
			"  wayward state rebuild -c wayward.yaml                  state on this disk is damaged\n" +
			"  wayward state rebuild -c wayward.yaml --all --yes      begin anew from the events",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	configFlag(cmd, &o.name)
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "also empty the internal topics and forget the consumer groups")
	f.BoolVar(&o.dry, "dry-run", false, "say what would be done, and do nothing")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

type rebuildOptions struct {
	name          string
	all, dry, yes bool
}

func (o *rebuildOptions) run(cmd *cobra.Command) error {
	c, err := config.Load(o.name)
	if err != nil {
		return err
	}
	ctx, out, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	plan, err := rebuild.Examine(ctx, c, o.all, func(s string) { fmt.Fprintln(out, s) })
	if err != nil {
		return err
	}
	defer plan.Close()
	if plan.Empty() {
		fmt.Fprintf(out, "there is no state in %s: nothing to do\n", plan.Dir)
		return nil
	}
	printPlan(out, plan, c.Topics.Events)
	if o.dry {
		return nil
	}
	if !o.yes {
		if err := confirm(cmd, ""); err != nil {
			return err
		}
	}
	if err := plan.Do(ctx, func(s string) { fmt.Fprintln(stderr, s) }); err != nil {
		return err
	}
	fmt.Fprintln(out, "done")
	return nil
}

func printPlan(w io.Writer, p *rebuild.Plan, events string) {
	fmt.Fprintln(w, "This will:")
	if p.Exists {
		fmt.Fprintf(w, "  delete the state in %s\n", p.Dir)
	}
	if len(p.Topics) == 0 {
		fmt.Fprintln(w,
			"The next start makes it anew from the changelog, or from journal and events. No finding is issued again.")
		return
	}
	for _, s := range p.Topics {
		fmt.Fprintf(w, "  empty topic %s and make it with %d partitions\n", s.Name, s.Partitions)
	}
	fmt.Fprintf(w, "  forget consumer groups %s\n", strings.Join(p.Groups, " and "))
	fmt.Fprintf(w,
		"because %s.\nThe next start makes everything anew from the beginning of %s. Findings on these events are issued again, with equal ids.\nBreakers stay as they are, and no command is issued for what was judged before.\n",
		p.Why, events)
}
