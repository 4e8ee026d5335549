package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/client"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

func newBaselineImport() *cobra.Command {
	var o baselineOrder
	var persona, day string
	cmd := &cobra.Command{Use: "import FILE", Short: "Put exported snapshots in force", Args: cobra.ExactArgs(1),
		Long: "import sends the snapshots of a file, as export and replay --snapshots write them, as signed feedback: of each baseline the newest, or that of --day. Each takes\n" +
			"the place of what is known of the same tenant, persona and fork, as of the last day that was closed, and learning goes on from there. A baseline that is not\n" +
			fmt.Sprintf(
				"known yet begins with it. A snapshot may have %d KiB. Exit 1 if one was refused, or if nothing came.",
				event.MaxImport>>10),
		Example: "  wayward baseline import snapshots.jsonl --config wayward.yaml --reason 'learned on the old cluster' --by alice --key alice.pem\n" +
			"  wayward baseline import snapshots.jsonl --persona support --tenant acme --day 2026-11-20 --config wayward.yaml" +
			signedBy,
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := client.ReadKey(cmp.Or(o.key, os.Getenv(client.KeyEnv)))
			if err != nil {
				return err
			}
			from := snapshots{from: args[0], tenant: o.tenant, day: day}
			list, err := from.read(cmd, persona)
			if err != nil {
				return err
			}
			var orders []*event.Feedback
			for _, s := range inspect.NewestEach(list) {
				if s.Bytes > event.MaxImport {
					return fmt.Errorf("%s %s %s has %s, more than the %d KiB that can be sent",
						terminal.Visible(s.Model.Tenant, 60),
						terminal.Visible(s.Model.Persona, 60), s.Model.Snapshot(), inspect.KiB(s.Bytes),
						event.MaxImport>>10)
				}
				f, err := o.order(s.Model.Tenant, s.Model.Persona,
					&event.BaselineOrder{Op: "import", Fork: s.Model.Fork,
						Hash: s.Model.Hash(), Model: s.Model.Append(nil)}, key)
				if err != nil {
					return err
				}
				orders = append(orders, f)
			}
			c, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			failed := false
			for _, f := range orders {
				c.WarnOfSigner(f, key)
				err := o.send(cmd, c, f)
				if silent := (errSilent{}); errors.As(err, &silent) {
					failed = true
				} else if err != nil {
					return err
				}
			}
			if failed {
				return errSilent{1}
			}
			return nil
		}}
	o.flags(cmd)
	require(cmd, "reason", "by")
	cmd.Flags().StringVar(&persona, "persona", "", "only that of this `persona`")
	cmd.Flags().StringVar(&day, "day", "", "of this UTC `day`, such as 2026-11-20; the newest without")
	return cmd
}
