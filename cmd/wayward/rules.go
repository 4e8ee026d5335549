package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
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
