package main

import (
	"github.com/spf13/cobra"
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
