package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/policy"
)

// usageFlags say whose usage is looked at, and where it was seen.
type usageFlags struct {
	policiesFlags
	input, snapshots string
	tenant, persona  string
	least            int64
	bad              undecoded // of input
}

func (o *usageFlags) flags(cmd *cobra.Command, least string) {
	o.policiesFlags.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.input, "input", "i", "",
		"`file` of events, one a line, plain or .gz, .zst, .xz; - is standard input")
	f.StringVar(&o.snapshots, "snapshots", "", "`file` of snapshots, as wayward baseline export writes them")
	f.StringVar(&o.tenant, "tenant", "", "of this `tenant` alone")
	f.StringVar(&o.persona, "persona", "", "of this `persona` alone")
	f.Int64Var(&o.least, "min-agent-days", 3, least)
	cmd.MarkFlagsMutuallyExclusive("input", "snapshots")
	cmd.MarkFlagsOneRequired("input", "snapshots")
}

// usages are what was seen of each persona that is asked for.
func (o *usageFlags) usages(cmd *cobra.Command, set *policy.Set) ([]*policy.Usage, error) {
	if o.least < 1 {
		return nil, fmt.Errorf("--min-agent-days %d: use 1 or more", o.least)
	}
	var list []*policy.Usage
	var err error
	if o.input != "" {
		list, err = o.surveyFile(cmd, set, o.input)
	} else {
		list, err = snapshotUsages(o.snapshots)
	}
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(u *policy.Usage) bool {
		return o.tenant != "" && u.Tenant != o.tenant || o.persona != "" && u.Persona != event.Identity(o.persona)
	})
	if len(list) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "wayward: no tool call of such a persona")
		return nil, cmp.Or(o.bad.code(), error(errSilent{3}))
	}
	return list, nil
}

// surveyFile watches the events of a file. Records that do not decode are counted and left out, as
// the engine does.
func (o *usageFlags) surveyFile(cmd *cobra.Command, set *policy.Set, input string) ([]*policy.Usage, error) {
	lines, err := pipeline.OpenLines(input)
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	survey := policy.NewSurvey(set)
	var decoder event.Decoder
	var e event.Event
	bad := &o.bad
	for {
		c, err := lines.Next(cmd.Context())
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", input, err)
		}
		at := c.At - 1
		for rest := c.Lines; len(rest) > 0; {
			at++
			line := rest
			if i := bytes.IndexByte(rest, '\n'); i >= 0 {
				line, rest = rest[:i], rest[i+1:]
			} else {
				rest = nil
			}
			if len(strings.TrimSpace(string(line))) == 0 {
				continue
			}
			if err := decoder.Decode(line, &e); err != nil {
				bad.add(at, err)
				continue
			}
			survey.Add(&e)
			decoder.Reset()
		}
		lines.Done(c)
	}
	bad.tell(cmd.ErrOrStderr(), func(at int64) string { return fmt.Sprintf("%s line %d", input, at) }, lines.Hint())
	list := survey.Usages()
	for _, u := range list {
		u.From = input
	}
	return list, nil
}

// snapshotUsages reads exported snapshots; of one persona the newest counts, and what its forks
// show is looked at one by one.
func snapshotUsages(name string) ([]*policy.Usage, error) {
	all, err := readSnapshots(name)
	if err != nil {
		return nil, err
	}
	var list []*policy.Usage
	for _, s := range newestEach(all) {
		m := s.m
		if m.Persona == baselines.TenantWide {
			continue
		}
		u := usageOf(m)
		u.From = "snapshot " + m.Snapshot()
		if m.Fork != "" {
			u.From += " of fork " + m.Fork
		}
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b *policy.Usage) int {
		return strings.Compare(a.Tenant+"\x00"+a.Persona+"\x00"+a.From, b.Tenant+"\x00"+b.Persona+"\x00"+b.From)
	})
	return list, nil
}

