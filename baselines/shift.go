package baselines

// Shift is a change of what is normal for a persona: something that enough agents showed on enough
// days, taken into the baseline at the close of a day, or waiting for a person's decision.
type Shift struct {
	What   string // in words: "export_all after search"
	Kind   string // call, order; tool, server, destination, …
	Agents int    // that showed it
	Days   int    // on which they did
	Waits  bool   // for a person's decision
	Item   string // names it in approve and reject
}
