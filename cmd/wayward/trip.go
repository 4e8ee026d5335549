package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/explain"
	"github.com/wayward-sec/wayward/terminal"
)

// keyEnv names the variable that holds the file of the private key, if no flag does.
const keyEnv = "WAYWARD_KEY_FILE"

func newTrip() *cobra.Command {
	var o order
	var action string
	var classes []string
	var duration, per time.Duration
	cmd := &cobra.Command{Use: "trip TYPE ID", Short: "Stop or slow down a scope by hand", Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeScope,
		Long: "trip writes signed feedback to agent.feedback, and waits for the command that the engine makes of it and for the answer of a gateway.\n" +
			"What the scope is under already is only ever made stronger: observe < throttle < escalate < block < kill.",
		Example: "  wayward breaker trip agent agt-7731 --tenant acme --action block --duration 15m --reason 'exports at night' --by alice --key alice.pem\n" +
			"  wayward breaker trip tool 'crm|export' --tenant acme --action throttle --calls 10 --per 1m --reason 'until looked at' --by alice --key alice.pem",
		RunE: func(cmd *cobra.Command, args []string) error {
			f := event.Feedback{Type: event.TripFeedback, DurationMS: duration.Milliseconds()}
			f.Action, _ = event.ParseAction(action)
			throttle := cmd.Flags().Changed("calls") || cmd.Flags().Changed("per") || len(classes) > 0
			switch {
			case f.Action != event.Throttle && throttle:
				return errors.New("--calls, --per and --class belong to --action throttle")
			case f.Action == event.Throttle && (o.calls < 1 || per < time.Second || per > 24*time.Hour ||
				per%time.Second != 0):
				return errors.New(
					"a throttle needs --calls of at least 1 and --per of whole seconds up to a day, such as --calls 10 --per 1m")
			case f.Action == event.Throttle:
				f.Rate = event.Rate{Calls: o.calls, PerSeconds: int64(per / time.Second)}
			}
			for _, word := range classes {
				c, ok := event.ParseClass(word)
				if !ok {
					return fmt.Errorf("--class %q is unknown; use %s", word, strings.Join(event.Classes(), ", "))
				}
				f.Rate.Classes = append(f.Rate.Classes, c)
			}
			if duration < 0 || duration%time.Millisecond != 0 {
				return fmt.Errorf(
					"--duration %v: use a time such as 15m, or leave it out for until somebody restores it", duration)
			}
			return o.run(cmd, args, f)
		}}
	o.flags(cmd)
	f := cmd.Flags()
	choiceFlag(cmd, &action, "action", "what gateways are to do", event.Actions()...)
	f.DurationVar(&duration, "duration", 0, "how long it holds; 0: until somebody restores it")
	f.Int64Var(&o.calls, "calls", 0, "of a throttle: so many calls")
	f.DurationVar(&per, "per", 0, "of a throttle: in this time")
	f.StringSliceVar(&classes, "class", nil, "of a throttle: calls of these `classes` alone")
	complete(cmd, "class", event.Classes()...)
	require(cmd, "action")
	return cmd
}

func newRestore() *cobra.Command {
	var o order
	cmd := &cobra.Command{Use: "restore TYPE ID", Short: "Let a scope go on", Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeScope,
		Long:              "restore writes signed feedback to agent.feedback, and waits for the command that the engine makes of it and for the answer of a gateway.",
		Example:           "  wayward breaker restore agent agt-7731 --tenant acme --reason 'a new campaign' --by alice --key alice.pem",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args, event.Feedback{Type: event.RestoreFeedback})
		}}
	o.flags(cmd)
	return cmd
}

// order is what trip and restore have in common.
type order struct {
	lookup
	agent, reason, finding, by, key string
	calls                           int64
	wait                            time.Duration
	dry, yes                        bool
}

