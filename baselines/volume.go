package baselines

// VolumeModel is what was learned about how much agents of a persona do.
type VolumeModel struct{}

// VolumeDelta is what one day adds to it.
type VolumeDelta struct{}

// Learn closes a day.
func (v *VolumeModel) Learn(m *Model, d *VolumeDelta) {}

// Append encodes the model.
func (v *VolumeModel) Append(b []byte) []byte { return b }

// Decode reads what Append wrote.
func (v *VolumeModel) Decode(r *Reader) {}

// Merge adds another's.
func (d *VolumeDelta) Merge(o *VolumeDelta) {}

// Append encodes the delta.
func (d *VolumeDelta) Append(b []byte) []byte { return b }

// Decode reads what Append wrote.
func (d *VolumeDelta) Decode(r *Reader) {}
