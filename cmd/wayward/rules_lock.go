package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/terminal"
)

func newRulesLock() *cobra.Command {
	var o policiesFlags
	var check bool
	cmd := &cobra.Command{
		Use:   "lock [DIR]",
		Short: "Note the version of every rule, so that none changes without a new one",
		Long: "lock writes DIR/rules.lock: of each rule its version and the SHA-256 of all that it says but its mode and its tests. A rule that has changed and still has the\n" +
			"same version is refused: whoever reads a finding must be able to tell by which text it was made. With --check nothing is written, and what is missing is an error, too.\n" +
			"Exit 1 if a rule is refused.",
		Example: "  wayward rules lock policies\n  wayward rules lock policies --check",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := o.where(args)
			if err != nil {
				return err
			}
			set, err := config.LoadPolicies(dir)
			if err != nil {
				return err
			}
			file := filepath.Join(dir, authoring.LockName)
			was := map[string]authoring.Locked{}
			if text, err := os.ReadFile(file); err == nil {
				if err := json.Unmarshal(text, &was); err != nil {
					return fmt.Errorf("%s: %w; remove it and lock anew", file, err)
				}
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			w := cmd.OutOrStdout()
			now, wrong := authoring.CheckLock(set, was, check)
			for _, line := range wrong {
				fmt.Fprintln(w, line)
			}
			if len(wrong) > 0 {
				return errSilent{1}
			}
			if check {
				_, err = fmt.Fprintf(w, "%d rules are as %s has them\n", len(now), authoring.LockName)
				return err
			}
			text, err := json.MarshalIndent(now, "", "  ")
			if err != nil {
				return err
			}
			if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintf(w, "%s: %d rules\n", file, len(now))
			return err
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "write nothing: for CI")
	return cmd
}

func newRulesDiff() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Say what differs between the rules of two folders of policies",
		Long: "diff compares rules by id and key, not by text: order, comments and quotes do not show. A rule whose conditions are the same keeps its state when B takes\n" +
			"the place of A. Exit 1 if something differs.",
		Example: "  wayward rules diff policies policies.new",
		Args:    cobra.ExactArgs(2),
	}
	outputFlag(cmd, &output, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := config.LoadPolicies(args[0])
		if err != nil {
			return err
		}
		b, err := config.LoadPolicies(args[1])
		if err != nil {
			return err
		}
		all := authoring.Diff(a, b)
		w := cmd.OutOrStdout()
		if output == "json" {
			err = printJSON(w, all)
		} else {
			for _, d := range all {
				fmt.Fprintf(w, "%s %s%s\n", map[string]string{"added": "+", "removed": "-", "changed": "~"}[d.What],
					d.Rule, map[bool]string{true: "  (state is kept)"}[d.KeepsState && d.What == "changed"])
				for _, c := range d.Changes {
					fmt.Fprintf(w, "    %s: %s -> %s\n", c.Key, cmp.Or(terminal.Visible(c.From, 200), "none"),
						cmp.Or(terminal.Visible(c.To, 200), "none"))
				}
			}
			if len(all) == 0 {
				fmt.Fprintln(w, "the rules are the same")
			}
		}
		if err == nil && len(all) > 0 {
			return errSilent{1}
		}
		return err
	}
	return cmd
}
