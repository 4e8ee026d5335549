package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
)

func newRules() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Write, check, test and explain rules",
		Long: "rules is for those who write detections: conditions on single events, on windows and on sequences of events, in YAML with expressions. A rule is a\n" +
			"document in DIR/rules/*.yaml beside the other policies, with its tests in it; docs/rules.md says what may stand there.",
		Example: "  wayward rules new refund-to-new-account > policies/rules/refund-to-new-account.yaml\n" +
			"  wayward rules lint policies\n" +
			"  wayward rules test policies --watch\n" +
			"  wayward rules explain refund-to-new-account --policies policies --event call.json",
	}
	cmd.AddCommand(newRulesLint(), newRulesTest(), newRulesList(), newRulesShow(), newRulesNew(), newRulesExplain(),
		newRulesEval(), newRulesFields(), newRulesSchema(), newRulesFmt(), newRulesLock(), newRulesDiff())
	return cmd
}

// completeRules offers the ids of rules in the shell.
func completeRules(o *policiesFlags) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var ids []string
		if set, err := o.load(nil); err == nil {
			for _, r := range set.Rules() {
				ids = append(ids, r.ID+"\t"+r.Title)
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

func newRulesLint() *cobra.Command {
	var o policiesFlags
	var failOn, output, sample string
	var reports []string
	cmd := &cobra.Command{
		Use:   "lint [DIR]",
		Short: "Report what is wrong or suspicious in the rules of a folder of policies",
		Long: "lint reads the whole folder as the engine does. What is wrong comes with its line, a caret and a code (docs/rules.md lists them).\n" +
			"Problems stop the engine's start and end lint with exit code 1; warnings do so with --fail-on warning. With --sample it also says which rules ask for what none of\n" +
			"these events carries: such a rule is silent for ever. Exit 3 if there are no rules.",
		Example: "  wayward rules lint policies\n" +
			"  wayward rules lint policies --sample yesterday.jsonl.zst\n" +
			"  wayward rules lint policies --fail-on warning --report sarif=lint.sarif",
		Args: cobra.MaximumNArgs(1),
	}
	outputFlag(cmd, &output, "table", "json", "sarif")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := o.where(args)
		if err != nil {
			return err
		}
		set, problems := policy.Load(dir)
		var all []lintFinding
		var bad undecoded
		for _, err := range problems {
			all = append(all, lintOf(err, "error"))
		}
		n := 0
		if set != nil {
			n = len(set.Rules())
			for _, w := range set.LintRules(time.Now()) {
				all = append(all, lintOf(w, "warning"))
			}
			if sample != "" {
				var silent []*policy.Problem
				if silent, bad, err = notCarried(cmd, set, sample); err != nil {
					return err
				}
				for _, w := range silent {
					all = append(all, lintOf(w, "warning"))
				}
			}
		}
		if err := writeReports(cmd.OutOrStdout(), output, reports, map[string]func(io.Writer) error{
			"table": func(w io.Writer) error {
				for _, f := range all {
					fmt.Fprintln(w, f.text)
				}
				_, err := fmt.Fprintf(w, "%d rules; %d problems, %d warnings\n", n, len(problems),
					len(all)-len(problems))
				return err
			},
			"json":  func(w io.Writer) error { return printJSON(w, map[string]any{"rules": n, "findings": all}) },
			"sarif": func(w io.Writer) error { return printJSON(w, sarif(all)) },
		}); err != nil {
			return err
		}
		switch {
		case len(problems) > 0, failOn == "warning" && len(all) > 0:
			return errSilent{1}
		case n == 0:
			return errSilent{3}
		}
		return bad.code()
	}
	o.flags(cmd)
	failOn = "problem"
	choiceFlag(cmd, &failOn, "fail-on", "exit with 1 on these, and on what is worse", "problem", "warning")
	cmd.Flags().StringVar(&sample, "sample", "",
		"`file` of events as they really come, one a line, plain or .gz, .zst, .xz")
	cmd.Flags().StringArrayVar(&reports, "report", nil,
		"also write `FORMAT=FILE`: table, json or sarif; may be given several times")
	return cmd
}

// notCarried says which rules ask for fields that no event of a file carries, after the tool
// catalogue has filled in what it can.
func notCarried(cmd *cobra.Command, set *policy.Set, file string) (out []*policy.Problem, bad undecoded, err error) {
	missing := map[*rules.Field]bool{}
	arguments := map[string]bool{}
	for _, r := range set.Rules() {
		for _, p := range r.Args() {
			arguments[p] = true
		}
		for _, f := range r.Fields() {
			missing[f] = true
		}
	}
	var scratch catalogue.Scratch
	n := 0
	bad, err = eachEvent(cmd, file, formats.All[0].Name, false, func(_ []byte, e *event.Event) error {
		n++
		if e.Kind == event.ToolCall {
			set.Catalogue().Tool(e.Tenant, &e.Tool).Complete(e, &scratch)
		}
		for f := range missing {
			if f.Carried(&rules.Context{E: e}) {
				delete(missing, f)
			}
		}
		for p := range arguments {
			if rules.Carries(e, p) {
				delete(arguments, p)
			}
		}
		scratch.Reset()
		return nil
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("--sample %s: there is no event in it", file)
	}
	for _, r := range set.Rules() {
		for _, p := range r.Args() {
			if arguments[p] {
				out = append(out, &policy.Problem{File: set.RuleFile(r.ID), Code: "R208",
					What: fmt.Sprintf(
						"rule %s: none of %d events has the argument %s; look at how its calls really name it", r.ID, n,
						p)})
			}
		}
		for _, f := range r.Fields() {
			if missing[f] {
				out = append(out, &policy.Problem{File: set.RuleFile(r.ID), Code: "R208",
					What: fmt.Sprintf(
						"rule %s: none of %d events carries %s; ask the gateway to send it, or do without", r.ID, n,
						f.Name)})
			}
		}
	}
	return out, bad, err
}

// writeReports prints in one format and writes files in others.
func writeReports(w io.Writer, output string, reports []string, by map[string]func(io.Writer) error) error {
	if err := by[output](w); err != nil {
		return err
	}
	for _, r := range reports {
		format, file, ok := strings.Cut(r, "=")
		write := by[format]
		if !ok || file == "" || write == nil {
			var words []string
			for k := range by {
				words = append(words, k)
			}
			slices.Sort(words)
			return fmt.Errorf("--report %s: write FORMAT=FILE; formats are %s", r, strings.Join(words, ", "))
		}
		f, err := os.Create(file)
		if err != nil {
			return fmt.Errorf("--report: %w", err)
		}
		if err := cmp.Or(write(f), f.Close()); err != nil {
			return fmt.Errorf("--report %s: %w", file, err)
		}
	}
	return nil
}

type lintFinding struct {
	Level  string `json:"level"`
	Code   string `json:"code,omitempty"`
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	What   string `json:"what"`
	text   string
}

func lintOf(err error, level string) lintFinding {
	f := lintFinding{Level: level, What: err.Error(), text: err.Error()}
	if p, ok := err.(*policy.Problem); ok {
		f.Code, f.File, f.Line, f.Column, f.What = p.Code, p.File, p.Line, p.Column, p.What
	}
	if level == "warning" {
		f.text += " (warning)"
	}
	return f
}

// sarif is SARIF 2.1.0, as code scanners read it.
func sarif(all []lintFinding) any {
	type object = map[string]any
	results := []object{}
	for _, f := range all {
		region := object{"startLine": max(f.Line, 1)}
		if f.Column > 0 {
			region["startColumn"] = f.Column
		}
		results = append(results, object{"ruleId": cmp.Or(f.Code, "policy"), "level": f.Level,
			"message": object{"text": f.What},
			"locations": []object{
				{"physicalLocation": object{"artifactLocation": object{"uri": filepath.ToSlash(f.File)},
					"region": region}}}})
	}
	return object{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []object{{"tool": object{"driver": object{"name": "wayward rules lint", "version": version}},
			"results": results}}}
}

func newRulesList() *cobra.Command {
	var o policiesFlags
	var output string
	cmd := &cobra.Command{
		Use:     "list [DIR]",
		Short:   "List the rules",
		Long:    "list prints of every rule what it may do, how far it is trusted, in which stage it runs and by what it adds up.",
		Example: "  wayward rules list policies\n  wayward rules list policies --output json",
		Args:    cobra.MaximumNArgs(1),
	}
	outputFlag(cmd, &output, "table", "json", "ndjson")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := o.load(args)
		if err != nil {
			return err
		}
		all := []ruleView{}
		for _, r := range set.Rules() {
			all = append(all, viewOfRule(set, r))
		}
		w := cmd.OutOrStdout()
		switch output {
		case "json":
			return printJSON(w, all)
		case "ndjson":
			return printLines(w, all)
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ID\tMODE\tSTATUS\tSEVERITY\tSTAGE\tBY\tTESTS\tTITLE")
		for _, v := range all {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", v.ID, v.Mode, v.Status, v.Severity, v.Stage,
				strings.Join(v.By, " "), v.Tests, v.Title)
		}
		return t.Flush()
	}
	o.flags(cmd)
	return cmd
}

// ruleView is a rule as list and show print it.
type ruleView struct {
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Version  string            `json:"version"`
	Status   string            `json:"status"`
	Mode     string            `json:"mode"`
	Severity string            `json:"severity"`
	Stage    string            `json:"stage"`
	Why      string            `json:"why,omitempty"`
	Tags     []string          `json:"tags,omitempty"`
	By       []string          `json:"by"`
	Form     string            `json:"form"`
	Tests    int               `json:"tests"`
	File     string            `json:"file"`
	FalsePos []string          `json:"false_positives,omitempty"`
	Response string            `json:"response,omitempty"`
	Tune     string            `json:"tune,omitempty"`
	Machine  map[string]string `json:"needs_the_machine,omitempty"`
}

func viewOfRule(set *policy.Set, r *rules.Rule) ruleView {
	v := ruleView{ID: r.ID, Title: r.Title, Version: r.Version, Status: r.Status, Mode: r.Mode.String(),
		Severity: r.Severity.String(), Stage: "behaviour", Why: r.Why,
		Tags: r.Tags, File: set.RuleFile(r.ID), FalsePos: r.FalsePositives, Response: r.Response, Tune: r.Tune,
		Form: "event", Machine: map[string]string{}}
	if r.Above() {
		v.Stage = "relation"
	}
	for _, k := range r.By {
		v.By = append(v.By, k.String())
	}
	switch {
	case r.Having != nil:
		v.Form = "window of " + policy.FormatSpan(r.Window)
	case r.Absent != nil:
		v.Form = "absence"
	case len(r.Steps) > 1 || r.Within > 0:
		v.Form = "sequence within " + policy.FormatSpan(r.Within)
	}
	for _, t := range set.RuleTests() {
		if t.Rule == r.ID {
			v.Tests++
		}
	}
	for where, x := range r.Expressions() {
		if x.VM != "" {
			v.Machine[where] = x.VM
		}
	}
	return v
}

func ruleOf(set *policy.Set, id string) (*rules.Rule, error) {
	var ids []string
	for _, r := range set.Rules() {
		if r.ID == id {
			return r, nil
		}
		ids = append(ids, r.ID)
	}
	return nil, fmt.Errorf("there is no rule %q; there are: %s", id, cmp.Or(strings.Join(ids, ", "), "none"))
}

func newRulesShow() *cobra.Command {
	var o policiesFlags
	var output string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one rule: what it is for, which stage runs it, what its conditions ask for",
		Long: "show says of a rule what people need to know, and how it runs: in which stage (the key decides), under which index, what is taken from an event,\n" +
			"and which expressions need expr's machine because closures do not cover them.",
		Example: "  wayward rules show refund-to-new-account --policies policies",
		Args:    cobra.ExactArgs(1),
	}
	outputFlag(cmd, &output, "table", "json")
	cmd.ValidArgsFunction = completeRules(&o)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := o.load(nil)
		if err != nil {
			return err
		}
		r, err := ruleOf(set, args[0])
		if err != nil {
			return err
		}
		v := viewOfRule(set, r)
		if output == "json" {
			return printJSON(cmd.OutOrStdout(), v)
		}
		t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		line := func(what, value string) {
			if value != "" {
				fmt.Fprintf(t, "%s\t%s\n", what, strings.Join(strings.Fields(value), " "))
			}
		}
		lets := func(list []*rules.Let) {
			for _, l := range list {
				line("  let "+l.Name, l.Source)
			}
		}
		line("rule", v.ID+", version "+v.Version+", "+v.Status+", mode "+v.Mode)
		line("title", v.Title)
		line("why", v.Why)
		line("severity", v.Severity)
		line("tags", strings.Join(v.Tags, " "))
		line("form", v.Form+", by "+strings.Join(v.By, " and "))
		line("stage", v.Stage+map[string]string{"behaviour": ": the key is one agent's",
			"relation": ": events are told there, and looked at in order of time"}[v.Stage])
		for i, p := range r.Parts() {
			name := "step " + p.Name
			if i >= len(r.Steps) {
				name = "not"
				if p == r.Absent {
					name = "absent for " + policy.FormatSpan(r.AbsentFor)
				}
			} else if len(r.Steps) == 1 && r.Having == nil {
				name = "where"
			}
			line(name, p.Where.Source)
			if p.Join != nil {
				line("  and", p.Join.Source)
			}
			if p.Times > 1 {
				line("  times", fmt.Sprint(p.Times))
			}
			lets(p.Lets)
			if p.Having != nil {
				line("  having", p.Having.Source)
			}
			line("  index", guardText(&p.Where.Guard))
			line("  taken", strings.Join(p.Taken(), ", "))
		}
		lets(r.Lets)
		if r.Having != nil {
			line("having", r.Having.Source)
		}
		for where, why := range v.Machine {
			line("machine", where+": "+why)
		}
		line("false positives", strings.Join(v.FalsePos, "; "))
		line("response", v.Response)
		line("tune", v.Tune)
		line("file", v.File)
		return t.Flush()
	}
	o.flags(cmd)
	return cmd
}

