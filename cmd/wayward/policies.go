package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/policy"
)

// policiesFlags say which folder of policies a command reads.
type policiesFlags struct{ config, dir string }

func (o *policiesFlags) flags(cmd *cobra.Command) {
	configFlag(cmd, &o.config)
	cmd.Flags().StringVar(&o.dir, "policies", "", "`directory` of policies, instead of the config's")
	cmd.MarkFlagDirname("policies")
}

// where is the folder: the argument's, the flag's or the config's.
func (o *policiesFlags) where(args []string) (string, error) {
	dir := o.dir
	if len(args) > 0 {
		dir = args[0]
	}
	if dir == "" {
		c, err := config.Load(o.config)
		if err != nil {
			return "", err
		}
		if dir = c.Policies; dir == "" {
			return "", errors.New("no policies: name their directory, or give --config with policies in it")
		}
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("policies: %w", err)
	}
	return dir, nil
}

func (o *policiesFlags) load(args []string) (*policy.Set, error) {
	dir, err := o.where(args)
	if err != nil {
		return nil, err
	}
	return config.LoadPolicies(dir)
}
