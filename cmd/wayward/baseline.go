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
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
)

func newBaseline() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "baseline",
		Short: "See what was learned of each persona, check it, and correct it",
		Long: "baseline shows the snapshots of what was learned of each persona by the end of each UTC day: how much its agents do and when, in which order they call\n" +
			"their tools, what they use and touch. It compares them, moves them as files, audits whether the detectors keep within their alert budget, and lets people\n" +
			"freeze, reset, approve and roll back. What acts is signed, as trips of breakers are: wayward breaker keygen makes the key.\n" +
			"A persona '*' is the tenant as a whole, from which young personas borrow. docs/baselines.md says what is learned and what the states mean.",
		Example: "  wayward baseline list --config wayward.yaml\n" +
			"  wayward baseline show support --tenant acme --config wayward.yaml\n" +
			"  wayward baseline audit --config wayward.yaml\n" +
			"  wayward baseline rollback support --tenant acme --day 2026-11-18 --reason 'learned from an incident' --by alice --key alice.pem",
	}
	cmd.AddCommand(newBaselineList(), newBaselineShow(), newBaselineDiff(), newBaselineAudit(), newBaselineExport(),
		newBaselineImport())
	cmd.AddCommand(newBaselineActs()...)
	return cmd
}

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
		return 0, fmt.Errorf("%q is no day; write it as 2026-11-20", visible(s, 40))
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
			what = "no baseline of " + visible(persona, 100)
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

func nameOf(k baselines.Key) string { return visible(k.Tenant+" "+k.Persona, 100) }

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
		if name = visible(name, 100); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return snapshot{}, fmt.Errorf("there are %d baselines of %s: say which with %s %s", len(list),
		visible(persona, 100), flag, oneOf(names))
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

func newBaselineList() *cobra.Command {
	var o snapshots
	var all bool
	cmd := &cobra.Command{Use: "list [PERSONA]", Short: "List the baselines with their state and support",
		Args: cobra.MaximumNArgs(1),
		Long: "list shows of each baseline the newest snapshot, or with --all every one that the topic or the files still have. STATE is learning, active, stale or\n" +
			"suspect, with frozen if a person stopped its learning. SUPPORT is the agents that acted, summed over days with a half-life of 14 days; DAYS is how many\n" +
			"days it has learned; SIZE that of the snapshot.",
		Example: "  wayward baseline list --config wayward.yaml --tenant acme\n" +
			"  wayward baseline list support --all --from snapshots/ --output json",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := o.readMany(cmd, first(args), all)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if o.output == "json" {
				out := []head{}
				for _, s := range list {
					out = append(out, headOf(s))
				}
				return printJSON(w, out)
			}
			return printList(w, list)
		}}
	o.flags(cmd)
	outputFlag(cmd, &o.output, "table", "json")
	cmd.Flags().StringVar(&o.day, "day", "", "of this UTC `day`, such as 2026-11-20")
	cmd.Flags().BoolVar(&all, "all", false, "every day, not the newest alone")
	return cmd
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// head is what every view of a snapshot begins with.
type head struct {
	Tenant    string  `json:"tenant"`
	Persona   string  `json:"persona"`
	Fork      string  `json:"fork"`
	Day       string  `json:"day"`
	Hash      string  `json:"hash"`
	State     string  `json:"state"`
	Frozen    bool    `json:"frozen"`
	First     string  `json:"first_day"`
	Seen      string  `json:"newest_day_learned"`
	Days      int64   `json:"days"`
	Sessions  uint64  `json:"sessions"`
	AgentDays float64 `json:"agent_days"`
	Agents    uint64  `json:"agents"`
	Bytes     int     `json:"bytes"`
}

func headOf(s snapshot) head {
	m := s.m
	return head{m.Tenant, m.Persona, m.Fork, dayOf(m.Day), m.Hash(), m.State.String(), m.Frozen, dayOf(m.First),
		dayOf(m.Seen), m.Day - m.First + 1, m.Sessions,
		rounded(float64(m.AgentDays) / baselines.Unit), m.Agents, s.size}
}

func stateText(m *baselines.Model) string {
	text := m.State.String()
	if m.Frozen {
		text += ", frozen"
	}
	return text
}

func printList(w io.Writer, list []snapshot) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TENANT\tPERSONA\tFORK\tDAY\tSTATE\tSUPPORT\tAGENTS\tSESSIONS\tDAYS\tSIZE\tHASH")
	for _, s := range list {
		m := s.m
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", dash(m.Tenant), visible(m.Persona, 60),
			dash(m.Fork), dayOf(m.Day), stateText(m), rough(float64(m.AgentDays)/baselines.Unit),
			event.Thousands(int64(m.Agents)), event.Thousands(int64(m.Sessions)), m.Day-m.First+1, kib(s.size),
			m.Hash())
	}
	return t.Flush()
}

func kib(n int) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/1024)
}

var errNoPersona = errors.New("which persona? name it; wayward baseline list shows them")
