package instance

// Metrics are the metrics of the behaviour stage by name, each summed over its labels.
func (i *Instance) Metrics() map[string]float64 {
	out := map[string]float64{}
	families, err := i.Registry.Gather()
	if err != nil {
		return out
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			keep := true
			for _, l := range m.GetLabel() {
				keep = keep && (l.GetName() != "stage" || l.GetValue() == "behaviour")
			}
			if keep {
				out[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return out
}
