package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/state"
)

func newState() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "Look at, verify and rebuild the state on disk",
		Long: "state is about what an instance remembers of agents, sessions and scopes, in the directory that state names in the config. It follows from the\n" +
			"topics, so it may be lost or thrown away: the next start makes it anew.",
		Example: "  wayward state info -c wayward.yaml             what is there\n" +
			"  wayward state verify -c wayward.yaml           read all of it; exit 1 if something is damaged\n" +
			"  wayward state rebuild -c wayward.yaml --dry-run",
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newStateInfo(), newStateVerify(), newStateRebuild())
	return cmd
}

// stateReport is what state info and verify print.
type stateReport struct {
	Directory  string                    `json:"directory"`
	Bytes      int64                     `json:"bytes_on_disk"`
	Format     int                       `json:"format"`
	Layout     *pipeline.Layout          `json:"layout"`
	Sets       []string                  `json:"sets"`
	BadSets    []string                  `json:"damaged_sets,omitempty"`
	Partitions []pipeline.PartitionState `json:"partitions"`
}

// inspectState reads all of a store.
func inspectState(c config.Config) (*stateReport, error) {
	dir := c.StoreDir()
	if !state.Exists(dir) {
		return nil, nil
	}
	s, err := state.Open(dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	r := &stateReport{Directory: dir, Bytes: state.OnDisk(dir), Format: state.Format,
		Partitions: append([]pipeline.PartitionState{}, pipeline.Inspect(s)...)}
	if r.Layout, err = pipeline.StoredLayout(s); err != nil {
		return nil, err
	}
	r.Sets, r.BadSets = pipeline.InspectSets(s)
	return r, nil
}

func (r *stateReport) damaged() (n int) {
	n = len(r.BadSets)
	for _, p := range r.Partitions {
		for _, d := range p.Damage {
			n += d.N
		}
	}
	return n
}

func newStateInfo() *cobra.Command {
	var name, format string
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show what the state directory holds, partition by partition",
		Long: "info shows the state on disk: what it was cut by, and of each partition its pages by kind, its size, and how far it has come. The instance must not\n" +
			"run. Exit 3 if there is no state.",
		Example: "  wayward state info -c wayward.yaml\n  wayward state info -c wayward.yaml --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := examine(cmd, name)
			if err != nil {
				return err
			}
			if format == "json" {
				return printJSON(cmd.OutOrStdout(), r)
			}
			return r.table(cmd.OutOrStdout(), time.Now())
		},
	}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "table", "json")
	return cmd
}

// examine reads the state that a config names, and ends with exit code 3 if there is none.
func examine(cmd *cobra.Command, name string) (*stateReport, error) {
	c, err := config.Load(name)
	if err != nil {
		return nil, err
	}
	r, err := inspectState(c)
	if err == nil && r == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "there is no state in %s: the next start makes it\n", c.StoreDir())
		return nil, errSilent{3}
	}
	return r, err
}

func (r *stateReport) table(w io.Writer, now time.Time) error {
	fmt.Fprintf(w, "directory  %s, %s on disk, format %d\n", r.Directory, config.FormatBytes(r.Bytes), r.Format)
	if r.Layout != nil {
		fmt.Fprintf(w, "layout     %d partitions of events, %d of facts\n", r.Layout.Events, r.Layout.Facts)
	}
	fmt.Fprintf(w, "sets       %d known\n\n", len(r.Sets))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t,
		"STAGE\tPARTITION\tAGENTS\tSESSIONS\tSCOPES\tOTHER\tSIZE\tTRANSACTIONS\tCONTROL AT\tMAIN LOG AT\tWATERMARK\tSAVED\tPOLICIES\t")
	for _, p := range r.Partitions {
		agents, sessions, scopes, other := p.Pages["agents"], p.Pages["sessions"], p.Pages["scopes"], 0
		for _, n := range p.Pages {
			other += n
		}
		mark, saved := "none yet", "-"
		if p.Watermark != 0 {
			mark = time.UnixMilli(p.Watermark).UTC().Format(time.RFC3339)
		}
		if p.Saved != 0 {
			saved = age(now.Sub(time.UnixMilli(p.Saved))) + " ago"
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%d\t%s\t%s\t%.12s\t\n", p.Stage, p.Partition, agents,
			sessions, scopes, other-agents-sessions-scopes, config.FormatBytes(p.Bytes), p.Seq, p.Control, p.Main, mark, saved, p.Set)
	}
	return t.Flush()
}

