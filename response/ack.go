package response

import "github.com/wayward-sec/wayward/event"

// AckResult is what an ack changed.
type AckResult uint8

// Results of acks.
const (
	AckTaken   AckResult = iota // it is news
	AckKnown                    // an ack that weighs as much came before
	AckUnknown                  // no command of this scope has that id
	AckStale                    // of an epoch that is over
	AckRefused                  // taken, and it is the first to say that the gateway did not do it: report NotEnforced
)

// weight orders statuses: a lighter one takes nothing back, however late it comes.
func weight(s event.AckStatus) int {
	switch s {
	case 0:
		return 0
	case event.Received:
		return 1
	case event.Applied:
		return 3
	}
	return 2
}

// TakeAck notes what a gateway answered to the last command. stamp is the broker's time of the ack: no
// gateway applied anything later than that, or before it was asked to, whatever its own clock says.
func (b *Breaker) TakeAck(a *event.Ack, stamp int64) AckResult {
	switch {
	case b == nil || a.Epoch < 1 || a.Epoch > b.Epoch || a.CommandID != commandID(b.Scope, a.Epoch):
		return AckUnknown
	case a.Epoch < b.Epoch:
		return AckStale
	case weight(a.Status) <= weight(b.Ack):
		return AckKnown
	}
	b.Ack = a.Status
	switch weight(a.Status) {
	case 3:
		b.AckBy = 0
		b.Applied = max(min(a.Time, stamp), b.Issued)
	case 2:
		b.AckBy = 0
		if b.Open() && !b.Missed {
			return AckRefused
		}
	}
	return AckTaken
}

// Miss notes that the ack of an epoch did not come by the deadline; false: it is not so (any more).
func (b *Breaker) Miss(epoch, now int64) bool {
	if b == nil || b.Epoch != epoch || b.AckBy == 0 || now < b.AckBy {
		return false
	}
	b.AckBy, b.Missed = 0, true
	// A restore that no gateway applied harms nobody but the agent, and the breakers' topic has it.
	return b.Open()
}