// usageOf is what a snapshot knows of what its persona uses. Names are kept of tools, servers,
// domains and classes of resources, so of the rest nothing can be said.
func usageOf(m *baselines.Model) *policy.Usage {
	v := &m.Rarity
	u := &policy.Usage{Tenant: m.Tenant, Persona: m.Persona, AgentDays: int64(v.Total), First: m.First, Last: m.Day}
	for _, d := range []policy.Dimension{policy.Tools, policy.Servers, policy.Classes, policy.ResourceTypes,
		policy.Labels, policy.Environments, policy.Destinations} {
		u.Watched[d] = true
	}
	add := func(d policy.Dimension, value string, x *baselines.Value) {
		if value == "" {
			return
		}
		i := slices.IndexFunc(u.Of[d], func(s policy.Seen) bool { return s.Value == value })
		if i < 0 {
			i = len(u.Of[d])
			u.Of[d] = append(u.Of[d], policy.Seen{Value: value, First: int64(x.First), Last: int64(x.Last)})
		}
		s := &u.Of[d][i]
		// Of two values that show one name, agents may have shown both on one day: the larger count
		// is certain.
		s.AgentDays = max(s.AgentDays, int64(x.Count))
		s.First, s.Last = min(s.First, int64(x.First)), max(s.Last, int64(x.Last))
	}
	known := func(f baselines.Field, each func(x *baselines.Value)) {
		o := &v.Of[f]
		for i := range o.Values {
			each(&o.Values[i])
		}
		for i := range v.Quarantine {
			if q := &v.Quarantine[i]; q.Field == f && !q.Rejected {
				each(&q.Value)
			}
		}
	}
	known(baselines.ToolField, func(x *baselines.Value) {
		add(policy.Tools, policy.EntryFor(x.Name, policy.Tools), x)
		u.Hidden[policy.Tools] = u.Hidden[policy.Tools] || x.Name == ""
		for c := event.Read; c <= event.Delegate; c++ {
			if x.Classes&(1<<c) != 0 {
				add(policy.Classes, c.String(), x)
			}
		}
	})
	known(baselines.ServerField, func(x *baselines.Value) {
		add(policy.Servers, policy.EntryFor(x.Name, policy.Servers), x)
		u.Hidden[policy.Servers] = u.Hidden[policy.Servers] || x.Name == ""
	})
	known(baselines.ResourceField, func(x *baselines.Value) {
		// A name is type|environment|labels; one that was cut is cut in its labels at least.
		parts := strings.SplitN(x.Name, "|", 3)
		if len(parts) < 3 || len(x.Name) >= 120 || strings.Count(x.Name, "|") > 2 {
			u.Hidden[policy.ResourceTypes], u.Hidden[policy.Environments], u.Hidden[policy.Labels] = true, true, true
			return
		}
		add(policy.ResourceTypes, policy.EntryFor(parts[0], policy.ResourceTypes), x)
		add(policy.Environments, policy.EntryFor(parts[1], policy.Environments), x)
		for l := range strings.SplitSeq(parts[2], ",") {
			add(policy.Labels, policy.EntryFor(l, policy.Labels), x)
		}
	})
	known(baselines.DomainField, func(x *baselines.Value) {
		if x.Name == "" || strings.HasSuffix(x.Name, ":") {
			u.Hidden[policy.Destinations] = true
			return
		}
		for _, s := range policy.DestinationEntries(&event.Destination{Domain: x.Name}) {
			add(policy.Destinations, s, x)
		}
	})
	for d := range u.Of {
		u.Hidden[d] = u.Hidden[d] || policy.Dimension(d) == policy.Tools && v.Of[baselines.ToolField].Open ||
			policy.Dimension(d) == policy.Destinations && v.Of[baselines.DomainField].Open
		slices.SortFunc(u.Of[d], func(a, b policy.Seen) int {
			if a.AgentDays != b.AgentDays {
				return int(min(max(b.AgentDays-a.AgentDays, -1), 1))
			}
			return strings.Compare(a.Value, b.Value)
		})
	}
	for f, measure := range map[baselines.Feature]policy.Measure{baselines.EventCount: policy.Count,
		baselines.RecordSum: policy.Records} {
		if c := &m.Volume.Of[f].Session; c.Ready() {
			if top := math.Expm1(c.Quantile(0.999)); top >= 1 && top < 1e15 {
				u.Limits = append(u.Limits, policy.Level{Scope: policy.SessionScope, Measure: measure,
					Reached: int64(top), Units: int64(c.N()), Estimated: true})
			}
		}
	}
	slices.SortFunc(u.Limits, func(a, b policy.Level) int { return int(a.Measure) - int(b.Measure) })
	return u
}

func newPersonasSuggest() *cobra.Command {
	var o usageFlags
	var output string
	cmd := &cobra.Command{
		Use:   "suggest",
		Short: "Draft the personas that may do what was seen, and nothing else",
		Long: "suggest drafts least-privilege personas, from recorded events (--input, as if all of them were known to be good) or from exported snapshots. Each line\n" +
			"of the draft says what it rests on: on how many agent-days it was seen, on what share of all, and when first and last. What was seen on fewer than\n" +
			"--min-agent-days stands there as a comment. A snapshot keeps names of tools, servers, classes of resources and domains alone; events say more.\n" +
			"Exit 3 if there was no tool call.",
		Example: "  wayward personas suggest --input events.jsonl.zst --tenant acme --persona support > policies/personas/support.yaml\n" +
			"  wayward personas suggest --snapshots snapshots.jsonl --min-agent-days 10 --output draft.yaml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := o.declared()
			if err != nil {
				return err
			}
			list, err := o.usages(cmd, set)
			if err != nil {
				return err
			}
			var all []byte
			for i, u := range list {
				text, err := u.Suggest(o.least)
				if err != nil {
					if len(list) == 1 {
						return err
					}
					fmt.Fprintf(cmd.ErrOrStderr(), "wayward: left out: %v\n", err)
					continue
				}
				if i > 0 && len(all) > 0 {
					all = append(all, "---\n"...)
				}
				all = append(all, text...)
			}
			if len(all) == 0 {
				return errors.New("nothing was seen often enough; ask for fewer with --min-agent-days")
			}
			if output != "" && output != "-" {
				if err := os.WriteFile(output, all, 0o644); err != nil {
					return fmt.Errorf("output: %w", err)
				}
				return o.bad.code()
			}
			_, err = cmd.OutOrStdout().Write(all)
			return cmp.Or(err, o.bad.code())
		},
	}
	o.flags(cmd, "agent-days on which something must have been seen")
	cmd.Flags().StringVarP(&output, "output", "o", "-", "`file` to write; - is standard output")
	return cmd
}

