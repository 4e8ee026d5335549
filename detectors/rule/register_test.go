package rule

import (
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/persona"
	"github.com/wayward-sec/wayward/detectors/rarity"
	"github.com/wayward-sec/wayward/detectors/volume"
)

// The others have tests of their own.
var _ = detectors.Register(persona.Kind, volume.Kind, rarity.Kind, Kind)
