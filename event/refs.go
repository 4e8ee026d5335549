package event

// MaxRefs is how many first contributors a finding names besides its trigger (EVENTS §2).
const MaxRefs = 5
