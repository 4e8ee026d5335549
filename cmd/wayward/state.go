package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/state"
)

func newState() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "Look at, verify and rebuild the state on disk",
		Long: "state is about what an instance remembers of agents, sessions and scopes, in the directory that state names in the config. It follows from the\n" +
			"topics, so it may be lost or thrown away: the next start makes it anew.",
		Example: "  wayward state info -c wayward.yaml             what is there\n" +
			"  wayward state verify -c wayward.yaml           read all of it; exit 1 if something is damaged\n" +
			"  wayward state rebuild -c wayward.yaml --dry-run",
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newStateInfo(), newStateVerify(), newStateRebuild())
	return cmd
}

// stateReport is what state info and verify print.
type stateReport struct {
	Directory  string                    `json:"directory"`
	Bytes      int64                     `json:"bytes_on_disk"`
	Format     int                       `json:"format"`
	Layout     *pipeline.Layout          `json:"layout"`
	Sets       []string                  `json:"sets"`
	BadSets    []string                  `json:"damaged_sets,omitempty"`
	Partitions []pipeline.PartitionState `json:"partitions"`
}

// inspectState reads all of a store.
func inspectState(c config.Config) (*stateReport, error) {
	dir := c.StoreDir()
	if !state.Exists(dir) {
		return nil, nil
	}
	s, err := state.Open(dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	r := &stateReport{Directory: dir, Bytes: state.OnDisk(dir), Format: state.Format,
		Partitions: append([]pipeline.PartitionState{}, pipeline.Inspect(s)...)}
	if r.Layout, err = pipeline.StoredLayout(s); err != nil {
		return nil, err
	}
	r.Sets, r.BadSets = pipeline.InspectSets(s)
	return r, nil
}

func (r *stateReport) damaged() (n int) {
	n = len(r.BadSets)
	for _, p := range r.Partitions {
		for _, d := range p.Damage {
			n += d.N
		}
	}
	return n
}

// examine reads the state that a config names, and ends with exit code 3 if there is none.
func examine(cmd *cobra.Command, name string) (*stateReport, error) {
	c, err := config.Load(name)
	if err != nil {
		return nil, err
	}
	r, err := inspectState(c)
	if err == nil && r == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "there is no state in %s: the next start makes it\n", c.StoreDir())
		return nil, errSilent{3}
	}
	return r, err
}
