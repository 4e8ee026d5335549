package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
)

// inventoryFlags are the flags of lists of the inventory.
type inventoryFlags struct {
	lookup
	unregistered bool
	since        time.Duration
}

func (o *inventoryFlags) flags(cmd *cobra.Command) {
	o.lookup.flags(cmd)
	cmd.Flags().BoolVar(&o.unregistered, "unregistered", false, "only what the inventory does not have or has retired")
	cmd.Flags().DurationVar(&o.since, "since", 0, "only what was seen in this time, such as 24h")
}

// list reads what was seen of a kind.
func (o *inventoryFlags) list(cmd *cobra.Command, kind string) ([]event.Thing, error) {
	if o.since < 0 {
		return nil, fmt.Errorf("--since %v: use a time such as 24h", o.since)
	}
	c, err := o.open(cmd)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	after := int64(0)
	if o.since > 0 {
		after = time.Now().Add(-o.since).UnixMilli()
	}
	return c.Inventory(cmd.Context(), func(t *event.Thing) bool {
		return t.Kind == kind && (o.tenant == "" || t.Tenant == o.tenant) && t.Last >= after &&
			(!o.unregistered || t.Registered == event.Unregistered || t.Retired)
	})
}

// registration says in a word what the inventory has of a thing.
func registration(t *event.Thing) string {
	switch {
	case t.Retired:
		return "retired"
	case t.Registered == event.Registered:
		return "registered"
	case t.Registered == event.Unregistered:
		return "unregistered"
	}
	return "-" // nothing of its kind is
}

// printInventory prints a table whose columns are given by a function, or JSON.
func printInventory(w io.Writer, list []event.Thing, format, heading string,
	columns func(*event.Thing) []string) error {
	if format == "json" {
		records := []json.RawMessage{}
		for i := range list {
			records = append(records, list[i].Append(nil))
		}
		return printJSON(w, records)
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "none seen")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, heading)
	for i := range list {
		fmt.Fprintln(t, strings.Join(columns(&list[i]), "\t"))
	}
	return t.Flush()
}
