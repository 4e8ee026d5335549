package detectorstest

import "github.com/wayward-sec/wayward/baselines"

// with gives a delta a part.
func With(d *baselines.Delta, slot byte, p baselines.DeltaPart) *baselines.Delta {
	d.SetPart(slot, p)
	return d
}
