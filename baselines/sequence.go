package baselines

// SequenceModel is what was learned about in which order agents of a persona call their tools.
type SequenceModel struct{}

// SequenceDelta is what one day adds to it.
type SequenceDelta struct{}

// Learn closes a day.
func (s *SequenceModel) Learn(m *Model, d *SequenceDelta, terms Terms) {}

// Append encodes the model.
func (s *SequenceModel) Append(b []byte) []byte { return b }

// Decode reads what Append wrote.
func (s *SequenceModel) Decode(r *Reader) {}

// Merge adds another's.
func (d *SequenceDelta) Merge(o *SequenceDelta) {}

// Append encodes the delta.
func (d *SequenceDelta) Append(b []byte) []byte { return b }

// Decode reads what Append wrote.
func (d *SequenceDelta) Decode(r *Reader) {}
