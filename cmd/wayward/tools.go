package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

func newTools() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "What the tools are that agents call",
		Long: "tools shows what wayward makes of recorded tool calls. The catalogue in tools/*.yaml of the policies says what calls are; for what it does\n" +
			"not say, the names of tools and arguments are read. What neither tells stays unknown and is listed as such.",
		Example: "  wayward tools classify events.jsonl.zst                        what recorded calls are\n" +
			"  wayward tools draft events.jsonl.zst -o policies/tools/seen.yaml\n" +
			"  wayward tools list --config wayward.yaml                       what was called while wayward ran",
	}
	cmd.AddCommand(newToolsClassify(), newToolsDraft(), newToolsList())
	return cmd
}

func newToolsClassify() *cobra.Command {
	var o toolsOptions
	var output string
	cmd := &cobra.Command{
		Use:   "classify FILE",
		Short: "Say tool by tool what recorded calls are, and from what that is known",
		Long: "classify reads events, one a line, plain or .gz, .zst, .xz (- is standard input), and says of each tool what class its calls are, what they\n" +
			"touch, where they go, how often and from what that is known; and at the end, which tools it does not know. No value of an argument is shown.\n" +
			"The exit code is 1 if lines did not decode, 3 if there is no tool call.",
		Example: "  wayward tools classify events.jsonl.zst\n" +
			"  wayward tools classify events.jsonl --ignore-declared --output json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.survey(cmd, args[0])
			if err != nil {
				return err
			}
			if output == "json" {
				err = s.json(cmd.OutOrStdout())
			} else {
				err = s.table(cmd.OutOrStdout())
			}
			return cmp.Or(err, s.empty(cmd, args[0]), s.bad.code())
		},
	}
	o.flags(cmd)
	outputFlag(cmd, &output, "table", "json")
	cmd.Flags().BoolVar(&o.ignore, "ignore-declared", false,
		"leave out what the events say of class, resource, subject, destination and amount")
	return cmd
}

func newToolsDraft() *cobra.Command {
	var o toolsOptions
	var output string
	cmd := &cobra.Command{
		Use:   "draft FILE",
		Short: "Write a catalogue to edit from recorded calls",
		Long: "draft reads events as classify does, and writes an entry for each tool with what is known of it, the most called first. What is not known is\n" +
			"left as a comment to fill in. Put the file into the folder tools of your policies. The exit code is 1 if lines did\n" +
			"not decode.",
		Example: "  wayward tools draft events.jsonl.zst -o policies/tools/seen.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.survey(cmd, args[0])
			if err == nil {
				err = s.empty(cmd, args[0])
			}
			if err != nil {
				return err
			}
			var b bytes.Buffer
			s.draft(&b)
			if output == "" {
				_, err = cmd.OutOrStdout().Write(b.Bytes())
				return cmp.Or(err, s.bad.code())
			}
			// what somebody edited must not be lost
			f, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return fmt.Errorf("output: %w; name a new file", err)
			}
			_, err = f.Write(b.Bytes())
			return cmp.Or(errors.Join(err, f.Close()), s.bad.code())
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "new `file` to write; standard output without")
	return cmd
}

type toolsOptions struct {
	policiesFlags
	ignore, quiet bool
}

func (o *toolsOptions) flags(cmd *cobra.Command) {
	o.policiesFlags.flags(cmd)
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "no progress, nothing about lines that did not decode")
}

// maxSurveyed bounds the tools, and maxEvidence what is said of each, that one survey tells apart:
// names come from events.
const (
	maxSurveyed = 20_000
	maxEvidence = 40
)

// survey is what was seen of tools in a stream.
type survey struct {
	tools map[[2]string]*surveyed // by server and name
	calls int64
	over  int64 // calls of tools beyond maxSurveyed
	bad   undecoded
}

// surveyed is one tool of a survey.
type surveyed struct {
	name, server string
	calls        int64
	class        byClass // what calls are in the end
	declared     byClass
	inferred     byClass // without what is declared
	// pointers: adding to an entry would keep the newest key, whose texts alias an event
	evidence map[policy.Evidence]*int64
	known    map[string]int64 // calls of which a field is known
}

// byClass counts calls by class.
type byClass [event.Delegate + 1]int64