func newRulesNew() *cobra.Command {
	form := "event"
	cmd := &cobra.Command{
		Use:   "new ID",
		Short: "Print a rule to begin with, with a test that fires and one that stays quiet",
		Long:  "new prints a whole rule of a form; change what it asks for and what its tests tell. It passes lint and its own tests as it is.",
		Example: "  wayward rules new refund-to-new-account > policies/rules/refund-to-new-account.yaml\n" +
			"  wayward rules new secret-then-out --form sequence",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`).MatchString(args[0]) {
				return fmt.Errorf("%q is no id; use letters, digits, dots, hyphens and underscores", args[0])
			}
			_, err := io.WriteString(cmd.OutOrStdout(), strings.ReplaceAll(ruleForms[form], "{id}", args[0]))
			return err
		},
	}
	choiceFlag(cmd, &form, "form", "what the rule looks at", "event", "window", "sequence", "absence")
	return cmd
}

func newRulesFields() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "fields",
		Short:   "List what an expression may use",
		Long:    "fields lists the fields of events, the helpers and the functions of expr that expressions may use. Whatever is not listed is an error at load.",
		Example: "  wayward rules fields\n  wayward rules fields --output json",
		Args:    cobra.NoArgs,
	}
	outputFlag(cmd, &output, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if output == "json" {
			type field struct {
				Name  string `json:"name"`
				Type  string `json:"type"`
				About string `json:"about,omitempty"`
			}
			out := struct {
				Fields    []field          `json:"fields"`
				Functions []rules.Function `json:"functions"`
				Builtins  []string         `json:"builtins"`
			}{Functions: rules.Functions(), Builtins: rules.Builtins()}
			for _, f := range rules.Fields() {
				out.Fields = append(out.Fields, field{f.Name, f.Type.String(), f.About})
			}
			return printJSON(cmd.OutOrStdout(), out)
		}
		t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "NAME\tTYPE\tABOUT")
		for _, f := range rules.Fields() {
			fmt.Fprintf(t, "%s\t%s\t%s\n", f.Name, f.Type, f.About)
		}
		for _, f := range rules.Functions() {
			fmt.Fprintf(t, "%s\tfunction\t%s\n", f.Usage, f.About)
		}
		fmt.Fprintf(t, "%s\tof expr\t\n", strings.Join(rules.Builtins(), " "))
		return t.Flush()
	}
	return cmd
}

func newRulesSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of a rule, for editors",
		Long:    "schema prints what an editor needs to complete and check rules as they are written; the first line of a rule names it, as in what wayward rules new prints.",
		Example: "  wayward rules schema > rule.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printJSON(cmd.OutOrStdout(), policy.RuleSchema())
		},
	}
}

// ruleForms are rules to begin with.
var ruleForms = map[string]string{
	"event": `# yaml-language-server: $schema=rule.schema.json
id: {id}
title: A payment above the limit to somebody outside
why: Say what harm this shows, so that whoever is called at night knows why.
status: experimental        # experimental, test, stable, deprecated
mode: shadow                # off, shadow, signal, alert, enforce
severity: high              # informational, low, medium, high, critical
tags: [ASI02]
where: tool.class == "pay" and destination.external and amount.value > params.max
params: {max: 500}
explain: '"paid " + string(amount.value) + " " + amount.currency + " to " + destination.value'
false_positives: [Month-end payments]
tune: Raise params.max to what the persona pays in a normal month.
tests:
  - name: fires above the limit
    all: {agent: {id: agent-1}, persona: payments, tool: {name: pay_invoice, class: pay}, destination: {kind: iban, value: DE02, external: true}}
    events:
      - {at: 0s, amount: {value: "750.00", currency: EUR}}
    expect: {findings: 1, why: paid 750 EUR to DE02}
  - name: stays quiet below it
    all: {agent: {id: agent-1}, persona: payments, tool: {name: pay_invoice, class: pay}, destination: {kind: iban, value: DE02, external: true}}
    events:
      - {at: 0s, amount: {value: "400.00", currency: EUR}}
    expect: {findings: 0}
`,
	"window": `# yaml-language-server: $schema=rule.schema.json
id: {id}
title: Many customers read in ten minutes
why: Say what harm this shows, so that whoever is called at night knows why.
status: experimental
mode: shadow
severity: medium
tags: [ASI02]
by: [agent]
window: 10m
where: tool.class == "read" and resource.type == "customer"
let:
  people: distinct(resource.id)
  records: sum(result.records)
having: people >= params.people
params: {people: 20}
explain: 'string(people) + " customers, " + string(records) + " records"'
false_positives: [Reports that cover a whole branch]
tune: Raise params.people to what one task needs.
tests:
  - name: fires at twenty
    all: {agent: {id: agent-1}, persona: support, tool: {name: get_customer, class: read}, result: {outcome: ok, records: 1}}
    events:
      - {at: 0s, every: 5s, times: 20, resource: {type: customer, id: "c-{n}"}}
    expect: {findings: 1, why: 20 customers}
  - name: stays quiet when it is always the same one
    all: {agent: {id: agent-1}, persona: support, tool: {name: get_customer, class: read}, result: {outcome: ok, records: 1}}
    events:
      - {at: 0s, every: 5s, times: 40, resource: {type: customer, id: c-1}}
    expect: {findings: 0}
`,
	"sequence": `# yaml-language-server: $schema=rule.schema.json
id: {id}
title: Something secret was read and something was sent outside
why: Say what harm this shows, so that whoever is called at night knows why.
status: experimental
mode: shadow
severity: high
tags: [ASI02, AML.T0086]
by: [session]
within: 30m
steps:
  - {name: secret, where: 'tool.class == "read" and "secret" in resource.labels and result.outcome == "ok"', capture: {what: resource.id}}
  - {name: sent, where: 'tool.class == "send" and destination.external'}
not:
  - {where: 'kind == "approval" and approval.state == "granted"'}
explain: '"read " + secret.what + ", then sent to " + destination.value'
false_positives: [Rotation of credentials by the platform team]
tune: Shorten within to what one task takes.
tests:
  - name: fires on a read and a send
    all: {agent: {id: agent-1}, persona: ops, session: s1}
    events:
      - {at: 0s, tool: {name: read_secret, class: read}, resource: {type: secret, id: db-password, labels: [secret]}, result: {outcome: ok}}
      - {at: 60s, tool: {name: send_mail, class: send}, destination: {kind: email, value: a@elsewhere.example, external: true}}
    expect: {findings: 1, why: read db-password}
  - name: stays quiet if it was approved in between
    all: {agent: {id: agent-1}, persona: ops, session: s1}
    events:
      - {at: 0s, tool: {name: read_secret, class: read}, resource: {type: secret, id: db-password, labels: [secret]}, result: {outcome: ok}}
      - {at: 30s, kind: approval, approval: {id: a1, state: granted, by: bob}}
      - {at: 60s, tool: {name: send_mail, class: send}, destination: {kind: email, value: a@elsewhere.example, external: true}}
    expect: {findings: 0}
`,
	"absence": `# yaml-language-server: $schema=rule.schema.json
id: {id}
title: A deletion that nobody reported
why: Say what harm this shows, so that whoever is called at night knows why.
status: experimental
mode: shadow
severity: medium
tags: [ASI10]
by: [agent]
steps:
  - {name: deleted, where: 'tool.class == "delete" and result.outcome == "ok"', capture: {what: resource.id}}
absent: {where: 'kind == "message" and message.to == "audit" and subject == deleted.what', for: 10m}
explain: '"deleted " + deleted.what'
false_positives: [Clean-ups that are reported as a whole]
tune: Lengthen absent.for if reports come late.
tests:
  - name: fires if nothing is reported within ten minutes
    all: {agent: {id: agent-1}, persona: ops}
    events:
      - {at: 0s, tool: {name: delete_table, class: delete}, resource: {type: table, id: t1}, result: {outcome: ok}}
      - {at: 20m, tool: {name: list_tables, class: read}}
    expect: {findings: 1, why: deleted t1, at: [10m]}
  - name: stays quiet if it is
    all: {agent: {id: agent-1}, persona: ops}
    events:
      - {at: 0s, tool: {name: delete_table, class: delete}, resource: {type: table, id: t1}, result: {outcome: ok}}
      - {at: 60s, kind: message, message: {to: audit, role: agent}, subject: t1}
    expect: {findings: 0}
`,
}
