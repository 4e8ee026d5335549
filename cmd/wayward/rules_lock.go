package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/config"
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
