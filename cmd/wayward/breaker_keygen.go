package main

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/client"
)

// plainName may stand in a file's name.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

func newBreakerKeygen() *cobra.Command {
	var name, out string
	var tenants []string
	cmd := &cobra.Command{Use: "keygen", Short: "Make a key for signing trips and restores", Args: cobra.NoArgs,
		Long:    "keygen writes a private key to a file that only you can read, and prints what policies/response/response.yaml needs to know. Whoever has the file\nacts in your name: keep it off the machines of agents and gateways.",
		Example: "  wayward breaker keygen --name alice --tenant acme --out ~/.wayward/alice.pem",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !plainName.MatchString(name) {
				return fmt.Errorf("--name %q: use up to 64 letters, digits, dots, hyphens and underscores", name)
			}
			file := cmp.Or(out, name+".pem")
			public, err := client.NewKey(file)
			if err != nil {
				return err
			}
			who := "[" + strings.Join(tenants, ", ") + "]"
			if len(tenants) == 0 {
				who = `["*"]   # all; name those that ` + name + ` may act on`
			}
			fmt.Fprintf(cmd.ErrOrStderr(),
				"the private key is in %s; put this into policies/response/response.yaml and restart the instances:\n",
				file)
			fmt.Fprintf(cmd.OutOrStdout(), "response:\n  keys:\n    - name: %s\n      tenants: %s\n      public: %s\n",
				name, who, base64.StdEncoding.EncodeToString(public))
			return nil
		}}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "whose `name` the key has")
	f.StringVar(&out, "out", "", "`file` to write; NAME.pem without")
	f.StringSliceVar(&tenants, "tenant", nil, "`tenants` that it may act on")
	require(cmd, "name")
	return cmd
}
