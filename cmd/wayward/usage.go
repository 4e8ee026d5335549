package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/suggest"
)

// usageFlags say whose usage is looked at, and where it was seen.
type usageFlags struct {
	policiesFlags
	input, format, snapshots string
	tenant, persona          string
	least                    int64
	bad                      undecoded // of input
}

func (o *usageFlags) flags(cmd *cobra.Command, least string) {
	o.policiesFlags.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.input, "input", "i", "",
		"`file` of events, one a line, plain or .gz, .zst, .xz; - is standard input")
	formatFlag(cmd, &o.format)
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
	survey := suggest.NewPersonaSurvey(set)
	var err error
	o.bad, err = eachEvent(cmd, input, o.format, false, func(_ []byte, e *event.Event) error {
		survey.Add(e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", input, err)
	}
	list := survey.Usages()
	for _, u := range list {
		u.From = input
	}
	return list, nil
}

// snapshotUsages reads exported snapshots; of one persona the newest counts, and what its forks
// show is looked at one by one.
func snapshotUsages(name string) ([]*policy.Usage, error) {
	all, err := inspect.Read(name)
	if err != nil {
		return nil, err
	}
	var list []*policy.Usage
	for _, s := range inspect.NewestEach(all) {
		m := s.Model
		if m.Persona == baselines.TenantWide {
			continue
		}
		u := suggest.FromModel(m)
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

// declared are the policies that are named, if any: their tool catalogue completes events.
func (o *usageFlags) declared() (*policy.Set, error) {
	dir := o.dir
	if dir == "" {
		c, err := config.Load(o.config)
		if err != nil {
			return nil, err
		}
		dir = c.Policies
	}
	return config.LoadPolicies(dir)
}
