package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
)

func newConfigCheck() *cobra.Command {
	var name, format string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Report every mistake in a config file",
		Long: "check reads a config file and the environment and reports every mistake at once, with file, line and column. It reads nothing that the config\n" +
			"names: certificates, passwords, policies and brokers are doctor's. Exit 0: no mistake; 1: mistakes; 2: the file cannot be read.",
		Example: "  wayward config check wayward.yaml\n" +
			"  wayward config check wayward.yaml --output json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				name = args[0]
			}
			if name = config.Path(name); name == "" {
				return errors.New("name the file to check")
			}
			r, err := config.Read(name, os.Environ())
			if err != nil {
				return err
			}
			if format == "json" {
				if err := printJSON(cmd.OutOrStdout(), append([]config.Problem{}, r.Problems...)); err != nil {
					return err
				}
			} else {
				for _, p := range r.Problems {
					fmt.Fprintln(cmd.OutOrStdout(), p.Error())
				}
			}
			if len(r.Problems) > 0 {
				return errSilent{1}
			}
			if format != "json" {
				fmt.Fprintf(cmd.OutOrStdout(), "%s is fine\n", name)
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "text", "json")
	return cmd
}
