package main

import (
	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of wayward.event/v1, for producers",
		Long:    "schema prints the JSON Schema of the events that wayward reads. It lets through what the decoder does.",
		Example: "  wayward schema > event.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(event.Schema())
			return err
		},
	}
}
