package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

func newDoctor() *cobra.Command {
	var name, format string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what keeps wayward from working here, and what to do",
		Long: "doctor looks at everything that wayward needs: config, policies, brokers and their versions, topics, permissions, disk, state, clock, listener and\n" +
			"limits of this machine. Each line is fine, a warning, a problem, or unknown where it cannot tell, with what to do. It changes nothing, but for one\n" +
			"transactional id of its own, which it asks the brokers for to see whether it may, and a file that it makes and removes in the state directory.\n" +
			"An instance may run meanwhile. Exit 0: nothing worse than warnings; 1: problems; 2: it could not be run.",
		Example: "  wayward doctor -c wayward.yaml\n" +
			"  wayward doctor -c wayward.yaml --output json > report.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{}
			d.examine(cmd.Context(), config.Path(name))
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if format == "json" {
				err := printJSON(cmd.OutOrStdout(), struct {
					Version string    `json:"version"`
					Checks  []checkup `json:"checks"`
				}{versionOf(), d.checks})
				if err != nil {
					return err
				}
			} else if err := d.print(cmd.OutOrStdout()); err != nil {
				return err
			}
			if slices.ContainsFunc(d.checks, func(c checkup) bool { return c.Status == problemStatus }) {
				return errSilent{1}
			}
			return nil
		},
	}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

// checkup is one line of doctor's report.
type checkup struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	What   string `json:"what"` // and, behind a colon, what to do
}

const (
	fineStatus    = "fine"
	warningStatus = "warning"
	problemStatus = "problem"
	unknownStatus = "unknown"
)

type doctor struct {
	c       config.Config
	checks  []checkup
	running bool // an instance has the state open
}

func (d *doctor) say(check, status, format string, args ...any) {
	d.checks = append(d.checks, checkup{check, status, fmt.Sprintf(format, args...)})
}

func (d *doctor) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range d.checks {
		first, rest, _ := strings.Cut(c.What, "\n")
		fmt.Fprintf(t, "%s\t%s\t%s\n", c.Status, c.Check, first)
		for line := range strings.SplitSeq(rest, "\n") {
			if line != "" {
				fmt.Fprintf(t, "\t\t%s\n", line)
			}
		}
	}
	return t.Flush()
}

// examine looks at everything, in the order in which a start needs it.
func (d *doctor) examine(ctx context.Context, name string) {
	if !d.config(name) {
		return
	}
	d.policies()
	d.disk()
	layout := d.state()
	if d.c.Kafka.Embedded() {
		d.embedded()
	} else {
		d.kafka(ctx, layout)
	}
	d.listen()
	d.files()
	d.memory()
}

func (d *doctor) config(name string) bool {
	r, err := config.Read(name, os.Environ())
	if err != nil {
		d.say("config", problemStatus, "%v: correct the path or the permissions. Nothing else was looked at", err)
		return false
	}
	for _, p := range r.Problems {
		d.say("config", problemStatus, "%v", p)
	}
	if len(r.Problems) > 0 {
		d.say("config", unknownStatus,
			"nothing else was looked at: correct these first, wayward config reference explains every setting")
		return false
	}
	d.c = r.Config
	d.c.Topics = d.c.Topics.Full()
	what := "no file: all defaults"
	if name != "" {
		what = name
	}
	d.say("config", fineStatus, "%s, %d settings are set", what, r.Count())
	return true
}

func (d *doctor) policies() {
	set, err := config.LoadPolicies(d.c.Policies)
	if err != nil {
		for _, e := range config.Flatten(errors.Unwrap(err)) {
			d.say("policies", problemStatus, "%v", e)
		}
		return
	}
	where := d.c.Policies
	if where == "" {
		where = "built-in"
	}
	d.say("policies", fineStatus, "%s: %s", where, countsOf(set))
	if w := longest(set); w > d.c.Topics.Retention.Events {
		d.say("policies", warningStatus,
			"the longest window is %s and events are kept for %s: if state has to be made anew that window begins with less; raise topics.retention.events",
			config.FormatDuration(w), config.FormatDuration(d.c.Topics.Retention.Events))
	}
}

