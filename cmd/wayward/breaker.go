package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
)

func newBreaker() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "breaker",
		Short: "See what is stopped, stop something by hand, and restore it",
		Long: "breaker shows the circuit breakers of agents, sessions, tools and wider scopes, what gateways made of the commands, and lets people trip and\n" +
			"restore them. A scope is TYPE ID: session, agent, persona, tool, server, user, tenant or global; a tool is 'server|name', or its name alone.\n" +
			"Trips and restores are signed: wayward breaker keygen makes the key.\n" +
			"Without brokers in the config, the embedded broker of the wayward run on this machine is asked.",
		Example: "  wayward breaker list --config wayward.yaml\n" +
			"  wayward breaker show agent agt-7731 --tenant acme\n" +
			"  wayward breaker trip agent agt-7731 --tenant acme --action block --duration 15m --reason 'exports at night' --by alice --key alice.pem\n" +
			"  wayward breaker restore agent agt-7731 --tenant acme --reason 'a new campaign' --by alice --key alice.pem",
	}
	cmd.AddCommand(newBreakerList(), newBreakerShow(), newBreakerHistory(), newBreakerTrip(), newBreakerRestore(),
		newBreakerKeygen())
	return cmd
}

// scopeArgs reads TYPE ID.
func scopeArgs(args []string, tenant, agent string) (event.Scope, error) {
	t, ok := event.ParseScopeType(args[0])
	s := event.Scope{Type: t, Tenant: tenant, Agent: agent}
	switch {
	case !ok:
		return s, fmt.Errorf("there is no type of scope %q; use %s", args[0], strings.Join(event.ScopeTypes(), ", "))
	case t == event.GlobalScope:
		if len(args) == 2 && args[1] != "*" || tenant != "" {
			return s, errors.New("global is everything of every tenant: give no id and no --tenant")
		}
		s.ID = "*"
	case len(args) < 2 && t != event.TenantScope:
		return s, fmt.Errorf("which %s? give its id", t)
	case len(args) < 2:
		s.ID = tenant
	default:
		s.ID = args[1]
	}
	switch {
	case t == event.TenantScope && tenant == "":
		s.Tenant = s.ID
	case t == event.TenantScope && tenant != s.ID:
		return s, fmt.Errorf("tenant %s is not --tenant %s; give one of them", s.ID, tenant)
	case t != event.GlobalScope && s.Tenant == "":
		return s, fmt.Errorf("whose %s? give --tenant", t)
	}
	if t == event.SessionScope && agent == "" {
		return s, errors.New("whose session? give --agent")
	}
	if t != event.SessionScope && agent != "" {
		return s, errors.New("--agent is for sessions alone")
	}
	return s.Identified(), nil
}

func completeScope(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return event.ScopeTypes(), cobra.ShellCompDirectiveNoFileComp
}
