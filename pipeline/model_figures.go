package pipeline

import (
	"math"

	"github.com/wayward-sec/wayward/baselines"
)

// modelFigures is what metrics say of a snapshot.
type modelFigures struct {
	state    baselines.State
	realised [baselines.Families]uint32 // false alarms over nominal, in thousandths, or tooFewTests
}

const tooFewTests = math.MaxUint32

func figuresOf(m *baselines.Model) modelFigures {
	s := modelFigures{state: m.State}
	for f := range s.realised {
		s.realised[f] = tooFewTests
		// From 100 tests on, of which one should have come out below 1 in 100.
		if ratio, _ := m.Audit.Realised(baselines.Family(f)); ratio == ratio &&
			m.Audit.Made(baselines.Family(f)) >= 100 {
			s.realised[f] = uint32(min(ratio*1000, 1e9))
		}
	}
	return s
}