// countsOf says how many definitions of each kind are in force, as the start of the engine does:
// what was not found shows as a number that is too low.
func countsOf(set *policy.Set) string {
	var b strings.Builder
	for i, c := range set.Counts() {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", c.N, c.What)
	}
	return b.String()
}

// counted are the same numbers for a line of the log.
func counted(set *policy.Set) (attrs []any) {
	for _, c := range set.Counts() {
		attrs = append(attrs, strings.ReplaceAll(c.What, " ", "_"), c.N)
	}
	return attrs
}

// disk sees whether the state directory is there or can be made, can be written, and has room.
func (d *doctor) disk() {
	dir, err := filepath.Abs(d.c.State)
	if err != nil {
		d.say("disk", problemStatus, "%v", err)
		return
	}
	at := dir
	for {
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			d.say("disk", problemStatus, "%s is no directory: set state to another path", at)
			return
		}
		if err == nil {
			break
		}
		up := filepath.Dir(at)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) || up == at {
			d.say("disk", problemStatus,
				"%s cannot be looked at (%v): let the user that runs wayward (uid %d) read its parents", at, err,
				os.Getuid())
			return
		}
		at = up
	}
	if at == dir {
		f, err := os.CreateTemp(dir, ".writable-*")
		if err != nil {
			d.say("disk", problemStatus, "%s cannot be written (%v): see to its owner and the mount", dir, cause(err))
			return
		}
		f.Close()
		os.Remove(f.Name())
	} else if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		d.say("disk", problemStatus, "%s cannot be made: %s is not writable for uid %d (%v)", dir, at, os.Getuid(), err)
		return
	}
	r := d.c.Disk().Look()
	switch {
	case r.Err != nil:
		d.say("disk", unknownStatus, "%v", r.Err)
	case r.Short:
		d.say("disk", problemStatus, "%s has only %s free, and an instance stops below %s (disk_free_min): make room",
			dir, size(r.Free), size(r.Min))
	case r.Low:
		d.say("disk", warningStatus,
			"%s has only %s free, and an instance stops below %s (disk_free_min): make room before it is used up", dir,
			size(r.Free), size(r.Min))
	default:
		d.say("disk", fineStatus, "%s, %s free; an instance stops below %s (disk_free_min)", dir, size(r.Free),
			size(r.Min))
	}
}

func cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// state sees whether this binary can go on with the state on disk. It returns what that was cut by,
// if it can be told.
func (d *doctor) state() *pipeline.Layout {
	dir := d.c.StoreDir()
	if !state.Exists(dir) {
		d.say("state", fineStatus, "none yet: the first start makes it")
		return nil
	}
	s, err := state.Open(dir)
	switch {
	case errors.Is(err, state.ErrInUse):
		d.running = true
		d.say("state", fineStatus, "a running instance has it open, so it was not looked into")
		return nil
	case errors.Is(err, state.ErrNewer):
		d.say("state", problemStatus, "%v", err)
		return nil
	case err != nil:
		d.say("state", problemStatus, "%v", err)
		return nil
	}
	defer s.Close()
	layout, err := pipeline.StoredLayout(s)
	if err != nil {
		d.say("state", problemStatus, "%v: run wayward state rebuild", err)
		return nil
	}
	damaged, pages := map[string]int{}, 0
	for _, p := range pipeline.Inspect(s) {
		for _, n := range p.Pages {
			pages += n
		}
		for _, x := range p.Damage {
			damaged[p.Stage] += x.N
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(damaged)) {
		d.say("state", problemStatus,
			"%d pages of the %s stage are damaged: its partitions are rebuilt when they are loaded; wayward state verify says which, wayward state rebuild does it at once; see to the disk",
			damaged[stage], stage)
	}
	if len(damaged) == 0 {
		d.say("state", fineStatus, "format %d, %d pages, %s on disk", state.Format, pages, size(onDisk(dir)))
	}
	return layout
}

func (d *doctor) embedded() {
	addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(d.c.Embedded.Port))
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		l.Close()
		d.say("broker", fineStatus, "the embedded one, on %s: for laptops and tests", addr)
	case d.running:
		d.say("broker", fineStatus, "the embedded one, at work on %s", addr)
	default:
		d.say("broker", problemStatus,
			"the embedded one cannot listen on %s (%v): set embedded.port, or name a Kafka in brokers", addr, err)
	}
}