// top is the most frequent class, of equals the first; NoClass if there is no other.
func (t *byClass) top() event.Class {
	best := event.NoClass
	for c := event.Read; c <= event.Delegate; c++ {
		if t[c] > 0 && (best == event.NoClass || t[c] > t[best]) {
			best = c
		}
	}
	return best
}

// survey reads a stream.
func (o *toolsOptions) survey(cmd *cobra.Command, input string) (*survey, error) {
	c, err := loadConfig(o.config)
	if err != nil {
		return nil, err
	}
	set, err := loadPolicies(cmp.Or(o.dir, c.Policies))
	if err != nil {
		return nil, err
	}
	s := &survey{tools: map[[2]string]*surveyed{}}
	cat := newCataloguer(set.Catalogue())
	s.bad, err = eachEvent(cmd, input, o.quiet, func(_ []byte, e *event.Event) error {
		s.add(cat, e, o.ignore)
		return nil
	})
	return s, err
}

// cataloguer remembers tools, as a shard does.
type cataloguer struct {
	*policy.Catalogue
	scratch policy.Scratch
	tools   map[toolName]*policy.Tool
}

type toolName struct {
	tenant, name, server string
	class                event.Class
	readOnly             event.Tri
	sent                 string
}

func newCataloguer(c *policy.Catalogue) *cataloguer {
	return &cataloguer{Catalogue: c, tools: map[toolName]*policy.Tool{}}
}

func (c *cataloguer) tool(e *event.Event) *policy.Tool {
	k := toolName{e.Tenant, e.Tool.Name, e.Tool.Server, e.Tool.Class, e.Tool.ReadOnlyHint, e.Tool.Sent}
	if t := c.tools[k]; t != nil {
		return t
	}
	if len(c.tools) > maxSurveyed {
		clear(c.tools)
	}
	k.tenant, k.name, k.server, k.sent = strings.Clone(k.tenant), strings.Clone(k.name), strings.Clone(
		k.server), strings.Clone(k.sent)
	t := c.Tool(k.tenant, &event.Tool{Name: k.name, Server: k.server, Class: k.class, ReadOnlyHint: k.readOnly,
		Sent: k.sent})
	c.tools[k] = t
	return t
}

// add takes one event into account. Of a call in two records the result counts.
func (s *survey) add(c *cataloguer, e *event.Event, ignore bool) {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return
	}
	s.calls++
	k := [2]string{e.Tool.Server, e.Tool.Name}
	t := s.tools[k]
	if t == nil {
		if len(s.tools) == maxSurveyed {
			s.over++
			return
		}
		t = &surveyed{name: strings.Clone(e.Tool.Name), server: strings.Clone(e.Tool.Server),
			evidence: map[policy.Evidence]*int64{}, known: map[string]int64{}}
		s.tools[[2]string{t.server, t.name}] = t
	}
	t.calls++
	t.declared[e.Tool.Class]++
	own := *e
	own.Tool.Class = event.NoClass
	if ignore {
		own.Resource, own.Subject, own.Destination, own.Amount = event.Resource{}, "", event.Destination{},
			event.Amount{}
		own.Has &^= event.HasAmount
		*e = own
	}
	c.tool(&own).Complete(&own, &c.scratch)
	t.inferred[own.Tool.Class]++
	tool := c.tool(e)
	class := e.Tool.Class
	for _, v := range tool.Explain(e) {
		t.known[v.Field]++
		if v.Field == "class" {
			class, _ = event.ParseClass(v.Value)
		}
		n := t.evidence[v]
		if n == nil {
			if len(t.evidence) == maxEvidence {
				continue
			}
			n = new(int64)
			v.Value, v.From, v.Path = strings.Clone(v.Value), strings.Clone(v.From), strings.Clone(v.Path)
			t.evidence[v] = n
		}
		*n++
	}
	t.class[class]++
	c.scratch.Reset()
}

// empty says that there was no tool call.
func (s *survey) empty(cmd *cobra.Command, input string) error {
	if s.calls > 0 {
		return nil
	}
	if s.bad.n > 0 {
		return s.bad.code()
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "wayward: there is no tool call in %s\n", input)
	return errSilent{3}
}

// sorted are the tools by calls, then by name.
func (s *survey) sorted() []*surveyed {
	return slices.SortedFunc(maps.Values(s.tools), func(a, b *surveyed) int {
		return cmp.Or(cmp.Compare(b.calls, a.calls), strings.Compare(a.name, b.name),
			strings.Compare(a.server, b.server))
	})
}

