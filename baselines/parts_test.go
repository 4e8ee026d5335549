package baselines

// with gives a delta a part.
func with(d *Delta, slot byte, p DeltaPart) *Delta {
	d.SetPart(slot, p)
	return d
}
