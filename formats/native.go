package formats

import "github.com/wayward-sec/wayward/event"

// Native is wayward.event/v1: a record is an event already, and only its key is made.
type Native struct {
	decoder event.Decoder
	e       event.Event
}

// NewNative returns the native format.
func NewNative() Format { return &Native{} }

// Convert implements Format.
func (n *Native) Convert(_, value []byte, emit func(Event)) error {
	n.decoder.Reset()
	if err := n.decoder.Decode(value, &n.e); err != nil {
		return err
	}
	emit(Event{Tenant: n.e.Tenant, Agent: n.e.Agent.ID, Value: value})
	return nil
}

// Salvage implements Format.
func (n *Native) Salvage(key, value []byte) (event.Named, bool) {
	return n.decoder.SalvageKeyed(key, value)
}
