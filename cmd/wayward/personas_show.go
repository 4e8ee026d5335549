package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/terminal"
)

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
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s:%d\n", p.Name, terminal.Dash(p.Tenant), terminal.Dash(p.Extends), p.Default,
			terminal.Dash(strings.Join(p.Agents, " ")), len(p.Tests), p.File, p.Line)
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