func (o *order) flags(cmd *cobra.Command) {
	o.lookup.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.agent, "agent", "", "whose session it is")
	f.StringVar(&o.reason, "reason", "", "why, for those who look later")
	f.StringVar(&o.finding, "finding", "", "`uid` of the finding that it is about")
	f.StringVar(&o.by, "by", "", "`name` of the key, as policies/response knows it")
	f.StringVar(&o.key, "key", "", "`file` with the private key; $"+keyEnv+" without")
	f.DurationVar(&o.wait, "wait", 10*time.Second, "how long to wait for the command and its ack; 0: not at all")
	f.BoolVar(&o.dry, "dry-run", false, "print the signed record and send nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask before a whole tenant, or everything")
	require(cmd, "reason", "by")
}

// run signs the feedback, sends it and waits for what becomes of it.
func (o *order) run(cmd *cobra.Command, args []string, f event.Feedback) error {
	var err error
	if f.Scope, err = scopeArgs(args, o.tenant, o.agent); err != nil {
		return err
	}
	key, err := readKey(cmp.Or(o.key, os.Getenv(keyEnv)))
	if err != nil {
		return err
	}
	f.Tenant, f.FindingUID, f.By, f.Reason, f.Time = f.Scope.Tenant, o.finding, o.by, strings.TrimSpace(
		o.reason), time.Now().UnixMilli()
	f.ID = randomID()
	f.Sign(key)
	value := f.Append(nil)
	if f.Reason == "" {
		return errors.New("--reason is empty: say why, for those who look later")
	}
	if _, err := event.ParseFeedback(value); err != nil { // what the engine would refuse
		return err
	}
	stdout := cmd.OutOrStdout()
	if o.dry {
		_, err := fmt.Fprintf(stdout, "%s\n", value)
		return err
	}
	if wide := f.Scope.Type == event.TenantScope || f.Scope.Type == event.GlobalScope; wide && !o.yes {
		if err := confirm(cmd, "This is about "+explain.Scope(f.Scope)+": all of its agents at once."); err != nil {
			return err
		}
	}
	c, err := o.open(cmd.Context())
	if err != nil {
		return err
	}
	defer c.client.Close()
	c.checkSigner(cmd.ErrOrStderr(), &f, key)
	return o.send(cmd, c, &f, value)
}

func randomID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// confirm asks for a yes.
func confirm(cmd *cobra.Command, what string) error {
	fmt.Fprint(cmd.ErrOrStderr(), strings.TrimSpace(what+" Type yes to go on:"), " ")
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 100)).ReadString('\n')
	if strings.TrimSpace(line) != "yes" {
		if err != nil {
			fmt.Fprintln(cmd.ErrOrStderr())
		}
		return errors.New("nothing was done: type yes, or give --yes")
	}
	return nil
}

// checkSigner warns of what the engine will refuse, if the policies lie here, too.
func (c *cluster) checkSigner(stderr io.Writer, f *event.Feedback, key ed25519.PrivateKey) {
	if c.Policies == "" {
		return
	}
	set, err := config.LoadPolicies(c.Policies)
	if err != nil {
		return // not our business: the engine says so
	}
	k := set.Response().Key(f.By)
	switch {
	case k == nil:
		fmt.Fprintf(stderr, "warning: policies/response in %s has no key %s\n", c.Policies, terminal.Visible(f.By, 60))
	case !key.Public().(ed25519.PublicKey).Equal(k.Public):
		fmt.Fprintf(stderr, "warning: policies/response in %s has another public key for %s\n", c.Policies,
			terminal.Visible(f.By, 60))
	case !k.Serves(f.Tenant):
		fmt.Fprintf(stderr, "warning: policies/response in %s does not let %s act on %s\n", c.Policies,
			terminal.Visible(f.By, 60), explain.Scope(f.Scope))
	}
}

