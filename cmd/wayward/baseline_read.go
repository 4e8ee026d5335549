package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

// snapshots are the flags that say which snapshots are looked at, and where they are read from.
type snapshots struct {
	config, from, tenant, fork, day, output string
	// tenants and personas that the topic has besides, for whoever mistyped
	others []string
	// of each baseline the newest alone, as far as the topic says which that is
	present bool
}

func (o *snapshots) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	configFlag(cmd, &o.config)
	f.StringVar(&o.from, "from", "",
		"`file` of snapshots, or folder of such files, as export and replay --snapshots write them, instead of the topic")
	f.StringVar(&o.tenant, "tenant", "", "of this `tenant`")
	f.StringVar(&o.fork, "fork", "",
		"of this `fork` of the persona; - is the one whose agents say neither version nor model")
	cmd.MarkFlagsMutuallyExclusive("config", "from")
}

// concerns tells whether a snapshot is of the tenant, persona (empty: any) and fork that was asked
// for.
func (o *snapshots) concerns(k baselines.Key, persona string) bool {
	return (o.tenant == "" || k.Tenant == o.tenant) && (persona == "" || k.Persona == event.Identity(persona)) &&
		(o.fork == "" || k.Fork == o.fork || o.fork == "-" && k.Fork == "")
}

// read gives the snapshots that were asked for, by tenant, persona, fork and day. None at all is
// exit code 3, with a message.
func (o *snapshots) read(cmd *cobra.Command, persona string) ([]inspect.Snapshot, error) {
	var all []inspect.Snapshot
	var err error
	if o.from != "" {
		all, err = inspect.Read(o.from)
	} else {
		all, err = o.topic(cmd, persona)
	}
	if err != nil {
		return nil, err
	}
	day := int64(-1)
	if o.day != "" {
		if day, err = inspect.ParseDay(o.day); err != nil {
			return nil, fmt.Errorf("--day %w", err)
		}
	}
	some := slices.DeleteFunc(slices.Clone(all), func(s inspect.Snapshot) bool {
		return !o.concerns(s.Model.Key, persona) ||
			day >= 0 && s.Model.Day != day
	})
	if len(some) > 0 {
		return some, nil
	}
	stderr := cmd.ErrOrStderr()
	switch {
	case len(all) > 0 || len(o.others) > 0:
		what := "no such baseline"
		if persona != "" {
			what = "no baseline of " + terminal.Visible(persona, 100)
		}
		if day >= 0 {
			what += " of " + o.day
		}
		fmt.Fprintf(stderr, "%s; there are %s\n", what, theirNames(all, o.others))
	case o.from != "":
		fmt.Fprintf(stderr, "%s holds no snapshots\n", o.from)
	default:
		fmt.Fprintln(stderr,
			"there are no snapshots yet: the first is made an hour after the end of the first UTC day of events")
	}
	return nil, errSilent{3}
}

// topic reads what the topic of a running wayward has: all of it that was asked for.
func (o *snapshots) topic(cmd *cobra.Command, persona string) ([]inspect.Snapshot, error) {
	c, err := (&lookup{config: o.config}).open(cmd)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Snapshots(cmd.Context(), o.present, func(k baselines.Key, _ int64) bool {
		if o.concerns(k, persona) {
			return true
		}
		if name := nameOf(k); len(o.others) < 100 && !slices.Contains(o.others, name) {
			o.others = append(o.others, name)
		}
		return false
	})
}

func nameOf(k baselines.Key) string { return terminal.Visible(k.Tenant+" "+k.Persona, 100) }

// theirNames lists some of what there is, for whoever mistyped.
func theirNames(all []inspect.Snapshot, names []string) string {
	for _, s := range all {
		if name := nameOf(s.Model.Key); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	const most = 8
	if more := len(names) - most; more > 0 {
		names = append(names[:most:most], fmt.Sprintf("%d more", more))
	}
	return oneOfAnd(names)
}

func oneOfAnd(words []string) string {
	var b bytes.Buffer
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(w)
	}
	return b.String()
}

// readMany gives the newest snapshot of each baseline that was asked for; with all, or if a day was
// asked for, every one.
func (o *snapshots) readMany(cmd *cobra.Command, persona string, all bool) ([]inspect.Snapshot, error) {
	o.present = !all && o.day == ""
	list, err := o.read(cmd, persona)
	if o.present {
		list = inspect.NewestEach(list)
	}
	return list, err
}

// one is the snapshot of a persona that is meant: of several days the newest. It is an error if
// several tenants or forks have one.
func (o *snapshots) one(cmd *cobra.Command, persona string) (inspect.Snapshot, error) {
	o.present = o.day == ""
	list, err := o.read(cmd, persona)
	if err != nil {
		return inspect.Snapshot{}, err
	}
	list = inspect.NewestEach(list)
	if len(list) == 1 {
		return list[0], nil
	}
	var names []string
	flag := "--fork"
	for _, s := range list[:min(len(list), 8)] {
		if s.Model.Tenant != list[0].Model.Tenant {
			flag = "--tenant"
		}
	}
	for _, s := range list[:min(len(list), 8)] {
		name := s.Model.Tenant
		if flag == "--fork" {
			name = cmp.Or(s.Model.Fork, "-")
		}
		if name = terminal.Visible(name, 100); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return inspect.Snapshot{}, fmt.Errorf("there are %d baselines of %s: say which with %s %s", len(list),
		terminal.Visible(persona, 100), flag, oneOf(names))
}
