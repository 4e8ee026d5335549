// Package bench measures whole paths on this machine: replaying a file, a live engine on a broker,
// and the start of a process. It runs the engine as commands do and never looks inside it.
// Begin with Options; each of its methods measures one path.
package bench

import "github.com/wayward-sec/wayward/fleet"

// Options say what is measured.
type Options struct {
	Events, Agents, Runs int // Agents are drawn by Zipf 1.1
	Brokers              []string
	Policies             string  // folder; "": the built-in limits
	Seconds              int     // of part load, for the latency
	Load                 float64 // share of the drained rate at which the latency is measured
	Version              string  // of this binary
}

func (o *Options) stream() *fleet.Traffic {
	return fleet.NewTraffic(fleet.TrafficOptions{Seed: 1, Agents: o.Agents, Tenants: 3, Plain: true, Rate: 2000})
}