func (o *order) send(cmd *cobra.Command, c *cluster, f *event.Feedback, value []byte) error {
	ctx, stdout := cmd.Context(), cmd.OutOrStdout()
	var answers *kgo.Client
	if o.wait > 0 {
		var err error
		if answers, err = c.from(ctx, c.Topics.Commands, c.Topics.Acks, c.Topics.DLQ); err != nil {
			return err
		}
		defer answers.Close()
	}
	send, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := c.client.ProduceSync(send, &kgo.Record{Topic: c.Topics.Feedback, Key: f.Scope.AppendKey(nil),
		Value: value}).FirstErr()
	if err != nil {
		return missing(c.Topics.Feedback, err)
	}
	out := outcome{Feedback: f.ID, Scope: f.Scope}
	if o.output == "table" {
		fmt.Fprintf(stdout, "sent: %s %s, feedback %s\n", f.Type, explain.Scope(f.Scope), f.ID)
	}
	if o.wait > 0 {
		wait, cancel := context.WithTimeout(ctx, o.wait)
		defer cancel()
		out.follow(wait, answers, &c.Config, f)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if o.output == "json" {
		if err := printJSON(stdout, out.json()); err != nil {
			return err
		}
	} else if o.wait > 0 {
		fmt.Fprintln(stdout, out.text(&c.Config, f, o.wait))
	}
	if o.wait > 0 && out.failed() {
		return errSilent{1}
	}
	return nil
}

// from is a client that reads topics from their present end on.
func (c *cluster) from(ctx context.Context, topics ...string) (*kgo.Client, error) {
	at := map[string]map[int32]kgo.Offset{}
	for _, topic := range topics { // one by one, to say which is missing
		ends, err := c.admin.ListEndOffsets(ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return nil, missing(topic, err)
		}
		at[topic] = map[int32]kgo.Offset{}
		ends.Each(func(o kadm.ListedOffset) { at[topic][o.Partition] = kgo.NewOffset().At(o.Offset) })
	}
	return kgo.NewClient(append(slices.Clone(c.options), kgo.ConsumePartitions(at),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))...)
}

// outcome is what became of an order.
type outcome struct {
	Feedback string
	Scope    event.Scope
	Refused  string // why, if the dead-letter topic says so
	Command  *event.Command
	Acks     []event.Ack
}

// follow reads until the command is answered for good, or the time is over.
func (out *outcome) follow(ctx context.Context, cl *kgo.Client, c *config.Config, f *event.Feedback) {
	acks := map[string][]event.Ack{} // an ack may be read before its command: they are on two topics
	for ctx.Err() == nil && !out.done() {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			switch r.Topic {
			case c.Topics.Commands:
				x, err := event.ParseCommand(r.Value)
				if err == nil && x.Scope == f.Scope && x.Issuer.Type == "human" && x.Issuer.By == f.By &&
					x.Issuer.Rule == f.ID {
					out.Command = &x
				}
			case c.Topics.Acks:
				if a, err := event.ParseAck(r.Value); err == nil && a.Scope == f.Scope {
					acks[a.CommandID] = append(acks[a.CommandID], a)
				}
			case c.Topics.DLQ:
				if strings.Contains(string(r.Value), f.ID) {
					out.Refused = refusal(r)
				}
			}
		})
		if out.Command != nil {
			out.Acks = acks[out.Command.ID]
		}
	}
}

// refusal is what a dead letter says of itself.
func refusal(r *kgo.Record) string {
	said := map[string]string{}
	for _, h := range r.Headers {
		said[h.Key] = string(h.Value)
	}
	return terminal.Visible(strings.TrimSuffix(cmp.Or(said["reason"], "no reason given")+": "+said["detail"], ": "), 300)
}

// done tells whether nothing more will come.
func (out *outcome) done() bool {
	if out.Refused != "" {
		return true
	}
	if out.Command == nil {
		return false
	}
	return out.Command.Mode != event.Enforce ||
		slices.ContainsFunc(out.Acks, func(a event.Ack) bool { return a.Status != event.Received })
}

func (out *outcome) failed() bool {
	last := len(out.Acks) - 1
	return out.Command == nil || last >= 0 && out.Acks[last].Status > event.Applied
}

