package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/policy"
)

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
