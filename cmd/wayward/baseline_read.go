package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
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

// snapshot is a model with where it comes from.
type snapshot struct {
	m    *baselines.Model
	size int    // bytes of the encoded model
	from string // file or topic
}

func dayOf(n int64) string { return time.UnixMilli(n * baselines.DayMS).UTC().Format(time.DateOnly) }

// parseDay reads a UTC day.
func parseDay(s string) (int64, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%q is no day; write it as 2026-11-20", terminal.Visible(s, 40))
	}
	return t.UnixMilli() / baselines.DayMS, nil
}

// concerns tells whether a snapshot is of the tenant, persona (empty: any) and fork that was asked
// for.
func (o *snapshots) concerns(k baselines.Key, persona string) bool {
	return (o.tenant == "" || k.Tenant == o.tenant) && (persona == "" || k.Persona == event.Identity(persona)) &&
		(o.fork == "" || k.Fork == o.fork || o.fork == "-" && k.Fork == "")
}

// read gives the snapshots that were asked for, by tenant, persona, fork and day. None at all is
// exit code 3, after it was said.
func (o *snapshots) read(cmd *cobra.Command, persona string) ([]snapshot, error) {
	var all []snapshot
	var err error
	if o.from != "" {
		all, err = readSnapshots(o.from)
	} else {
		all, err = o.topic(cmd, persona)
	}
	if err != nil {
		return nil, err
	}
	day := int64(-1)
	if o.day != "" {
		if day, err = parseDay(o.day); err != nil {
			return nil, fmt.Errorf("--day %w", err)
		}
	}
	some := slices.DeleteFunc(slices.Clone(all), func(s snapshot) bool {
		return !o.concerns(s.m.Key, persona) ||
			day >= 0 && s.m.Day != day
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
func (o *snapshots) topic(cmd *cobra.Command, persona string) ([]snapshot, error) {
	c, err := (&lookup{config: o.config}).open(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer c.client.Close()
	s, err := c.snapshots(cmd.Context(), cmd.ErrOrStderr(), func(k baselines.Key, _ int64) bool {
		if o.concerns(k, persona) {
			return true
		}
		if name := nameOf(k); len(o.others) < 100 && !slices.Contains(o.others, name) {
			o.others = append(o.others, name)
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	bad := unread{topic: c.Topics.Baselines}
	defer bad.tell(cmd.ErrOrStderr())
	var list []snapshot
	for _, x := range s.Models(o.present, bad.add) {
		list = append(list, snapshot{x.Model, x.Bytes, c.Topics.Baselines})
	}
	return list, nil
}

// snapshots reads the topic of baselines.
func (c *cluster) snapshots(ctx context.Context, stderr io.Writer,
	want func(k baselines.Key, day int64) bool) (*pipeline.Snapshots, error) {
	s := &pipeline.Snapshots{Want: want}
	bad := unread{topic: c.Topics.Baselines}
	defer bad.tell(stderr)
	return s, c.read(ctx, c.Topics.Baselines, time.Time{}, func(r *kgo.Record) {
		if err := s.Add(r.Key, r.Value); err != nil {
			bad.add(err)
		}
	})
}

func nameOf(k baselines.Key) string { return terminal.Visible(k.Tenant+" "+k.Persona, 100) }

// theirNames lists some of what there is, for whoever mistyped.
func theirNames(all []snapshot, names []string) string {
	for _, s := range all {
		if name := nameOf(s.m.Key); !slices.Contains(names, name) {
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

func sortSnapshots(list []snapshot) {
	slices.SortStableFunc(list, func(a, b snapshot) int {
		return cmp.Or(cmp.Compare(a.m.Tenant, b.m.Tenant), cmp.Compare(a.m.Persona, b.m.Persona),
			cmp.Compare(a.m.Fork, b.m.Fork), cmp.Compare(a.m.Day, b.m.Day))
	})
}

// newestEach keeps of each baseline the newest day.
func newestEach(list []snapshot) (out []snapshot) {
	for i, s := range list {
		if i == len(list)-1 || list[i+1].m.Key != s.m.Key {
			out = append(out, s)
		}
	}
	return out
}

// readMany gives the newest snapshot of each baseline that was asked for; with all, or if a day was
// asked for, every one.
func (o *snapshots) readMany(cmd *cobra.Command, persona string, all bool) ([]snapshot, error) {
	o.present = !all && o.day == ""
	list, err := o.read(cmd, persona)
	if o.present {
		list = newestEach(list)
	}
	return list, err
}

// one is the snapshot of a persona that is meant: the newest, if there are several days; of several
// tenants or forks somebody must say which.
func (o *snapshots) one(cmd *cobra.Command, persona string) (snapshot, error) {
	o.present = o.day == ""
	list, err := o.read(cmd, persona)
	if err != nil {
		return snapshot{}, err
	}
	list = newestEach(list)
	if len(list) == 1 {
		return list[0], nil
	}
	var names []string
	flag := "--fork"
	for _, s := range list[:min(len(list), 8)] {
		if s.m.Tenant != list[0].m.Tenant {
			flag = "--tenant"
		}
	}
	for _, s := range list[:min(len(list), 8)] {
		name := s.m.Tenant
		if flag == "--fork" {
			name = cmp.Or(s.m.Fork, "-")
		}
		if name = terminal.Visible(name, 100); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return snapshot{}, fmt.Errorf("there are %d baselines of %s: say which with %s %s", len(list),
		terminal.Visible(persona, 100), flag, oneOf(names))
}

// snapshotFile tells files of snapshots in a folder by their names.
var snapshotFile = regexp.MustCompile(`\.jsonl?(\.gz|\.zst|\.xz)?$`)

// readSnapshots reads the snapshots of a file or of the files of a folder, in order. What is no
// snapshot is an error: the wrong file must not look like an empty one.
func readSnapshots(name string) ([]snapshot, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	files := []string{name}
	if info.IsDir() {
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, fmt.Errorf("snapshots: %w", err)
		}
		files = nil
		for _, e := range entries {
			if !e.IsDir() && snapshotFile.MatchString(e.Name()) {
				files = append(files, filepath.Join(name, e.Name()))
			}
		}
	}
	var list []snapshot
	for _, file := range files {
		some, err := readSnapshotFile(file)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	sortSnapshots(list)
	// The same snapshot of two files is one.
	return slices.CompactFunc(list, func(a, b snapshot) bool {
		return a.m.Key == b.m.Key &&
			a.m.Snapshot() == b.m.Snapshot()
	}), nil
}

var errNoPersona = errors.New("which persona? name it; wayward baseline list shows them")
