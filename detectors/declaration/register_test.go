package declaration

import (
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/limit"
	"github.com/wayward-sec/wayward/detectors/persona"
)

// The others have tests of their own.
var _ = detectors.Register(persona.Kind, limit.Kind, Kind)