func (out *outcome) text(c *config.Config, f *event.Feedback, waited time.Duration) string {
	switch {
	case out.Refused != "":
		return "refused: " + out.Refused
	case out.Command == nil:
		return fmt.Sprintf(
			"no command came within %v. See whether wayward run is up (/readyz), whether %s has the feedback with a reason why it was refused, "+
				"whether policies/response has the key %s for this tenant, and whether the scope is under a stronger action already (wayward breaker show)",
			waited, c.Topics.DLQ, terminal.Visible(f.By, 60))
	}
	x := out.Command
	text := fmt.Sprintf("command: %s, epoch %d%s", explain.Action(x.Action, x.Rate), x.Epoch, explain.Lasting(x.DurationMS))
	if x.Mode != event.Enforce {
		return text + ", " + x.Mode + ": no gateway acts on it (enforce: true in policies/response turns it on)"
	}
	for _, a := range out.Acks {
		text += fmt.Sprintf("\n%s: %s", terminal.Visible(cmp.Or(a.By, "a gateway"), 60), a.Status)
		if a.Detail != "" {
			text += ", " + terminal.Visible(a.Detail, 200)
		}
	}
	if len(out.Acks) == 0 {
		text += fmt.Sprintf("\nno gateway has answered within %v; look again with wayward breaker show", waited)
	}
	return text
}

func (out *outcome) json() any {
	j := struct {
		Feedback string            `json:"feedback"`
		Refused  string            `json:"refused,omitempty"`
		Command  json.RawMessage   `json:"command"`
		Acks     []json.RawMessage `json:"acks"`
	}{Feedback: out.Feedback, Refused: out.Refused, Acks: []json.RawMessage{}}
	if out.Command != nil {
		j.Command = out.Command.Append(nil)
	}
	for _, a := range out.Acks {
		j.Acks = append(j.Acks, a.Append(nil))
	}
	return j
}

// readKey reads an Ed25519 private key, PKCS #8 in PEM. Like ssh it wants nobody else to be able to
// read it.
func readKey(name string) (ed25519.PrivateKey, error) {
	if name == "" {
		return nil, fmt.Errorf("no private key: name its file with --key or $%s; wayward breaker keygen makes one",
			keyEnv)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("key: %w; wayward breaker keygen makes one", err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("key: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("key %s: not a regular file", name)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf(
			"key %s: others may read it (%v); run chmod 600 %s, and make a new key if somebody may have", name,
			info.Mode().Perm(), name)
	}
	text, err := io.ReadAll(io.LimitReader(file, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	const want = "want an Ed25519 private key as PKCS #8 in PEM, as wayward breaker keygen and openssl genpkey -algorithm ed25519 make them"
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("key %s: %s", name, want)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("key %s: %s", name, want)
	}
	return key, nil
}

// plainName may stand in a file's name.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

func newKeygen() *cobra.Command {
	var name, out string
	var tenants []string
	cmd := &cobra.Command{Use: "keygen", Short: "Make a key for signing trips and restores", Args: cobra.NoArgs,
		Long:    "keygen writes a private key to a file that only you can read, and prints what policies/response/response.yaml needs to know. Whoever has the file\nacts in your name: keep it off the machines of agents and gateways.",
		Example: "  wayward breaker keygen --name alice --tenant acme --out ~/.wayward/alice.pem",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !plainName.MatchString(name) {
				return fmt.Errorf("--name %q: use up to 64 letters, digits, dots, hyphens and underscores", name)
			}
			file := cmp.Or(out, name+".pem")
			public, private, err := ed25519.GenerateKey(nil)
			if err != nil {
				return err
			}
			der, err := x509.MarshalPKCS8PrivateKey(private)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // never over another key
			if errors.Is(err, os.ErrExist) {
				return fmt.Errorf("%s is there already: name another file with --out", file)
			} else if err != nil {
				return err
			}
			if err := errors.Join(pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}), f.Sync(),
				f.Close()); err != nil {
				return err
			}
			who := "[" + strings.Join(tenants, ", ") + "]"
			if len(tenants) == 0 {
				who = `["*"]   # all; name those that ` + name + ` may act on`
			}
			fmt.Fprintf(cmd.ErrOrStderr(),
				"the private key is in %s; put this into policies/response/response.yaml and restart the instances:\n",
				file)
			fmt.Fprintf(cmd.OutOrStdout(), "response:\n  keys:\n    - name: %s\n      tenants: %s\n      public: %s\n",
				name, who, base64.StdEncoding.EncodeToString(public))
			return nil
		}}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "whose `name` the key has")
	f.StringVar(&out, "out", "", "`file` to write; NAME.pem without")
	f.StringSliceVar(&tenants, "tenant", nil, "`tenants` that it may act on")
	require(cmd, "name")
	return cmd
}
