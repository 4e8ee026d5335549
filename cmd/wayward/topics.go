package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

func newTopics() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Show, create and verify the topics on your Kafka",
		Long: "topics compares the topics on the brokers with what the config says. Creating and altering them needs rights that run does not: Create and\n" +
			"AlterConfigs. Partition counts are never changed, as state is cut by them, and settings that wayward does not care about stay as they are.",
		Example: "  wayward topics plan --config wayward.yaml      what is missing or different; changes nothing\n" +
			"  wayward topics apply --config wayward.yaml     create and alter\n" +
			"  wayward topics check --config wayward.yaml     for scripts: exit 1 if something is wrong",
	}
	cmd.AddCommand(
		topicsVerb("plan", "Show what apply would do",
			"plan lists every topic that is missing and every setting that differs, and changes nothing.",
			func(ctx context.Context, w io.Writer, adm *kadm.Client, specs []broker.TopicSpec, format string) error {
				changes, err := broker.PlanTopics(ctx, adm, specs)
				if err != nil {
					return err
				}
				return printChanges(w, changes, format)
			}),
		topicsVerb("apply", "Create topics and set what differs",
			"apply creates what is missing and sets what differs. It changes nothing if a topic has a wrong number of partitions: that must be decided first.",
			func(ctx context.Context, w io.Writer, adm *kadm.Client, specs []broker.TopicSpec, format string) error {
				changes, err := broker.PlanTopics(ctx, adm, specs)
				if err != nil {
					return err
				}
				if err := printChanges(w, changes, format); err != nil {
					return err
				}
				return broker.ApplyTopics(ctx, adm, changes, func(broker.Change) {})
			}),
		topicsVerb("check", "Verify the topics",
			"check judges the topics as a start of the engine does. Exit 0: it would start; 1: it would not, and why.",
			func(ctx context.Context, w io.Writer, adm *kadm.Client, specs []broker.TopicSpec, _ string) error {
				if err := broker.CheckTopics(ctx, adm, specs); err != nil {
					fmt.Fprintln(w, err)
					return errSilent{1}
				}
				fmt.Fprintf(w, "%d topics are as they should be\n", len(specs))
				return nil
			}),
	)
	return cmd
}

func topicsVerb(verb, short, long string, do func(context.Context, io.Writer, *kadm.Client, []broker.TopicSpec,
	string) error) *cobra.Command {
	var name, format string
	cmd := &cobra.Command{Use: verb, Short: short, Long: long, Args: cobra.NoArgs,
		Example: "  wayward topics " + verb + " --config wayward.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(name)
			if err != nil {
				return err
			}
			if c.Kafka.Embedded() {
				return errors.New("the config has no brokers: the embedded broker looks after its topics itself")
			}
			cl, adm, brokers, err := c.Kafka.Dial(cmd.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			return do(ctx, cmd.OutOrStdout(), adm, c.Topics.Specs(false, brokers), format)
		}}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "table", "json")
	return cmd
}

func printChanges(w io.Writer, changes []broker.Change, format string) error {
	if format == "json" {
		if changes == nil {
			changes = []broker.Change{}
		}
		return printJSON(w, changes)
	}
	if len(changes) == 0 {
		fmt.Fprintln(w, "nothing to do")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TOPIC\tCHANGE\tSETTING\tHAVE\tWANT\tWHAT")
	for _, c := range changes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Topic, c.Kind, c.Setting, c.Have, c.Want, c.What)
	}
	return t.Flush()
}
