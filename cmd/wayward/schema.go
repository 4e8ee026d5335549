package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [" + strings.Join(event.Schemas(), "|") + "]",
		Short: "Print the JSON Schema of what crosses Kafka: events, commands, breakers, acks, feedback",
		Long:  "schema prints the JSON Schema of the records that wayward reads and writes, the events' by default. It lets through what the decoder does.",
		Example: "  wayward schema > event.schema.json               for producers\n" +
			"  wayward schema command > command.schema.json     for gateways",
		Args: cobra.MaximumNArgs(1), ValidArgs: event.Schemas(),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := "event"
			if len(args) > 0 {
				name = args[0]
			}
			schema := event.SchemaOf(name)
			if schema == nil {
				return fmt.Errorf("there is no schema %q; use %s", name, strings.Join(event.Schemas(), ", "))
			}
			_, err := cmd.OutOrStdout().Write(schema)
			return err
		},
	}
}