// kafka asks the brokers everything that a start depends on.
func (d *doctor) kafka(ctx context.Context, layout *pipeline.Layout) {
	options, err := d.c.Kafka.Options()
	for _, e := range config.Flatten(err) {
		d.say("broker", problemStatus, "%v", e)
	}
	if err != nil {
		return
	}
	cl, err := kgo.NewClient(append(options, kgo.RetryTimeout(10*time.Second))...)
	if err != nil {
		d.say("broker", problemStatus, "%v", err)
		return
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ping, stop := context.WithTimeout(ctx, 10*time.Second)
	err = cl.Ping(ping)
	stop()
	if err != nil {
		d.say("broker", problemStatus, "%s", broker.Explain(err))
		return
	}
	adm := kadm.NewClient(cl)
	brokers, err := d.versions(ctx, adm)
	if err != nil {
		d.say("broker", problemStatus, "%s", broker.Explain(err))
		return
	}
	specs := d.c.Topics.Specs(false, brokers)
	foreign := d.topics(ctx, adm, specs, layout)
	d.permissions(ctx, cl, adm, specs)
	d.clock(ctx, adm, foreign)
	d.routing(ctx, options)
	d.eventTime(ctx, options)
}

// newestEvents is how many events of each partition doctor looks at.
const newestEvents = 200

// routing sees whether events lie in the partitions of their keys.
func (d *doctor) routing(ctx context.Context, options []kgo.Opt) {
	m, err := pipeline.SampleRouting(ctx, options, d.c.Topics.Events, newestEvents)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition): // topics has said so
	case err != nil:
		d.say("routing", unknownStatus, "the newest events cannot be read: %s", broker.Explain(err))
	case m.Looked == 0:
		d.say("routing", unknownStatus, "there is no event yet: ask again once producers write")
	case len(m.Reasons) > 0:
		d.say("routing", problemStatus, "%s: what one agent does is seen in pieces. At the producer:\n%s", m,
			strings.Join(m.Remedy, "\n"))
	default:
		d.say("routing", fineStatus, "the newest %d events lie in the partitions of their keys", m.Looked)
	}
}

// eventTime sees whether a watermark is ahead of the wall clock.
func (d *doctor) eventTime(ctx context.Context, options []kgo.Opt) {
	ahead, p, ok, err := pipeline.Ahead(ctx, options, d.c.Topics.Journal)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition): // topics has said so
	case err != nil:
		d.say("event time", unknownStatus, "the journal cannot be read: %s", broker.Explain(err))
	case !ok:
		d.say("event time", unknownStatus, "no instance has judged an event yet")
	case ahead > pipeline.MostAhead:
		d.say("event time", problemStatus,
			"the watermark of partition %d is %s ahead of the wall clock: windows and days close before their events come. A producer's or an instance's clock is wrong, or %s keeps its producers' stamps (message.timestamp.type must be LogAppendTime)",
			p, config.FormatDuration(ahead.Round(time.Second)), d.c.Topics.Events)
	default:
		d.say("event time", fineStatus, "no watermark is ahead of the wall clock by more than %s",
			config.FormatDuration(pipeline.MostAhead))
	}
}

// needed are the requests, and their versions, without which exactly-once does not work.
var needed = []struct {
	key     kmsg.Key
	version int16
	what    string
}{
	{kmsg.Metadata, 10, "topic ids"}, {kmsg.JoinGroup, 5, "static membership"}, {kmsg.OffsetFetch, 7, "stable offsets"},
	{kmsg.InitProducerID, 1, "transactions"},
	{kmsg.AddPartitionsToTxn, 0, "transactions"}, {kmsg.EndTxn, 0, "transactions"},
	{kmsg.TxnOffsetCommit, 3, "transactions fenced by the group's generation"},
	{kmsg.Produce, 7, "zstd and lz4 batches"},
}

