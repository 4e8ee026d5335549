package all

import (
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/declaration"
	"github.com/wayward-sec/wayward/detectors/integrity"
	"github.com/wayward-sec/wayward/detectors/inventory"
	"github.com/wayward-sec/wayward/detectors/limit"
	"github.com/wayward-sec/wayward/detectors/persona"
	"github.com/wayward-sec/wayward/detectors/rarity"
	"github.com/wayward-sec/wayward/detectors/rule"
	"github.com/wayward-sec/wayward/detectors/separation"
	"github.com/wayward-sec/wayward/detectors/sequence"
	"github.com/wayward-sec/wayward/detectors/volume"
)

// All are the detectors in the order in which they see an event.
var All = detectors.Register(
	persona.Kind,
	limit.Kind,
	declaration.Kind,
	separation.Kind,
	inventory.Kind,
	volume.Kind,
	sequence.Kind,
	rarity.Kind,
	integrity.Kind,
	rule.Kind, // last, so that rules can ask what the others came to
)