// age writes how long ago something was, for people.
func age(d time.Duration) string {
	switch {
	case d > 48*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	case d > time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d > time.Minute:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	}
	return fmt.Sprintf("%ds", int(max(0, d.Seconds())))
}

func newStateVerify() *cobra.Command {
	var name, format string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read every page and marker and report the damaged ones",
		Long: "verify reads the whole state on disk, checks every checksum and decodes every page. The instance must not run. It says which stage, partition and\n" +
			"kind of page is damaged, never what is in it. The engine rebuilds a damaged partition by itself when it loads it; state rebuild does it for all.\n" +
			"Exit 0: nothing is damaged; 1: something is; 3: there is no state.",
		Example: "  wayward state verify -c wayward.yaml\n  wayward state verify -c wayward.yaml --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := examine(cmd, name)
			if errors.Is(err, state.ErrCorrupt) {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errSilent{1}
			}
			if err != nil {
				return err
			}
			if format == "json" {
				if err := printJSON(cmd.OutOrStdout(), r); err != nil {
					return err
				}
			} else {
				r.verdict(cmd.OutOrStdout())
			}
			if r.damaged() > 0 {
				return errSilent{1}
			}
			return nil
		},
	}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

func (r *stateReport) verdict(w io.Writer) {
	pages := 0
	for _, p := range r.Partitions {
		for _, n := range p.Pages {
			pages += n
		}
		for _, d := range p.Damage {
			fmt.Fprintf(w, "%s partition %d: %s: %d damaged: %s\n", p.Stage, p.Partition, d.Kind, d.N, d.Why)
		}
	}
	for _, hash := range r.BadSets {
		fmt.Fprintf(w, "set of policies %.12s is damaged\n", hash)
	}
	fmt.Fprintf(w, "%d partitions, %d pages, %d sets: %d damaged\n", len(r.Partitions), pages, len(r.Sets), r.damaged())
}