func (d *doctor) versions(ctx context.Context, adm *kadm.Client) (brokers int, err error) {
	all, err := adm.ApiVersions(ctx)
	if err != nil {
		return 0, err
	}
	guesses, lacking := map[string]bool{}, map[string]bool{}
	for _, b := range all.Sorted() {
		if b.Err != nil {
			d.say("broker", warningStatus, "broker %d: %s", b.NodeID, broker.Explain(b.Err))
			continue
		}
		guess := b.VersionGuess()
		if !strings.HasPrefix(guess, "v") {
			guess = "no release of Apache Kafka that is known" // another implementation, mostly
		}
		guesses[guess] = true
		for _, n := range needed {
			if have, ok := b.KeyMaxVersion(n.key.Int16()); !ok || have < n.version {
				lacking[fmt.Sprintf("broker %d lacks %s", b.NodeID, n.what)] = true
			}
		}
	}
	if len(lacking) > 0 {
		d.say("versions", problemStatus,
			"%s: wayward needs Apache Kafka 2.8 or newer, or what speaks its protocol as fully",
			strings.Join(slices.Sorted(maps.Keys(lacking)), ", "))
	} else {
		d.say("versions", fineStatus, "%d brokers with all that is needed: %s", len(all),
			strings.Join(slices.Sorted(maps.Keys(guesses)), ", "))
	}
	return len(all), nil
}

// topics judges the topics as a start does, and returns those that are not stamped by the brokers'
// clock.
func (d *doctor) topics(ctx context.Context, adm *kadm.Client, specs []broker.TopicSpec,
	layout *pipeline.Layout) (foreign []string) {
	changes, err := broker.ReviewTopics(ctx, adm, specs)
	for _, e := range config.Flatten(err) {
		d.say("topics", problemStatus, "%v", e)
	}
	for _, c := range changes {
		status := warningStatus
		if c.Fatal {
			status = problemStatus
		}
		d.say("topics", status, "%s", c.What)
		if c.Setting == "message.timestamp.type" {
			foreign = append(foreign, c.Topic)
		}
	}
	if err == nil && len(changes) == 0 {
		d.say("topics", fineStatus, "%d, as they should be", len(specs))
	}
	if err != nil || layout == nil {
		return foreign
	}
	td, err := adm.ListTopics(ctx, d.c.Topics.Events, d.c.Topics.Control, d.c.Topics.Journal, d.c.Topics.Facts)
	if err != nil {
		d.say("layout", unknownStatus, "%s", broker.Explain(err))
		return foreign
	}
	now := pipeline.LayoutOf(d.c.Topics, td)
	switch remade := now.Remade(*layout); {
	case now.Events == 0 || now.Facts == 0: // missing, which has been said
	case now.Events != layout.Events || now.Facts != layout.Facts:
		d.say("layout", problemStatus,
			"the state was made with %d and %d partitions of events and facts, there are %d and %d: stop all instances and run wayward state rebuild for each",
			layout.Events, layout.Facts, now.Events, now.Facts)
	case len(remade) > 0:
		d.say("layout", problemStatus,
			"the topics of %v were deleted and made anew since the state was made: run wayward state rebuild", remade)
	default:
		d.say("layout", fineStatus, "%d partitions of events and %d of facts, as the state was made with", now.Events,
			now.Facts)
	}
	return foreign
}

