package volume

import (
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/limit"
)

// The others have tests of their own.
var _ = detectors.Register(limit.Kind, Kind)