// reasons are what is known of a tool, by field and then by how often.
func (t *surveyed) reasons(field string) []policy.Evidence {
	var out []policy.Evidence
	for v := range t.evidence {
		if field == "" || v.Field == field {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b policy.Evidence) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), cmp.Compare(*t.evidence[b], *t.evidence[a]),
			strings.Compare(a.From, b.From), strings.Compare(a.Value, b.Value))
	})
	return out
}

func percent(n, of int64) string {
	if of == 0 {
		return "0 %"
	}
	return strconv.FormatFloat(100*float64(n)/float64(of), 'f', 1, 64) + " %"
}

func (s *survey) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOOL\tSERVER\tCLASS\tCALLS\tSHARE\tRESOURCE\tSUBJECT\tDESTINATION\tAMOUNT\tCLASS KNOWN FROM")
	var unknown, differ []*surveyed
	for _, t := range s.sorted() {
		class := t.class.top()
		word, from := class.String(), ""
		if class == event.NoClass {
			word = "?"
			unknown = append(unknown, t)
		} else if r := t.reasons("class"); len(r) > 0 {
			from = r[0].From
		}
		if d, i := t.declared.top(), t.inferred.top(); d != i && d != event.NoClass && i != event.NoClass {
			differ = append(differ, t)
		}
		part := func(field string) string {
			r := t.reasons(field)
			if len(r) == 0 {
				return ""
			}
			text := cmp.Or(visible(r[0].Value, 100), "yes")
			if r[0].Path != "" {
				text += " " + visible(r[0].Path, 100)
			}
			if t.known[field] < t.calls {
				text += " " + percent(t.known[field], t.calls)
			}
			return strings.TrimPrefix(text, "yes ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", visible(t.name, 200), visible(t.server, 100), word,
			t.calls, percent(t.calls, s.calls),
			part("resource"), part("subject"), part("destination"), part("amount"), from)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	known := s.calls - s.over
	for _, t := range s.tools {
		known -= t.class[event.NoClass]
	}
	fmt.Fprintf(out, "\n%d tools, %d calls; the class of %s of the calls is known\n", len(s.tools), s.calls,
		percent(known, s.calls))
	for _, t := range differ {
		fmt.Fprintf(out, "declared %s, but the catalogue says %s: %s, %d calls\n", t.declared.top(), t.inferred.top(),
			visible(t.name, 200), t.calls)
	}
	if len(unknown) > 0 {
		fmt.Fprintf(out,
			"%d tools are not known; name them in tools/*.yaml of the policies (wayward tools draft writes one to edit):\n",
			len(unknown))
		for _, t := range unknown {
			fmt.Fprintf(out, "  %s, %d calls\n", visible(t.name, 200), t.calls)
		}
	}
	if s.over > 0 {
		fmt.Fprintf(out, "%d calls of further tools are not listed: more than %d different ones\n", s.over, maxSurveyed)
	}
	return nil
}

// toolLine is one tool as classify writes it in JSON.
type toolLine struct {
	Name     string           `json:"name"`
	Server   string           `json:"server"`
	Class    string           `json:"class"` // of most calls; "" if it is not known
	Declared string           `json:"declared"`
	Inferred string           `json:"inferred"`
	Calls    int64            `json:"calls"`
	Share    float64          `json:"share"`
	Classes  map[string]int64 `json:"classes"` // calls by class; "" is not known
	Known    map[string]int64 `json:"known"`   // calls of which a field is known
	Evidence []evidenceLine   `json:"evidence"`
}

type evidenceLine struct {
	policy.Evidence
	Argument string `json:"argument,omitempty"`
	Calls    int64  `json:"calls"`
}

func (s *survey) json(out io.Writer) error {
	lines := []toolLine{}
	for _, t := range s.sorted() {
		l := toolLine{Name: t.name, Server: t.server, Class: t.class.top().String(),
			Declared: t.declared.top().String(), Inferred: t.inferred.top().String(),
			Calls: t.calls, Share: float64(t.calls) / float64(s.calls), Classes: map[string]int64{}, Known: t.known,
			Evidence: []evidenceLine{}}
		for c, n := range t.class {
			if n > 0 {
				l.Classes[event.Class(c).String()] = n
			}
		}
		for _, v := range t.reasons("") {
			l.Evidence = append(l.Evidence, evidenceLine{v, v.Path, *t.evidence[v]})
		}
		lines = append(lines, l)
	}
	b, err := json.MarshalIndent(lines, "", "  ")
	if err != nil {
		return err
	}
	_, err = out.Write(append(b, '\n'))
	return err
}

// draft writes a catalogue. Texts from events stand in quotes, so that they cannot become anything
// else than texts.
func (s *survey) draft(w io.Writer) {
	fmt.Fprintf(w,
		"# What was seen of %d tools in %d calls, the most called first. Read it, correct it, delete what goes without saying.\n",
		len(s.tools), s.calls)
	fmt.Fprintln(w, "# Paths name arguments; what an event declares itself goes before what stands here.")
	fmt.Fprintln(w, "tools:")
	some := false
	for _, t := range s.sorted() {
		fmt.Fprintf(w, "\n  # %d calls, %s\n", t.calls, percent(t.calls, s.calls))
		for _, v := range t.reasons("") {
			fmt.Fprintf(w, "  #   %s: %s (%d)\n", v.Field, onOneLine(strings.TrimSpace(v.Value+" · "+v.From)),
				*t.evidence[v])
		}
		var body bytes.Buffer
		best := func(field string) (policy.Evidence, bool) {
			r := t.reasons(field)
			if len(r) == 0 {
				return policy.Evidence{}, false
			}
			return r[0], true
		}
		if v, ok := best("class"); ok && v.Path == "" {
			// what an argument says may differ from call to call
			fmt.Fprintf(&body, "    class: %s\n", t.class.top())
			if v, ok := best("side_effect"); ok && !strings.HasPrefix(v.From, "class ") {
				// more than what goes with the class
				fmt.Fprintf(&body, "    side_effect: %s\n", v.Value)
			}
		}
		mapping := func(key string, pairs ...string) {
			var parts []string
			for i := 0; i+1 < len(pairs); i += 2 {
				if pairs[i+1] != "" && policy.Printable(pairs[i+1]) {
					parts = append(parts, pairs[i]+": "+quoted(pairs[i+1]))
				}
			}
			if len(parts) > 0 {
				fmt.Fprintf(&body, "    %s: {%s}\n", key, strings.Join(parts, ", "))
			}
		}
		if v, ok := best("resource"); ok {
			mapping("resource", "type", v.Value, "id", v.Path)
		}
		if v, ok := best("subject"); ok && v.Path != "" {
			fmt.Fprintf(&body, "    subject: %s\n", quoted(v.Path))
		}
		if v, ok := best("destination"); ok {
			mapping("destination", "kind", v.Value, "value", v.Path)
		}
		if v, ok := best("amount"); ok && v.Path != "" {
			fmt.Fprintf(&body, "    amount: {value: %s}\n", quoted(v.Path))
		}
		if v, ok := best("labels"); ok {
			var labels []string
			for l := range strings.FieldsSeq(v.Value) {
				if policy.Printable(l) {
					labels = append(labels, quoted(l))
				}
			}
			if len(labels) > 0 {
				fmt.Fprintf(&body, "    labels: [%s]\n", strings.Join(labels, ", "))
			}
		}
		head := "  - names: [" + quoted(t.name) + "]\n"
		if t.server != "" && policy.Printable(t.server) {
			head += "    servers: [" + quoted(t.server) + "]\n"
		}
		switch {
		case !policy.Printable(t.name) || t.server != "" && !policy.Printable(t.server):
			fmt.Fprintln(w, "  # its name or server is too long or cannot be written in a catalogue")
		case body.Len() == 0 || t.class.top() == event.NoClass:
			fmt.Fprintln(w, "  # its class is not known: say it and take the marks away")
			for line := range strings.Lines(head +
				"    class: read write delete send exec pay approve grant or delegate\n" + body.String()) {
				fmt.Fprint(w, "  # "+strings.TrimPrefix(line, "  "))
			}
		default:
			some = true
			fmt.Fprint(w, head+body.String())
		}
	}
	if !some {
		fmt.Fprintln(w, "  []")
	}
}

// quoted writes a text as JSON does, which is also YAML.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // our bug: a string always can be
	}
	return string(b)
}