func newStateRebuild() *cobra.Command {
	var o rebuild
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

// rebuild is what the command was asked for.
type rebuild struct {
	name          string
	all, dry, yes bool
}

func (o *rebuild) run(cmd *cobra.Command) error {
	c, err := config.Load(o.name)
	if err != nil {
		return err
	}
	ctx, out, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	dir := c.StoreDir()

	// Nobody may have it open. A store that does not open for another reason is one to be thrown
	// away.
	var then *pipeline.Layout
	there := state.Exists(dir)
	if there {
		s, err := state.Open(dir)
		switch {
		case errors.Is(err, state.ErrInUse):
			return fmt.Errorf("%w; stop it first", err)
		case err != nil:
			fmt.Fprintln(out, "the state does not open:", err)
		default:
			then, err = pipeline.StoredLayout(s)
			if err := errors.Join(err, s.Close()); err != nil {
				fmt.Fprintln(out, "the state cannot be read:", err)
			}
		}
	}
	embedded := c.Kafka.Embedded()
	if _, err := os.Stat(filepath.Join(c.State, "broker")); embedded && err != nil && !there {
		fmt.Fprintf(out, "there is no state in %s: nothing to do\n", dir)
		return nil
	}
	if embedded {
		own, err := broker.StartEmbedded(c.State, 0, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		defer own.Close()
		c.Kafka = broker.Kafka{Brokers: []string{own.Addr()}}
	}
	cl, adm, brokers, err := dial(ctx, c)
	if err != nil {
		return err
	}
	defer cl.Close()
	specs, why, err := o.scope(ctx, adm, c, then, c.Topics.Specs(embedded, brokers))
	if err != nil {
		return err
	}
	groups := broker.RebuiltGroups(c.Group)
	if len(specs) > 0 {
		members, err := broker.Members(ctx, adm, groups)
		// Nobody but this process reaches the broker that it has just started: who is a member
		// there has died, and leaves after a while.
		for until := time.Now().Add(c.Engine.SessionTimeout + 5*time.Second); embedded && err == nil &&
			len(members) > 0 && time.Now().Before(until) && ctx.Err() == nil; {
			time.Sleep(200 * time.Millisecond)
			members, err = broker.Members(ctx, adm, groups)
		}
		if err != nil {
			return err
		}
		if len(members) > 0 {
			return fmt.Errorf(
				"instances are at work: %s. Stop all of them first; one that has died leaves after engine.session_timeout (%s)",
				strings.Join(members, ", "), config.FormatDuration(c.Engine.SessionTimeout))
		}
	}
	if !there && len(specs) == 0 {
		fmt.Fprintf(out, "there is no state in %s: nothing to do\n", dir)
		return nil
	}
	fmt.Fprintln(out, "This will:")
	if there {
		fmt.Fprintf(out, "  delete the state in %s\n", dir)
	}
	if len(specs) > 0 {
		for _, s := range specs {
			fmt.Fprintf(out, "  empty topic %s and make it with %d partitions\n", s.Name, s.Partitions)
		}
		fmt.Fprintf(out, "  forget consumer groups %s\n", strings.Join(groups, " and "))
		fmt.Fprintf(out,
			"because %s.\nThe next start makes everything anew from the beginning of %s. Findings on these events are issued again, with equal ids.\nBreakers stay as they are, and no command is issued for what was judged before.\n",
			why, c.Topics.Events)
	} else {
		fmt.Fprintln(out,
			"The next start makes it anew from the changelog, or from journal and events. No finding is issued again.")
	}
	if o.dry {
		return nil
	}
	if !o.yes {
		if err := confirm(cmd, ""); err != nil {
			return err
		}
	}
	say := func(s string) { fmt.Fprintln(stderr, s) }
	if there {
		say("deleting " + dir)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if len(specs) > 0 {
		options, err := c.Kafka.Options()
		if err != nil {
			return err
		}
		say("reading breakers from " + c.Topics.Commands + " and " + c.Topics.Breakers)
		resume, err := pipeline.ReadResume(ctx, options, c.Topics, c.Group)
		if err != nil {
			return err
		}
		if err := broker.BeginAnew(ctx, adm, specs, groups, say); err != nil {
			return err
		}
		say(fmt.Sprintf("writing breakers of %d scopes into the new topics", resume.Scopes()))
		if err := resume.Write(ctx, options, c.Topics); err != nil {
			return fmt.Errorf("%w; run wayward state rebuild --all again before any instance is started", err)
		}
	}
	fmt.Fprintln(out, "done")
	return nil
}

// scope returns the topics to be emptied, and why; none: this disk's state alone is at fault.
func (o *rebuild) scope(ctx context.Context, adm *kadm.Client, c config.Config, then *pipeline.Layout,
	all []broker.TopicSpec) (specs []broker.TopicSpec, why string, err error) {
	mine := c.Topics.Discardable()
	other := map[string]bool{}
	for _, s := range all {
		if slices.Contains(mine, s.Name) {
			specs = append(specs, s)
		} else {
			other[s.Name] = true
		}
	}
	changes, err := broker.ReviewTopics(ctx, adm, all)
	if err != nil {
		return nil, "", err
	}
	var differs []string
	for _, ch := range changes {
		switch {
		case ch.Kind == broker.ChangePartitions && other[ch.Topic]:
			// of events: the config must say what is, before state is cut by it
			return nil, "", errors.New(ch.What)
		case ch.Kind == broker.ChangeCreate && ch.Topic == c.Topics.Events:
			return nil, "", errors.New(ch.What)
		case ch.Kind == broker.ChangePartitions:
			differs = append(differs, fmt.Sprintf("topic %s has %s partitions and should have %s", ch.Topic, ch.Have,
				ch.Want))
		}
	}
	if len(differs) > 0 {
		return specs, strings.Join(differs, ", "), nil
	}
	if then != nil {
		td, err := adm.ListTopics(ctx, c.Topics.Events, c.Topics.Control, c.Topics.Journal, c.Topics.Facts)
		if err != nil {
			return nil, "", errors.New(broker.Explain(err))
		}
		now := pipeline.LayoutOf(c.Topics, td)
		// Once facts were made anew, rebuild has emptied the topics for another instance already:
		// only this disk is behind.
		remade := now.Remade(*then)
		switch {
		case slices.Contains(remade, "facts"):
		case now.Events != then.Events || now.Facts != then.Facts:
			return specs, fmt.Sprintf(
				"the state was made with %d and %d partitions of events and facts, and there are %d and %d",
				then.Events, then.Facts, now.Events, now.Facts), nil
		case slices.Contains(remade, "events"):
			return specs, "topic " + c.Topics.Events + " was deleted and made anew", nil
		}
	}
	if o.all {
		return specs, "--all asks for it", nil
	}
	return nil, "", nil
}

// dial connects to the brokers of a config.
func dial(ctx context.Context, c config.Config) (*kgo.Client, *kadm.Client, int, error) {
	options, err := c.Kafka.Options()
	if err != nil {
		return nil, nil, 0, err
	}
	cl, err := kgo.NewClient(options...)
	if err != nil {
		return nil, nil, 0, err
	}
	adm := kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		cl.Close()
		return nil, nil, 0, errors.New(broker.Explain(err))
	}
	return cl, adm, len(brokers), nil
}
