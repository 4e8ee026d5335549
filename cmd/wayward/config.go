package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Explain, check and show the configuration",
		Long: "config is about the one file that says how wayward works. Values come from the defaults, then the file (--config, or the one that WAYWARD_CONFIG\n" +
			"names), then the environment (WAYWARD_ENGINE__MAX_POLL=1000 sets engine.max_poll), then flags. Relative paths in the file are relative to it.",
		Example: "  wayward config reference > wayward.yaml        every setting with its default, to edit\n" +
			"  wayward config check wayward.yaml              every mistake, with file, line and column\n" +
			"  wayward config show -c wayward.yaml            what is in effect, and where it came from",
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newConfigReference(), newConfigCheck(), newConfigShow())
	return cmd
}

func newConfigReference() *cobra.Command {
	return &cobra.Command{
		Use:     "reference",
		Short:   "Print a config file with every setting, what it is for, and its default",
		Long:    "reference prints a complete config file: loading it as it is gives the defaults. Settings without a default are commented out, with an example.",
		Example: "  wayward config reference > wayward.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), config.Reference())
			return err
		},
	}
}

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

func newConfigShow() *cobra.Command {
	var name, format string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration in effect, and where each value came from",
		Long: "show prints every setting that has a value: the default's, the file's with line and column, or the environment's. Passwords are never settings, so\n" +
			"there is none to hide: the config names the file or the variable that holds it.",
		Example: "  wayward config show -c wayward.yaml\n" +
			"  WAYWARD_ENGINE__MAX_POLL=1000 wayward config show --output json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := config.Read(config.Path(name), os.Environ())
			if err != nil {
				return err
			}
			if err := r.Err(); err != nil {
				return err
			}
			if format == "json" {
				return printJSON(cmd.OutOrStdout(), r.Values())
			}
			_, err = io.WriteString(cmd.OutOrStdout(), r.YAML())
			return err
		},
	}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "yaml", "json")
	return cmd
}
