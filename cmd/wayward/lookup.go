package main

import (
	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/client"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
)

// lookup are the flags of commands that look at the topics of a running wayward.
type lookup struct {
	config, tenant, output string
}

func (o *lookup) flags(cmd *cobra.Command) {
	configFlag(cmd, &o.config)
	cmd.Flags().StringVar(&o.tenant, "tenant", "", "of this `tenant`")
	outputFlag(cmd, &o.output, "table", "json")
}

// open connects to the brokers that the config names, or to the embedded one.
func (o *lookup) open(cmd *cobra.Command) (*client.Client, error) {
	c, err := config.Load(o.config)
	if err != nil {
		return nil, err
	}
	return client.Open(cmd.Context(), c, cmd.ErrOrStderr())
}

// concerns tells whether a scope is the tenant's that was asked for: everything is, too.
func (o *lookup) concerns(s event.Scope) bool {
	return o.tenant == "" || s.Tenant == o.tenant || s.Type == event.GlobalScope
}