// permissions asks what this user may do, without doing it.
func (d *doctor) permissions(ctx context.Context, cl *kgo.Client, adm *kadm.Client, specs []broker.TopicSpec) {
	before := len(d.checks)
	read, write := kmsg.ACLOperationRead, kmsg.ACLOperationWrite
	type right struct {
		topic string
		ops   []kmsg.ACLOperation
	}
	var rights []right
	for _, s := range specs {
		r := right{s.Name, []kmsg.ACLOperation{read, write}}
		switch s.Name {
		case d.c.Topics.Events:
			if r.ops = r.ops[:1]; len(d.c.Ingress) > 0 {
				r.ops = append(r.ops, write)
			}
		case d.c.Topics.Acks, d.c.Topics.Feedback:
			r.ops = r.ops[:1]
		case d.c.Topics.Alerts, d.c.Topics.DLQ, d.c.Topics.Commands, d.c.Topics.Breakers, d.c.Topics.Inventory:
			r.ops = r.ops[1:]
		}
		rights = append(rights, r)
	}
	for _, in := range d.c.Ingress {
		rights = append(rights, right{in.Topic, []kmsg.ACLOperation{read}})
	}
	silent, absent := 0, []string{}
	for _, r := range rights {
		td, err := adm.ListTopics(kadm.WithAuthorizedOps(ctx), r.topic)
		if err == nil {
			err = td[r.topic].Err
		}
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			if slices.ContainsFunc(d.c.Ingress, func(in pipeline.Ingress) bool { return in.Topic == r.topic }) {
				d.say("permissions", problemStatus, "topic %s of the ingress is missing: create it, or correct ingress",
					r.topic)
			}
			continue // topics has said so
		case err != nil:
			d.say("permissions", problemStatus, "topic %s: %s", r.topic, broker.Explain(err))
			continue
		}
		have := td[r.topic].AuthorizedOperations
		if len(have) == 0 {
			silent++
			continue
		}
		d.missing("topic "+r.topic, have, r.ops)
	}
	for _, stage := range pipeline.Stages {
		if len(d.c.Stages) > 0 && !slices.Contains(d.c.Stages, stage) {
			continue
		}
		group := d.c.Group + "-" + stage
		described, err := adm.DescribeGroups(ctx, group)
		if err == nil {
			err = described[group].Err
		}
		have := described[group].AuthorizedOperations
		switch {
		case errors.Is(err, kerr.GroupIDNotFound):
			absent = append(absent, group)
		case err != nil:
			d.say("permissions", problemStatus, "consumer group %s: %s", group, broker.Explain(err))
		case len(have) == 0:
			silent++
		default:
			d.missing("consumer group "+group, have, []kmsg.ACLOperation{read})
		}
	}
	// Nothing tells what one may do with a transactional id but asking for one. Not an instance's:
	// that would end its transaction.
	id := d.c.Group + "-doctor"
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &id, int32(d.c.Engine.TransactionTimeout.Milliseconds())
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		d.say("permissions", problemStatus, "transactional id %s: %s", id, broker.Explain(err))
	}
	if len(d.checks) == before {
		d.say("permissions", fineStatus,
			"may use %d topics, consumer groups and transactional ids, as far as the brokers say", len(rights))
	}
	if len(absent) > 0 {
		d.say("permissions", unknownStatus,
			"consumer groups %s do not exist yet, and of such Kafka does not say who may read them: grant Read on the prefix %s-",
			strings.Join(absent, ", "), d.c.Group)
	}
	if silent > 0 {
		d.say("permissions", unknownStatus,
			"the brokers do not say what this user may do with %d topics and groups: look for errors in the log of wayward run",
			silent)
	}
}

func (d *doctor) missing(what string, have, want []kmsg.ACLOperation) {
	var lacks []string
	for _, op := range want {
		if !slices.Contains(have, op) && !slices.Contains(have, kmsg.ACLOperationAll) {
			lacks = append(lacks, op.String())
		}
	}
	if len(lacks) > 0 {
		d.say("permissions", problemStatus, "%s: this user may not %s: grant it on the broker", what,
			strings.Join(lacks, " and "))
	}
}

