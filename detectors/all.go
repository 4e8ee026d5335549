package detectors

// All are the detectors in the order in which they see an event.
var All = Register(
	policyKind,
	limitKind,
	declarationKind,
	separationKind,
	inventoryKind,
	volumeKind,
	sequenceKind,
	rarityKind,
	integrityKind,
	ruleKind, // last, so that rules can ask what the others came to
)
