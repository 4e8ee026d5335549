package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/config"
)

func newRulesTest() *cobra.Command {
	var o policiesFlags
	var run, output string
	var reports []string
	var failed, watch bool
	least := 2
	cmd := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run the tests that stand in the rules",
		Long: "test plays the events of each test through the engine itself, both stages, and compares what the rule says. A rule that is off or in shadow is tested as\n" +
			"if it gave alerts. Every rule with status stable needs --min-tests tests, one that fires and one that stays quiet. A test with todo: may fail; one that no\n" +
			"longer does is reported. Where a test fails, what each condition came to is shown. Exit 1 if a test fails or is missing, 3 if there was none.",
		Example: "  wayward rules test policies\n" +
			"  wayward rules test policies --run refund --watch\n" +
			"  wayward rules test policies --only-failed --report junit=tests.xml",
		Args: cobra.MaximumNArgs(1),
	}
	outputFlag(cmd, &output, "table", "json", "ndjson", "junit")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := o.where(args)
		if err != nil {
			return err
		}
		only, err := regexp.Compile(run)
		if err != nil {
			return fmt.Errorf("--run: %w", err)
		}
		once := func() error {
			set, err := config.LoadPolicies(dir)
			if err != nil {
				return err
			}
			results, err := authoring.Test(cmd.Context(), set, only, least)
			if err != nil {
				return err
			}
			return reportTests(cmd.OutOrStdout(), results, output, reports, failed)
		}
		if !watch {
			return once()
		}
		return watched(cmd.Context(), dir, func() {
			fmt.Fprintf(cmd.OutOrStdout(), "--- %s\n", time.Now().Format("15:04:05"))
			if err := once(); err != nil {
				if _, silent := err.(errSilent); !silent {
					fmt.Fprintln(cmd.ErrOrStderr(), err)
				}
			}
		})
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&run, "run", "", "only tests whose rule/name fits this `regexp`")
	f.IntVar(&least, "min-tests", 2, "tests that every stable rule needs, at least one of each kind; 0: none")
	f.BoolVar(&failed, "only-failed", false, "leave out what passes")
	f.BoolVar(&watch, "watch", false, "run again when a file changes, until interrupted")
	f.StringArrayVar(&reports, "report", nil,
		"also write `FORMAT=FILE`: table, json, ndjson or junit; may be given several times")
	return cmd
}

func reportTests(w io.Writer, results []authoring.Result, output string, reports []string, onlyFailed bool) error {
	passed, wrong, todo := 0, 0, 0
	for i := range results {
		switch r := &results[i]; {
		case r.Pass:
			passed++
		case r.Todo != "":
			todo++
		default:
			wrong++
		}
	}
	if onlyFailed {
		results = slices.DeleteFunc(slices.Clone(results), func(r authoring.Result) bool { return r.Pass })
	}
	if results == nil {
		results = []authoring.Result{}
	}
	err := writeReports(w, output, reports, map[string]func(io.Writer) error{
		"table": func(w io.Writer) error {
			authoring.WriteTable(w, results)
			_, err := fmt.Fprintf(w, "%d tests: %d passed, %d failed, %d todo\n", passed+wrong+todo, passed, wrong,
				todo)
			return err
		},
		"json": func(w io.Writer) error { return printJSON(w, results) },
		"ndjson": func(w io.Writer) error {
			return printLines(w, results)
		},
		"junit": func(w io.Writer) error { return authoring.WriteJUnit(w, results) },
	})
	switch {
	case err != nil:
		return err
	case wrong > 0:
		return errSilent{1}
	case passed+todo == 0:
		return errSilent{3}
	}
	return nil
}

// watched runs something now and whenever a file in a folder has changed, until the context ends.
func watched(ctx context.Context, dir string, run func()) error {
	was := ""
	for {
		now := config.Fingerprint(dir)
		if now != was {
			was = now
			run()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(300 * time.Millisecond):
		}
	}
}