// clock compares the brokers' clocks with this machine's. Kafka does not tell the time; it stamps
// records of some topics, so the newest of them is a time that its clock has reached.
func (d *doctor) clock(ctx context.Context, adm *kadm.Client, foreign []string) {
	t := d.c.Topics
	newest := int64(0)
	for _, topic := range []string{t.Control, t.Journal, t.Facts, t.Events} {
		if slices.Contains(foreign, topic) {
			continue
		}
		stamps, err := adm.ListMaxTimestampOffsets(ctx, topic)
		if err != nil {
			d.say("clock", unknownStatus, "the brokers do not say when their newest records came: %s",
				broker.Explain(err))
			return
		}
		stamps.Each(func(o kadm.ListedOffset) {
			if o.Err == nil {
				newest = max(newest, o.Timestamp)
			}
		})
	}
	if newest == 0 {
		d.say("clock", unknownStatus,
			"cannot be compared yet: the brokers have stamped no record; ask again while an instance runs")
		return
	}
	behind := time.Since(time.UnixMilli(newest)).Round(100 * time.Millisecond)
	switch {
	case behind < -time.Minute:
		d.say("clock", problemStatus,
			"a broker's clock is at least %s ahead of this machine's: let both follow one time service (chrony, systemd-timesyncd)",
			config.FormatDuration(-behind))
	case behind < -time.Second:
		d.say("clock", warningStatus,
			"a broker's clock is at least %s ahead of this machine's: let both follow one time service (chrony, systemd-timesyncd)",
			config.FormatDuration(-behind))
	case behind < 5*time.Second:
		d.say("clock", fineStatus, "the brokers' newest record was stamped %s ago by their clock",
			config.FormatDuration(max(0, behind)))
	default:
		d.say("clock", unknownStatus,
			"the brokers' newest record was stamped %s ago, so their clocks are not ahead; whether they are behind shows while an instance runs",
			config.FormatDuration(behind.Round(time.Second)))
	}
}

func (d *doctor) listen() {
	if d.c.Listen == "off" {
		d.say("listen", warningStatus, "off: neither metrics nor /readyz can be had")
		return
	}
	host, _, _ := net.SplitHostPort(d.c.Listen)
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		d.say("listen", warningStatus,
			"%s is not loopback alone: whoever reaches it can read the metrics, which ask for no password; use 127.0.0.1, or a network that is closed",
			d.c.Listen)
	}
	l, err := net.Listen("tcp", d.c.Listen)
	switch {
	case err == nil:
		l.Close()
		d.say("listen", fineStatus, "%s is free", d.c.Listen)
	case d.running && errors.Is(err, syscall.EADDRINUSE):
		d.say("listen", fineStatus, "%s is in use, an instance runs", d.c.Listen)
	default:
		d.say("listen", problemStatus, "%v: set another address in listen", err)
	}
}

// files sees whether there are enough file descriptors. Go has raised the soft limit to the hard
// one already.
func (d *doctor) files() {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		d.say("files", unknownStatus, "%v", err)
		return
	}
	if r.Cur < 4096 {
		d.say("files", warningStatus,
			"only %d open files are allowed: raise it to 4096 or more (ulimit -n, LimitNOFILE of systemd)", r.Cur)
		return
	}
	d.say("files", fineStatus, "%d may be open", r.Cur)
}

func (d *doctor) memory() {
	n, from, err := config.Memory(d.c.Memory)
	switch {
	case err != nil: // the config's check has said so
	case n == 0:
		d.say("memory", warningStatus, "without a bound (%s): whoever invents agents fills it; set memory", from)
	case n < pipeline.LeastMemory:
		d.say("memory", warningStatus,
			"%s (%s) is little: pages are read from disk again and again; give it at least %s", config.FormatMemory(n), from,
			config.FormatMemory(pipeline.LeastMemory))
	default:
		d.say("memory", fineStatus,
			"%s (%s); a tenant may have %d agents, sessions and scopes remembered in each stage, about %s of it while all are at work and of disk beyond",
			config.FormatMemory(n), from,
			d.c.Engine.PageCap, config.FormatMemory(int64(d.c.Engine.PageCap)*pipeline.PageBytes))
	}
}
