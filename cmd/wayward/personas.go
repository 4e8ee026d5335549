package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/policy"
)

func newPersonas() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "personas",
		Short: "Check, show, test and explain what each role may do",
		Long: "personas is for those who write policies: it reads a folder of them as the engine does, without a broker. A persona says what one role of\n" +
			"agents may use, touch and reach.",
		Example: "  wayward personas lint policies\n" +
			"  wayward personas test policies\n" +
			"  wayward personas explain --policies policies --event call.json",
	}
	cmd.AddCommand(newPersonasLint(), newPersonasShow(), newPersonasTest(), newPersonasExplain(), newPersonasSuggest(),
		newPersonasDiff())
	return cmd
}

// where is the folder: the argument's, the flag's or the config's.
func (o *policiesFlags) where(args []string) (string, error) {
	dir := o.dir
	if len(args) > 0 {
		dir = args[0]
	}
	if dir == "" {
		c, err := loadConfig(o.config)
		if err != nil {
			return "", err
		}
		if dir = c.Policies; dir == "" {
			return "", errors.New("no policies: name their directory, or give --config with policies in it")
		}
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("policies: %w", err)
	}
	return dir, nil
}

func (o *policiesFlags) load(args []string) (*policy.Set, error) {
	dir, err := o.where(args)
	if err != nil {
		return nil, err
	}
	return loadPolicies(dir)
}

func newPersonasLint() *cobra.Command {
	var o policiesFlags
	var failOn string
	cmd := &cobra.Command{
		Use:   "lint [DIR]",
		Short: "Report what is wrong or suspicious in a folder of policies",
		Long: "lint reads the whole folder as the engine does. Problems stop the engine's start, and end lint with exit code 1; warnings do so with\n" +
			"--fail-on warning.",
		Example: "  wayward personas lint /etc/wayward/policies\n" +
			"  wayward personas lint -c wayward.yaml --fail-on warning",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := o.where(args)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			set, problems := policy.Load(dir)
			for _, p := range problems {
				fmt.Fprintln(w, p)
			}
			if set == nil {
				fmt.Fprintf(w, "%d problems\n", len(problems))
				return errSilent{1}
			}
			warnings := set.Lint()
			for _, p := range warnings {
				fmt.Fprintf(w, "%v (warning)\n", p)
			}
			fmt.Fprintf(w, "%d personas, %d limits; 0 problems, %d warnings\n", len(set.Personas()), len(set.Limits()),
				len(warnings))
			if failOn == "warning" && len(warnings) > 0 {
				return errSilent{1}
			}
			return nil
		},
	}
	o.flags(cmd)
	failOn = "problem"
	choiceFlag(cmd, &failOn, "fail-on", "exit with 1 on these, and on what is worse", "problem", "warning")
	return cmd
}

func newPersonasShow() *cobra.Command {
	var o policiesFlags
	var tenant, output string
	cmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show personas with all that they inherit, and where each line comes from",
		Long: "show lists the personas; with a NAME it shows that one as it holds in the end, each line with the file and line that it comes from. A tenant's own\n" +
			"persona stands in place of the common one of that name.",
		Example: "  wayward personas show --policies configs\n" +
			"  wayward personas show support --tenant northwind --policies configs --output yaml",
		Args: cobra.MaximumNArgs(1),
	}
	outputFlag(cmd, &output, "table", "yaml", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := o.load(nil)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return listPersonas(cmd.OutOrStdout(), set, tenant, output)
		}
		p := set.Persona(tenant, args[0])
		if p == nil {
			var names []string
			for _, p := range personasOf(set, tenant) {
				names = append(names, p.Name)
			}
			return fmt.Errorf("there is no persona %q%s; there are: %s", args[0], ofTenant(tenant),
				strings.Join(names, ", "))
		}
		return showPersona(cmd.OutOrStdout(), p, output)
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&tenant, "tenant", "", "as they hold for this `tenant`")
	return cmd
}

func ofTenant(tenant string) string {
	if tenant == "" {
		return " for every tenant; give --tenant if it is a tenant's own"
	}
	return " for tenant " + tenant
}

// personasOf are the personas as they hold for a tenant; all of them without one.
func personasOf(set *policy.Set, tenant string) (list []*policy.Persona) {
	for _, p := range set.Personas() {
		if tenant == "" || set.Persona(tenant, p.Name) == p {
			list = append(list, p)
		}
	}
	return list
}

func listPersonas(w io.Writer, set *policy.Set, tenant, output string) error {
	list := personasOf(set, tenant)
	if output != "table" {
		for i, p := range list {
			if output == "yaml" && i > 0 {
				fmt.Fprintln(w, "---")
			}
			if err := showPersona(w, p, output); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tTENANT\tEXTENDS\tDEFAULT\tAGENTS\tTESTS\tWHERE")
	for _, p := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s:%d\n", p.Name, dash(p.Tenant), dash(p.Extends), p.Default,
			dash(strings.Join(p.Agents, " ")), len(p.Tests), p.File, p.Line)
	}
	return t.Flush()
}

func showPersona(w io.Writer, p *policy.Persona, output string) error {
	switch output {
	case "yaml":
		text, err := p.YAML()
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	case "json":
		return printJSON(w, struct {
			Persona json.RawMessage `json:"persona"`
			Version string          `json:"version"`
			Lines   []policy.Line   `json:"lines"`
		}{p.JSON(), p.Version, p.Lines()})
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tVALUE\tWHERE")
	for _, l := range p.Lines() {
		fmt.Fprintf(t, "%s\t%s\t%s\n", l.Path, strings.ReplaceAll(l.Value, "\n", " "), l.Where())
	}
	return t.Flush()
}

func newPersonasTest() *cobra.Command {
	var o policiesFlags
	least := 0
	cmd := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run the tests that stand beside the personas",
		Long: "test runs `tests:` of every persona: a call, and whether the persona allows it, denies it or wants it approved. Of --min-tests N\n" +
			"every persona that is not only a base for others needs N tests, one of a call that is allowed and one of a call that is not.\n" +
			"Exit code 1 if a test fails or is missing.",
		Example: "  wayward personas test configs --min-tests 2",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := o.load(args)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			ran, wrong := 0, 0
			fail := func(format string, args ...any) {
				wrong++
				fmt.Fprintf(w, "FAIL  "+format+"\n", args...)
			}
			for _, p := range set.Personas() {
				allowed, refused := 0, 0
				for i := range p.Tests {
					t := &p.Tests[i]
					ran++
					if t.Expect == policy.Allow {
						allowed++
					} else {
						refused++
					}
					if fault := set.RunTest(p, t); fault != "" {
						fail("%s:%d: %s: %q %s", t.File, t.Line, p.Name, t.Name, fault)
					}
				}
				switch {
				case least == 0 || p.Base():
				case len(p.Tests) < least:
					fail("%s:%d: persona %s has %d tests of %d; add some under tests", p.File, p.Line, p.Name,
						len(p.Tests), least)
				case allowed == 0 || refused == 0:
					fail(
						"%s:%d: persona %s has %d tests of calls that are allowed and %d of calls that are not; add one of the other kind",
						p.File, p.Line, p.Name, allowed, refused)
				}
			}
			fmt.Fprintf(w, "%d tests of %d personas, %d failed\n", ran, len(set.Personas()), wrong)
			if wrong > 0 {
				return errSilent{1}
			}
			return nil
		},
	}
	o.flags(cmd)
	cmd.Flags().IntVar(&least, "min-tests", 0, "tests that every persona needs, at least one of each kind; 0: none")
	return cmd
}