// declared are the policies that are named, if any: their tool catalogue completes events.
func (o *usageFlags) declared() (*policy.Set, error) {
	dir := o.dir
	if dir == "" {
		c, err := loadConfig(o.config)
		if err != nil {
			return nil, err
		}
		dir = c.Policies
	}
	return loadPolicies(dir)
}

// comparison is one persona as declared, against what its agents were seen to do.
type comparison struct {
	Tenant      string              `json:"tenant"`
	Persona     string              `json:"persona"`
	From        string              `json:"from"`
	AgentDays   int64               `json:"agent_days"`
	First       string              `json:"first_day"`
	Last        string              `json:"last_day"`
	Declared    bool                `json:"declared"`
	Differences []policy.Difference `json:"differences"`
}

func newPersonasDiff() *cobra.Command {
	var o usageFlags
	var output string
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show where what agents do and what their persona declares part",
		Long: "diff compares declared personas with what was seen, in recorded events or exported snapshots: what was used and is not declared, which would be a\n" +
			"violation; what is declared and was never used; and what was used on fewer than --min-agent-days. Exit 0 if they agree, 1 if not, 3 if there was no\n" +
			"tool call.",
		Example: "  wayward personas diff --policies policies --input events.jsonl.zst\n" +
			"  wayward personas diff -c wayward.yaml --snapshots snapshots.jsonl --persona support --output json",
		Args: cobra.NoArgs,
	}
	outputFlag(cmd, &output, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		set, err := o.load(nil)
		if err != nil {
			return err
		}
		list, err := o.usages(cmd, set)
		if err != nil {
			return err
		}
		all := []comparison{}
		differ := false
		for _, u := range list {
			c := comparison{u.Tenant, u.Persona, u.From, u.AgentDays, isoDay(u.First), isoDay(u.Last), false,
				[]policy.Difference{}}
			if p := set.Persona(u.Tenant, u.Persona); p != nil {
				c.Declared = true
				c.Differences = append(c.Differences, p.Compare(u, o.least)...)
			}
			differ = differ || !c.Declared || len(c.Differences) > 0
			all = append(all, c)
		}
		if output == "json" {
			err = printJSON(cmd.OutOrStdout(), all)
		} else {
			err = printComparisons(cmd.OutOrStdout(), all)
		}
		if err == nil && differ {
			return errSilent{1}
		}
		return cmp.Or(err, o.bad.code())
	}
	o.flags(cmd, "agent-days below which something is used rarely")
	return cmd
}

func isoDay(day int64) string {
	return time.UnixMilli(day * baselines.DayMS).UTC().Format(time.DateOnly)
}

func printComparisons(w io.Writer, all []comparison) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range all {
		fmt.Fprintf(t, "%s of %s: %d agent-days from %s to %s (%s)\n", visible(c.Persona, 100), visible(c.Tenant, 100),
			c.AgentDays, c.First, c.Last, visible(c.From, 100))
		switch {
		case !c.Declared:
			fmt.Fprintln(t, "  no persona of that name is declared; wayward personas suggest drafts one")
			continue
		case len(c.Differences) == 0:
			fmt.Fprintln(t, "  what is declared and what was seen agree")
		}
		for _, d := range c.Differences {
			where := ""
			if d.Line > 0 {
				where = fmt.Sprintf("%s:%d", d.File, d.Line)
			}
			said := ""
			switch d.Kind {
			case policy.Undeclared:
				said = fmt.Sprintf("used, not declared (%s: %s)\t%d agent-days, %s to %s", d.Verdict,
					visible(d.Rule, 60), d.AgentDays, d.First, d.Last)
			case policy.Unused:
				said = "declared, never used\tnot since " + d.First
			case policy.Rare:
				said = fmt.Sprintf("used rarely\t%d agent-days, %s to %s", d.AgentDays, d.First, d.Last)
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", d.Dimension, dash(d.Value), said, where)
		}
	}
	return t.Flush()
}
