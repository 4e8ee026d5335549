package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
)

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
