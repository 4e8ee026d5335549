package limit

import (
	"github.com/wayward-sec/wayward/detectors"
)

// The others have tests of their own.
var _ = detectors.Register(Kind)
