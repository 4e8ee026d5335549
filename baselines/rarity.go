package baselines

// RarityModel is what was learned about what agents of a persona use and touch.
type RarityModel struct{}

// RarityDelta is what one day adds to it.
type RarityDelta struct{}

// Learn closes a day.
func (v *RarityModel) Learn(m *Model, d *RarityDelta, terms Terms) {}

// Append encodes the model.
func (v *RarityModel) Append(b []byte) []byte { return b }

// Decode reads what Append wrote.
func (v *RarityModel) Decode(r *Reader) {}

// Merge adds another's.
func (d *RarityDelta) Merge(o *RarityDelta) {}

// Append encodes the delta.
func (d *RarityDelta) Append(b []byte) []byte { return b }

// Decode reads what Append wrote.
func (d *RarityDelta) Decode(r *Reader) {}
