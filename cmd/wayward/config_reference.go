package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
)

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
